//! The packet filter of a capture socket: fixed for ever before the worker gives up its privileges.
//!
//! A packet socket needs its capability only when it is made. Whoever takes over the worker could otherwise
//! detach the filter and read every service's traffic (attack S1).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What the kernel says of one socket's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// A filter stands between the network and this socket.
    pub attached: bool,
    /// It can be neither replaced nor detached, not even by root.
    pub locked: bool,
}

/// Locks whatever filter the socket has now (`SO_LOCK_FILTER`). There is no way back.
///
/// # Errors
/// What the kernel answers; `EPERM` cannot happen on the way in.
pub fn lock(socket: BorrowedFd<'_>) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call; value and length describe the live `yes`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LOCK_FILTER,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks the kernel for the state of the socket's filter.
///
/// # Errors
/// What the kernel answers, `ENOTSOCK` for example.
pub fn state(socket: BorrowedFd<'_>) -> io::Result<Filter> {
    let (locked, _) = option(socket, libc::SO_LOCK_FILTER, size_of::<libc::c_int>())?;
    // Asked with no room for an answer, SO_GET_FILTER returns the number of instructions in place of a length.
    let (_, instructions) = option(socket, libc::SO_GET_FILTER, 0)?;
    Ok(Filter { attached: instructions > 0, locked: locked != 0 })
}

/// Reads one integer option: its value and the length the kernel gave back.
fn option(socket: BorrowedFd<'_>, name: libc::c_int, room: usize) -> io::Result<(libc::c_int, usize)> {
    let mut value: libc::c_int = 0;
    let mut length = room.min(size_of_val(&value)) as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; `value` has room for `length` bytes, and both
    // outlive the call.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    };
    if result == 0 { Ok((value, length as usize)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    /// Attaches (`Some`) or detaches (`None`) a filter that drops everything.
    fn change(socket: BorrowedFd<'_>, attach: bool) -> io::Result<()> {
        let mut code = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
        let program = libc::sock_fprog { len: 1, filter: &raw mut code };
        let name = if attach { libc::SO_ATTACH_FILTER } else { libc::SO_DETACH_FILTER };
        // SAFETY: `program` points to one instruction, and both outlive the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                name,
                (&raw const program).cast(),
                size_of_val(&program) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[test]
    fn a_locked_filter_can_be_neither_detached_nor_replaced() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = socket.as_fd();
        assert_eq!(state(socket).unwrap(), Filter { attached: false, locked: false });
        change(socket, true).unwrap();
        assert_eq!(state(socket).unwrap(), Filter { attached: true, locked: false });
        lock(socket).unwrap();
        assert_eq!(state(socket).unwrap(), Filter { attached: true, locked: true });
        assert_eq!(change(socket, false).unwrap_err().raw_os_error(), Some(libc::EPERM), "detach");
        assert_eq!(change(socket, true).unwrap_err().raw_os_error(), Some(libc::EPERM), "replace");
    }

    #[test]
    fn a_file_has_no_filter() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(state(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(lock(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }
}
