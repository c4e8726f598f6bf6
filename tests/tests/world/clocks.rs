//! The clocks of the world, all pushed by hand. The truth only goes forward; everything else may be wrong.

use std::time::Duration;

use spa_core::time::{BootTime, Now, UnixMillis};

/// A second, in the unit of the world.
pub const SECOND: i64 = 1000;
/// A day.
pub const DAY: i64 = 86_400 * SECOND;
/// A year.
pub const YEAR: i64 = 365 * DAY;

/// What the server's clocks show.
pub struct Clocks {
    /// Milliseconds since 1970, as they really are.
    pub truth: i64,
    /// What the server's wall clock is ahead by.
    error: i64,
    /// Boot, in true time.
    booted: i64,
    /// Whether the kernel calls the wall clock synchronised. It does not lie here.
    pub synchronised: bool,
}

impl Clocks {
    /// Everything right, booted an hour ago.
    pub fn new(truth: i64) -> Self {
        Self { truth, error: 0, booted: truth - 3600 * SECOND, synchronised: true }
    }

    /// Both of the server's clocks at once.
    pub fn now(&self) -> Now {
        let wall = u64::try_from(self.truth + self.error).unwrap_or(0).min(UnixMillis::MAX.get());
        let boot = Duration::from_millis(u64::try_from(self.truth - self.booted).expect("after boot"));
        let synchronised = self.synchronised;
        Now { wall: UnixMillis::new(wall).expect("below 2^48"), boot: BootTime::new(boot), synchronised }
    }

    /// Whether the server's wall clock is right.
    pub const fn right(&self) -> bool {
        self.error == 0
    }

    /// Time passes.
    pub const fn pass(&mut self, millis: i64) {
        self.truth += millis;
    }

    /// Somebody sets the server's clock; the kernel then no longer calls it synchronised.
    pub const fn step(&mut self, millis: i64) {
        self.error += millis;
        self.synchronised = false;
    }

    /// The clock is set right and stays so.
    pub const fn synchronise(&mut self) {
        self.error = 0;
        self.synchronised = true;
    }

    /// The machine starts anew; `error`: what its battery-backed clock, if any, is ahead by.
    pub const fn boot(&mut self, error: i64) {
        self.booted = self.truth;
        self.error = error;
        self.synchronised = false;
    }
}
