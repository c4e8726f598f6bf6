//! Doors for others than one address: prefixes, single source ports, hosts of one link.

use std::net::{SocketAddr, SocketAddrV6};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Instant;

use spa_core::grantee::Grantee;
use spa_core::lease::Limit;

use super::super::namespace::{Namespace, output};
use super::super::passers_by;
use super::super::world::{CLIENT, HOST, STRANGER, World};
use super::super::*;
use super::case::Case;
use super::properties::near;

const SECOND: Duration = Duration::from_secs(1);

fn prefix(text: &str) -> Door {
    let (first, bits) = text.split_once('/').unwrap();
    let grantee = Grantee::prefix(address(first), bits.parse().unwrap()).unwrap();
    Door { grantee, ..door(address(first), "tcp/22") }
}

fn with_prefixes() -> Plan {
    let prefixes = ["ipv4/8", "ipv4/16", "ipv4/24", "ipv4/31", "ipv6/48", "ipv6/64"];
    Plan { prefixes: prefixes.map(|length| length.parse().unwrap()).into(), ..plan() }
}

/// Somebody in the same /16 and /48 as the clients, but in another /24 and /64.
const FARTHER: [&str; 2] = ["10.9.7.7", "2001:db8:9:7::7"];

pub(super) fn prefixes_do_not_collide(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    case.world.peer.sh("ip addr add 10.9.7.7/32 dev p0
        ip addr add 2001:db8:9:7::7/128 dev p0");
    case.world.host.sh("ip route add 10.9.7.0/24 dev outside
        ip route add 2001:db8:9:7::/64 dev outside");
    let mut firewall = case.prepared(&with_prefixes());
    let around = ["10.9.0.0/16", "2001:db8:9::/48"].map(prefix);
    let within = ["10.9.0.0/24", "2001:db8:9::/64"].map(prefix);
    for family in [0, 1] {
        let exact = door(address(CLIENT[family]), "tcp/22");
        let open = |who: [&str; 2]| case.world.peer_reaches(who[family], HOST[family], 22);
        let who = || [open(CLIENT), open(STRANGER), open(FARTHER)];
        assert_eq!(who(), [false; 3]);
        // In one transaction and in several, the wide ones first and last.
        firewall.apply(&[set(within[family], MINUTE, "")]).unwrap();
        assert_eq!(who(), [true, true, false], "the /24 or /64");
        firewall.apply(&[set(exact, MINUTE, ""), set(around[family], MINUTE, "")]).unwrap();
        assert_eq!(who(), [true; 3], "an address in it and a prefix around it");
        firewall.apply(&[set(within[family], 2 * MINUTE, "again"), set(exact, 10 * MINUTE, "")]).unwrap();
        let mut left: Vec<_> = firewall.grants().unwrap();
        left.retain(|element| element.door.grantee.address().is_ipv6() == (family == 1));
        left.sort_by_key(|element| element.remaining);
        assert_eq!(left.iter().map(|e| e.door).collect::<Vec<_>>(), [around[family], within[family], exact]);
        for (element, minutes) in left.iter().zip([1, 2, 10]) {
            near(element.remaining.unwrap(), minutes * MINUTE, "each has a window of its own");
        }
        assert_eq!(left[1].comment, "again");
        firewall.apply(&[Change::Remove { door: around[family] }]).unwrap();
        assert_eq!(who(), [true, true, false], "without the one around");
        firewall.apply(&[Change::Remove { door: exact }]).unwrap();
        assert_eq!(who(), [true, true, false], "without the address");
        firewall.apply(&[set(exact, MINUTE, ""), Change::Remove { door: within[family] }]).unwrap();
        assert_eq!(who(), [true, false, false], "the address alone");
        firewall.apply(&[set(within[family], 2 * SECOND, "")]).unwrap();
        let end = Instant::now() + 3 * SECOND;
        assert_eq!(who(), [true, true, false], "in its window");
        while open(STRANGER) {
            assert!(Instant::now() < end, "open after its window");
            sleep(SECOND / 20);
        }
        assert_eq!(who(), [true, false, false], "after its window, which is nobody else's");
    }
    firewall.apply(&around.map(|door| set(door, MINUTE, "profile=laptop"))).unwrap();
    drop(firewall);
    let mut later = case.prepared(&with_prefixes());
    let doors: Vec<_> = later.grants().unwrap().into_iter().map(|element| element.door).collect();
    assert!(around.iter().all(|door| doors.contains(door)) && doors.len() == 4, "read back: {doors:?}");
    // What a plan no longer has, no later one brings back.
    later.apply(&around.map(|door| Change::Remove { door })).unwrap();
    let client = door(address(CLIENT[0]), "tcp/22");
    later.apply(&[Change::Remove { door: client }, set(within[0], MINUTE, "")]).unwrap();
    assert!(case.world.peer_reaches(CLIENT[0], HOST[0], 22));
    case.world.host.run(|| later.prepare(&plan()).unwrap());
    // ipset has one set for all lengths, and leaves it to the monitor's leases.
    let left = later.grants().unwrap().into_iter().any(|element| element.door == within[0]);
    assert_eq!(left, case.candidate.name.starts_with("ipt"), "an element of a length that is gone");
    later.apply(&[Change::Remove { door: within[0] }]).unwrap();
    case.world.host.run(|| later.prepare(&with_prefixes()).unwrap());
    assert!(!case.world.peer_reaches(CLIENT[0], HOST[0], 22), "a length that was away for a while");
}

/// Asks whether the backend can hold such a door. Where it cannot, asking for it all the same opens nothing.
fn can(case: &Case, firewall: &mut dyn Firewall, door: Door) -> bool {
    let Some(lack) = firewall.lacks(&door) else { return true };
    assert!(case.candidate.name.starts_with("ipt") && lack.contains("no type of set"), "{lack}");
    firewall.apply(&[set(door, MINUTE, "")]).unwrap();
    assert!(firewall.grants().unwrap().is_empty());
    case.refused.store(true, Relaxed);
    false
}

pub(super) fn a_source_port_alone_passes(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        let (host, client) = (SocketAddr::new(address(HOST[family]), 22), address(CLIENT[family]));
        let reaches = |from, port| {
            case.world.peer.run(|| passers_by::connect_by(SocketAddr::new(from, port), host).is_some())
        };
        let bound = |port| Door { limit: Limit::SourcePort(port), ..door(client, "tcp/22") };
        if !can(case, &mut *firewall, bound(40_000)) {
            assert!(!reaches(client, 40_000), "refused, and nothing opened");
            continue;
        }
        firewall.apply(&[set(bound(40_000), MINUTE, ""), set(bound(40_001), MINUTE, "")]).unwrap();
        assert!(reaches(client, 40_000), "the port");
        assert!(reaches(client, 40_001), "another one of it");
        assert!(!reaches(client, 40_002), "another");
        assert!(!reaches(address(STRANGER[family]), 40_000), "of another address");
        firewall.apply(&[Change::Remove { door: bound(40_001) }]).unwrap();
        assert!(!reaches(client, 40_003));
        let read: Vec<_> = firewall.grants().unwrap().into_iter().map(|element| element.door).collect();
        assert_eq!(read, [bound(40_000)], "read back");
        firewall.apply(&[set(door(client, "tcp/22"), MINUTE, "")]).unwrap();
        assert!(reaches(client, 40_004), "somebody else's whole door beside it");
        let all = [bound(40_000), door(client, "tcp/22")].map(|door| Change::Remove { door });
        firewall.apply(&all).unwrap();
        assert!(!reaches(client, 40_005));
    }
}

/// Index of an interface, in a namespace.
fn index(namespace: &Namespace, name: &str) -> u32 {
    namespace
        .run(|| output(&format!("ip -o link show dev {name}")).split(':').next().unwrap().parse().unwrap())
}

pub(super) fn a_link_local_door_is_of_one_link(case: &Case) {
    let world = &case.world;
    // The same addresses on two links: the host's, and of a neighbour on each.
    world.host.sh("ip addr add fe80::1/64 dev outside nodad
        ip addr add fe80::1/64 dev inside nodad");
    world.peer.sh("ip addr add fe80::99/64 dev p0 nodad
        ip addr add fe80::98/64 dev p0 nodad");
    world.inner.sh("ip addr add fe80::99/64 dev i0 nodad");
    let _service = World::serve(&world.host, 22);
    let mut firewall = case.prepared(&Plan { interfaces: Interfaces::Any, ..plan() });
    let on = |interface| Door {
        grantee: Grantee::OnLink { address: "fe80::99".parse().unwrap(), interface },
        ..door(address("fe80::99"), "tcp/22")
    };
    let [outside, inside] = ["outside", "inside"].map(|name| index(&world.host, name));
    let reaches = |namespace: &Namespace, link: &str, from: &str| {
        let scope = index(namespace, link);
        let end = |text: &str, port| SocketAddrV6::new(text.parse().unwrap(), port, 0, scope).into();
        namespace.run(|| passers_by::connect_by(end(from, 0), end("fe80::1", 22)).is_some())
    };
    let who = || {
        let peer = |from| reaches(&world.peer, "p0", from);
        [peer("fe80::99"), peer("fe80::98"), reaches(&world.inner, "i0", "fe80::99")]
    };
    assert_eq!(who(), [false; 3]);
    if !can(case, &mut *firewall, on(outside)) {
        assert_eq!(who(), [false; 3], "refused, and nothing opened");
        return;
    }
    firewall.apply(&[set(on(outside), MINUTE, "here")]).unwrap();
    assert_eq!(who(), [true, false, false], "on the link of the knock only");
    let read = firewall.grants().unwrap();
    assert_eq!((read.len(), read[0].door, &*read[0].comment), (1, on(outside), "here"), "read back");
    firewall.apply(&[Change::Remove { door: on(outside) }, set(on(inside), MINUTE, "")]).unwrap();
    assert_eq!(who(), [false, false, true], "on the other");
    // Made anew under its name, it is another interface.
    world.host.sh("ip link del inside");
    world.host.wire("inside", &world.inner, "i0");
    world.host.sh("ip addr add fe80::1/64 dev inside nodad");
    world.inner.sh("ip addr add fe80::99/64 dev i0 nodad");
    assert_eq!(who(), [false; 3]);
    let again = index(&world.host, "inside");
    assert_ne!(again, inside);
    firewall.apply(&[set(on(again), MINUTE, "")]).unwrap();
    assert_eq!(who(), [false, false, true]);
}
