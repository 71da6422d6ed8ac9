//! `scalegate policy check`: a good set, and what the questions cost that its modules were asked.

use std::fmt::Write;
use std::path::Path;

use super::{of_deadline, width};
use crate::policy::{self, PolicySet, ProbeCost};

/// What is said of a good set. The digest ends the first line.
pub(super) fn report(directory: &Path, set: &PolicySet) -> String {
    let first = format!("{}: a good set of policies, digest {}\n", directory.display(), set.digest());
    first + &table(&policy::measure_probes(set))
}

fn table(costs: &[ProbeCost]) -> String {
    let wide = width("MODULE", costs.iter().map(|cost| cost.module.as_str()));
    let mut text = format!("{:wide$}  {:8}  {:>10}  {:>16}\n", "MODULE", "ACTION", "CPU", "OF DEADLINE");
    for ProbeCost { module, action, cpu_micros, deadline_micros } in costs {
        let (cpu, of_deadline) = (format!("{cpu_micros:.1} µs"), of_deadline(*cpu_micros, *deadline_micros));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{module:wide$}  {action:8}  {cpu:>10}  {of_deadline:>16}");
    }
    text
}
