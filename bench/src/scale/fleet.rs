//! The objects of a large cluster, made by a generator.

use anyhow::Result;

use super::template::Template;

/// The kinds of objects that are listed and watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployments,
    Targets,
    Autoscalers,
    Namespaces,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Deployments, Self::Targets, Self::Autoscalers, Self::Namespaces];

    /// The path of the list of all objects.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Deployments => "/apis/apps/v1/deployments",
            Self::Targets => "/apis/scalegate.dev/v1alpha1/replicatargets",
            Self::Autoscalers => "/apis/autoscaling/v2/horizontalpodautoscalers",
            Self::Namespaces => "/api/v1/namespaces",
        }
    }

    /// The `apiVersion` and `kind` of the list.
    pub(crate) fn of_list(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployments => ("apps/v1", "DeploymentList"),
            Self::Targets => ("scalegate.dev/v1alpha1", "ReplicaTargetList"),
            Self::Autoscalers => ("autoscaling/v2", "HorizontalPodAutoscalerList"),
            Self::Namespaces => ("v1", "NamespaceList"),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Deployments => include_str!("objects/deployment.json.in"),
            Self::Targets => include_str!("objects/target.json.in"),
            Self::Autoscalers => include_str!("objects/autoscaler.json.in"),
            Self::Namespaces => include_str!("objects/namespace.json.in"),
        }
    }
}

/// What the autoscalers of one part of the fleet drive. Each part has one autoscaler for every twenty targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drives {
    /// Workloads all over the cluster, one each.
    Spread,
    /// Workloads of one namespace, one each.
    OneNamespace,
    /// All the same workload, with limits that change.
    OneWorkload,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Unique within its kind; a target and its Deployment have the same number.
    pub(crate) number: u32,
    /// The workload that an autoscaler drives.
    pub(crate) of: String,
    /// Which part of the fleet an autoscaler belongs to.
    pub(crate) drives: Option<Drives>,
}

impl Entry {
    fn new(namespace: &str, name: String, number: u32) -> Self {
        Self { namespace: namespace.to_owned(), name, number, of: String::new(), drives: None }
    }

    /// Its number of replicas.
    pub(crate) fn count(&self) -> u32 {
        2 + self.number % 19
    }

    /// The most replicas that an autoscaler sets.
    pub(crate) fn limit(&self, version: u64) -> u64 {
        if self.drives == Some(Drives::OneWorkload) { 20 + version % 10 } else { 20 }
    }
}

/// The namespace with a fifth of the workloads that have a target.
pub(crate) const HUGE: &str = "monolith";
/// How many workloads with a target there are for each autoscaler of a part.
const TARGETS_PER_AUTOSCALER: u32 = 20;
/// How many workloads with a target there are for each namespace.
const TARGETS_PER_NAMESPACE: u32 = 100;

/// All objects of each kind, in the order in which an API server lists them.
#[derive(Debug)]
pub(crate) struct Fleet {
    entries: [Vec<Entry>; Kind::ALL.len()],
    templates: [Template; Kind::ALL.len()],
}

impl Fleet {
    /// A fleet of `size` Deployments with a target each, and of three autoscalers for every twenty targets, which drive
    /// Deployments without a target.
    pub(crate) fn new(size: u32) -> Result<Self> {
        let spaces = (size / TARGETS_PER_NAMESPACE).max(1);
        let space = |number: u32| format!("team-{:05}", number % spaces);
        let targets: Vec<_> = (0..size)
            .map(|number| {
                let namespace = if number % 5 == 0 { HUGE.to_owned() } else { space(number) };
                let role = ["api", "web", "worker"][number as usize % 3];
                Entry::new(&namespace, format!("{role}-{number:06}"), number)
            })
            .collect();
        let mut deployments = targets.clone();
        let mut autoscalers = Vec::new();
        for (part, drives) in [Drives::Spread, Drives::OneNamespace, Drives::OneWorkload].into_iter().enumerate() {
            for turn in 0..size / TARGETS_PER_AUTOSCALER {
                let number = size + u32::try_from(part)? * size + turn;
                let name = format!("auto-{number:06}");
                let (namespace, of) = match drives {
                    Drives::Spread => (space(turn), name.clone()),
                    Drives::OneNamespace => ("autoscaled".to_owned(), name.clone()),
                    Drives::OneWorkload => ("contested".to_owned(), "contested".to_owned()),
                };
                if drives != Drives::OneWorkload || turn == 0 {
                    deployments.push(Entry::new(&namespace, of.clone(), number));
                }
                autoscalers.push(Entry { of, drives: Some(drives), ..Entry::new(&namespace, name, number) });
            }
        }
        let names = (0..spaces).map(space).chain([HUGE, "autoscaled", "contested"].map(str::to_owned));
        let namespaces = names.zip(0..).map(|(name, number)| Entry::new("", name, number)).collect();
        let mut entries = [deployments, targets, autoscalers, namespaces];
        for entries in &mut entries {
            entries.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        }
        let [deployments, targets, autoscalers, namespaces] = Kind::ALL.map(|kind| Template::parse(kind.template()));
        Ok(Self { entries, templates: [deployments?, targets?, autoscalers?, namespaces?] })
    }

    /// The objects of one kind.
    pub(crate) fn entries(&self, kind: Kind) -> &[Entry] {
        &self.entries[kind as usize]
    }

    /// Appends the JSON of one object at `version` to `text`.
    pub(crate) fn render(&self, text: &mut String, kind: Kind, entry: &Entry, version: u64) {
        self.templates[kind as usize].render(text, entry, version);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeSet;

    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
    use k8s_openapi::api::core::v1::Namespace;
    use scalegate::resource::ReplicaTarget;
    use serde::de::DeserializeOwned;

    use super::*;

    fn all<T: DeserializeOwned>(fleet: &Fleet, kind: Kind) -> Vec<T> {
        let json = |entry| {
            let mut text = String::new();
            fleet.render(&mut text, kind, entry, 7);
            serde_json::from_str(&text).unwrap()
        };
        fleet.entries(kind).iter().map(json).collect()
    }

    #[test]
    fn every_object_is_of_its_type_and_has_a_name_of_its_own() {
        let fleet = Fleet::new(200).unwrap();
        assert_eq!(all::<Deployment>(&fleet, Kind::Deployments).len(), 200 + 10 + 10 + 1);
        assert_eq!(all::<ReplicaTarget>(&fleet, Kind::Targets).len(), 200);
        assert_eq!(all::<HorizontalPodAutoscaler>(&fleet, Kind::Autoscalers).len(), 30);
        assert_eq!(all::<Namespace>(&fleet, Kind::Namespaces).len(), 2 + 3);
        for kind in Kind::ALL {
            let entries = fleet.entries(kind);
            let names: BTreeSet<_> = entries.iter().map(|entry| (&entry.namespace, &entry.name)).collect();
            assert!(names.into_iter().eq(entries.iter().map(|entry| (&entry.namespace, &entry.name))), "{kind:?}");
        }
    }

    #[test]
    fn a_target_is_owned_by_its_deployment() {
        let fleet = Fleet::new(100).unwrap();
        let deployments = all::<Deployment>(&fleet, Kind::Deployments);
        for target in all::<ReplicaTarget>(&fleet, Kind::Targets) {
            let of = |other: &&Deployment| {
                (&other.metadata.namespace, &other.metadata.name) == (&target.metadata.namespace, &target.metadata.name)
            };
            let owner = &target.metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!(Some(&owner.uid), deployments.iter().find(of).unwrap().metadata.uid.as_ref());
        }
    }
}
