//! How long to wait before a process is started again.

use std::time::{Duration, Instant};

/// The first wait, and the least distance between two starts.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait. Short, because as long as it lasts nobody can knock.
const LONGEST: Duration = Duration::from_secs(1);
/// A process that lived this long died of something new.
const STEADY: Duration = Duration::from_secs(10);

/// Doubles the wait after each early death.
#[derive(Debug)]
pub(super) struct Backoff {
    wait: Duration,
    not_before: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { wait: FIRST, not_before: None }
    }
}

impl Backoff {
    /// Whether a process may be started now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|start| start <= now)
    }

    /// When [`Self::allows`] becomes true, if it did not from the beginning.
    pub(super) fn next_start(&self) -> Option<Instant> {
        self.not_before
    }

    /// A process was started, or failed to.
    pub(super) fn started(&mut self, now: Instant) {
        self.not_before = Some(now + FIRST);
    }

    /// A process ended that had been of use for `lived`.
    pub(super) fn ended(&mut self, now: Instant, lived: Duration) {
        if lived >= STEADY {
            self.wait = FIRST;
        }
        self.not_before = self.not_before.max(Some(now + self.wait));
        self.wait = LONGEST.min(self.wait * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_second_and_starts_anew_after_a_steady_life() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.allows(start), "nothing was started yet");
        #[rustfmt::skip]
        let deaths = [
            // lived, wait in ms, why
            (Duration::ZERO,                       100,  "first death"),
            (Duration::ZERO,                       200,  "second"),
            (Duration::ZERO,                       400,  "third"),
            (STEADY - Duration::from_millis(1),    800,  "not yet steady"),
            (Duration::ZERO,                       1000, "capped"),
            (Duration::ZERO,                       1000, "stays capped"),
            (STEADY,                               100,  "exactly steady"),
        ];
        for (lived, wait, why) in deaths {
            let wait = Duration::from_millis(wait);
            backoff.started(start);
            backoff.ended(start, lived);
            assert_eq!(backoff.next_start(), Some(start + wait), "{why}");
            assert!(backoff.allows(start + wait), "{why}");
            assert!(!backoff.allows(start + wait - Duration::from_nanos(1)), "{why}");
        }
    }

    #[test]
    fn even_welcome_starts_keep_their_distance() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        backoff.started(start);
        assert!(!backoff.allows(start) && backoff.allows(start + FIRST));
    }
}
