//! This machine's wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spa_core::time::UnixMillis;
use time::OffsetDateTime;
use time::macros::format_description;

/// Now. A clock before 1970 reads as 1970.
pub(crate) fn now() -> UnixMillis {
    UnixMillis::clamped(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The next time there is.
pub(crate) fn after(time: UnixMillis) -> UnixMillis {
    time.plus(Duration::from_millis(1))
}

/// A time in UTC, to the millisecond, as spad's log has it.
pub(crate) fn utc(time: UnixMillis) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.get()) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&format).ok())
        // Beyond the year 9999.
        .unwrap_or_else(|| format!("{} ms since 1970", time.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        let at = |millis| utc(UnixMillis::new(millis).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_795_175_999_123), "2026-11-20T11:59:59.123Z");
        assert_eq!(at(UnixMillis::MAX.get()), "281474976710655 ms since 1970");
    }
}
