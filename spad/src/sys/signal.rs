//! Signals that a child of the starter must not hear.

use std::io;

/// Ignores SIGHUP, SIGINT and SIGTERM from now on. Monitor and worker end by the end of their channel (and by
/// SIGKILL); a Ctrl-C meant for the starter reaches the whole process group and must not end them first.
///
/// # Errors
/// None in practice: all three signals may be ignored.
pub fn ignore_requests_to_end() -> io::Result<()> {
    set(libc::SIG_IGN)
}

/// Takes them as every program does again: what a process ignores, the program that it becomes ignores too.
///
/// # Errors
/// None in practice, as above.
pub fn hear_requests_to_end() -> io::Result<()> {
    set(libc::SIG_DFL)
}

fn set(disposition: libc::sighandler_t) -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: neither `SIG_IGN` nor `SIG_DFL` installs a handler, so no code of ours ever runs in signal context.
        if unsafe { libc::signal(signal, disposition) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
