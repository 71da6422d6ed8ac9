//! The table of decisions, and their aims.

use std::collections::BTreeMap;
use std::fmt;

use super::shape::{DATA, READ, TEXTS};
use crate::report::{self, median};

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decider {
    /// The gateway's engine: a fresh instance with limits for each decision.
    Scalegate,
    /// The same without limits.
    Unmetered,
    /// The crate `opa-wasm`.
    OpaWasm,
    /// OPA's prepared query.
    Opa,
    /// regorus.
    Regorus,
}

impl Decider {
    /// In the order of the table.
    pub(super) const ALL: [Self; 5] = [Self::Scalegate, Self::Unmetered, Self::OpaWasm, Self::Opa, Self::Regorus];
    /// Those whose times are shown as multiples of the gateway's.
    const OTHERS: [Self; 3] = [Self::OpaWasm, Self::Opa, Self::Regorus];

    fn name(self) -> &'static str {
        match self {
            Self::Scalegate => "scalegate",
            Self::Unmetered => "unmetered",
            Self::OpaWasm => "opa-wasm",
            Self::Opa => "OPA",
            Self::Regorus => "regorus",
        }
    }
}

/// How much the gateway's decision may take beside another engine's.
const AIMS: [(&str, f64, Decider); 6] = [
    (READ, 1.3, Decider::Unmetered),
    (READ, 1.5, Decider::OpaWasm),
    (READ, 1.0 / 5.0, Decider::Opa),
    (TEXTS, 1.0 / 3.0, Decider::Opa),
    (DATA, 1.0 / 3.0, Decider::Opa),
    (READ, 1.0 / 2.5, Decider::Regorus),
];

/// How long decisions take. As a text: a Markdown table of medians, and how each aim was reached.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    /// The policies in the order in which they were measured.
    policies: Vec<&'static str>,
    /// The median of each round, in microseconds.
    times: BTreeMap<(&'static str, Decider), Vec<f64>>,
}

impl Decisions {
    /// Adds the median of a round in microseconds; `None` where the engine cannot decide by this policy.
    pub(super) fn add(&mut self, policy: &'static str, decider: Decider, micros: Option<f64>) {
        if !self.policies.contains(&policy) {
            self.policies.push(policy);
        }
        self.times.entry((policy, decider)).or_default().extend(micros);
    }

    /// By what `of` takes as a multiple of what `beside` takes, at the median; `None` where one was not measured. Rounds
    /// are compared within themselves, since a machine's speed drifts.
    fn ratio(&self, policy: &'static str, of: Decider, beside: Decider) -> Option<f64> {
        let [of, beside] = [of, beside].map(|decider| self.times.get(&(policy, decider)).into_iter().flatten());
        let ratios: Vec<_> = of.zip(beside).map(|(of, beside)| of / beside).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    fn micros(&self, policy: &'static str, decider: Decider) -> Option<f64> {
        let times = self.times.get(&(policy, decider)).filter(|times| !times.is_empty())?;
        Some(median(times.clone()))
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Decider::ALL.map(|decider| format!(" {} µs |", decider.name()));
        let ratios = Decider::OTHERS.map(|other| format!(" {} / scalegate |", other.name()));
        writeln!(f, "| one decision, p50 |{}{}", columns.concat(), ratios.concat())?;
        write!(f, "|---|{}", "---:|".repeat(columns.len() + ratios.len()))?;
        for policy in &self.policies {
            let columns = Decider::ALL.map(|decider| self.micros(policy, decider));
            let ratios = Decider::OTHERS.map(|other| self.ratio(policy, other, Decider::Scalegate));
            write!(f, "\n| {policy} |")?;
            for value in columns.into_iter().chain(ratios) {
                match value {
                    Some(value) => write!(f, " {value:.1} |")?,
                    None => write!(f, " – |")?,
                }
            }
        }
        writeln!(f)?;
        for (policy, limit, beside) in AIMS {
            if let Some(ratio) = self.ratio(policy, Decider::Scalegate, beside) {
                write!(f, "\n{}", report::aim_reached(&format!("{policy}: scalegate"), ratio, beside.name(), limit))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_cannot_decide_is_a_dash_and_its_aim_is_left_out() {
        let mut decisions = Decisions::default();
        for (decider, micros) in Decider::ALL.into_iter().zip([Some(10.0), Some(8.0), None, Some(40.0), Some(25.0)]) {
            decisions.add(READ, decider, micros);
        }
        let text = decisions.to_string();
        assert!(text.contains("| the example, a read | 10.0 | 8.0 | – | 40.0 | 25.0 | – | 4.0 | 2.5 |"), "{text}");
        assert!(
            text.contains("- the example, a read: scalegate: 1.250 of unmetered; the aim is 1.300 at most: reached")
        );
        assert!(
            text.contains("- the example, a read: scalegate: 0.250 of OPA; the aim is 0.200 at most: MISSED"),
            "{text}"
        );
        assert!(!text.contains("of opa-wasm"), "{text}");
    }
}
