//! Doors that lead to an inner host: a client outside, the host between, two inner hosts.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spa_core::terms::{Forward, SourceNat};

use super::super::namespace::{load, sh};
use super::super::passers_by::{connect, delivers, hears};
use super::super::world::{CLIENT, HOST, INNER, STRANGER, World, bound};
use super::super::*;
use super::case::Case;
use super::properties::{SECOND, same, without_handles};

/// The second inner host; and an address of ours that inner hosts may see.
const SECOND_INNER: [&str; 2] = ["10.8.0.3", "2001:db8:8::3"];
const SOURCE: [&str; 2] = ["10.8.0.9", "2001:db8:8::9"];

/// By tcp/8443 and udp/5300 to tcp/443 or udp/443 of one inner host, or to 22 of the other.
fn forwarding() -> Plan {
    let mut plan = plan();
    plan.protect.push("tcp/8443".parse().unwrap());
    for family in [0, 1] {
        plan.forward.extend([to(INNER[family], 443).to, to(SECOND_INNER[family], 22).to]);
        plan.forward_sources.push(address(SOURCE[family]));
    }
    plan
}

/// The same ports, which lead nowhere.
fn nowhere() -> Plan {
    Plan { forward: Vec::new(), forward_sources: Vec::new(), ..forwarding() }
}

fn to(host: &str, port: u16) -> Forward {
    let to = SocketAddr::new(address(host), port).to_string().parse().unwrap();
    Forward { to, source: SourceNat::Keep }
}

fn opened(client: &str, service: &str, forward: Forward) -> Change {
    let Change::Set { door, timeout, comment, on_close, .. } =
        set(door(address(client), service), MINUTE, "by me")
    else {
        unreachable!()
    };
    Change::Set { door, timeout, comment, on_close, forward: Some(forward) }
}

fn shut(client: &str, service: &str) -> Change {
    Change::Remove { door: door(address(client), service) }
}

/// Who may be connected to: this host's own service at the outer port, and those of the inner hosts.
struct Inside {
    own: TcpListener,
    web: TcpListener,
    ssh: [TcpListener; 2],
}

impl Inside {
    fn new(case: &Case) -> Self {
        let world = &case.world;
        world.inner.sh("ip addr add 10.8.0.3/24 brd + dev i0
            ip addr add 2001:db8:8::3/64 dev i0 nodad");
        world.host.sh("ip addr add 10.8.0.9/24 brd + dev inside
            ip addr add 2001:db8:8::9/64 dev inside nodad");
        let ssh = SECOND_INNER
            .map(|host| world.inner.run(|| bound(|| TcpListener::bind(SocketAddr::new(address(host), 22)))));
        let inside = Self { own: World::serve(&world.host, 8443), web: World::serve(&world.inner, 443), ssh };
        for listener in [&inside.own, &inside.web].into_iter().chain(&inside.ssh) {
            listener.set_nonblocking(true).unwrap();
        }
        inside
    }
}

/// The session that a listener got, from whom.
fn accepted(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    let deadline = Instant::now() + SECOND;
    loop {
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(false).unwrap();
                return Some((stream, from.ip().to_canonical()));
            }
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            Err(_) => return None,
        }
    }
}

impl Case<'_> {
    fn calls(&self, from: &str, to: &str) -> Option<TcpStream> {
        let to = SocketAddr::new(address(to), 8443);
        self.world.peer.run(|| connect(address(from), to))
    }
}

pub(super) fn a_door_leads_to_an_inner_host(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        let (host, client) = (HOST[family], CLIENT[family]);
        assert!(case.calls(client, host).is_none(), "before the knock");
        firewall.apply(&[opened(client, "tcp/8443", to(INNER[family], 443))]).unwrap();
        let _session = case.calls(client, host).expect("after the knock");
        let (_, from) = accepted(&inside.web).expect("at the inner host");
        assert_eq!(from, address(client), "by its own address");
        assert!(inside.own.accept().is_err(), "not at this host");
        assert!(case.calls(STRANGER[family], host).is_none(), "somebody else");
        assert!(!case.world.peer_reaches(client, host, 22), "another port");
        // The same profile asks for the other host, then for this one's own service.
        firewall.apply(&[opened(client, "tcp/8443", to(SECOND_INNER[family], 22))]).unwrap();
        let _session = case.calls(client, host).expect("turned");
        assert!(accepted(&inside.ssh[family]).is_some(), "at the other inner host");
        firewall.apply(&[set(door(address(client), "tcp/8443"), MINUTE, "")]).unwrap();
        let _session = case.calls(client, host).expect("turned");
        assert!(accepted(&inside.own).is_some(), "at this host");
        assert_eq!(firewall.grants().unwrap().len(), 1, "one door");
        firewall.apply(&[shut(client, "tcp/8443")]).unwrap();
        assert!(case.calls(client, host).is_none(), "after it was closed");
        assert!(firewall.grants().unwrap().is_empty());
    }
}

