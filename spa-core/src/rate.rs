//! A token bucket for each profile: how many doors, journal records and log lines one key may ask for, even when it is
//! stolen or broken.

use std::time::Duration;

use crate::time::BootTime;

/// Fresh requests a second of one profile.
pub const PER_SECOND: u32 = 100;
/// How many may come at once.
pub const BURST: u32 = 1000;

/// One token for one datagram; `PER_SECOND` flow back each second, up to `BURST`.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: u32,
    /// Up to when tokens have been paid back.
    paid: BootTime,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { tokens: BURST, paid: BootTime::new(Duration::ZERO) }
    }
}

impl Bucket {
    /// Takes a token if there is one.
    pub fn take(&mut self, now: BootTime) -> bool {
        const PER_TOKEN: Duration = Duration::from_nanos(1_000_000_000 / PER_SECOND as u64);
        let earned = now.since(self.paid).as_nanos() / PER_TOKEN.as_nanos();
        match u32::try_from(earned) {
            Ok(earned) if earned < BURST - self.tokens => {
                self.tokens += earned;
                self.paid = self.paid.plus(PER_TOKEN * earned);
            }
            // Full: what would flow over is not saved up.
            _ => {
                self.tokens = BURST;
                self.paid = now;
            }
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let mut bucket = Bucket::default();
        let at = |ms| BootTime::new(Duration::from_millis(ms));
        let taken = |bucket: &mut Bucket, ms| (0..2 * BURST).filter(|_| bucket.take(at(ms))).count();
        #[rustfmt::skip]
        let rows = [
            // milliseconds, taken, why
            (5_000,     1000, "a whole burst"),
            (5_000,     0,    "empty"),
            (5_009,     0,    "not yet"),
            (5_010,     1,    "the first flows back after 10 ms"),
            (5_115,     10,   "half a token is kept"),
            (5_120,     1,    "and made whole"),
            (6_120,     100,  "a second"),
            (3_600_000, 1000, "never more than a burst"),
        ];
        for (ms, expected, why) in rows {
            assert_eq!(taken(&mut bucket, ms), expected, "{ms}: {why}");
        }
    }
}
