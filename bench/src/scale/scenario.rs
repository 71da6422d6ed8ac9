//! The scenarios that are measured.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::client::{Waiters, Walk, walk};
use super::fleet::{Drives, HUGE, Kind};
use super::subject::Subject;

/// How often the short scenarios are repeated. Processor time is counted in steps of 10 ms.
const REPEATS: u32 = 5;
/// How often each autoscaler changes in a scenario.
const CHANGES: u32 = 20;
/// How often the list that few Deployments match is walked through.
const WALKS: u32 = 20;

/// A kind of work, in the order in which it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    FirstList,
    Relist,
    Walk,
    WalkHuge,
    WalkSelected,
    LeaderStart,
    AllDue,
    StormSpread,
    StormOneNamespace,
    StormOneWorkload,
    Waiters,
}

/// What a scenario took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The gateway's processor time.
    pub(crate) cpu: Duration,
    /// How many units of work this was; [`Scenario::unit`] names the unit.
    pub(crate) units: u64,
}

impl Sample {
    /// Microseconds for each unit.
    pub(crate) fn micros(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than a billion")]
        let units = self.units.max(1) as f64;
        self.cpu.as_secs_f64() * 1e6 / units
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, {:.1} µs each", self.cpu.as_secs_f64(), self.micros())
    }
}

impl Scenario {
    pub(crate) const ALL: [Self; 11] = [
        Self::FirstList,
        Self::Relist,
        Self::Walk,
        Self::WalkHuge,
        Self::WalkSelected,
        Self::LeaderStart,
        Self::AllDue,
        Self::StormSpread,
        Self::StormOneNamespace,
        Self::StormOneWorkload,
        Self::Waiters,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstList => "first list, until ready",
            Self::Relist => "relist of everything after 410 Gone",
            Self::Walk => "a client's walk through the list",
            Self::WalkHuge => "the same, in one namespace with a fifth of it",
            Self::WalkSelected => "the same, by a label that one in a hundred has",
            Self::LeaderStart => "a leader's start, all targets in sync",
            Self::AllDue => "all targets due at once",
            Self::StormSpread => "HPAs change their status, all over the cluster",
            Self::StormOneNamespace => "HPAs change their status, in one namespace",
            Self::StormOneWorkload => "HPAs of one Deployment change their limits",
            Self::Waiters => "waiters, while other Deployments change",
        }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::FirstList | Self::Relist => "object",
            Self::Walk | Self::WalkHuge | Self::WalkSelected => "page",
            Self::LeaderStart | Self::AllDue => "target",
            Self::StormSpread | Self::StormOneNamespace | Self::StormOneWorkload | Self::Waiters => "event",
        }
    }

    /// Runs the scenario and measures the gateway's processor time. Scenarios must run in the order of [`Self::ALL`].
    pub(crate) async fn measure(self, subject: &Subject) -> Result<Sample> {
        match self {
            Self::FirstList => first_list(subject).await,
            Self::Relist => relist(subject).await,
            Self::Walk => whole(subject, "/v1/deployments", Kind::Deployments).await,
            // By somebody else: some of the first client's answers are kept, fewer of them in the larger cluster.
            Self::WalkHuge => {
                walks(subject, "operator", &format!("/v1/namespaces/{HUGE}/deployments?limit=500"), 1).await
            }
            Self::WalkSelected => {
                walks(subject, "viewer", "/v1/deployments?limit=500&labelSelector=team%3Dteam-07", WALKS).await
            }
            Self::LeaderStart => leader_start(subject).await,
            Self::AllDue => all_due(subject).await,
            Self::StormSpread => storm(subject, Drives::Spread).await,
            Self::StormOneNamespace => storm(subject, Drives::OneNamespace).await,
            Self::StormOneWorkload => storm(subject, Drives::OneWorkload).await,
            Self::Waiters => waiters(subject).await,
        }
    }
}

fn objects(subject: &Subject) -> u64 {
    Kind::ALL.map(|kind| subject.server.fleet().entries(kind).len() as u64).iter().sum()
}