pub(super) fn a_forward_ends(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        for source in [SourceNat::Keep, SourceNat::Masquerade] {
            let forward = Forward { source, ..to(INNER[family], 443) };
            firewall.apply(&[opened(CLIENT[family], "tcp/8443", forward)]).unwrap();
            let client = case.calls(CLIENT[family], HOST[family]).expect("in the window");
            let (server, _) = accepted(&inside.web).unwrap();
            firewall.apply(&[shut(CLIENT[family], "tcp/8443")]).unwrap();
            assert!(delivers(&client, &server).is_some(), "begun while the door was open");
            assert!(delivers(&server, &client).is_some(), "and back");
            assert!(case.calls(CLIENT[family], HOST[family]).is_none(), "but no new one");
        }
    }
}

pub(super) fn a_forwarded_session_is_cut(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        let mut change = opened(CLIENT[family], "tcp/8443", to(INNER[family], 443));
        if let Change::Set { on_close, .. } = &mut change {
            *on_close = OnClose::Cut;
        }
        firewall.apply(&[change]).unwrap();
        let client = case.calls(CLIENT[family], HOST[family]).expect("in the window");
        let (server, _) = accepted(&inside.web).unwrap();
        assert!(
            delivers(&client, &server).is_some() && delivers(&server, &client).is_some(),
            "while it is open"
        );
        firewall.apply(&[shut(CLIENT[family], "tcp/8443")]).unwrap();
        assert!(delivers(&client, &server).is_none(), "it ends with its door");
        let _ = delivers(&server, &client);
        assert!(delivers(&client, &server).is_none(), "after the inner host's next byte");
    }
}

pub(super) fn a_forward_ends_by_the_kernel(case: &Case) {
    let _inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    let start = Instant::now();
    for family in [0, 1] {
        let Change::Set { door, comment, on_close, forward, .. } =
            opened(CLIENT[family], "tcp/8443", to(INNER[family], 443))
        else {
            unreachable!()
        };
        firewall.apply(&[Change::Set { door, timeout: 2 * SECOND, comment, on_close, forward }]).unwrap();
    }
    drop(firewall);
    assert!(case.calls(CLIENT[0], HOST[0]).is_some(), "in the window");
    sleep((start + 3 * SECOND).saturating_duration_since(Instant::now()));
    for family in [0, 1] {
        assert!(case.calls(CLIENT[family], HOST[family]).is_none(), "after the window, with nobody left");
    }
}

pub(super) fn a_udp_forward_closes(case: &Case) {
    let _inside = Inside::new(case);
    let service = World::udp(&case.world.inner, 443);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        let send = || {
            case.world.peer.run(|| {
                let socket = bound(|| UdpSocket::bind((address(CLIENT[family]), 5000)));
                socket.send_to(b"hello", (address(HOST[family]), 5300)).unwrap();
            });
        };
        assert!(!hears(&service, send), "before the knock");
        firewall.apply(&[opened(CLIENT[family], "udp/5300", to(INNER[family], 443))]).unwrap();
        assert!(hears(&service, send), "after the knock");
        firewall.apply(&[shut(CLIENT[family], "udp/5300")]).unwrap();
        assert!(!hears(&service, send), "the same flow after the window");
    }
}

pub(super) fn the_sender_is_as_the_profile_says(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        let (client, source) = (address(CLIENT[family]), address(SOURCE[family]));
        let given = SourceNat::Address(source);
        let ours = [address(["10.8.0.1", "2001:db8:8::1"][family]), source];
        for what in [SourceNat::Keep, SourceNat::Masquerade, given, SourceNat::Masquerade, SourceNat::Keep] {
            let forward = Forward { source: what, ..to(INNER[family], 443) };
            firewall.apply(&[opened(CLIENT[family], "tcp/8443", forward)]).unwrap();
            let session = case.calls(CLIENT[family], HOST[family]).expect("in the window");
            let (server, from) = accepted(&inside.web).unwrap();
            assert!(delivers(&server, &session).is_some(), "there and back");
            match what {
                SourceNat::Keep => assert_eq!(from, client, "its own"),
                SourceNat::Masquerade => assert!(ours.contains(&from), "{from}: of the interface"),
                SourceNat::Address(source) => assert_eq!(from, source, "as said"),
            }
            // The same client on a route to the same service.
            let inner = SocketAddr::new(address(INNER[family]), 443);
            let _routed = case.world.peer.run(|| connect(client, inner)).expect("by a route");
            assert_eq!(accepted(&inside.web).unwrap().1, client, "{what}: a route is left alone");
        }
        firewall.apply(&[shut(CLIENT[family], "tcp/8443")]).unwrap();
    }
}

