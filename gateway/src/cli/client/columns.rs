//! The columns of Deployments: what a person reads first, and more when asked for it.

use super::table::{Cell, Table, Tone};
use super::view::{Owner, Replicas};

/// Which columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// Whether the namespace stands in front.
    pub(super) namespace: bool,
    /// Whether there is more than what a person reads first.
    pub(super) wide: bool,
}

impl Columns {
    /// The table of these Deployments.
    pub(super) fn table<'a>(self, all: impl IntoIterator<Item = &'a Replicas>) -> Table {
        self.table_of(all.into_iter().map(|one| self.row(one)))
    }

    /// The table of these rows.
    pub(super) fn table_of(self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Table {
        let mut table = Table::new(self.header());
        rows.into_iter().for_each(|row| table.push(row));
        table
    }

    fn header(self) -> Vec<&'static str> {
        let namespace = self.namespace.then_some("NAMESPACE");
        let more: &[_] = if self.wide { &["REASON", "VERSION", "ROLLOUT", "OBSTACLE", "CONFIRMED"] } else { &[] };
        let first = ["NAME", "DESIRED", "CURRENT", "READY", "OWNER", "BY"];
        namespace.into_iter().chain(first).chain(more.iter().copied()).collect()
    }

    /// One Deployment.
    pub(super) fn row(self, one: &Replicas) -> Vec<Cell> {
        let mut row = Vec::new();
        if self.namespace {
            row.push(Cell::new(&one.namespace));
        }
        let target = one.target.as_ref();
        row.extend([
            Cell::new(&one.name),
            Cell::number(one.desired()),
            Cell::number(one.current()).in_tone(if one.current() == one.desired() {
                Tone::Usual
            } else {
                Tone::Pending
            }),
            Cell::number(one.ready()).in_tone(tone(one)),
            Cell::maybe(one.owner.as_ref().map(|owner| owner_name(owner, &one.name)).as_deref()),
            Cell::maybe(target.and_then(|target| target.requested_by.as_deref())),
        ]);
        if self.wide {
            row.extend([
                Cell::maybe(target.and_then(|target| target.reason.as_deref())),
                Cell::new(&one.version),
                Cell::maybe(one.status.as_ref().map(|status| status.rollout.as_str())),
                Cell::maybe(one.obstacle().as_deref()).in_tone(Tone::Bad),
                Cell::new(&ago(one.age_seconds)),
            ]);
        }
        row
    }

    /// One that is gone.
    pub(super) fn gone(self, namespace: &str, name: &str) -> Vec<Cell> {
        let namespace = self.namespace.then(|| Cell::new(namespace));
        namespace.into_iter().chain([Cell::new(name), Cell::new("<gone>")]).collect()
    }
}

fn tone(one: &Replicas) -> Tone {
    match (one.progress.ready, one.is_stuck() || one.progress.obstacle.is_some()) {
        (true, _) => Tone::Good,
        (false, false) => Tone::Pending,
        (false, true) => Tone::Bad,
    }
}

/// The owner's kind, and its name where that is another than the Deployment's.
fn owner_name(Owner { kind, name }: &Owner, of: &str) -> String {
    if name == of { kind.clone() } else { format!("{kind}/{name}") }
}

/// How long ago, as kubectl shows ages.
pub(super) fn ago(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is bounded and not negative")]
    let seconds = seconds.clamp(0.0, 1e12) as u64;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::table::Paint;
    use crate::cli::client::view::fixtures::{cart, web};

    fn render(columns: Columns) -> String {
        columns.table(&[Replicas::of(&web()), Replicas::of(&cart())]).render(Paint::Plain)
    }

    #[test]
    fn a_table_has_what_a_person_reads_first() {
        insta::assert_snapshot!("table", render(Columns { namespace: false, wide: false }));
    }

    #[test]
    fn a_wide_table_has_more_and_several_namespaces_are_named() {
        insta::assert_snapshot!("wide", render(Columns { namespace: true, wide: true }));
        let gone = Columns { namespace: true, wide: false };
        let line = gone.table([]).widths().line(&gone.gone("demo", "web"), Paint::Plain);
        assert_eq!(line, "demo        web    <gone>\n");
    }

    #[test]
    fn ages_are_kubectls() {
        let ages = [(-1.0, "0s"), (59.9, "59s"), (119.0, "119s"), (120.0, "2m"), (7200.0, "2h"), (200_000.0, "2d")];
        for (seconds, shown) in ages {
            assert_eq!(ago(seconds), shown);
        }
    }
}
