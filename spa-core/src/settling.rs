//! After a journal was lost: when may anything be admitted again?
//!
//! What was admitted before the loss carries a time of at most the start of the daemon plus the skew. So nothing up to
//! there may be fresh; but the clock that says when the start was must first be known to be right. A machine that boots
//! in 1970 would otherwise take a floor of 1970.

use std::time::Duration;

use crate::time::{Now, UnixMillis};

/// A jump between two readings of both clocks that is no drift.
const STEP: Duration = Duration::from_secs(1);

/// Waits for a clock that is known to be right.
pub struct Settling {
    start: Now,
    last: Now,
}

impl Settling {
    /// From the moment at which the daemon found the journal lost.
    pub const fn begin(now: Now) -> Self {
        Self { start: now, last: now }
    }

    /// The floor for every clock profile, once it is known: start + skew, by a clock that is right.
    ///
    /// Elapsed time is that of the clock since boot; a step of the wall clock meanwhile begins it anew.
    pub fn floor(&mut self, now: Now, skew: Duration) -> Option<UnixMillis> {
        let expected = self.last.wall.plus(now.boot.since(self.last.boot));
        if expected.skew(now.wall) > STEP {
            self.start = now;
        }
        self.last = now;
        let start = now.wall.minus(now.boot.since(self.start.boot));
        now.synchronised.then(|| start.plus(skew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::BootTime;

    const SKEW: Duration = Duration::from_secs(60);
    const NOVEMBER_2026: u64 = 1_795_000_000_000;

    fn at(wall_ms: u64, boot_s: u64, synchronised: bool) -> Now {
        let boot = BootTime::new(Duration::from_secs(boot_s));
        Now { wall: UnixMillis::new(wall_ms).unwrap(), boot, synchronised }
    }

    #[test]
    fn a_machine_that_boots_in_1970_waits_for_the_right_time() {
        let mut settling = Settling::begin(at(5_000, 5, false));
        assert_eq!(settling.floor(at(15_000, 15, false), SKEW), None, "not synchronised");
        let floor = settling.floor(at(NOVEMBER_2026, 25, true), SKEW).unwrap();
        assert_eq!(floor.get(), NOVEMBER_2026 + 60_000, "the step began it anew");
    }

    #[test]
    fn a_right_clock_counts_from_the_start() {
        let mut settling = Settling::begin(at(NOVEMBER_2026, 100, false));
        let floor = settling.floor(at(NOVEMBER_2026 + 40_000, 140, true), SKEW).unwrap();
        assert_eq!(floor.get(), NOVEMBER_2026 + 60_000);
    }
}
