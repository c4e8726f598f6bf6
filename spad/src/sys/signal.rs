//! Signals that a child of the starter must not hear, and that a command hears again.

use std::io;

/// Ignores SIGHUP, SIGINT and SIGTERM from now on. Monitor and worker end by the end of their channel (and by
/// SIGKILL); a Ctrl-C meant for the starter reaches the whole process group and must not end them first.
///
/// # Errors
/// None in practice: all three signals may be ignored.
pub fn ignore_requests_to_end() -> io::Result<()> {
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].into_iter().try_for_each(|signal| set(signal, libc::SIG_IGN))
}

/// Takes every signal as programs do again, of those that have a name: what a process ignores, for whatever reason, the program
/// that it becomes ignores too.
///
/// # Errors
/// None in practice, as above.
pub fn hear_all() -> io::Result<()> {
    let fixed = [libc::SIGKILL, libc::SIGSTOP];
    (1..=libc::SIGSYS)
        .filter(|signal| !fixed.contains(signal))
        .try_for_each(|signal| set(signal, libc::SIG_DFL))
}

fn set(signal: libc::c_int, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: neither `SIG_IGN` nor `SIG_DFL` installs a handler, so no code of ours ever runs in signal context.
    if unsafe { libc::signal(signal, disposition) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