pub(super) fn two_inner_hosts(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    for family in [0, 1] {
        let web = opened(CLIENT[family], "tcp/8443", to(INNER[family], 443));
        let ssh = opened(STRANGER[family], "tcp/8443", to(SECOND_INNER[family], 22));
        firewall.apply(&[web, ssh]).unwrap();
        let _one = case.calls(CLIENT[family], HOST[family]).expect("the one");
        assert_eq!(accepted(&inside.web).unwrap().1, address(CLIENT[family]));
        let _other = case.calls(STRANGER[family], HOST[family]).expect("the other");
        assert_eq!(accepted(&inside.ssh[family]).unwrap().1, address(STRANGER[family]));
        firewall.apply(&[shut(CLIENT[family], "tcp/8443")]).unwrap();
        assert!(case.calls(CLIENT[family], HOST[family]).is_none(), "shut");
        assert!(case.calls(STRANGER[family], HOST[family]).is_some(), "the other stays open");
    }
}

pub(super) fn a_restart_reads_back(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    let mut wanted = Vec::new();
    for family in [0, 1] {
        let given = SourceNat::Address(address(SOURCE[family]));
        let rows = [
            (CLIENT[family], "tcp/8443", to(INNER[family], 443)),
            (CLIENT[family], "udp/5300", Forward { source: given, ..to(INNER[family], 443) }),
            (
                STRANGER[family],
                "tcp/8443",
                Forward { source: SourceNat::Masquerade, ..to(SECOND_INNER[family], 22) },
            ),
        ];
        for (client, service, forward) in rows {
            firewall.apply(&[opened(client, service, forward)]).unwrap();
            wanted.push((door(address(client), service), Some(forward)));
        }
        firewall.apply(&[set(door(address(STRANGER[family]), "tcp/22"), MINUTE, "by me")]).unwrap();
        wanted.push((door(address(STRANGER[family]), "tcp/22"), None));
    }
    drop(firewall);
    let mut later = case.prepared(&forwarding());
    let mut found = later.grants().unwrap();
    assert!(found.iter().all(|element| element.comment == "by me" && element.remaining.is_some()));
    found.sort_by_key(|element| element.door);
    wanted.sort_by_key(|(door, _)| *door);
    let found: Vec<_> = found.into_iter().map(|element| (element.door, element.forward)).collect();
    assert_eq!(found, wanted);
    let _session = case.calls(CLIENT[0], HOST[0]).expect("still open");
    assert!(accepted(&inside.web).is_some());
    // Whoever took over closes what another opened.
    let doors: Vec<_> = wanted.iter().map(|(door, _)| Change::Remove { door: *door }).collect();
    later.apply(&doors).unwrap();
    assert!(later.grants().unwrap().is_empty());
    assert!(case.calls(CLIENT[0], HOST[0]).is_none(), "shut");
}

pub(super) fn a_flush_is_repaired(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&forwarding());
    let open = [0, 1].map(|family| opened(CLIENT[family], "tcp/8443", to(INNER[family], 443)));
    firewall.apply(&open).unwrap();
    case.world.host.run(|| {
        case.reload();
        if let Some(infix) = case.candidate.infix() {
            sh(&format!("iptables{infix} --wait=20 -t nat -F; ip6tables{infix} --wait=20 -t nat -F"));
        }
        assert!(firewall.lost() || firewall.interval().is_none(), "nothing was noticed");
        firewall.prepare(&forwarding()).unwrap();
        firewall.apply(&open).unwrap();
    });
    for family in [0, 1] {
        let _session = case.calls(CLIENT[family], HOST[family]).expect("who knocked");
        assert!(accepted(&inside.web).is_some(), "at the inner host");
        assert!(case.calls(STRANGER[family], HOST[family]).is_none(), "who did not");
    }
}

