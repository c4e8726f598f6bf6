//! Tells that something about interfaces, addresses or routes changed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// Links, and addresses and routes of both families (rtnetlink(7)).
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE;
/// How many events to read at a time: a router may bring them for minutes on end.
const AT_ONCE: usize = 256;

/// A socket that becomes readable at every change. What changed is not read from it: look at
/// [`Surroundings`](super::Surroundings) again once some moments have passed without another event.
///
/// To miss nothing, make the watcher first and look afterwards.
#[derive(Debug)]
pub struct Watcher(OwnedFd);

impl Watcher {
    /// Subscribes. No privilege is needed.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn new() -> io::Result<Self> {
        // No protocol named is number 0: NETLINK_ROUTE.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS.cast_unsigned()))?;
        Ok(Self(socket))
    }

    /// Forgets the events that wait, and says whether there were any.
    ///
    /// # Errors
    /// What the kernel answers; not that events were lost, which only means that there were very many.
    pub fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        for _ in 0..AT_ONCE {
            // One byte is enough: the kernel throws the rest of an event away.
            match rustix::net::recv(&self.0, &mut [0; 1], RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(any)
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
