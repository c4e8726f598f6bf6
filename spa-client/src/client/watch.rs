//! Whether the ways out of this machine change, as the kernel tells it (rtnetlink).

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something; whether it matters is seen by the way to the server.
    Anything,
    /// A default route: the way may be another although its first address is the same.
    DefaultRoute,
}

/// Calls `changed` for each change, in a thread of its own, for as long as it returns true; false if this system does
/// not tell.
#[cfg(target_os = "linux")]
pub(super) fn begin(changed: impl Fn(Change) -> bool + Send + 'static) -> bool {
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with};
    // linux/rtnetlink.h: RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
    const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;
    // Without a protocol it is NETLINK_ROUTE, whose number is 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let Ok(socket) = socket else { return false };
    if bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUPS)).is_err() {
        return false;
    }
    std::thread::spawn(move || {
        let mut message = [0; 8192];
        loop {
            let change = match recv(&socket, &mut message, RecvFlags::empty()) {
                Ok((size, _)) => read(message.get(..size).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => continue,
                // More came than there was room for.
                Err(rustix::io::Errno::NOBUFS) => Change::DefaultRoute,
                Err(_) => return,
            };
            if !changed(change) {
                return;
            }
        }
    });
    true
}

/// Elsewhere it is found out by looking.
#[cfg(not(target_os = "linux"))]
pub(super) fn begin(changed: impl Fn(Change) -> bool + Send + 'static) -> bool {
    drop(changed);
    false
}

/// One message: `nlmsghdr` (16 bytes, its type at 4) and, for a route, `rtmsg` (its destination's length at 1, its table
/// at 4).
#[cfg(any(target_os = "linux", test))]
fn read(message: &[u8]) -> Change {
    const NEW_ROUTE: u16 = 24;
    const DEL_ROUTE: u16 = 25;
    // Each address has routes of its own there.
    const LOCAL: u8 = 255;
    let Some((&[_, _, _, _, low, high, ..], rest)) = message.split_first_chunk::<16>() else {
        return Change::Anything;
    };
    match (u16::from_ne_bytes([low, high]), rest) {
        (NEW_ROUTE | DEL_ROUTE, &[_, 0, _, _, table, ..]) if table != LOCAL => Change::DefaultRoute,
        _ => Change::Anything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_told_from_the_others() {
        let message = |kind: u16, body: &[u8]| {
            let mut bytes = vec![0; 16];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend(body);
            bytes
        };
        #[rustfmt::skip]
        let rows = [
            (message(24, &[2, 0, 0, 0, 254, 3, 0, 1]),   Change::DefaultRoute, "a new default route"),
            (message(25, &[10, 0, 0, 0, 254, 3, 0, 1]),  Change::DefaultRoute, "one that went"),
            (message(24, &[2, 24, 0, 0, 254, 3, 0, 1]),  Change::Anything,     "a route to a network"),
            (message(24, &[10, 0, 0, 0, 255, 3, 0, 1]),  Change::Anything,     "the table of own addresses"),
            (message(20, &[2, 0, 0, 0, 254, 3, 0, 1]),   Change::Anything,     "an address"),
            (message(24, &[2, 0]),                       Change::Anything,     "cut"),
            (Vec::new(),                                 Change::Anything,     "nothing"),
        ];
        for (bytes, expected, why) in rows {
            assert_eq!(read(&bytes), expected, "{why}");
        }
    }
}
