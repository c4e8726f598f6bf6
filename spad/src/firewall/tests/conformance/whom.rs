//! Doors for others than one address: prefixes, single source ports, hosts of one link.

use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::thread::sleep;
use std::time::Instant;

use spa_core::grantee::Grantee;
use spa_core::lease::Limit;
use spa_core::service::Protected;

use super::super::namespace::{Namespace, output};
use super::super::passers_by;
use super::super::world::{CLIENT, HOST, STRANGER, World, bound};
use super::super::*;
use super::case::Case;
use super::properties::{lost_soon, near};

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

pub(super) fn a_source_port_alone_passes(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        let (host, client) = (SocketAddr::new(address(HOST[family]), 22), address(CLIENT[family]));
        let reaches = |from, port| {
            case.world.peer.run(|| passers_by::connect_by(SocketAddr::new(from, port), host).is_some())
        };
        let bound = |port| Door { limit: Limit::SourcePort(port), ..door(client, "tcp/22") };
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

/// The door to ssh for a neighbour on one link.
fn on(interface: u32) -> Door {
    Door {
        grantee: Grantee::OnLink { address: "fe80::99".parse().unwrap(), interface },
        ..door(address("fe80::99"), "tcp/22")
    }
}

/// Gives two links the same addresses: the host's, and of a neighbour on each.
fn two_links(world: &World) {
    world.host.sh("ip addr add fe80::1/64 dev outside nodad
        ip addr add fe80::1/64 dev inside nodad");
    world.peer.sh("ip addr add fe80::99/64 dev p0 nodad
        ip addr add fe80::98/64 dev p0 nodad");
    world.inner.sh("ip addr add fe80::99/64 dev i0 nodad");
}

/// Who gets in: the neighbour outside, another one there, the neighbour inside.
fn neighbours(world: &World) -> [bool; 3] {
    let reaches = |namespace: &Namespace, link: &str, from: &str| {
        let scope = index(namespace, link);
        let end = |text: &str, port| SocketAddrV6::new(text.parse().unwrap(), port, 0, scope).into();
        namespace.run(|| passers_by::connect_by(end(from, 0), end("fe80::1", 22)).is_some())
    };
    let peer = |from| reaches(&world.peer, "p0", from);
    [peer("fe80::99"), peer("fe80::98"), reaches(&world.inner, "i0", "fe80::99")]
}

pub(super) fn a_link_local_door_is_of_one_link(case: &Case) {
    let world = &case.world;
    two_links(world);
    let who = || neighbours(world);
    let _service = World::serve(&world.host, 22);
    let everywhere = Plan { interfaces: Interfaces::Any, ..plan() };
    let mut firewall = case.prepared(&everywhere);
    let [outside, inside] = ["outside", "inside"].map(|name| index(&world.host, name));
    assert_eq!(who(), [false; 3]);
    world.host.run(|| firewall.apply(&[set(on(outside), MINUTE, "here")]).unwrap());
    assert_eq!(who(), [true, false, false], "on the link of the knock only");
    let read = firewall.grants().unwrap();
    assert_eq!((read.len(), read[0].door, &*read[0].comment), (1, on(outside), "here"), "read back");
    assert!(firewall.holds(&on(outside)).unwrap() && !firewall.holds(&on(inside)).unwrap());
    world.host.run(|| {
        firewall.apply(&[Change::Remove { door: on(outside) }, set(on(inside), MINUTE, "")]).unwrap()
    });
    assert_eq!(who(), [false, false, true], "on the other");

    // Made anew under its name, it is another interface.
    let anew = || {
        world.host.sh("ip link del inside");
        world.host.wire("inside", &world.inner, "i0");
        world.host.sh("ip addr add fe80::1/64 dev inside nodad");
        world.inner.sh("ip addr add fe80::99/64 dev i0 nodad");
    };
    anew();
    if case.candidate.infix().is_some() {
        // ipset knows it by its name: the monitor, which hears of the end of an interface, shuts what led to it, and so does
        // a monitor that begins.
        world.host.run(|| firewall.apply(&[Change::Remove { door: on(inside) }]).unwrap());
        assert_eq!(who(), [false; 3], "shut");
        let before = index(&world.host, "inside");
        world.host.run(|| firewall.apply(&[set(on(before), MINUTE, "")]).unwrap());
        assert_eq!(who(), [false, false, true]);
        anew();
        firewall = case.prepared(&everywhere);
        assert_eq!(firewall.grants().unwrap(), []);
    }
    assert_eq!(who(), [false; 3]);
    let again = index(&world.host, "inside");
    assert_ne!(again, inside);
    // What was the old one's goes, whatever it is called now.
    world
        .host
        .run(|| firewall.apply(&[set(on(again), MINUTE, ""), Change::Remove { door: on(inside) }]).unwrap());
    assert_eq!(who(), [false, false, true]);
    world.host.run(|| firewall.apply(&[set(on(inside), MINUTE, "an interface that is gone")]).unwrap());
    assert_eq!(who(), [false, false, true]);
}

/// A door of one source port, of each family.
fn bound_to(port: u16, service: &str) -> [Door; 2] {
    CLIENT.map(|client| Door { limit: Limit::SourcePort(port), ..door(address(client), service) })
}

pub(super) fn narrow_doors_end_by_the_kernel(case: &Case) {
    let world = &case.world;
    two_links(world);
    let _service = World::serve(&world.host, 22);
    let udp = World::udp(&world.host, 5300);
    let mut firewall = case.prepared(&Plan { interfaces: Interfaces::Any, ..plan() });
    let hears = |port: u16| {
        [0, 1].map(|family| {
            passers_by::hears(&udp, || {
                world.peer.run(|| {
                    let socket = bound(|| UdpSocket::bind((address(CLIENT[family]), port)));
                    socket.send_to(b"hello", (address(HOST[family]), 5300)).unwrap();
                });
            })
        })
    };
    // Once for each family: what had a port may still wait for its end.
    let ssh = |family: usize| {
        let from = SocketAddr::new(address(CLIENT[family]), 6000);
        let to = SocketAddr::new(address(HOST[family]), 22);
        world.peer.run(|| passers_by::connect_by(from, to).is_some())
    };
    let link = on(index(&world.host, "outside"));
    assert_eq!((hears(6000), neighbours(world)), ([false; 2], [false; 3]));
    let doors = [&bound_to(6000, "udp/5300")[..], &bound_to(6000, "tcp/22"), &[link]].concat();
    world.host.run(|| {
        firewall.apply(&doors.iter().map(|door| set(*door, 3 * SECOND, "")).collect::<Vec<_>>()).unwrap()
    });
    let start = Instant::now();
    drop(firewall);
    assert_eq!(hears(6000), [true; 2], "in the window");
    assert!(ssh(1), "in the window");
    assert_eq!(neighbours(world), [true, false, false], "in the window");
    assert_eq!(hears(6001), [false; 2], "another port");
    sleep((start + 4 * SECOND).saturating_duration_since(Instant::now()));
    assert_eq!(hears(6000), [false; 2], "the same flow after the window, with nobody left");
    assert_eq!(neighbours(world), [false; 3], "after the window, with nobody left");
    assert!(!ssh(0), "after the window, with nobody left");
}

pub(super) fn narrow_doors_last(case: &Case) {
    let world = &case.world;
    two_links(world);
    let _service = World::serve(&world.host, 22);
    let everywhere = || Plan { interfaces: Interfaces::Any, ..plan() };
    let mut more = everywhere();
    more.protect.extend(["tcp/443", "udp/22"].map(|s| s.parse::<Protected>().unwrap()));
    let mut firewall = case.prepared(&everywhere());
    let doors = [&bound_to(41_000, "tcp/22")[..], &[on(index(&world.host, "outside"))]].concat();
    let all: Vec<_> = doors.iter().map(|door| set(*door, MINUTE, "profile=laptop")).collect();
    let start = Instant::now();
    world.host.run(|| firewall.apply(&all).unwrap());
    for family in [0, 1] {
        let from = SocketAddr::new(address(CLIENT[family]), 41_000);
        let to = SocketAddr::new(address(HOST[family]), 22);
        assert!(world.peer.run(|| passers_by::connect_by(from, to).is_some()));
    }
    assert!(neighbours(world)[0]);
    let mut open: Vec<_> = doors.clone();
    open.sort();
    let held = |firewall: &mut dyn Firewall, why: &str| {
        let mut elements = firewall.grants().unwrap();
        let passed = start.elapsed();
        elements.sort_by_key(|element| element.door);
        assert_eq!(elements.iter().map(|element| element.door).collect::<Vec<_>>(), open, "{why}");
        for element in elements {
            let left = element.remaining.unwrap();
            assert!(
                left <= MINUTE + SECOND && left + passed + SECOND > MINUTE,
                "{why}: {left:?} after {passed:?}"
            );
            assert_eq!(element.comment, "profile=laptop", "{why}");
        }
    };
    drop(firewall);
    let mut firewall = case.prepared(&everywhere());
    held(&mut *firewall, "a restart");
    world.host.run(|| firewall.prepare(&more).unwrap());
    held(&mut *firewall, "a reload with more services");
    world.host.run(|| firewall.prepare(&everywhere()).unwrap());
    held(&mut *firewall, "a reload with fewer again");
    assert!(!case.listing().contains("udp22"), "what is not protected has no sets");
    assert!(neighbours(world)[0]);

    while lost_soon(&mut *firewall, SECOND / 10) {}
    world.host.run(|| {
        case.reload();
        assert!(lost_soon(&mut *firewall, SECOND), "nothing was noticed");
        firewall.prepare(&everywhere()).unwrap();
        firewall.apply(&all).unwrap();
    });
    held(&mut *firewall, "a foreign flush");
    assert!(neighbours(world)[0]);

    // A service that is not protected has no doors, and gets none back.
    let other = Plan { protect: vec!["udp/5300".parse().unwrap()], ..everywhere() };
    world.host.run(|| firewall.prepare(&other).unwrap());
    world.host.run(|| {
        firewall.apply(&doors.iter().map(|door| Change::Remove { door: *door }).collect::<Vec<_>>()).unwrap()
    });
    assert!(!lost_soon(&mut *firewall, SECOND / 2), "it is whole without them");
    world.host.run(|| firewall.prepare(&everywhere()).unwrap());
    assert_eq!(firewall.grants().unwrap(), []);
    assert!(!neighbours(world)[0]);
}

pub(super) fn a_hundred_services(case: &Case) {
    let world = &case.world;
    let _services = [1030, 1031].map(|port| World::serve(&world.host, port));
    let services = (1000..1050).flat_map(|port| [format!("tcp/{port}"), format!("udp/{port}")]);
    let mut many = plan();
    many.protect = services.map(|service| service.parse().unwrap()).collect();
    let start = Instant::now();
    let mut firewall = case.prepared(&many);
    println!("{}: a hundred services in {:?}", case.candidate.name, start.elapsed());
    let doors = bound_to(42_000, "tcp/1030").into_iter().chain(bound_to(42_000, "udp/1031"));
    firewall.apply(&doors.map(|door| set(door, MINUTE, "")).collect::<Vec<_>>()).unwrap();
    for family in [0, 1] {
        let reaches = |from, port| {
            let from = SocketAddr::new(address(CLIENT[family]), from);
            let to = SocketAddr::new(address(HOST[family]), port);
            world.peer.run(|| passers_by::connect_by(from, to).is_some())
        };
        assert!(!reaches(42_001, 1030), "another source port");
        assert!(!reaches(42_000, 1031), "another service, of which the same number is open by UDP");
        assert!(reaches(42_000, 1030), "its own");
    }
    let start = Instant::now();
    assert!(!firewall.lost());
    println!("{}: looked at in {:?}", case.candidate.name, start.elapsed());
}
