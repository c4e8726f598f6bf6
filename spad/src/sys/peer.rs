//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// More groups than anybody has; who has more is not known to be in any.
const MOST: usize = 1024;

/// User and group of the other end when it connected (`SO_PEERCRED`). Its process id is not told: where that is of another
/// process namespace the kernel says 0, which is no process.
///
/// # Errors
/// What the kernel answers.
pub fn user(socket: BorrowedFd<'_>) -> Result<(u32, u32), Errno> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; `peer` is valid for writes of `length` bytes, and every
    // value of its fields is a valid one.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok((peer.uid, peer.gid))
    } else {
        Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

/// The supplementary groups that the other end had when it connected (`SO_PEERGROUPS`, Linux 4.13).
///
/// # Errors
/// `ERANGE` if there are too many to tell.
pub fn groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    let mut groups = vec![0_u32; MOST];
    let mut length = size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; `groups` is valid for writes of `length` bytes, and the
    // kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    groups.truncate(length as usize / size_of::<u32>());
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn user_and_groups_of_this_process_are_seen_at_the_other_end() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own: Vec<u32> =
            rustix::process::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        assert_eq!(groups(one.as_fd()), Ok(own));
        let (user_id, group_id) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(user(one.as_fd()), Ok((user_id, group_id)));
    }
}
