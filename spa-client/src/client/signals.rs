//! The signals that ask a program which runs on to end.

use std::io;

/// Calls `ends` once, in a thread of its own, when SIGINT, SIGTERM or SIGHUP comes; from now on they end nothing by themselves.
#[cfg(unix)]
pub(super) fn on_end(ends: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            ends();
        }
    });
    Ok(())
}

/// Elsewhere an interrupt ends the program at once, and what is open shuts with its window.
#[cfg(not(unix))]
pub(super) fn on_end(ends: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Never called, and not dropped either: who waits for it must not think that it came.
    std::mem::forget(ends);
    Ok(())
}
