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
    assert!(comes_true(within, &mut condition), "not within {within:?}: {what}");
    start.elapsed()
}

/// Whether a condition holds within that time.
pub(crate) fn comes_true(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() >= within {
            return false;
        }
        thread::sleep(Duration::from_millis(4));
    }
    true
}

/// Says that a test cannot run here.
///
/// # Panics
/// When `CI` is set: there, what is not tested is an error.
pub fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{test} cannot run here: {reason}");
    loudly("SKIPPED", &test, reason);
}

/// Says that a test cannot run here for want of what only the machine itself can have, and nobody could install: no error, even
/// where `CI` is set.
pub fn untried(reason: &str) {
    loudly("NOT TRIED", thread::current().name().unwrap_or("a test"), reason);
}

/// Past the test harness, which would swallow what a passing test prints.
fn loudly(what: &str, test: &str, reason: &str) {
    let line = format!("\n*** {what} {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