pub(super) fn a_plan_without_targets(case: &Case) {
    let inside = Inside::new(case);
    let mut firewall = case.prepared(&nowhere());
    let before = without_handles(&case.listing());
    case.world.host.run(|| firewall.prepare(&forwarding()).unwrap());
    assert!(case.listing().to_lowercase().contains("dnat"), "{}", case.listing());
    let leads = opened(CLIENT[0], "tcp/8443", to(INNER[0], 443));
    firewall.apply(std::slice::from_ref(&leads)).unwrap();
    let client = case.calls(CLIENT[0], HOST[0]).expect("in the window");
    let (server, _) = accepted(&inside.web).unwrap();
    // Another plan, which still names the target, turns nothing.
    let mut fewer = forwarding();
    fewer.forward.remove(1);
    case.world.host.run(|| firewall.prepare(&fewer).unwrap());
    let _session = case.calls(CLIENT[0], HOST[0]).expect("the same door");
    assert!(accepted(&inside.web).is_some(), "the same host");
    assert!(delivers(&client, &server).is_some(), "and its session lives on");
    // What leads to a target that is gone is shut before anything leads elsewhere.
    case.world.host.run(|| firewall.prepare(&nowhere()).unwrap());
    assert!(case.calls(CLIENT[0], HOST[0]).is_none(), "shut, though the monitor has not said so yet");
    same(&plain(&case.listing()), &plain(&before), "as if there had been none");
    assert!(firewall.grants().unwrap().is_empty());
    firewall.apply(&[shut(CLIENT[0], "tcp/8443")]).unwrap();
    // And by a monitor that has only just started.
    case.world.host.run(|| firewall.prepare(&forwarding()).unwrap());
    firewall.apply(std::slice::from_ref(&leads)).unwrap();
    let _later = case.prepared(&nowhere());
    assert!(case.calls(CLIENT[0], HOST[0]).is_none(), "shut by another monitor");
}

/// Without what a table that somebody used once shows from then on: empty chains.
fn plain(listing: &str) -> String {
    let text = without_handles(listing);
    let lines = text.lines().filter(|line| !line.starts_with(':') && !["COMMIT", "*nat"].contains(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Publishes the outer port to the second inner host, as Docker would.
fn publish(case: &Case) {
    match case.candidate.infix() {
        Some(infix) => sh(&format!(
            "iptables{infix} --wait=20 -t nat -A PREROUTING -p tcp --dport 8443 -j DNAT --to-destination 10.8.0.3:22
             iptables{infix} --wait=20 -t nat -A POSTROUTING -d 10.8.0.2 -j SNAT --to-source 10.8.0.1"
        )),
        None => load("table ip published {
            chain out { type nat hook prerouting priority -100; policy accept;
                tcp dport 8443 dnat to 10.8.0.3:22
            }
            chain back { type nat hook postrouting priority 100; policy accept;
                ip daddr 10.8.0.2 snat to 10.8.0.1
            }
        }"),
    }
}

pub(super) fn foreign_nat_comes_second(case: &Case) {
    let inside = Inside::new(case);
    case.world.host.run(|| publish(case));
    let before = case.foreign();
    let mut firewall = case.prepared(&forwarding());
    same(&case.foreign(), &before, "after preparing");
    let masqueraded = Forward { source: SourceNat::Address(address(SOURCE[0])), ..to(INNER[0], 443) };
    for cycle in 0..20 {
        firewall.apply(&[opened(CLIENT[0], "tcp/8443", masqueraded)]).unwrap();
        if cycle == 0 {
            let _session = case.calls(CLIENT[0], HOST[0]).expect("in the window");
            let (_, from) =
                accepted(&inside.web).expect("where the door leads, not where the port is published");
            assert_eq!(from, address(SOURCE[0]), "in the door's name, not in that of others");
        }
        firewall.apply(&[shut(CLIENT[0], "tcp/8443")]).unwrap();
        if cycle % 5 == 0 {
            case.world.host.run(|| firewall.prepare(&nowhere()).unwrap());
            case.world.host.run(|| firewall.prepare(&forwarding()).unwrap());
        }
    }
    same(&case.foreign(), &before, "after 20 doors were opened and closed");
    case.world.host.run(|| firewall.teardown().unwrap());
    same(&case.foreign(), &before, "after the teardown");
    assert!(!case.listing().to_lowercase().contains("spad"), "{}", case.listing());
}
