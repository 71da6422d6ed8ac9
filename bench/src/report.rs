//! The table of what was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::measure::{Case, Sample};

/// How much more a read may cost by gRPC than by HTTP/2, in nginx's static replies over HTTP/2.
const GRPC_LIMIT: f64 = 1.5;

/// The samples of all rounds. As a text: a Markdown table of medians, and what gRPC costs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    samples: BTreeMap<Case, Vec<Sample>>,
}

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

    /// What a read costs by gRPC beyond what it costs by HTTP/2, in microseconds and in nginx's static replies over
    /// HTTP/2. Rounds are compared within themselves, since a machine's speed drifts.
    fn grpc_surplus(&self) -> (f64, f64) {
        let cpu = |case| self.each(case).map(|sample| micros(sample.cpu));
        let pairs = cpu(Case::ReadGrpc).zip(cpu(Case::ReadHttp2));
        let surplus: Vec<_> = pairs.map(|(grpc, http)| grpc - http).collect();
        let ratios = surplus.iter().zip(cpu(Case::NginxHttp2)).map(|(surplus, nginx)| surplus / nginx).collect();
        (median(surplus), median(ratios))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| over a kept mTLS connection | CPU µs per request | ratio | requests/s | p50 µs | p99 µs |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        let base = self.median(Case::NginxHttp1, |sample| micros(sample.cpu));
        for case in Case::ALL {
            let cpu = self.median(case, |sample| micros(sample.cpu));
            let rate = self.median(case, |sample| sample.rate);
            let [p50, p99] = [|sample: &Sample| micros(sample.p50), |sample: &Sample| micros(sample.p99)]
                .map(|time| self.median(case, time));
            writeln!(f, "| {} | {cpu:.2} | {:.2} | {rate:.0} | {p50:.1} | {p99:.1} |", case.name(), cpu / base)?;
        }
        let (surplus, ratio) = self.grpc_surplus();
        let verdict = if ratio <= GRPC_LIMIT { "within" } else { "OVER" };
        write!(
            f,
            "\nBy gRPC a read costs {surplus:.2} µs of CPU more than by HTTP/2: {ratio:.2} times a static reply of \
             nginx over HTTP/2, {verdict} the limit of {GRPC_LIMIT}."
        )
    }
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
        assert!(text.contains("| gateway, authorised read, HTTP/1.1 | 50.00 | 10.00 | 10 | 50.0 | 100.0 |"), "{text}");
    }

    #[test]
    fn what_grpc_costs_is_compared_within_each_round() {
        // The second round ran at half the speed: the surplus doubled, and so did the reply of nginx.
        let text = report(&[[4, 5, 40, 50, 55], [8, 10, 80, 100, 110], [4, 5, 40, 50, 60]]).to_string();
        assert!(text.contains("costs 10.00 µs of CPU more than by HTTP/2: 1.00 times"), "{text}");
        assert!(text.contains("within the limit of 1.5"), "{text}");
        assert!(
            report(&[[4, 5, 40, 50, 60]]).to_string().contains("2.00 times a static reply of nginx over HTTP/2, OVER")
        );
    }
}
