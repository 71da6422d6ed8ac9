//! The autoscaler of a workload, and what to do instead of setting a count against it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Obstacle;

/// The most autoscalers of one workload that an observation names: one is usual, and looking at a workload must not cost
/// more the more of them somebody makes.
pub const MOST_AUTOSCALERS: usize = 8;

/// The kind of every autoscaler that is watched.
const KIND: &str = "HorizontalPodAutoscaler";

/// A `HorizontalPodAutoscaler` that drives a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaler {
    /// Its kind, `HorizontalPodAutoscaler`.
    pub kind: String,
    /// Its name; it lives in the workload's namespace.
    pub name: String,
    /// The fewest replicas that it will set.
    pub min: i32,
    /// The most replicas that it will set.
    pub max: i32,
    /// The object that it was made for, which may undo what others change in it. Policies do not see it.
    #[serde(skip)]
    pub maker: Option<Maker>,
    /// Why it cannot follow its metrics now, as its conditions say. Policies do not see it.
    #[serde(skip)]
    pub trouble: Option<Obstacle>,
}

/// The object that an autoscaler was made for, in the autoscaler's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// The group of its API, such as `keda.sh`.
    pub group: String,
    /// Its kind, such as `ScaledObject`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Maker {
    /// The `ScaledObject` of KEDA with this name.
    pub fn scaled_object(name: impl Into<String>) -> Self {
        Self { group: "keda.sh".to_owned(), kind: "ScaledObject".to_owned(), name: name.into() }
    }

    fn is_scaled_object(&self) -> bool {
        self.group == "keda.sh" && self.kind == "ScaledObject"
    }
}

impl Autoscaler {
    /// A `HorizontalPodAutoscaler` that somebody made by hand and that works.
    pub fn new(name: impl Into<String>, min: i32, max: i32) -> Self {
        Self { kind: KIND.to_owned(), name: name.into(), min, max, maker: None, trouble: None }
    }

    /// The one of `all` that drives their workload: the first that can follow its metrics, else the first.
    pub fn driving(all: &[Arc<Self>]) -> Option<&Self> {
        all.iter().find(|autoscaler| autoscaler.trouble.is_none()).or(all.first()).map(AsRef::as_ref)
    }

    /// The object to change, and through what it sets the count.
    pub fn in_words(&self) -> String {
        let Self { kind, name, .. } = self;
        match &self.maker {
            Some(maker) => format!("{} {} (through {kind} {name})", maker.kind, maker.name),
            None => format!("{kind} {name}"),
        }
    }

    /// What to do instead of setting the workload's count, which is `replicas` now. It begins with what to change in the
    /// object that [`Self::in_words`] names.
    pub fn advice(&self, replicas: i32) -> String {
        let is_off = self.is_off_at(replicas);
        let change = match &self.maker {
            Some(maker) if maker.is_scaled_object() => {
                let from_zero = "; with a minReplicaCount of 1 or more it also starts from 0";
                format!("change its minReplicaCount and maxReplicaCount instead{}", if is_off { from_zero } else { "" })
            }
            Some(maker) => {
                let off = if is_off { "; while there are 0 replicas that is off" } else { "" };
                format!("change the {} instead, which may undo changes of the {}{off}", maker.kind, self.kind)
            }
            None if is_off => {
                "it is off while there are 0 replicas: set 1 or more with `kubectl scale` and it goes on, \
                               or delete it to set counts here"
                    .to_owned()
            }
            None => "change its minimum and maximum instead".to_owned(),
        };
        match &self.trouble {
            Some(Obstacle { reason, message }) => format!("{change} (it reports {reason}: {message})"),
            None => change,
        }
    }

    /// Returns whether it leaves a workload alone that has so many replicas: one that may not set 0 takes it for switched
    /// off.
    fn is_off_at(&self, replicas: i32) -> bool {
        replicas == 0 && self.min > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_by(maker: Maker) -> Autoscaler {
        Autoscaler { maker: Some(maker), ..Autoscaler::new("keda-hpa-web", 1, 9) }
    }

    fn troubled(name: &str) -> Autoscaler {
        let (reason, message) = ("FailedGetResourceMetric".to_owned(), "no metrics".to_owned());
        Autoscaler { trouble: Some(Obstacle { reason, message }), ..Autoscaler::new(name, 2, 9) }
    }

    #[test]
    fn the_object_that_made_an_autoscaler_is_the_one_to_change() {
        let pod_autoscaler = Maker {
            group: "autoscaling.internal.knative.dev".to_owned(),
            kind: "PodAutoscaler".to_owned(),
            name: "web-1".to_owned(),
        };
        let impostor = Maker { group: "example.org".to_owned(), ..Maker::scaled_object("web") };
        for (autoscaler, owner, advice) in [
            (Autoscaler::new("web", 2, 9), "HorizontalPodAutoscaler web", "change its minimum and maximum instead"),
            (
                made_by(Maker::scaled_object("web")),
                "ScaledObject web (through HorizontalPodAutoscaler keda-hpa-web)",
                "change its minReplicaCount and maxReplicaCount instead",
            ),
            (
                made_by(pod_autoscaler),
                "PodAutoscaler web-1 (through HorizontalPodAutoscaler keda-hpa-web)",
                "change the PodAutoscaler instead, which may undo changes of the HorizontalPodAutoscaler",
            ),
            (
                made_by(impostor),
                "ScaledObject web (through HorizontalPodAutoscaler keda-hpa-web)",
                "change the ScaledObject instead, which may undo changes of the HorizontalPodAutoscaler",
            ),
            (
                troubled("web"),
                "HorizontalPodAutoscaler web",
                "change its minimum and maximum instead (it reports FailedGetResourceMetric: no metrics)",
            ),
        ] {
            assert_eq!((autoscaler.in_words().as_str(), autoscaler.advice(3).as_str()), (owner, advice));
        }
    }

    #[test]
    fn at_zero_the_advice_says_how_to_begin_again() {
        let advice = |autoscaler: &Autoscaler| autoscaler.advice(0);
        let plain = advice(&Autoscaler::new("web", 2, 9));
        assert!(plain.starts_with("it is off while there are 0 replicas: set 1 or more"), "{plain}");
        let keda = advice(&made_by(Maker::scaled_object("web")));
        assert!(keda.ends_with("with a minReplicaCount of 1 or more it also starts from 0"), "{keda}");
        let other = advice(&made_by(Maker { kind: "Collector".to_owned(), ..Maker::scaled_object("web") }));
        assert!(other.ends_with("of the HorizontalPodAutoscaler; while there are 0 replicas that is off"), "{other}");
        let from_zero = advice(&Autoscaler::new("web", 0, 9));
        assert_eq!(from_zero, "change its minimum and maximum instead", "one that may set 0 also leaves it");
    }

    #[test]
    fn of_several_autoscalers_the_first_that_works_drives() {
        let all = |autoscalers: Vec<Autoscaler>| autoscalers.into_iter().map(Arc::new).collect::<Vec<_>>();
        let name = |all: &[Arc<Autoscaler>]| Autoscaler::driving(all).map(|autoscaler| autoscaler.name.clone());
        assert_eq!(name(&[]), None);
        assert_eq!(name(&all(vec![troubled("a"), troubled("b")])).as_deref(), Some("a"));
        let works = all(vec![troubled("a"), Autoscaler::new("b", 1, 2), Autoscaler::new("c", 1, 2)]);
        assert_eq!(name(&works).as_deref(), Some("b"));
    }
}
