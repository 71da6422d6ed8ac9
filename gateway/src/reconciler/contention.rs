//! How often somebody else set a Deployment's count against its target, and how long to wait before the next answer.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::backoff::Backoff;

/// Corrections that follow one another within this time belong together; after so long without one, peace is back.
pub(super) const WINDOW: Duration = Duration::from_mins(2);
/// So many corrections within the window are a fight.
const FIGHT: usize = 3;
/// The pause after each correction of a fight, beginning with the one that made it a fight.
const PAUSE: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_mins(1) };

/// The recent corrections of one Deployment.
///
/// A fight, once begun, lasts until the window passed without a correction: with pauses of a minute it would otherwise
/// seem over, and start again at full speed, while the other side never stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Corrections {
    latest: VecDeque<Timestamp>,
    /// How many corrections were made since it became a fight, that one included; zero in peace.
    rounds: u32,
    manager: Option<String>,
}

impl Corrections {
    /// A correction of what `manager` had set is made `now`.
    pub(super) fn record(&mut self, now: Timestamp, manager: Option<&str>) {
        if self.quiet_in(now).is_zero() {
            *self = Self::default();
        }
        self.latest.push_back(now);
        if self.latest.len() > FIGHT {
            self.latest.pop_front();
        }
        let dense = self.latest.len() == FIGHT && self.latest.front().is_some_and(|first| since(*first, now) <= WINDOW);
        if self.rounds > 0 || dense {
            self.rounds = self.rounds.saturating_add(1);
        }
        self.manager = manager.map(str::to_owned);
    }

    /// Whether somebody keeps setting the count.
    pub(super) fn is_fight(&self, now: Timestamp) -> bool {
        self.rounds > 0 && !self.quiet_in(now).is_zero()
    }

    /// Who set the count before the last correction, when known.
    pub(super) fn manager(&self) -> Option<&str> {
        self.manager.as_deref()
    }

    /// How long to wait before the next correction; zero: none.
    pub(super) fn pause(&self, now: Timestamp) -> Duration {
        if !self.is_fight(now) {
            return Duration::ZERO;
        }
        let pause = PAUSE.after(self.rounds);
        self.latest.back().map_or(Duration::ZERO, |last| pause.saturating_sub(since(*last, now)))
    }

    /// How long until the corrections made so far no longer count; zero when none do.
    pub(super) fn quiet_in(&self, now: Timestamp) -> Duration {
        self.latest.back().map_or(Duration::ZERO, |last| WINDOW.saturating_sub(since(*last, now)))
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

    fn corrected_at(seconds: &[i64]) -> Corrections {
        let mut corrections = Corrections::default();
        for second in seconds {
            corrections.record(at(*second), Some("kubectl"));
        }
        corrections
    }

    #[test]
    fn three_corrections_within_two_minutes_are_a_fight() {
        for (seconds, fight) in [
            (&[][..], false),
            (&[0], false),
            (&[0, 1], false),
            (&[0, 60, 120], true),
            (&[0, 60, 121], false),
            (&[0, 90, 180, 270], false),
            (&[0, 90, 180, 181], true),
        ] {
            assert_eq!(corrected_at(seconds).is_fight(at(*seconds.last().unwrap_or(&0))), fight, "{seconds:?}");
        }
    }

    #[test]
    fn the_pause_doubles_from_two_seconds_to_a_minute() {
        let mut corrections = corrected_at(&[0, 0]);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            corrections.record(now, None);
            let pause = corrections.pause(now);
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(corrections.pause(now), Duration::ZERO);
            assert!(corrections.is_fight(now), "a fight does not seem over while the other side goes on");
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_fight_is_over_after_two_minutes_without_a_correction() {
        let mut corrections = corrected_at(&[0, 1, 2]);
        assert!(corrections.is_fight(at(121)));
        assert_eq!(corrections.quiet_in(at(121)), Duration::from_secs(1));
        assert!(!corrections.is_fight(at(122)));
        corrections.record(at(122), Some("helm"));
        assert!(!corrections.is_fight(at(122)), "the old corrections no longer count");
        assert_eq!(corrections.manager(), Some("helm"));
    }

    #[test]
    fn a_clock_that_steps_back_ends_no_wait_early() {
        assert_eq!(corrected_at(&[10, 10, 10]).pause(at(5)), Duration::from_secs(2));
    }
}
