//! `make bench-scale`: whether the gateway's work grows faster than n log n.
//!
//! - [`fleet`]: the objects of a cluster, made by a generator from [`template`]s.
//! - [`server`]: an API server that serves them, from a [`collection`] of each kind and a [`lease`].
//! - [`subject`]: a gateway on that server, and its processor time.
//! - [`scenario`]: what is measured; [`client`]: the requests that clients send meanwhile.
//! - [`table`]: the results.

mod client;
mod collection;
mod fleet;
mod lease;
mod scenario;
mod server;
mod subject;
mod table;
mod template;

use anyhow::{Result, ensure};
use scalegate_tests::paths::scratch;
use scalegate_tests::{policies, stack};

use crate::machine;

use self::scenario::Scenario;
use self::subject::{Files, Subject};
use self::table::Table;

/// The variable with the path of the gateway's program; by default it is the one beside this program.
pub(crate) const PROGRAM: &str = "SCALEGATE_SCALEGATE";
/// The two sizes that are compared, in Deployments with a target.
const SIZES: [u32; 2] = [10_000, 100_000];

/// Measures the gateway's processor time on clusters of 10,000 and of 100,000 Deployments, with an API server that is
/// part of this program. Fails if a scenario takes more than 13 times as long on the larger one; n log n gives 12.5.
#[derive(Debug, clap::Args)]
pub(crate) struct ScaleArgs {
    /// How many times each scenario is measured; the table shows medians.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Divides the sizes by a hundred, to check quickly that everything runs. Ratios are not checked.
    #[arg(long)]
    small: bool,
}

/// Measures, prints the table, and fails if a scenario grows too fast.
pub(crate) async fn run(args: &ScaleArgs) -> Result<()> {
    // Only the gateway's build matters: the bench itself is not measured.
    let release = !cfg!(debug_assertions) || std::env::var_os(PROGRAM).is_some();
    ensure!(
        args.small || release,
        "this is a debug build: run `make bench-scale`, or name a release gateway in {PROGRAM}"
    );
    let machine = machine::describe()?;
    let work = scratch("bench-scale")?;
    let files = Files { certs: stack::certificates(&work.join("certs"))?, policies: work.join("policies"), work };
    policies::copy("normal", &files.policies)?;

    let sizes = SIZES.map(|size| if args.small { size / 100 } else { size });
    let mut table = Table::new(sizes);
    for round in 1..=args.rounds {
        for size in sizes {
            println!("-- round {round} of {}: {size} Deployments", args.rounds);
            let subject = Subject::start(&files, size).await?;
            for scenario in Scenario::ALL {
                let sample = scenario.measure(&subject).await?;
                println!("   {}: {sample}", scenario.name());
                table.add(scenario, size, sample);
            }
            table.remember(size, subject.memory()?);
            subject.stop().await?;
        }
    }
    println!("\n{machine}\n\n{table}");
    let failed = table.failed();
    ensure!(args.small || failed.is_empty(), "grows faster than n log n: {}", failed.join(", "));
    Ok(())
}
