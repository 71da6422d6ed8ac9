//! How soon a module that never ends is stopped.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine, EvalError};
use scalegate_tests::load::percentile;

use crate::report::verdict;

/// How many evaluations run into their deadline.
const EVALUATIONS: usize = 200;
/// The most that 99 of 100 may last beyond it, in milliseconds.
const LIMIT: f64 = 2.0;

/// How long evaluations went on after their deadline. As a text: a line.
#[derive(Debug)]
pub(crate) struct Runaways {
    deadline: Duration,
    /// In processor time, which the deadline is about.
    worked: Vec<Duration>,
    /// On the clock, with what else the machine did meanwhile.
    elapsed: Vec<Duration>,
}

/// Evaluates a module that never ends again and again, each time until it is stopped. The thread of the gateway's clock
/// needs a core beside it, so this runs before everything is pinned to one.
pub(crate) fn measure() -> Result<Runaways> {
    let budget = Budget::default();
    let module = Module::load(&Engine::new()?, &wat::parse_str(include_str!("runaway.wat"))?, budget, b"{}")?;
    let (mut worked, mut elapsed) = (Vec::new(), Vec::new());
    for _ in 0..EVALUATIONS {
        let (began, before) = (Instant::now(), processor_time()?);
        let outcome = module.evaluate(b"{}", Timestamp::UNIX_EPOCH);
        worked.push(processor_time()?.saturating_sub(before + budget.deadline));
        elapsed.push(began.elapsed().saturating_sub(budget.deadline));
        ensure!(matches!(outcome, Err(EvalError::Deadline(_))), "a module that loops gives {outcome:?}");
    }
    worked.sort();
    elapsed.sort();
    Ok(Runaways { deadline: budget.deadline, worked, elapsed })
}

/// What this thread has used.
fn processor_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}

impl fmt::Display for Runaways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |times: &[Duration], percent| percentile(times, percent).as_secs_f64() * 1e3;
        let [worked, elapsed] = [&self.worked, &self.elapsed].map(|times| (millis(times, 50), millis(times, 99)));
        write!(
            f,
            "- {EVALUATIONS} evaluations of a module that loops, with {:?} of processor time: stopped after {:.2} ms more at \
             p50 and {:.2} ms at p99; on the clock {:.2} ms and {:.2} ms; the aim is {LIMIT:.1} ms at most at p99: {}",
            self.deadline,
            worked.0,
            worked.1,
            elapsed.0,
            elapsed.1,
            verdict(worked.1, LIMIT),
        )
    }
}
