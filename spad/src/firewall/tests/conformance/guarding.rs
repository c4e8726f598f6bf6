//! What a guard has besides: it drops itself, and must not drop what is none of its business.

use std::net::{SocketAddr, UdpSocket};

use super::super::namespace::{self, load, sh};
use super::super::passers_by::{self, ANSWER, connects, delivers, hears};
use super::super::world::{CLIENT, HOST, INNER, STRANGER, World, bound};
use super::super::*;
use super::case::Case;
use crate::firewall::{Session, sessions};

pub(super) fn the_spa_port_is_silent(case: &Case) {
    let _firewall = case.prepared(&plan());
    for host in HOST {
        let answer =
            |port| case.world.peer.run(|| passers_by::unreachable(SocketAddr::new(address(host), port)));
        assert_eq!(answer(23572), ANSWER, "{host}: a closed port says so");
        assert_eq!(answer(23571), None, "{host}: the SPA port does not");
    }
    case.world.host.run(|| sh("! grep -qs 'dport=23571' /proc/net/nf_conntrack"));
}

pub(super) fn loopback_and_transit(case: &Case) {
    let world = &case.world;
    let _here = World::serve(&world.host, 22);
    let _inner = World::serve(&world.inner, 22);
    let _remote = World::serve(&world.peer, 22);
    let _firewall = case.prepared(&Plan { interfaces: Interfaces::Any, ..plan() });
    for family in [0, 1] {
        let (host, inner, client) = (HOST[family], INNER[family], CLIENT[family]);
        assert!(!world.peer_reaches(client, host, 22), "the guard stands everywhere");
        let own = || connects(address(host), SocketAddr::new(address(host), 22));
        assert!(world.host.run(own), "the host's own address");
        assert!(world.peer_reaches(client, inner, 22), "inwards, to the same port");
        let out = || connects(address(inner), SocketAddr::new(address(client), 22));
        assert!(world.inner.run(out), "outwards, to the same port");
        let begun = || connects(address(host), SocketAddr::new(address(client), 22));
        assert!(world.host.run(begun), "what the host begins is answered");
    }
    assert!(world.host.run(|| connects(address("127.0.0.1"), "127.0.0.1:22".parse().unwrap())), "loopback");
    assert!(world.host.run(|| connects(address("::1"), "[::1]:22".parse().unwrap())), "loopback");
}

pub(super) fn other_interfaces(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let always_allow = STRANGER.map(address).into();
    let mut firewall = case.prepared(&Plan { always_allow, ..plan() });
    for family in [0, 1] {
        let inside = || connects(address(INNER[family]), SocketAddr::new(address(HOST[family]), 22));
        assert!(case.world.inner.run(inside), "came in by an interface without a guard");
        assert!(case.world.peer_reaches(STRANGER[family], HOST[family], 22), "always allowed");
        assert!(!case.world.peer_reaches(CLIENT[family], HOST[family], 22), "not always allowed");
    }
    let everywhere = Plan { interfaces: Interfaces::Any, ..plan() };
    case.world.host.run(|| firewall.prepare(&everywhere).unwrap());
    for family in [0, 1] {
        let inside = || connects(address(INNER[family]), SocketAddr::new(address(HOST[family]), 22));
        assert!(!case.world.inner.run(inside), "a guard on every interface");
        assert!(!case.world.peer_reaches(STRANGER[family], HOST[family], 22), "no longer always allowed");
    }
    case.world.host.run(|| firewall.prepare(&plan()).unwrap());
    let inside = || connects(address(INNER[0]), SocketAddr::new(address(HOST[0]), 22));
    assert!(case.world.inner.run(inside), "and back");
}

pub(super) fn a_named_inner_host(case: &Case) {
    let _services = [22, 443].map(|port| World::serve(&case.world.inner, port));
    let mut named = plan();
    named.protect.extend(
        INNER.map(|inner| format!("tcp/443@{inner}").parse::<spa_core::service::Protected>().unwrap()),
    );
    let mut firewall = case.prepared(&named);
    for family in [0, 1] {
        let (inner, client, stranger) = (INNER[family], CLIENT[family], STRANGER[family]);
        assert!(!case.world.peer_reaches(client, inner, 443), "before the knock");
        firewall.apply(&[set(door(address(client), "tcp/443"), MINUTE, "")]).unwrap();
        assert!(case.world.peer_reaches(client, inner, 443), "after the knock");
        assert!(!case.world.peer_reaches(stranger, inner, 443), "somebody else");
        assert!(case.world.peer_reaches(stranger, inner, 22), "another service of it");
    }
}

pub(super) fn a_published_port(case: &Case) {
    let world = &case.world;
    let _inner = World::serve(&world.inner, 80);
    world.host.run(|| {
        let name = case.candidate.name;
        if name.starts_with("nft") {
            return load(
                "table ip docker {
                    chain prerouting {
                        type nat hook prerouting priority -100; policy accept;
                        ip daddr 10.9.0.1 tcp dport 8080 dnat to 10.8.0.2:80
                    }
                }",
            );
        }
        let program = if name.contains("legacy") { "iptables-legacy" } else { "iptables-nft" };
        sh(&format!(
            "{program} -w 20 -t nat -A PREROUTING -d 10.9.0.1 -p tcp --dport 8080 -j DNAT --to 10.8.0.2:80"
        ));
    });
    assert!(world.peer_reaches(CLIENT[0], HOST[0], 8080), "before the guard");
    let mut firewall = case.prepared(&Plan { protect: vec!["tcp/8080".parse().unwrap()], ..plan() });
    assert!(!world.peer_reaches(CLIENT[0], HOST[0], 8080), "before the knock");
    firewall.apply(&[set(door(address(CLIENT[0]), "tcp/8080"), MINUTE, "")]).unwrap();
    assert!(world.peer_reaches(CLIENT[0], HOST[0], 8080), "after the knock");
    assert!(!world.peer_reaches(STRANGER[0], HOST[0], 8080), "somebody else");
}

