//! The one question that no safe call asks: how many frames did a packet socket lose?

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Frames that reached a packet socket since the last question, and those of them that found no room in its ring.
///
/// The kernel forgets both numbers with the answer.
///
/// # Errors
/// What the kernel answers, `ENOTSOCK` for example.
pub(crate) fn packet_statistics(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    // tpacket_stats_v3: packets, drops, freezes; the older form is its first two fields.
    let mut answer = [0_u32; 3];
    let mut length = size_of_val(&answer) as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call; `answer` has room for `length` bytes, and both
    // outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            answer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok((answer[0], answer[1])) } else { Err(io::Error::last_os_error()) }
}
