//! Times as types: the wall clock judges freshness, the clock since boot measures windows.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX time), below 2^48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The epoch itself.
    pub const EPOCH: Self = Self(0);
    /// The largest time there is, in the year 10889; as a floor it shuts a profile for ever.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// A time, unless it lies at or beyond 2^48 (SPEC.md, "Request": such a time is refused).
    pub const fn new(millis: u64) -> Option<Self> {
        if millis <= Self::MAX.0 { Some(Self(millis)) } else { None }
    }

    /// The time of a clock reading; a clock before 1970 reads as the epoch, one beyond the year 10889 as [`Self::MAX`].
    pub fn clamped(since_epoch: Duration) -> Self {
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self(millis.min(Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How far apart two clocks are, in either direction.
    pub const fn skew(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// Time from `earlier` to `self`; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Later by `span`, at most [`Self::MAX`].
    pub fn plus(self, span: Duration) -> Self {
        Self::clamped(Duration::from_millis(self.0).saturating_add(span))
    }

    /// Earlier by `span`, at least the epoch.
    pub fn minus(self, span: Duration) -> Self {
        Self::clamped(Duration::from_millis(self.0).saturating_sub(span))
    }
}

/// Time since the machine booted, suspended time included (`CLOCK_BOOTTIME`). No clock step moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// A reading of `CLOCK_BOOTTIME`.
    pub const fn new(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Time since boot.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Later by `span`; saturates.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Time from `earlier` to `self`; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The moment at which something is judged, read from both clocks at once.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall clock: compared with the time in a request.
    pub wall: UnixMillis,
    /// Clock since boot: measures rates, windows and the settling of a journal.
    pub boot: BootTime,
    /// Whether the wall clock is known to be right: the kernel says so (`adjtimex`), or the operator does.
    pub synchronised: bool,
}
