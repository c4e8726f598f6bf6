//! Waiting for something to become true, and saying loudly what could not be tested.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// Waits until `condition` holds and returns how long that took.
///
/// # Panics
/// When it does not hold `within` that time; the message says `what` was waited for.
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        if condition() {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(4));
    }
}

/// Says that a test cannot run here.
///
/// # Panics
/// When `CI` is set: there, what is not tested is an error.
pub fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{test} cannot run here: {reason}");
    // Past the test harness, which would swallow what a passing test prints.
    let line = format!("\n*** SKIPPED {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
