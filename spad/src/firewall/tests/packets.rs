//! Real packets through the guard of a host: who gets in, who does not, and what is none of the guard's
//! business.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, sleep};
use std::time::Duration;

use spa_core::service::Protected;

use super::namespace::{load, sh};
use super::passers_by::{ANSWER, connects, delivers, exchange, hears};
use super::world::{CLIENT, HOST, INNER, STRANGER, World, bound};
use super::*;
use crate::firewall::sessions;

#[test]
fn a_stranger_is_dropped_and_a_granted_client_passes() {
    let Some(world) = World::new() else { return };
    let _sshd = World::serve(&world.host, 22);
    let _web = World::serve(&world.host, 80);
    assert!(world.peer_reaches(CLIENT[0], HOST[0], 22), "before the guard");
    assert!(world.peer_reaches(CLIENT[1], HOST[1], 22), "before the guard");
    let mut nftables = world.guard(&plan());
    for family in [0, 1] {
        let (host, client, stranger) = (HOST[family], CLIENT[family], STRANGER[family]);
        assert!(!world.peer_reaches(client, host, 22), "{client} before the knock");
        let door = door(address(client), "tcp/22");
        nftables.apply(&[set(door, MINUTE, "")]).unwrap();
        assert!(world.peer_reaches(client, host, 22), "{client} after the knock");
        assert!(!world.peer_reaches(stranger, host, 22), "{stranger} did not knock");
        assert!(world.peer_reaches(stranger, host, 80), "not protected");
        assert!(
            world.host.run(|| connects(address(host), SocketAddr::new(address(host), 22))),
            "the host itself"
        );
        nftables.apply(&[Change::Remove { door }]).unwrap();
        assert!(!world.peer_reaches(client, host, 22), "{client} after the window");
    }
    assert!(world.host.run(|| connects(address("127.0.0.1"), "127.0.0.1:22".parse().unwrap())), "loopback");
    assert!(world.host.run(|| connects(address("::1"), "[::1]:22".parse().unwrap())), "loopback");
}

#[test]
fn always_allow_and_other_interfaces_need_no_knock() {
    let Some(world) = World::new() else { return };
    let _sshd = World::serve(&world.host, 22);
    let always_allow = STRANGER.map(address).into();
    let mut nftables = world.guard(&Plan { always_allow, ..plan() });
    for family in [0, 1] {
        assert!(world.peer_reaches(STRANGER[family], HOST[family], 22), "always allowed");
        assert!(!world.peer_reaches(CLIENT[family], HOST[family], 22), "not always allowed");
        let inner = || connects(address(INNER[family]), SocketAddr::new(address(HOST[family]), 22));
        assert!(world.inner.run(inner), "came in by an interface without a guard");
        nftables.prepare(&Plan { interfaces: Interfaces::Any, ..plan() }).unwrap();
        assert!(!world.inner.run(inner), "a guard on every interface");
        let itself = || connects(address(HOST[family]), SocketAddr::new(address(HOST[family]), 22));
        assert!(world.host.run(itself), "but never on loopback");
        nftables.prepare(&Plan { always_allow: STRANGER.map(address).into(), ..plan() }).unwrap();
    }
}

#[test]
fn a_session_outlives_its_door_and_an_old_one_the_guard() {
    let Some(world) = World::new() else { return };
    let sshd = World::serve(&world.host, 22);
    let connect = |from: &str| {
        let client =
            world.peer.run(|| passers_by::connect(address(from), "10.9.0.1:22".parse().unwrap()).unwrap());
        (client, sshd.accept().unwrap().0)
    };
    let old = connect(CLIENT[0]);
    let forgotten = connect(STRANGER[0]);
    // The whole list, but for the one session that the test wants to hang.
    let mut keep = world.host.run(|| sessions(&plan().protect).unwrap());
    keep.retain(|session| session.client() != forgotten.0.local_addr().unwrap());
    assert_eq!(keep.len(), 1);
    let mut nftables = world.guard(&Plan { keep, ..plan() });
    assert!(delivers(&forgotten.0, &forgotten.1).is_none(), "neither kept nor known to connection tracking");
    assert!(delivers(&old.0, &old.1).is_some(), "kept");

    let door = door(address(CLIENT[0]), "tcp/22");
    nftables.apply(&[set(door, MINUTE, "")]).unwrap();
    let young = connect(CLIENT[0]);
    nftables.apply(&[Change::Remove { door }]).unwrap();
    assert!(delivers(&young.0, &young.1).is_some(), "begun while the door was open");
    assert!(delivers(&young.1, &young.0).is_some(), "and back");
    let kept = nftables.kept().unwrap();
    nftables.drop_kept(&kept).unwrap();
    assert!(delivers(&old.0, &old.1).is_some(), "connection tracking knows it by now");
}

