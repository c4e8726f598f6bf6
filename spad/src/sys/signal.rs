//! Signals that a child of the starter must not hear.

use std::io;

/// Ignores SIGHUP, SIGINT and SIGTERM from now on. Monitor and worker end by the end of their channel (and by
/// SIGKILL); a Ctrl-C meant for the starter reaches the whole process group and must not end them first.
///
/// # Errors
/// None in practice: all three signals may be ignored.
pub fn ignore_requests_to_end() -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: `SIG_IGN` installs no handler, so no code of ours ever runs in signal context.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
