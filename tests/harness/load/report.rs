//! What a load has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::mode::Mode;

/// What became of one request.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) mode: Mode,
    /// When it ended, since the start of the load.
    pub(super) ended: Duration,
    pub(super) took: Duration,
    pub(super) failure: Option<String>,
}

/// What a load has seen.
#[derive(Debug)]
pub struct Report {
    by_mode: BTreeMap<Mode, Row>,
    all: Row,
    /// The first failures, in words.
    pub failures: Vec<String>,
}

#[derive(Debug, Default)]
struct Row {
    sent: usize,
    failed: usize,
    took: Vec<Duration>,
    gap: Duration,
}

impl Report {
    pub(super) fn of(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_by_key(|outcome| outcome.ended);
        let failed = outcomes.iter().filter_map(|one| Some(format!("{}: {}", one.mode, one.failure.as_ref()?)));
        let failures = failed.take(10).collect();
        let by_mode = Mode::ALL.map(|mode| (mode, Row::of(outcomes.iter().filter(|one| one.mode == mode))));
        Self { by_mode: by_mode.into(), all: Row::of(outcomes.iter()), failures }
    }

    /// How many requests failed.
    pub fn failed(&self) -> usize {
        self.all.failed
    }

    /// How many requests were sent.
    pub fn sent(&self) -> usize {
        self.all.sent
    }

    /// The longest time without a good answer.
    pub fn gap(&self) -> Duration {
        self.all.gap
    }

    /// One line: requests, failures, times and the longest gap.
    pub fn summary(&self) -> String {
        self.all.to_string()
    }
}

impl Row {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let (mut row, mut last) = (Self::default(), None);
        for outcome in outcomes {
            row.sent += 1;
            if outcome.failure.is_some() {
                row.failed += 1;
                continue;
            }
            row.took.push(outcome.took);
            if let Some(last) = last.replace(outcome.ended) {
                row.gap = row.gap.max(outcome.ended.saturating_sub(last));
            }
        }
        row.took.sort();
        row
    }
}

/// The time that `percent` of the times, which are in order, are below; zero where there are none.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
        let [median, high, most] = [50, 99, 100].map(|percent| ms(percentile(&self.took, percent)));
        let (sent, failed, gap) = (self.sent, self.failed, ms(self.gap));
        write!(f, "{sent:>7} sent {failed:>4} failed   p50 {median:>7}   p99 {high:>8}   max {most:>8}   gap {gap:>8}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (mode, row) in &self.by_mode {
            writeln!(f, "   {mode:<15} {row}")?;
        }
        write!(f, "   {:<15} {}", "all", self.all)
    }
}