#[test]
fn what_the_host_begins_is_answered() {
    let Some(world) = World::new() else { return };
    let _remote = World::serve(&world.peer, 22);
    let _nftables = world.guard(&plan());
    let out = |to| connects(address(HOST[0]), SocketAddr::new(address(to), 22));
    assert!(world.host.run(|| out(CLIENT[0])), "to the same port elsewhere");
    // As WireGuard does: from the protected port to somebody who listens.
    let service = World::udp(&world.host, 5300);
    let remote = World::udp(&world.peer, 9999);
    assert!(exchange(&service, &remote, "[::ffff:10.9.0.2]:9999"), "the answer to a protected UDP port");
    assert!(!hears(&service, || world.peer.run(|| send("10.9.0.3:0", "10.9.0.1:5300"))), "a stranger");
}

fn send(from: &str, to: &str) {
    let socket = bound(|| UdpSocket::bind(from));
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"hello", to).unwrap();
}

#[test]
fn a_udp_door_closes_with_its_window_and_cannot_be_walked_around() {
    let Some(world) = World::new() else { return };
    let service = World::udp(&world.host, 5300);
    #[rustfmt::skip]
    let ways = [
        // source, destination, why
        ("10.9.0.2:5000",          "10.9.0.1:5300",           "straight"),
        ("[2001:db8:9::2]:5000",   "[2001:db8:9::1]:5300",    "straight"),
        ("10.9.0.2:5000",          "10.9.0.255:5300",         "to the subnet's broadcast address"),
        ("10.9.0.2:5000",          "255.255.255.255:5300",    "to everybody's broadcast address"),
        ("[2001:db8:9::2]:5000",   "[ff02::1%p0]:5300",       "to all nodes of the link"),
        ("[2001:db8:9::2]:5000",   "[2001:db8:9::]:5300",     "to the router by its anycast address"),
    ];
    let link = world.peer.run(|| namespace::output("ip -o link show p0 | cut -d: -f1"));
    let send = |from, to: &str| world.peer.run(|| send(from, &to.replace("p0", link.trim())));
    for (from, to, why) in ways {
        assert!(hears(&service, || send(from, to)), "{why}: before the guard");
    }
    let mut nftables = world.guard(&plan());
    for (from, to, why) in ways {
        assert!(!hears(&service, || send(from, to)), "{why}");
    }
    let door = door(address(CLIENT[0]), "udp/5300");
    nftables.apply(&[set(door, Duration::from_millis(400), "")]).unwrap();
    assert!(hears(&service, || send("10.9.0.2:5000", "10.9.0.1:5300")), "after the knock");
    sleep(Duration::from_millis(500));
    assert!(!hears(&service, || send("10.9.0.2:5000", "10.9.0.1:5300")), "the same flow after the window");
}

