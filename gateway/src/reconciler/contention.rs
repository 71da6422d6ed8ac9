//! How often somebody else set a Deployment's count against its target, and how long to wait before the next answer.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// So many corrections are a fight if all lie within [`BURST`], or if all lie within [`MEMORY`] and undo the same
/// manager: a job that sets a count every few minutes never stops either.
const FIGHT: usize = 3;
/// The longest time in which corrections are a fight whichever managers they undo.
const BURST: Duration = Duration::from_mins(2);
/// Older corrections do not count.
const MEMORY: Duration = Duration::from_hours(1);
/// The shortest pause after a correction of a fight, beginning with the one that made it a fight.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_mins(30);

/// A correction that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Correction {
    at: Timestamp,
    /// Who had set the count.
    manager: String,
}

/// The recent corrections of one Deployment.
///
/// Each pause of a fight is twice as long as the time since the correction before, so that a manager that comes back every
/// ten minutes is corrected less and less often too. A fight, once begun, ends when nothing was corrected for twice the
/// pause, and for two minutes at least: by then the other side would have come back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Corrections {
    /// Those that count, oldest first. They are few: more than one a minute are a fight, which has pauses.
    latest: VecDeque<Correction>,
    /// How long to wait after the last one; zero when it was not part of a fight.
    pause: Duration,
}

impl Corrections {
    /// A correction of what `manager` had set is made `now`.
    pub(super) fn record(&mut self, now: Timestamp, manager: String) {
        let gap = self.latest.back().map_or(Duration::ZERO, |last| since(last.at, now));
        let goes_on = self.is_fight(now);
        self.latest.retain(|correction| since(correction.at, now) <= MEMORY);
        self.latest.push_back(Correction { at: now, manager });
        let fights = goes_on || self.begins_fight(now);
        self.pause = if fights { (2 * gap).clamp(SHORTEST_PAUSE, LONGEST_PAUSE) } else { Duration::ZERO };
    }

    /// Whether the corrections up to the last one, made `now`, are a fight.
    fn begins_fight(&self, now: Timestamp) -> bool {
        let by_manager = |correction: &&Correction| correction.manager == self.manager();
        let burst = self.latest.iter().rev().nth(FIGHT - 1);
        burst.is_some_and(|first| since(first.at, now) <= BURST)
            || self.latest.iter().filter(by_manager).count() >= FIGHT
    }

    /// Whether somebody keeps setting the count.
    pub(super) fn is_fight(&self, now: Timestamp) -> bool {
        !self.quiet_in(now).is_zero()
    }

    /// Who set the count before the last correction.
    pub(super) fn manager(&self) -> &str {
        self.latest.back().map_or("", |last| &last.manager)
    }

    /// The time from the last correction to the next one; zero when the last one was not part of a fight.
    pub(super) fn whole_pause(&self) -> Duration {
        self.pause
    }

    /// How long to wait before the next correction; zero: none.
    pub(super) fn pause(&self, now: Timestamp) -> Duration {
        if self.is_fight(now) { self.left_of(self.pause, now) } else { Duration::ZERO }
    }

    /// How long until a fight is over if nothing is corrected meanwhile; zero in peace.
    pub(super) fn quiet_in(&self, now: Timestamp) -> Duration {
        if self.pause.is_zero() { Duration::ZERO } else { self.left_of((2 * self.pause).max(BURST), now) }
    }

    /// What is left of a time that began with the last correction.
    fn left_of(&self, time: Duration, now: Timestamp) -> Duration {
        self.latest.back().map_or(Duration::ZERO, |last| time.saturating_sub(since(last.at, now)))
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap_or_default()
    }

