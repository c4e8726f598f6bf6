//! The packet filter of a capture socket: fixed for ever before the worker gives up its privileges.
//!
//! A packet socket needs its capability only when it is made. Whoever takes over the worker could otherwise
//! detach the filter and read every service's traffic (attack S1).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use spa_core::bpf::Instruction;

/// What the kernel says of one socket's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// A filter stands between the network and this socket.
    pub attached: bool,
    /// It can be neither replaced nor detached, not even by root.
    pub locked: bool,
}

/// Puts this program between the network and the socket, in place of the one before.
///
/// # Errors
/// What the kernel answers: `EINVAL` for a program that it does not accept, `ENOMEM` for one that is longer than
/// `net.core.optmem_max` allows, `EPERM` if the filter is locked.
pub fn attach(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let length = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel only reads, whatever the type of the pointer says.
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the descriptor is open for the length of the call; `program` points to `len` instructions, whose layout is
    // that of `sock_filter`, and both outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
    use std::num::NonZeroU16;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use spa_core::crypto::header::{HeaderKey, Nonce};
    use spa_core::crypto::key::{KeyId, SiteId, SiteKey};
    use spa_core::frame::Link;
    use spa_core::scheme::native::Sealed;
    use spa_core::stranger;

    use super::*;

    /// Drops everything.
    const NOTHING: [Instruction; 1] = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0 }];

    fn detach(socket: BorrowedFd<'_>) -> io::Result<()> {
        let none: libc::c_int = 0;
        // SAFETY: the descriptor is open for the length of the call; value and length describe the live `none`.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_DETACH_FILTER,
                (&raw const none).cast(),
                size_of_val(&none) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[test]
    fn a_locked_filter_can_be_neither_detached_nor_replaced() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = socket.as_fd();
        assert_eq!(state(socket).unwrap(), Filter { attached: false, locked: false });
        attach(socket, &NOTHING).unwrap();
        assert_eq!(state(socket).unwrap(), Filter { attached: true, locked: false });
        lock(socket).unwrap();
        assert_eq!(state(socket).unwrap(), Filter { attached: true, locked: true });
        assert_eq!(detach(socket).unwrap_err().raw_os_error(), Some(libc::EPERM), "detach");
        assert_eq!(attach(socket, &NOTHING).unwrap_err().raw_os_error(), Some(libc::EPERM), "replace");
    }

    /// A pair of sockets of the kernel's own, where a datagram is what a raw link would show: an IP packet.
    #[test]
    fn the_kernel_runs_the_check_word_as_the_gate_does() {
        let port = NonZeroU16::new(23_571).unwrap();
        let keys = [1, 2].map(|n| HeaderKey::derive(&SiteKey::new([n; 32]), SiteId([7; 16])));
        for keys in [&keys[..1], &keys[..]] {
            let (network, capture) = UnixDatagram::pair().unwrap();
            capture.set_nonblocking(true).unwrap();
            let program = stranger::program(Link::Raw, port, keys, 1400).unwrap();
            attach(capture.as_fd(), program.instructions()).unwrap();
            let mut taken = 0;
            for n in 0..2000_u32 {
                let mut payload: [u8; 300] = rand::random();
                // A third of them from a client, of whichever site key there is.
                if n % 3 == 0 {
                    let nonce = Nonce(payload[..16].try_into().unwrap());
                    let header = keys[n as usize % keys.len()].mask(&nonce, KeyId(n));
                    payload[16..24].copy_from_slice(&header.0);
                }
                let packet = packet(n % 2 == 0, port.get(), &payload);
                network.send(&packet).unwrap();
                let mut got = [0; 1500];
                let got = capture.recv(&mut got).is_ok_and(|length| got[..length] == packet);
                assert_eq!(got, Sealed::read(&payload, keys).is_ok(), "{payload:02x?}");
                taken += u32::from(got);
            }
            assert_eq!(taken, 667);
        }
    }

    fn packet(v4: bool, port: u16, payload: &[u8]) -> Vec<u8> {
        let udp = u16::try_from(8 + payload.len()).unwrap();
        let [high, low] = if v4 { 20 + udp } else { udp }.to_be_bytes();
        let ip = if v4 {
            [&[0x45, 0, high, low, 0, 7, 0x40, 0, 64, 17, 0, 0][..], &[10; 8]].concat()
        } else {
            [&[0x60, 0, 0, 0, high, low, 17, 64][..], &[0x20; 32]].concat()
        };
        [&ip, [4000, port, udp, 0].map(u16::to_be_bytes).as_flattened(), payload].concat()
    }

    #[test]
    fn a_file_has_no_filter() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(state(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(lock(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }
}
