//! What others say our addresses are. For `-a resolve` a STUN server tells from which address a datagram came to it; for
//! `-a learnt` the server's own receipts told it earlier (`learnt.rs`).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng as _;
use spa_core::address::may_be_granted;

use super::address::Route;
use super::resolve::{self, Family};
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::random::Random;
use crate::stun::{self, NoAddress, TransactionId};

/// When the request is sent, again each time nothing has come (RFC 8489, section 6.2.1), and the end of the wait.
const SENT: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_millis(1500)];
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// The registered port.
const PORT: NonZeroU16 = NonZeroU16::new(3478).unwrap();
/// More than any answer without authentication.
const LONGEST: usize = 1280;

/// A STUN server, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StunServer {
    host: Host,
    port: NonZeroU16,
}

/// Text that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a STUN server: write it like stun.example.org, stun.example.org:3478 or [2001:db8::1]:3478")]
pub(super) struct BadStunServer;

impl FromStr for StunServer {
    type Err = BadStunServer;

    fn from_str(text: &str) -> Result<Self, BadStunServer> {
        if let Ok(host) = text.parse() {
            return Ok(Self { host, port: PORT });
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadStunServer)?;
        let host = host.parse().map_err(|_| BadStunServer)?;
        // `2001:db8::1:3478` is an address and no more: one with a port stands in brackets.
        if matches!(host, Host::Address(IpAddr::V6(_)) | Host::OnLink { .. }) && !text.starts_with('[') {
            return Err(BadStunServer);
        }
        Ok(Self { host, port: port.parse().map_err(|_| BadStunServer)? })
    }
}

/// Own addresses and what they are translated to on the way: pairs of the local one and the one that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(Vec<(IpAddr, IpAddr)>);

impl Seen {
    /// Asks the STUN server from each local address that one of these ways begins with, all at once.
    ///
    /// # Errors
    /// If no answer tells an address that a door could be opened for. One address family without an answer is no error:
    /// for that one it is as if nobody had been asked.
    pub(super) fn ask(server: &StunServer, ways: &[Route], random: &mut Random) -> Result<Self, Failure> {
        let StunServer { host, port } = server;
        let mut places = resolve::addresses(host, None, None)?;
        places.iter_mut().for_each(|place| place.set_port(port.get()));
        let mut asked: Vec<(SocketAddr, SocketAddr, TransactionId)> = Vec::new();
        for local in ways.iter().filter_map(|way| way.local.as_ref().ok()) {
            let family = Family::of(local.ip());
            let place = places.iter().find(|place| Family::of(place.ip()) == family);
            if let Some(&place) = place.filter(|_| asked.iter().all(|(known, ..)| known != local)) {
                let mut id = TransactionId([0; 12]);
                random.fill_bytes(&mut id.0);
                asked.push((*local, place, id));
            }
        }
        let answers: Vec<Option<(IpAddr, IpAddr)>> = thread::scope(|scope| {
            let ask = |&(local, place, id)| {
                scope.spawn(move || exchange(local, place, id).map(|seen| (local.ip(), seen)))
            };
            let asking: Vec<_> = asked.iter().map(ask).collect();
            asking.into_iter().map(|one| one.join().ok().flatten()).collect()
        });
        let seen: Vec<_> = answers.into_iter().flatten().filter(|&(_, seen)| may_be_granted(seen)).collect();
        if seen.is_empty() {
            let seconds = TIME_LIMIT.as_secs();
            return Err(Failure::new(
                Status::TimedOut,
                format!("the STUN server {host} told no address of this machine within {seconds} s"),
                "name another with --stun, or let the server go by what it sees: -a source",
            ));
        }
        Ok(Self(seen))
    }

    /// What was told earlier: pairs of a local address and the one that was seen.
    pub(super) const fn told(pairs: Vec<(IpAddr, IpAddr)>) -> Self {
        Self(pairs)
    }

    /// What this local address is seen as.
    pub(super) fn of(&self, local: IpAddr) -> Option<IpAddr> {
        self.0.iter().find(|(known, _)| *known == local).map(|(_, seen)| *seen)
    }
}

/// One binding.
fn exchange(local: SocketAddr, server: SocketAddr, id: TransactionId) -> Option<IpAddr> {
    let socket = UdpSocket::bind(local).ok()?;
    // From now on the kernel takes nothing from anybody else.
    socket.connect(server).ok()?;
    let begun = Instant::now();
    let ends = SENT.iter().skip(1).chain([&TIME_LIMIT]);
    for end in ends {
        // A refusal that came for the last one is told here; the next may arrive.
        let _ = socket.send(&stun::request(id));
        loop {
            let left = (begun + *end).saturating_duration_since(Instant::now());
            if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
                break;
            }
            let mut answer = [0; LONGEST];
            let Ok(size) = socket.recv(&mut answer) else { continue };
            match stun::address(id, answer.get(..size).unwrap_or_default()) {
                Ok(seen) if Family::of(seen.ip()) == Family::of(local.ip()) => return Some(seen.ip()),
                Err(NoAddress::NotOurs) => {}
                Ok(_) | Err(NoAddress::Refused | NoAddress::Malformed) => return None,
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stun_server_is_a_host_and_perhaps_a_port() {
        #[rustfmt::skip]
        let rows = [
            ("stun.example.org",       Some(("stun.example.org", 3478)), "a name"),
            ("stun.example.org:19302", Some(("stun.example.org", 19302)), "a name and a port"),
            ("192.0.2.1",              Some(("192.0.2.1", 3478)),        "an address"),
            ("192.0.2.1:80",           Some(("192.0.2.1", 80)),          "an address and a port"),
            ("2001:db8::1",            Some(("2001:db8::1", 3478)),      "an address"),
            ("[2001:db8::1]:80",       Some(("2001:db8::1", 80)),        "an address and a port"),
            ("2001:db8::1:2:3:4:5:80", None,                             "no address and no port either"),
            ("stun.example.org:0",     None,                             "no port"),
            ("stun:stun.example.org",  None,                             "a URI"),
            ("",                       None,                             "nothing"),
        ];
        for (text, expected, why) in rows {
            let read =
                text.parse::<StunServer>().ok().map(|server| (server.host.to_string(), server.port.get()));
            assert_eq!(read, expected.map(|(host, port)| (host.to_owned(), port)), "{text}: {why}");
        }
    }

    /// Answers the first datagram that it gets by `answer` of its transaction id.
    fn responder(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut request = [0; 64];
            let (size, from) = socket.recv_from(&mut request).unwrap();
            assert_eq!(size, stun::HEADER);
            answer(&request[8..20]).iter().for_each(|bytes| drop(socket.send_to(bytes, from)));
        });
        place
    }

    fn success(id: &[u8]) -> Vec<u8> {
        // 192.0.2.1 as in RFC 5769, which does not depend on the id.
        let head = [1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
        [&head[..], id, &[0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]].concat()
    }

    #[test]
    fn only_the_answer_to_our_own_request_is_believed() {
        let local = "127.0.0.1:0".parse().unwrap();
        let id = TransactionId([9; 12]);
        let forged = responder(|id| {
            let mut forged = success(&[1; 12]);
            forged[27] ^= 1;
            vec![forged, b"garbage".to_vec(), success(id)]
        });
        assert_eq!(exchange(local, forged, id), Some("192.0.2.1".parse().unwrap()));
        let refusing = responder(|id| vec![[&[1, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], id].concat()]);
        let begun = Instant::now();
        assert_eq!(exchange(local, refusing, id), None);
        assert!(begun.elapsed() < TIME_LIMIT, "a refusal ends the wait");
    }
}
