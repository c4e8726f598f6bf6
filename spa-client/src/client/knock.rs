//! The datagrams of one command. Each is sealed anew, so that no two look alike; all of one address family carry the
//! same time and id, so that the server carries out one of them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::thread;
use std::time::Duration;

use rand::RngExt as _;
use spa_core::request::{Request, RequestId, Verb};
use spa_core::scheme::native::{SealingKeys, seal};
use spa_core::time::UnixMillis;

use super::address::Route;
use super::receipts::Pending;
use super::resolve::Family;
use super::whom::Allow;
use crate::clock::{now, utc};
use crate::failure::{Failure, Status};
use crate::output::complain;
use crate::random::Random;
use crate::secret_file::plain;

/// How many datagrams an address gets.
const COPIES: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);

/// What goes to one address of the server.
pub(super) struct Knock {
    pub(super) route: Route,
    pub(super) request: Request,
}

/// All that goes out for a command.
pub(super) struct Plan {
    /// Sent and repeated one after the other.
    pub(super) groups: Vec<Vec<Knock>>,
    /// How many datagrams each address gets.
    pub(super) copies: NonZeroU8,
}

/// The address families on the way, in the order of their first address.
pub(super) fn families(routes: &[Route]) -> Vec<Family> {
    let mut families = Vec::new();
    for route in routes {
        let family = Family::of(route.server.ip());
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

impl Plan {
    /// Each family gets an id, and a time: `first` and the milliseconds behind it. All of an `invoke` share them, so that the
    /// action runs once whatever families the datagrams come by.
    pub(super) fn new(
        verb: &Verb,
        allow: Allow,
        mut routes: Vec<Route>,
        first: UnixMillis,
        random: &mut Random,
    ) -> Self {
        let mut groups = Vec::new();
        let shared = matches!(verb, Verb::Invoke { .. }).then(|| RequestId::random(random));
        for (at, family) in (0..).zip(families(&routes)) {
            let (time, id) = match shared {
                Some(id) => (first, id),
                None => (first.plus(Duration::from_millis(at)), RequestId::random(random)),
            };
            let (these, others) =
                routes.into_iter().partition(|route| Family::of(route.server.ip()) == family);
            routes = others;
            let knock = |route: Route| {
                let addresses = route.stated(allow).into_iter().collect();
                let request = Request { time, id, verb: verb.clone(), addresses, receipt: false };
                Knock { route, request }
            };
            groups.push(Vec::into_iter(these).map(knock).collect());
        }
        // A close makes all that is not later than it stale, also the other family's close: these follow one another.
        if !matches!(verb, Verb::Close(_)) {
            groups = vec![groups.into_iter().flatten().collect()];
        }
        Self { groups, copies: COPIES }
    }

    /// The same with so many datagrams to each address.
    pub(super) fn with_copies(self, copies: NonZeroU8) -> Self {
        Self { copies, ..self }
    }

    /// The same, asking for receipts.
    pub(super) fn with_receipts(mut self, receipt: bool) -> Self {
        self.groups.iter_mut().flatten().for_each(|knock| knock.request.receipt = receipt);
        self
    }

    /// Whether anything can be sent at all.
    pub(super) fn has_route(&self) -> bool {
        self.knocks().any(|knock| knock.route.local.is_ok())
    }

    /// Every address of the server, in the order of sending.
    pub(super) fn knocks(&self) -> impl Iterator<Item = &Knock> {
        self.groups.iter().flatten()
    }

    /// The datagram that is sent first.
    pub(super) fn first_datagram(&self, keys: &SealingKeys, random: &mut Random) -> Result<Vec<u8>, Failure> {
        let knock = self.knocks().find(|knock| knock.route.local.is_ok()).or(self.knocks().next());
        knock.ok_or_else(|| not_sent(None)).and_then(|knock| sealed(keys, &knock.request, random))
    }

    /// Sends all copies of everything, each after a short random pause: a datagram can get lost, and nobody would say so.
    ///
    /// `saved`: the first datagram, if it was sealed already. Returns the addresses that were sent to.
    pub(super) fn send(
        &self,
        keys: &SealingKeys,
        mut saved: Option<Vec<u8>>,
        verbose: bool,
        random: &mut Random,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let mut sent = Sent::default();
        let copies = 0..self.copies.get();
        for (group, copy) in
            self.groups.iter().flat_map(|group| copies.clone().map(move |copy| (group, copy)))
        {
            let repeat = copy > 0;
            if repeat && group.iter().any(|knock| sent.reached.contains(&knock.route.server)) {
                thread::sleep(before_repeat(random));
            }
            sent.group(group, repeat, keys, &mut saved, verbose, random)?;
        }
        sent.outcome()
    }

    /// Sends one copy of everything, for who watches whether the door opens and repeats it only if not.
    pub(super) fn send_copy(
        &self,
        repeat: bool,
        keys: &SealingKeys,
        verbose: bool,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let mut sent = Sent::default();
        for group in &self.groups {
            sent.group(group, repeat, keys, &mut None, verbose, random)?;
        }
        sent.outcome().map(drop)
    }
}

/// The pause before a repeat: random, so that the two do not tell that they belong together.
pub(super) fn before_repeat(random: &mut Random) -> Duration {
    Duration::from_millis(random.random_range(50..=150))
}

/// What became of the datagrams.
#[derive(Default)]
pub(super) struct Sent {
    reached: Vec<SocketAddr>,
    failed: Option<io::Error>,
    /// Those that are out, if somebody waits for their receipts.
    pub(super) pending: Option<Vec<Pending>>,
}

impl Sent {
    /// Nothing yet, for who waits for receipts.
    pub(super) fn awaited() -> Self {
        Self { pending: Some(Vec::new()), ..Self::default() }
    }

    pub(super) fn group<'k>(
        &mut self,
        group: impl IntoIterator<Item = &'k Knock>,
        repeat: bool,
        keys: &SealingKeys,
        saved: &mut Option<Vec<u8>>,
        verbose: bool,
        random: &mut Random,
    ) -> Result<(), Failure> {
        for knock in group {
            let Knock { route: Route { server, local, .. }, request } = knock;
            let local = match local {
                Ok(local) => *local,
                Err(_) if repeat => continue,
                Err(error) => {
                    note(verbose, || format!("not sent to {server}: {}", plain(error)));
                    continue;
                }
            };
            let datagram = saved.take().map_or_else(|| sealed(keys, request, random), Ok)?;
            match send_one(local, *server, &datagram) {
                Ok((from, socket)) => {
                    if let Some(pending) = &mut self.pending {
                        pending.extend(Pending::new(knock, socket, &datagram));
                    }
                    note(verbose, || format!("{from} -> {server} {} bytes", datagram.len()));
                    if !self.reached.contains(server) {
                        self.reached.push(*server);
                    }
                }
                Err(error) => {
                    note(verbose, || format!("not sent to {server}: {}", plain(&error)));
                    self.failed = Some(error);
                }
            }
        }
        Ok(())
    }

    pub(super) fn outcome(self) -> Result<Vec<SocketAddr>, Failure> {
        if self.reached.is_empty() { Err(not_sent(self.failed)) } else { Ok(self.reached) }
    }
}

/// A line of `-v`, with the time by this machine's clock: what it differs from the server's stands in the server's log.
pub(super) fn note(verbose: bool, what: impl FnOnce() -> String) {
    if verbose {
        complain(&format!("{} {}", utc(now()), what()));
    }
}

/// From a socket of its own: one port for all would say that they belong together. Nothing but a receipt is ever read
/// from it.
fn send_one(local: SocketAddr, server: SocketAddr, datagram: &[u8]) -> io::Result<(SocketAddr, UdpSocket)> {
    let socket = UdpSocket::bind(local)?;
    socket.send_to(datagram, server)?;
    Ok((socket.local_addr()?, socket))
}

fn sealed(keys: &SealingKeys, request: &Request, random: &mut Random) -> Result<Vec<u8>, Failure> {
    seal(keys, request, random)
        .map_err(|long| Failure::new(Status::Other, long.to_string(), "ask for fewer services at once"))
}

/// Whether an error means that this machine knows no way to the address.
fn is_no_route(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable};
    let unreachable =
        matches!(error.kind(), HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable);
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // A machine without IPv6; routes of the kinds `prohibit` and `blackhole`.
        let refused = [Errno::AFNOSUPPORT, Errno::ACCESS, Errno::INVAL].map(Errno::raw_os_error);
        unreachable || error.raw_os_error().is_some_and(|number| refused.contains(&number))
    }
    #[cfg(not(unix))]
    unreachable
}

