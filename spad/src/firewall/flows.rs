//! Whether doors are in use, and the end of what came in by them: sessions of this host by their sockets, what is
//! forwarded and UDP by connection tracking.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use spa_core::lease::{Door, Limit};
use spa_core::service::{Service, Transport};

use super::conntrack::{Conntrack, Entry};
use super::error::FirewallError;
use super::netlink::Channel;
use super::plan::Session;
use super::sessions::{Socket, Through, destroy, sockets};

/// Which of these doors are in use: by a TCP session that neither end has closed, or by a datagram that connection
/// tracking remembers.
///
/// # Errors
/// Where the kernel does not tell.
pub fn in_use(doors: &[Door]) -> Result<Vec<Door>, FirewallError> {
    let mut used = Vec::new();
    for service in services(doors) {
        let here = || doors.iter().filter(move |door| door.service == service);
        let established: Vec<_> = live(service)?.into_iter().filter(Socket::is_established).collect();
        used.extend(here().filter(|door| established.iter().any(|socket| is_of(door, client(socket)))));
        if here().all(|door| used.contains(door)) {
            continue;
        }
        // An inner host's sessions have no socket here, and UDP has none at all.
        let entries = Conntrack::open()?.of(service)?;
        let known = |door: &&Door| {
            !used.contains(*door)
                && entries.iter().any(|entry| entry.is_established && is_of(door, entry.client))
        };
        let more: Vec<_> = here().filter(known).copied().collect();
        used.extend(more);
    }
    Ok(used)
}

/// What each of these doors carries: TCP connections of this host's own services that live now.
///
/// # Errors
/// Where the kernel does not tell.
pub fn carried(doors: &[Door]) -> Result<Vec<Through>, FirewallError> {
    let mut all = vec![Through::default(); doors.len()];
    for service in services(doors) {
        for socket in live(service)? {
            let one = Through { connections: 1, ..socket.through };
            let here = doors.iter().zip(&mut all).filter(|(door, _)| door.service == service);
            here.filter(|(door, _)| is_of(door, client(&socket))).for_each(|(_, sum)| sum.add(&one));
        }
    }
    Ok(all)
}

/// Ends what came in by these doors. Returns those where something may go on: a socket that this kernel cannot end, or
/// a session of an inner host, which may yet send.
///
/// - `spared`: sessions that live on, since they are older than the guard.
///
/// # Errors
/// Where the kernel lacks what it takes. What could be ended has ended.
pub fn end(doors: &[Door], spared: &[Session]) -> Result<Vec<Door>, FirewallError> {
    let (mut left, mut outcome) = (Vec::new(), Ok(()));
    let is_spared = |client: (IpAddr, u16)| {
        spared.iter().any(|session| (session.client().ip(), session.client().port()) == client)
    };
    for service in services(doors) {
        let here = || doors.iter().filter(move |door| door.service == service);
        let mut ended = Vec::new();
        for socket in live(service)?.into_iter().filter(|socket| !is_spared(client(socket))) {
            if here().any(|door| is_of(door, client(&socket))) {
                let destroyed = destroy(&mut Channel::open(NETLINK_SOCK_DIAG)?, socket);
                let list = if destroyed.is_ok() { &mut ended } else { &mut left };
                list.extend(here().filter(|door| is_of(door, client(&socket))));
                outcome = outcome.and(destroyed);
            }
        }
        // A session that nobody ends but connection tracking forgets would come back with the server's next packet.
        let entries: Vec<Entry> = Conntrack::open()?.of(service)?;
        let of_doors =
            |entry: &Entry| !is_spared(entry.client) && here().any(|door| is_of(door, entry.client));
        let entries: Vec<_> = entries.into_iter().filter(of_doors).collect();
        let inner =
            |door: &&Door| !ended.contains(*door) && entries.iter().any(|entry| is_of(door, entry.client));
        left.extend(here().filter(inner));
        Conntrack::open()?.forget(entries)?;
    }
    outcome.map(|()| left)
}

fn services(doors: &[Door]) -> BTreeSet<Service> {
    doors.iter().map(|door| door.service).collect()
}

fn live(service: Service) -> Result<Vec<Socket>, FirewallError> {
    if service.transport() == Transport::Udp {
        return Ok(Vec::new());
    }
    sockets(&mut Channel::open(NETLINK_SOCK_DIAG)?, service.port().get())
}

fn client(socket: &Socket) -> (IpAddr, u16) {
    let client = socket.session.client();
    (client.ip(), client.port())
}

fn is_of(door: &Door, (address, port): (IpAddr, u16)) -> bool {
    let by_port = !matches!(door.limit, Limit::SourcePort(only) if only != port);
    by_port && door.grantee.includes(address)
}