#[test]
fn no_change_leaves_a_gap() {
    let Some(world) = World::new() else { return };
    let service = World::udp(&world.host, 5300);
    let mut nftables = world.guard(&plan());
    let door = door(address(CLIENT[0]), "udp/5300");
    nftables.apply(&[set(door, MINUTE, "")]).unwrap();
    let [client, stranger] =
        [CLIENT[0], STRANGER[0]].map(|from| world.peer.run(|| bound(|| UdpSocket::bind((from, 5000)))));
    service.set_read_timeout(Some(Duration::from_millis(300))).unwrap();

    let done = AtomicBool::new(false);
    let (mut refreshed, mut prepared) = (0_u32, 0_u32);
    thread::scope(|scope| {
        let changer = scope.spawn(|| {
            while !done.load(Relaxed) {
                nftables.apply(&[set(door, MINUTE, "")]).unwrap();
                refreshed += 1;
                if refreshed.is_multiple_of(8) {
                    nftables.prepare(&plan()).unwrap();
                    prepared += 1;
                }
            }
        });
        for n in 0..20_000_u32 {
            stranger.send_to(b"no", "10.9.0.1:5300").unwrap();
            client.send_to(&n.to_be_bytes(), "10.9.0.1:5300").unwrap();
            let mut heard = [0; 8];
            let received = service.recv(&mut heard);
            if received.is_err() || heard[..4] != n.to_be_bytes() {
                done.store(true, Relaxed);
                panic!("datagram {n}: {received:?} {heard:?}");
            }
        }
        done.store(true, Relaxed);
        changer.join().unwrap();
    });
    println!("20000 datagrams during {refreshed} refreshes and {prepared} new plans");
}

#[test]
fn transit_is_unharmed_and_a_named_inner_host_is_guarded() {
    let Some(world) = World::new() else { return };
    let _services = [22, 443].map(|port| World::serve(&world.inner, port));
    let _remote = World::serve(&world.peer, 22);
    let mut named = plan();
    named.protect.extend(INNER.map(|inner| format!("tcp/443@{inner}").parse::<Protected>().unwrap()));
    let mut nftables = world.guard(&named);
    for family in [0, 1] {
        let (inner, client, stranger) = (INNER[family], CLIENT[family], STRANGER[family]);
        assert!(world.peer_reaches(stranger, inner, 22), "{inner} inwards, to the same port");
        let out = || connects(address(inner), SocketAddr::new(address(client), 22));
        assert!(world.inner.run(out), "outwards, to the same port");
        assert!(!world.peer_reaches(client, inner, 443), "named in the plan");
        nftables.apply(&[set(door(address(client), "tcp/443"), MINUTE, "")]).unwrap();
        assert!(world.peer_reaches(client, inner, 443), "after the knock");
        assert!(!world.peer_reaches(stranger, inner, 443), "somebody else");
    }
}

#[test]
fn a_published_port_is_guarded_by_its_outer_number() {
    let Some(world) = World::new() else { return };
    let _inner = World::serve(&world.inner, 80);
    world.host.run(|| {
        load(
            "table ip docker {
                chain prerouting {
                    type nat hook prerouting priority -100; policy accept;
                    ip daddr 10.9.0.1 tcp dport 8080 dnat to 10.8.0.2:80
                }
            }",
        );
    });
    assert!(world.peer_reaches(CLIENT[0], HOST[0], 8080), "before the guard");
    let mut nftables = world.guard(&Plan { protect: vec!["tcp/8080".parse().unwrap()], ..plan() });
    assert!(!world.peer_reaches(CLIENT[0], HOST[0], 8080), "before the knock");
    nftables.apply(&[set(door(address(CLIENT[0]), "tcp/8080"), MINUTE, "")]).unwrap();
    assert!(world.peer_reaches(CLIENT[0], HOST[0], 8080), "after the knock");
    assert!(!world.peer_reaches(STRANGER[0], HOST[0], 8080), "somebody else");
}

#[test]
fn the_spa_port_is_silent() {
    let Some(world) = World::new() else { return };
    let _nftables = world.guard(&plan());
    for host in HOST {
        let answer = |port| world.peer.run(|| passers_by::unreachable(SocketAddr::new(address(host), port)));
        assert_eq!(answer(23572), ANSWER, "{host}: a closed port says so");
        assert_eq!(answer(23571), None, "{host}: the SPA port does not");
    }
    world.host.run(|| sh("! grep -qs 'dport=23571' /proc/net/nf_conntrack"));
}
