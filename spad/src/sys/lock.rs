//! Whether somebody else holds a lock on an open file (fcntl_locking(2)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether another process holds any of this file locked for writing. It takes no lock itself.
///
/// Not by rustix, whose question panics at a holder that has no process id, as that of an open file description has not.
///
/// # Errors
/// What the kernel answers.
pub fn is_held(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: all bytes zero are a valid `flock`: from the start of the file to its end, by no process.
    let mut asked: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    // What would be in the way of a lock for reading. The constants are small.
    asked.l_type = libc::F_RDLCK as libc::c_short;
    // SAFETY: `asked` is valid for reads and writes of a `flock` during the call, and the kernel keeps no pointer.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut asked) };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(libc::c_int::from(asked.l_type) != libc::F_UNLCK),
    }
}
