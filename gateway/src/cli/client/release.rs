//! `scalegate release`: stops managing a Deployment.

use super::arguments::NameArgs;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::order::Order;
use super::show::{self, Form, FormArgs};
use super::table::{Cell, Table};
use super::view::Replicas;

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReleaseArgs {
    #[command(flatten)]
    workload: NameArgs,
    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Releases, and shows what happened.
pub(super) async fn release(args: &ReleaseArgs) -> Result<(), ClientError> {
    let Session { connection, namespace } = args.connect.session()?;
    let name = args.workload.resolve(namespace.as_deref())?;
    let order = if args.dry_run { Order::try_release(&name) } else { Order::release(&name) };
    let answer = connection.send(&order).await?;
    match args.form.output {
        form @ (Form::Json | Form::Yaml) => show::document(form, &answer),
        Form::Name => show::names([name.to_string()]),
        Form::Table | Form::Wide => {
            let result = if args.dry_run { "would be released" } else { "released" };
            let mut table = Table::new(vec!["NAMESPACE", "NAME", "REPLICAS", "RESULT"]);
            let replicas = Cell::number(Replicas::of(&answer).current());
            table.push(vec![Cell::new(&name.namespace), Cell::new(&name.name), replicas, Cell::new(result)]);
            show::table(&table)
        }
    }
}
