//! The tables of results.

use std::collections::BTreeMap;
use std::fmt;

use super::scenario::{Sample, Scenario};
use crate::machine::Memory;
use crate::report::median;

/// The largest ratio between the two sizes: ten times as many objects, each a quarter more work for the logarithm
/// (5 log 10 instead of 4 log 10), and some margin for a machine whose caches fit only the smaller size.
const LIMIT: f64 = 13.0;

/// The samples of all rounds. Displays as Markdown tables of medians.
#[derive(Debug)]
pub(crate) struct Table {
    sizes: [u32; 2],
    samples: BTreeMap<(Scenario, u32), Vec<Sample>>,
    memory: BTreeMap<u32, Vec<Memory>>,
}

impl Table {
    /// A table for these two sizes, without samples yet.
    pub(crate) fn new(sizes: [u32; 2]) -> Self {
        Self { sizes, samples: BTreeMap::new(), memory: BTreeMap::new() }
    }

    /// Adds a sample of `scenario`.
    pub(crate) fn add(&mut self, scenario: Scenario, size: u32, sample: Sample) {
        self.samples.entry((scenario, size)).or_default().push(sample);
    }

    /// Adds the gateway's memory after all scenarios of a round.
    pub(crate) fn remember(&mut self, size: u32, memory: Memory) {
        self.memory.entry(size).or_default().push(memory);
    }

    /// The scenarios that grow too fast.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        Scenario::ALL.into_iter().filter(|scenario| !self.is_within(*scenario)).map(Scenario::name).collect()
    }

    /// Whether a scenario was measured and does not grow too fast.
    fn is_within(&self, scenario: Scenario) -> bool {
        self.ratio(scenario) <= LIMIT
    }

    fn ratio(&self, scenario: Scenario) -> f64 {
        let [small, large] = self.sizes.map(|size| self.median(scenario, size, seconds));
        large / small
    }

    fn median(&self, scenario: Scenario, size: u32, value: fn(&Sample) -> f64) -> f64 {
        median(self.samples.get(&(scenario, size)).into_iter().flatten().map(value).collect())
    }

    fn mebibytes(&self, size: u32, value: fn(&Memory) -> u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
        let mebibytes = |memory| value(memory) as f64 / f64::from(1 << 20);
        median(self.memory.get(&size).into_iter().flatten().map(mebibytes).collect())
    }
}

fn seconds(sample: &Sample) -> f64 {
    sample.cpu.as_secs_f64()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [small, large] = self.sizes;
        writeln!(f, "| the gateway's CPU time | {small}: s | µs each | {large}: s | µs each | ratio |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for scenario in Scenario::ALL {
            write!(f, "| {}, each {} |", scenario.name(), scenario.unit())?;
            for size in self.sizes {
                let [all, each] = [seconds, Sample::micros].map(|value| self.median(scenario, size, value));
                write!(f, " {all:.2} | {each:.1} |")?;
            }
            let ratio = self.ratio(scenario);
            writeln!(f, " {ratio:.1}{} |", if self.is_within(scenario) { "" } else { " TOO MUCH" })?;
        }
        writeln!(f, "\n| the gateway's memory | {small}: MiB | {large}: MiB |\n|---|---:|---:|")?;
        for (name, value) in
            [("resident at the end", (|it| it.resident) as fn(&Memory) -> u64), ("at most", |it| it.most)]
        {
            let [small, large] = self.sizes.map(|size| self.mebibytes(size, value));
            writeln!(f, "| {name} | {small:.0} | {large:.0} |")?;
        }
        let verdict = if self.failed().is_empty() { "No ratio is" } else { "A RATIO IS" };
        write!(f, "\n{verdict} above {LIMIT}: n log n makes ten times as many objects 12.5 times the work.")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table(seconds: [u64; 2]) -> Table {
        let mut table = Table::new([10, 100]);
        for scenario in Scenario::ALL {
            for (size, seconds) in [10, 100].into_iter().zip(seconds) {
                table.add(scenario, size, Sample { cpu: Duration::from_secs(seconds), units: u64::from(size) });
            }
        }
        table
    }

    #[test]
    fn ten_times_as_much_may_take_thirteen_times_as_long_and_no_longer() {
        assert_eq!(table([1, 13]).failed(), [""; 0]);
        assert_eq!(table([1, 14]).failed().len(), Scenario::ALL.len());
        assert!(table([1, 14]).to_string().contains("14.0 TOO MUCH |"));
    }

    #[test]
    fn a_scenario_that_was_not_measured_does_not_pass() {
        assert_eq!(Table::new([10, 100]).failed().len(), Scenario::ALL.len());
    }
}