pub(super) fn no_way_around(case: &Case) {
    let service = World::udp(&case.world.host, 5300);
    let link = case
        .world
        .host
        .run(|| namespace::output("ip -6 -o addr show dev outside scope link | sed 's|.*inet6 ||; s|/.*||'"));
    let link_local = format!("[{}%p0]:5300", link.trim());
    #[rustfmt::skip]
    let ways = [
        // source, destination, why
        ("10.9.0.2:5000",          "10.9.0.1:5300",           "straight"),
        ("[2001:db8:9::2]:5000",   "[2001:db8:9::1]:5300",    "straight"),
        ("10.9.0.2:5000",          "10.9.0.255:5300",         "to the subnet's broadcast address"),
        ("10.9.0.2:5000",          "255.255.255.255:5300",    "to everybody's broadcast address"),
        ("[2001:db8:9::2]:5000",   "[ff02::1%p0]:5300",       "to all nodes of the link"),
        ("[2001:db8:9::2]:5000",   "[2001:db8:9::]:5300",     "to the router by its anycast address"),
        ("[::]:5000",              &link_local,               "to its link-local address"),
    ];
    let index = case.world.peer.run(|| namespace::output("ip -o link show p0 | cut -d: -f1"));
    let send = |from: &str, to: &str| {
        case.world.peer.run(|| {
            let socket = bound(|| UdpSocket::bind(from));
            socket.set_broadcast(true).unwrap();
            socket.send_to(b"hello", to.replace("p0", index.trim())).unwrap();
        });
    };
    for (from, to, why) in ways {
        assert!(hears(&service, || send(from, to)), "{why}: before the guard");
    }
    let _firewall = case.prepared(&plan());
    for (from, to, why) in ways {
        assert!(!hears(&service, || send(from, to)), "{why}");
    }
}

pub(super) fn an_old_session(case: &Case) {
    let sshd = World::serve(&case.world.host, 22);
    for family in [0, 1] {
        let connect = |from: &str| {
            let to = SocketAddr::new(address(HOST[family]), 22);
            let client = case.world.peer.run(|| passers_by::connect(address(from), to).unwrap());
            (client, sshd.accept().unwrap().0)
        };
        let old = connect(CLIENT[family]);
        let forgotten = connect(STRANGER[family]);
        // Forget what connection tracking may know already: a plain host has none before the guard.
        case.world.host.run(|| sh("conntrack -F >/dev/null 2>&1 || true"));
        let mut keep = case.world.host.run(|| sessions(&plan().protect).unwrap());
        keep.retain(|session| session.client() == old.0.local_addr().unwrap());
        assert_eq!(keep.len(), 1);
        let mut firewall = case.prepared(&Plan { keep: keep.clone(), ..plan() });
        assert!(
            delivers(&forgotten.0, &forgotten.1).is_none(),
            "neither kept nor known to connection tracking"
        );
        assert!(delivers(&old.0, &old.1).is_some(), "kept");
        assert_eq!(firewall.kept().unwrap(), keep, "read back");
        case.world.host.run(|| firewall.prepare(&plan()).unwrap());
        assert_eq!(firewall.kept().unwrap(), keep, "a plan without it lets it be");
        firewall.drop_kept(&keep).unwrap();
        firewall.drop_kept(&keep).unwrap();
        assert!(firewall.kept().unwrap().is_empty());
        assert!(delivers(&old.0, &old.1).is_some(), "connection tracking knows it by now");
        case.world.host.run(teardown_all);
    }
}

pub(super) fn a_kept_session_opens_nothing_else(case: &Case) {
    let _services = [22, 443].map(|port| World::serve(&case.world.host, port));
    let mut two = plan();
    two.protect.push("tcp/443".parse().unwrap());
    for family in [0, 1] {
        let client = SocketAddr::new(address(CLIENT[family]), 50_001);
        let server = |port| SocketAddr::new(address(HOST[family]), port);
        two.keep.push(Session::new(client, server(22)).unwrap());
    }
    let _firewall = case.prepared(&two);
    for family in [0, 1] {
        #[rustfmt::skip]
        let rows = [
            // who, source port, port, gets in, why
            (CLIENT,   50_001, 443, false, "another service, from the session's port"),
            (CLIENT,   50_002, 22,  false, "another session"),
            (STRANGER, 50_001, 22,  false, "somebody else, from the same port"),
            (CLIENT,   50_001, 22,  true,  "the session itself"),
        ];
        for (who, from, to, gets_in, why) in rows {
            let from = SocketAddr::new(address(who[family]), from);
            let to = SocketAddr::new(address(HOST[family]), to);
            let came_in = case.world.peer.run(|| passers_by::connect_by(from, to).is_some());
            assert_eq!(came_in, gets_in, "{why}");
        }
    }
}

fn teardown_all() {
    crate::firewall::choice::teardown().unwrap();
}
