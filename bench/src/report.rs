//! The table of what was measured, and the aims.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::case::Case;
use crate::measure::Sample;

/// The samples of all rounds. As a text: a Markdown table of medians, and how each aim was reached.
#[derive(Debug, Default)]
pub(crate) struct Report {
    samples: BTreeMap<Case, Vec<Sample>>,
}

/// How much one case may cost beside another.
struct Aim {
    case: Case,
    /// What is taken away from it.
    less: Option<Case>,
    beside: Case,
    limit: f64,
}

const fn aim(case: Case, limit: f64, beside: Case) -> Aim {
    Aim { case, less: None, beside, limit }
}

const AIMS: [Aim; 7] = [
    aim(Case::ReadHttp1, 1.5, Case::NginxHttp1),
    aim(Case::ReadHttp1, 1.0 / 20.0, Case::ApiServer),
    aim(Case::ReadHttp1, 1.0 / 6.0, Case::Opa),
    aim(Case::Decided, 1.0 / 3.0, Case::ApiServer),
    aim(Case::PageKept, 25.0, Case::Decided),
    aim(Case::ReadHandshake, 0.4, Case::NginxHandshake),
    Aim { less: Some(Case::ReadHttp2), ..aim(Case::ReadGrpc, 1.5, Case::NginxHttp2) },
];

impl Report {
    /// Adds what `case` took in one more round.
    pub(crate) fn add(&mut self, case: Case, sample: Sample) {
        self.samples.entry(case).or_default().push(sample);
    }

    fn each(&self, case: Case) -> impl Iterator<Item = &Sample> {
        self.samples.get(&case).into_iter().flatten()
    }

    fn median(&self, case: Case, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.each(case).map(value).collect())
    }

    /// The median processor time for a request, in microseconds.
    pub(crate) fn cpu(&self, case: Case) -> f64 {
        self.median(case, |sample| micros(sample.cpu))
    }

    /// The processor time of a case in each round, in microseconds.
    fn rounds(&self, case: Case) -> impl Iterator<Item = f64> {
        self.each(case).map(|sample| micros(sample.cpu))
    }

    /// The cases that were measured, in the order of the table.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        Case::ALL.into_iter().filter(|case| self.samples.contains_key(case))
    }

    /// The ratio of an aim; `None` where a case was not measured. Rounds are compared within themselves, since a machine's speed drifts.
    fn ratio(&self, aim: &Aim) -> Option<f64> {
        let measured = |case: &Case| self.samples.contains_key(case);
        if ![aim.case, aim.beside].iter().chain(&aim.less).all(measured) {
            return None;
        }
        let mut costs: Vec<_> = self.rounds(aim.case).collect();
        if let Some(less) = aim.less {
            costs = costs.into_iter().zip(self.rounds(less)).map(|(cost, less)| cost - less).collect();
        }
        Some(median(costs.into_iter().zip(self.rounds(aim.beside)).map(|(cost, beside)| cost / beside).collect()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| one request after the other | CPU µs per request | beside nginx | requests/s | p50 µs | p99 µs |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        let base = self.cpu(Case::NginxHttp1);
        for case in self.cases() {
            let cpu = self.cpu(case);
            let rate = self.median(case, |sample| sample.rate);
            let [p50, p99] = [|sample: &Sample| micros(sample.p50), |sample: &Sample| micros(sample.p99)]
                .map(|time| self.median(case, time));
            let beside = if base > 0.0 { format!("{:.2}", cpu / base) } else { "–".to_owned() };
            writeln!(f, "| {} | {cpu:.1} | {beside} | {rate:.0} | {p50:.0} | {p99:.0} |", case.name())?;
        }
        for (aim, ratio) in AIMS.iter().filter_map(|aim| Some((aim, self.ratio(aim)?))) {
            let less = aim.less.map(|less| format!(", less {}", less.name())).unwrap_or_default();
            let cost = format!("{}{less}", aim.case.name());
            write!(f, "\n{}", aim_reached(&cost, ratio, aim.beside.name(), aim.limit))?;
        }
        Ok(())
    }
}

/// The line that says what `cost` is beside another cost, and whether the aim is reached.
pub(crate) fn aim_reached(cost: &str, ratio: f64, beside: &str, limit: f64) -> String {
    let verdict = verdict(ratio, limit);
    format!("- {cost}: {ratio:.3} of {beside}; the aim is {limit:.3} at most: {verdict}")
}

/// Whether `value` is within its limit.
pub(crate) fn verdict(value: f64, limit: f64) -> &'static str {
    if value <= limit { "reached" } else { "MISSED" }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The middle value, or the mean of the two in the middle; zero where there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, values[middle - 1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each round has the CPU of nginx (HTTP/1.1, HTTP/2) and of the gateway (HTTP/1.1, HTTP/2, gRPC).
    fn report(rounds: &[[u64; 5]]) -> Report {
        let mut report = Report::default();
        for round in rounds {
            for (case, cpu) in Case::ALL.into_iter().zip(round) {
                let time = Duration::from_micros(*cpu);
                report.add(case, Sample { cpu: time, rate: 10.0, p50: time, p99: time * 2 });
            }
        }
        report
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert_eq!(median(Vec::new()).to_string(), "0");
    }

    #[test]
    fn a_row_has_medians_and_their_ratio_to_nginx() {
        let text = report(&[[4, 6, 40, 50, 56], [5, 6, 50, 60, 66], [9, 6, 90, 70, 76]]).to_string();
        assert!(text.contains("| scalegate: read | 50.0 | 10.00 | 10 | 50 | 100 |"), "{text}");
    }

    #[test]
    fn an_aim_is_compared_within_each_round() {
        // The second round ran at half the speed: the surplus doubled, and so did the reply of nginx.
        let text = report(&[[4, 5, 40, 50, 55], [8, 10, 80, 100, 110], [4, 5, 40, 50, 60]]).to_string();
        let surplus = "scalegate: read, gRPC, less scalegate: read, HTTP/2: 1.000 of nginx: static file, HTTP/2";
        assert!(text.contains(&format!("{surplus}; the aim is 1.500 at most: reached")), "{text}");
        assert!(
            text.contains("scalegate: read: 10.000 of nginx: static file; the aim is 1.500 at most: MISSED"),
            "{text}"
        );
    }
}
