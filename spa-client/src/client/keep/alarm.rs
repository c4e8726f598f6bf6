//! A time to wake up at, by whichever clock gets there first: the one that counts only while the machine runs, or the
//! wall clock, which goes on while it sleeps. A wall clock that is set forward wakes too early, which costs a knock.

use std::time::{Duration, Instant, SystemTime};

/// Set when it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    running: Instant,
    wall: SystemTime,
    after: Duration,
}

impl Alarm {
    /// Wakes after this span.
    pub(super) fn after(after: Duration) -> Self {
        Self { running: Instant::now(), wall: SystemTime::now(), after }
    }

    /// How long it is until then; nothing if it is late.
    pub(super) fn left(&self) -> Duration {
        self.after.saturating_sub(self.passed(Instant::now(), SystemTime::now()))
    }

    /// How late it is; `None` if it is not yet time.
    pub(super) fn late(&self) -> Option<Duration> {
        self.passed(Instant::now(), SystemTime::now()).checked_sub(self.after)
    }

    fn passed(&self, running: Instant, wall: SystemTime) -> Duration {
        let awake = running.saturating_duration_since(self.running);
        // A wall clock that was set back says nothing.
        awake.max(wall.duration_since(self.wall).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_is_ahead_counts() {
        let alarm = Alarm::after(Duration::ZERO);
        let second = Duration::from_secs(1);
        #[rustfmt::skip]
        let rows = [
            // running, wall, passed, why
            (3, 3,   3,  "both go on"),
            (3, 60,  60, "the machine slept"),
            (3, -60, 3,  "the wall clock was set back"),
        ];
        for (running, wall, passed, why) in rows {
            let at = |span: i32| {
                let span = second * span.unsigned_abs();
                if wall < 0 { alarm.wall - span } else { alarm.wall + span }
            };
            assert_eq!(alarm.passed(alarm.running + second * running, at(wall)), second * passed, "{why}");
        }
    }
}
