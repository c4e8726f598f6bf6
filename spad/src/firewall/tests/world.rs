//! A host with its networks, and who lives there.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use std::{io, thread};

use super::namespace::Namespace;
use super::passers_by::connects;
use super::*;

/// A host with two interfaces: `outside`, where the peer is, and `inside`, where an inner host is.
pub(super) struct World {
    pub(super) host: Namespace,
    pub(super) peer: Namespace,
    pub(super) inner: Namespace,
}

/// The host's addresses outside.
pub(super) const HOST: [&str; 2] = ["10.9.0.1", "2001:db8:9::1"];
/// Two clients outside, of either family. The first one knocks.
pub(super) const CLIENT: [&str; 2] = ["10.9.0.2", "2001:db8:9::2"];
pub(super) const STRANGER: [&str; 2] = ["10.9.0.3", "2001:db8:9::3"];
/// The inner host.
pub(super) const INNER: [&str; 2] = ["10.8.0.2", "2001:db8:8::2"];

/// Binds to a port that was used a moment ago. A program that a test beside this one starts inherits every socket until
/// its `exec`, so that a port may stay taken a little longer than its socket.
pub(super) fn bound<T>(bind: impl Fn() -> io::Result<T>) -> T {
    for _ in 0..200 {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => thread::sleep(Duration::from_millis(5)),
            outcome => return outcome.unwrap(),
        }
    }
    bind().unwrap()
}

impl World {
    pub(super) fn new() -> Option<Self> {
        let world = Self { host: Namespace::new()?, peer: Namespace::new()?, inner: Namespace::new()? };
        world.host.wire("outside", &world.peer, "p0");
        world.host.wire("inside", &world.inner, "i0");
        world.host.sh("ip addr add 10.9.0.1/24 brd + dev outside
            ip addr add 10.8.0.1/24 brd + dev inside
            ip addr add 2001:db8:9::1/64 dev outside
            ip addr add 2001:db8:8::1/64 dev inside
            echo 0 > /proc/sys/net/ipv6/neigh/outside/proxy_delay
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        world.peer.sh("ip addr add 10.9.0.2/24 brd + dev p0
            ip addr add 10.9.0.3/24 brd + dev p0
            ip addr add 2001:db8:9::2/64 dev p0
            ip addr add 2001:db8:9::3/64 dev p0
            ip route add default via 10.9.0.1
            ip route add default via 2001:db8:9::1");
        world.inner.sh("ip addr add 10.8.0.2/24 brd + dev i0
            ip addr add 2001:db8:8::2/64 dev i0
            ip route add default via 10.8.0.1
            ip route add default via 2001:db8:8::1");
        Some(world)
    }

    /// A TCP service of both families that nobody needs to accept from.
    pub(super) fn serve(namespace: &Namespace, port: u16) -> TcpListener {
        namespace.run(|| bound(|| TcpListener::bind(("::", port))))
    }

    pub(super) fn udp(namespace: &Namespace, port: u16) -> UdpSocket {
        namespace.run(|| bound(|| UdpSocket::bind(("::", port))))
    }

    pub(super) fn guard(&self, plan: &Plan) -> Nftables {
        self.host.run(|| prepared(plan))
    }

    /// Whether a client at the peer reaches a TCP port.
    pub(super) fn peer_reaches(&self, from: &str, to: &str, port: u16) -> bool {
        self.peer.run(|| connects(address(from), SocketAddr::new(address(to), port)))
    }
}