async fn first_list(subject: &Subject) -> Result<Sample> {
    let begun = subject.begin()?;
    subject.server.open();
    subject.until_ready().await?;
    subject.until_settled().await?;
    Ok(Sample { cpu: subject.since(&begun)?, units: objects(subject) })
}

async fn relist(subject: &Subject) -> Result<Sample> {
    let begun = subject.begin()?;
    subject.server.expire(&Kind::ALL);
    subject.until_settled().await?;
    Ok(Sample { cpu: subject.since(&begun)?, units: objects(subject) })
}

/// A walk that must show all objects of `kind`.
async fn whole(subject: &Subject, path: &str, kind: Kind) -> Result<Sample> {
    let begun = subject.begin()?;
    let Walk { pages, items } = walk(&subject.client("viewer")?, &format!("{path}?limit=500")).await?;
    let there = subject.server.fleet().entries(kind).len();
    ensure!(items == there, "the list showed {items} of {there}");
    Ok(Sample { cpu: subject.since(&begun)?, units: pages })
}

async fn walks(subject: &Subject, name: &str, path: &str, times: u32) -> Result<Sample> {
    let client = subject.client(name)?;
    let (begun, mut pages) = (subject.begin()?, 0);
    for _ in 0..times {
        let walk = walk(&client, path).await?;
        ensure!(walk.items > 0, "{path} showed nothing");
        pages += walk.pages;
    }
    Ok(Sample { cpu: subject.since(&begun)?, units: pages })
}

/// Measured from the moment at which the gateway has the Lease.
async fn leader_start(subject: &Subject) -> Result<Sample> {
    let mut cpu = Duration::ZERO;
    for _ in 0..REPEATS {
        subject.server.take_lease();
        subject.until("a follower", async || Ok(subject.metric("scalegate_leader ").await? == 0)).await?;
        subject.until_idle().await?;
        let reconciled = reconciled(subject).await?;
        subject.server.free_lease();
        let mut begun = subject.begin()?;
        while !subject.server.lease_is_taken() {
            begun = subject.begin()?;
            sleep(Duration::from_millis(1)).await;
        }
        worked(subject, reconciled).await?;
        cpu += subject.since(&begun)?;
    }
    Ok(Sample { cpu, units: u64::from(subject.size * REPEATS) })
}

/// A relist of namespaces makes every target due, since anything may have changed, and costs little itself.
async fn all_due(subject: &Subject) -> Result<Sample> {
    let mut cpu = Duration::ZERO;
    for _ in 0..REPEATS {
        let (reconciled, begun) = (reconciled(subject).await?, subject.begin()?);
        subject.server.expire(&[Kind::Namespaces]);
        worked(subject, reconciled).await?;
        cpu += subject.since(&begun)?;
    }
    Ok(Sample { cpu, units: u64::from(subject.size * REPEATS) })
}

async fn reconciled(subject: &Subject) -> Result<u64> {
    subject.metric("scalegate_reconcile_duration_seconds_count ").await
}

/// Waits until there have been as many reconciliations after the first `before` as there are targets.
async fn worked(subject: &Subject, before: u64) -> Result<()> {
    let all = before + u64::from(subject.size);
    subject.until("through with all targets", async || Ok(reconciled(subject).await? >= all)).await?;
    subject.until_settled().await
}

async fn storm(subject: &Subject, drives: Drives) -> Result<Sample> {
    let (begun, mut units) = (subject.begin()?, 0);
    for _ in 0..CHANGES {
        units += subject.server.change_autoscalers(drives) as u64;
    }
    subject.until_settled().await?;
    Ok(Sample { cpu: subject.since(&begun)?, units })
}

/// One waiter for every hundred targets, and ten changes for each waiter.
async fn waiters(subject: &Subject) -> Result<Sample> {
    let (waiters, changes) = (subject.size as usize / 100, subject.size as usize / 10);
    let begun = subject.begin()?;
    for _ in 0..REPEATS {
        let waiting = Waiters::start(subject, waiters).await?;
        subject.until_idle().await?;
        subject.server.change_deployments(changes);
        waiting.end().await?;
        subject.until_settled().await?;
    }
    Ok(Sample { cpu: subject.since(&begun)?, units: (changes as u64) * u64::from(REPEATS) })
}