    fn corrected(corrections: impl IntoIterator<Item = (i64, &'static str)>) -> Corrections {
        let mut all = Corrections::default();
        for (second, manager) in corrections {
            all.record(at(second), manager.to_owned());
        }
        all
    }

    fn corrected_at(seconds: &[i64]) -> Corrections {
        corrected(seconds.iter().map(|second| (*second, "kubectl")))
    }

    /// The seconds at which corrections are made, and the pauses after them, against one who sets the count `times` times,
    /// `interval` seconds apart.
    fn fought(interval: i64, times: i64) -> Vec<(i64, u64)> {
        let mut corrections = Corrections::default();
        let mut made: Vec<(i64, u64)> = Vec::new();
        for now in 0..interval * times {
            let is_set_again = made.last().is_none_or(|(last, _)| now / interval > *last / interval);
            if is_set_again && corrections.pause(at(now)).is_zero() {
                corrections.record(at(now), "kubectl".to_owned());
                made.push((now, corrections.pause(at(now)).as_secs()));
            }
        }
        made
    }

    #[test]
    fn three_corrections_within_two_minutes_are_a_fight_whoever_they_undo() {
        for (seconds, fight) in [
            (&[][..], false),
            (&[0], false),
            (&[0, 1], false),
            (&[0, 60, 120], true),
            (&[0, 60, 121], false),
            (&[0, 90, 180, 270], false),
            (&[0, 90, 180, 181], true),
        ] {
            let managers = ["kubectl", "helm", "flux", "argocd"];
            let corrections = corrected(seconds.iter().copied().zip(managers));
            assert_eq!(corrections.is_fight(at(*seconds.last().unwrap_or(&0))), fight, "{seconds:?}");
        }
    }

    #[test]
    fn three_corrections_within_an_hour_are_a_fight_if_they_undo_one_manager() {
        for (seconds, fight) in [
            (&[0, 61][..], false),
            (&[0, 61, 122], true),
            (&[0, 600, 1200], true),
            (&[0, 1800, 3600], true),
            (&[0, 1800, 3601], false),
            (&[0, 1801, 3602, 5403], false),
        ] {
            assert_eq!(corrected_at(seconds).is_fight(at(*seconds.last().unwrap_or(&0))), fight, "{seconds:?}");
        }
        let three_people = corrected([(0, "kubectl"), (300, "helm"), (600, "kubectl"), (900, "helm")]);
        assert!(!three_people.is_fight(at(900)));
    }

    #[test]
    fn the_pause_doubles_from_two_seconds_to_half_an_hour() {
        let mut corrections = corrected_at(&[0, 0]);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..13 {
            corrections.record(now, "kubectl".to_owned());
            let pause = corrections.pause(now);
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(corrections.pause(now), Duration::ZERO);
            assert!(corrections.is_fight(now), "a fight does not seem over while the other side goes on");
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]);
    }

    #[test]
    fn corrections_slow_down_below_the_pace_of_the_other_side() {
        assert_eq!(fought(61, 10), [(0, 0), (61, 0), (122, 122), (244, 244), (488, 488)]);
        assert_eq!(fought(600, 10), [(0, 0), (600, 0), (1200, 1200), (2400, 1800), (4200, 1800)]);
    }

    #[test]
    fn a_fight_is_over_once_the_other_side_has_let_two_pauses_pass() {
        let mut corrections = corrected_at(&[0, 1, 2]);
        assert!(corrections.is_fight(at(121)));
        assert_eq!(corrections.quiet_in(at(121)), Duration::from_secs(1));
        assert!(!corrections.is_fight(at(122)), "two minutes, where the pause is short");
        corrections.record(at(123), "helm".to_owned());
        assert!(!corrections.is_fight(at(123)), "another manager begins anew");
        assert_eq!(corrections.manager(), "helm");

        let slow = corrected_at(&[0, 600, 1200]);
        assert_eq!(slow.quiet_in(at(1200)), Duration::from_mins(40));
        assert!(slow.is_fight(at(3599)) && !slow.is_fight(at(3600)));
    }

    #[test]
    fn a_manager_that_comes_back_within_the_hour_goes_on_with_its_fight() {
        let mut corrections = corrected_at(&[0, 1, 2]);
        corrections.record(at(302), "kubectl".to_owned());
        assert!(corrections.is_fight(at(302)));
        assert_eq!(corrections.pause(at(302)), Duration::from_mins(10));
        let mut corrections = corrected_at(&[0, 1, 2]);
        corrections.record(at(3603), "kubectl".to_owned());
        assert!(!corrections.is_fight(at(3603)));
    }

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let corrections = corrected((0..1000).map(|number| (number * 1801, "kubectl")));
        assert_eq!((corrections.latest.len(), corrections.is_fight(at(1000 * 1801))), (2, false));
    }

    #[test]
    fn a_clock_that_steps_back_ends_no_wait_early() {
        assert_eq!(corrected_at(&[10, 10, 10]).pause(at(5)), Duration::from_secs(2));
    }
}
