//! From the server's name to its addresses.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, Status};
use crate::host::Host;

/// Longer than a resolver takes to ask a second name server, shorter than anybody waits.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Which of a server's addresses are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// That of an address.
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// All addresses of a host, in the order in which the system prefers them, with port 0.
///
/// `only`: no others. `rather`: no others if there is one of these.
pub(super) fn addresses(
    host: &Host,
    only: Option<Family>,
    rather: Option<Family>,
) -> Result<Vec<SocketAddr>, Failure> {
    let mut all = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, 0)],
        // The system's resolver knows this machine's interfaces.
        Host::OnLink { .. } => look_up(&host.to_string())?,
        Host::Name(name) => look_up(name)?,
    };
    if let Some(family) = only {
        all.retain(|server| Family::of(server.ip()) == family);
        if all.is_empty() {
            let (name, other) = match family {
                Family::V4 => (family.name(), "-6"),
                Family::V6 => (family.name(), "-4"),
            };
            let sentence = format!("{host} has no {name} address");
            return Err(Failure::new(Status::Name, sentence, format!("try {other}, or neither")));
        }
    } else if all.iter().any(|server| Some(Family::of(server.ip())) == rather) {
        all.retain(|server| Some(Family::of(server.ip())) == rather);
    }
    Ok(all)
}

fn look_up(name: &str) -> Result<Vec<SocketAddr>, Failure> {
    let asked = name.to_owned();
    // A resolver has no time limit that could be set from here, so it gets a thread that may be left behind.
    let answer = within(TIME_LIMIT, move || (asked.as_str(), 0).to_socket_addrs().map(Vec::from_iter));
    let found = match answer {
        Some(Ok(found)) => found,
        Some(Err(_)) => Vec::new(),
        None => {
            return Err(Failure::new(
                Status::TimedOut,
                format!("{name} could not be looked up within {} s", TIME_LIMIT.as_secs()),
                "check the network connection, or give the server's address: -D ADDRESS",
            ));
        }
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let canonical = |mut server: SocketAddr| {
        // Set only where it changes something: a link-local address would lose its interface.
        if server.ip() != server.ip().to_canonical() {
            server.set_ip(server.ip().to_canonical());
        }
        server
    };
    for address in found.into_iter().map(canonical) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let hint = "check its spelling and the network connection, or give the server's address: -D ADDRESS";
        return Err(Failure::new(Status::Name, format!("no address is known for {name}"), hint));
    }
    Ok(addresses)
}

/// What `work` returns, if it returns in time; it runs on otherwise, and nobody listens.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = mpsc::channel();
    thread::Builder::new().spawn(move || send.send(work())).ok()?;
    receive.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_never_answers_is_left_behind() {
        let (release, hold) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(20), move || hold.recv().is_ok()), None);
        drop(release);
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
    }

    #[test]
    fn a_family_is_a_condition_or_a_wish() {
        use Family::{V4, V6};
        let of = |host: &str, only, rather| addresses(&host.parse().unwrap(), only, rather);
        assert!(of("192.0.2.1", None, None).is_ok());
        assert!(of("192.0.2.1", Some(V4), Some(V6)).is_ok());
        assert!(of("192.0.2.1", None, Some(V6)).is_ok());
        assert_eq!(of("192.0.2.1", Some(V6), None).unwrap_err().status, Status::Name);
        assert_eq!(of("2001:db8::1", Some(V4), None).unwrap_err().status, Status::Name);
    }
}