/// `failed`: an error on a way that there was.
fn not_sent(failed: Option<io::Error>) -> Failure {
    match failed {
        Some(error) if !is_no_route(&error) => Failure::new(
            Status::Other,
            format!("nothing could be sent: {}", plain(&error)),
            "see whether a firewall on this machine forbids UDP to the server",
        ),
        _ => Failure::new(
            Status::NoRoute,
            "no route leads to any address of the server",
            "check the network connection; -4 or -6 chooses an address family",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use spa_core::request::Open;

    use super::*;

    fn route(server: &str, local: &str) -> Route {
        Route { server: server.parse().unwrap(), local: Ok(local.parse().unwrap()), seen: None }
    }

    fn plan(verb: &Verb) -> Plan {
        let routes = vec![
            route("[2001:db8::1]:7", "[2001:db8::7]:0"),
            route("192.0.2.1:7", "10.0.0.7:0"),
            route("[2001:db8::2]:7", "[2001:db8::7]:0"),
        ];
        let mut random = crate::random::random().unwrap();
        Plan::new(verb, Allow::Auto, routes, UnixMillis::new(1000).unwrap(), &mut random)
    }

    #[test]
    fn a_family_shares_its_time_and_id_and_states_its_own_address() {
        let open = Verb::Open(Open::plain(vec!["tcp/22".parse().unwrap()]));
        let plan = plan(&open);
        assert_eq!(plan.groups.len(), 1, "all at once");
        let told: Vec<(bool, u64, bool)> = plan
            .knocks()
            .map(|k| (k.route.server.is_ipv6(), k.request.time.get(), k.request.addresses.is_empty()))
            .collect();
        assert_eq!(told, [(true, 1000, false), (true, 1000, false), (false, 1001, true)]);
        let ids: BTreeSet<RequestId> = plan.knocks().map(|k| k.request.id).collect();
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn an_action_is_one_command_by_whatever_family_it_comes() {
        let plan = plan(&Verb::Invoke { action: "wake".to_owned(), arguments: Vec::new() });
        let told: BTreeSet<(u64, RequestId)> =
            plan.knocks().map(|k| (k.request.time.get(), k.request.id)).collect();
        assert_eq!((plan.knocks().count(), told.len()), (3, 1));
    }

    #[test]
    fn the_families_of_a_close_follow_one_another() {
        let plan = plan(&Verb::Close(Vec::new()));
        let times: Vec<Vec<u64>> =
            plan.groups.iter().map(|group| group.iter().map(|k| k.request.time.get()).collect()).collect();
        assert_eq!(times, [vec![1000, 1000], vec![1001]]);
    }
}
