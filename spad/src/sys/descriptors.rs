//! Descriptors that a started program must not have.

use std::fs;
use std::io;

/// Marks all open descriptors from this one on to be closed when this process becomes another program, those as well that
/// somebody handed to it without a word.
///
/// # Errors
/// /proc cannot be read, or a descriptor cannot be marked.
pub fn close_on_exec_from(first: i32) -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number >= first)
        .collect();
    for number in open {
        // SAFETY: sets a flag of a number in the table of descriptors, whoever owns it; nothing is closed, so that no
        // descriptor that is in use changes its meaning.
        let marked = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        let error = io::Error::last_os_error();
        // The one by which the folder was read is closed by now.
        if marked == -1 && error.raw_os_error() != Some(libc::EBADF) {
            return Err(error);
        }
    }
    Ok(())
}
