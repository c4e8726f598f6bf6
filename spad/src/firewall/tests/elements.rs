//! Doors in the kernel's sets.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::namespace::{Namespace, listing, sh};
use super::*;
use crate::firewall::{Element, FirewallError, Session};

const SECOND: Duration = Duration::from_secs(1);

/// The one open door.
fn only(nftables: &mut Nftables) -> Element {
    let mut grants = nftables.grants().unwrap();
    assert_eq!(grants.len(), 1, "{grants:?}");
    grants.remove(0)
}

fn remaining(nftables: &mut Nftables) -> Duration {
    only(nftables).remaining.unwrap()
}

#[test]
fn a_door_is_read_back_by_a_later_connection() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        for address in [address("192.0.2.9"), address("2001:db8::9")] {
            let door = door(address, "tcp/22");
            prepared(&plan()).apply(&[set(door, MINUTE, "profile=laptop id=00ff")]).unwrap();
            assert!(listing().contains("comment \"profile=laptop id=00ff\""), "{}", listing());

            let mut later = prepared(&plan());
            let element = only(&mut later);
            assert_eq!(element.door, door);
            assert_eq!(element.comment, "profile=laptop id=00ff");
            let remaining = element.remaining.unwrap();
            assert!(remaining <= MINUTE && remaining > MINUTE - 5 * SECOND, "{remaining:?}");
            later.apply(&[Change::Remove { door }]).unwrap();
            assert!(later.grants().unwrap().is_empty());
        }
    });
}

#[test]
fn a_refresh_may_lengthen_and_shorten() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let door = door(address("192.0.2.9"), "tcp/22");
        for timeout in [MINUTE, 10 * MINUTE, 10 * SECOND] {
            nftables.apply(&[set(door, timeout, "again")]).unwrap();
            let remaining = remaining(&mut nftables);
            assert!(remaining <= timeout && remaining > timeout - 5 * SECOND, "{remaining:?} of {timeout:?}");
        }
    });
}

#[test]
fn a_door_closes_by_itself() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let door = door(address("192.0.2.9"), "tcp/22");
        let start = Instant::now();
        nftables.apply(&[set(door, 300 * SECOND / 1000, "")]).unwrap();
        while !nftables.grants().unwrap().is_empty() {
            assert!(start.elapsed() < 2 * SECOND, "still open");
            sleep(SECOND / 100);
        }
        assert!(start.elapsed() >= 250 * SECOND / 1000, "closed after {:?}", start.elapsed());
        nftables.apply(&[Change::Remove { door }]).unwrap();
        nftables.apply(&[set(door, Duration::ZERO, "no time at all is not for ever")]).unwrap();
        sleep(SECOND / 10);
        assert!(nftables.grants().unwrap().is_empty());
    });
}

#[test]
fn a_shut_door_can_be_shut_again_beside_other_changes() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let opened = door(address("192.0.2.9"), "tcp/22");
        let missing = door(address("192.0.2.10"), "tcp/22");
        nftables.apply(&[Change::Remove { door: missing }, set(opened, MINUTE, "")]).unwrap();
        assert_eq!(only(&mut nftables).door, opened);
        nftables.apply(&[set(missing, MINUTE, ""), Change::Remove { door: missing }]).unwrap();
        assert_eq!(only(&mut nftables).door, opened, "the last word on a door counts");
        nftables.apply(&[Change::Remove { door: opened }, set(opened, MINUTE, "")]).unwrap();
        assert_eq!(only(&mut nftables).door, opened, "the last word on a door counts");
        nftables.apply(&[]).unwrap();
    });
}

#[test]
fn a_thousand_doors_open_in_one_transaction() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let comment = "x".repeat(127);
        let doors: Vec<_> = (0..1000_u32)
            .flat_map(|n| {
                let four = Ipv4Addr::from_bits(0x0a00_0000 + n);
                [door(four, "tcp/22"), door(four.to_ipv6_compatible(), "udp/5300")]
            })
            .collect();
        let changes: Vec<_> = doors.iter().map(|door| set(*door, MINUTE, &comment)).collect();
        let start = Instant::now();
        nftables.apply(&changes).unwrap();
        let elapsed = start.elapsed();
        println!("{} doors in one transaction: {elapsed:?}", changes.len());
        let open: HashSet<_> = nftables.grants().unwrap().into_iter().map(|element| element.door).collect();
        assert_eq!(open, doors.into_iter().collect());
    });
}

#[test]
fn doors_opened_by_hand_have_no_end() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        sh("nft add element inet spad grants4 '{ 192.0.2.9 . tcp . 22 }'");
        assert_eq!(only(&mut nftables).remaining, None);
        sh("nft add element inet spad grants4 '{ 192.0.2.10 . icmp . 0 }'");
        assert_eq!(
            only(&mut nftables).door.grantee,
            address("192.0.2.9").into(),
            "what is no door is left out"
        );
    });
}

#[test]
fn kept_sessions_come_and_go() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let session = |client: &str, server: &str| {
            Session::new(client.parse().unwrap(), server.parse().unwrap()).unwrap()
        };
        let four = session("10.0.0.1:50000", "10.0.0.2:22");
        let six = session("[2001:db8::1]:50000", "[2001:db8::2]:22");
        let mut nftables = prepared(&Plan { keep: vec![four], ..plan() });
        nftables.keep(&[six, four]).unwrap();
        assert_eq!(nftables.kept().unwrap(), [four, six]);
        nftables.prepare(&plan()).unwrap();
        assert_eq!(nftables.kept().unwrap(), [four, six], "a plan without them lets them be");
        nftables.drop_kept(&[four, four]).unwrap();
        nftables.drop_kept(&[four]).unwrap();
        assert_eq!(nftables.kept().unwrap(), [six]);
    });
}

#[test]
fn doors_without_a_table_are_refused_as_one() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = Nftables::guard().unwrap();
        let changes = [
            set(door(address("192.0.2.9"), "tcp/22"), MINUTE, ""),
            set(door(address("2001:db8::9"), "tcp/22"), MINUTE, ""),
        ];
        assert!(matches!(nftables.apply(&changes), Err(FirewallError::Absent)));
        assert!(matches!(nftables.grants(), Err(FirewallError::Absent)));
        sh(
            "nft add table inet spad
            nft add set inet spad grants4 '{ type ipv4_addr . inet_proto . inet_service ; flags timeout ; }'",
        );
        let half = listing();
        assert!(matches!(nftables.apply(&changes), Err(FirewallError::Absent)), "one of two sets is missing");
        assert_eq!(listing(), half, "the other one was not touched");
    });
}

#[test]
fn opening_a_door_takes_microseconds() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let mut time = |change: &dyn Fn(u32) -> Change| {
            let mut times: Vec<_> = (0..500)
                .map(|n| {
                    let change = [change(n)];
                    let start = Instant::now();
                    nftables.apply(&change).unwrap();
                    start.elapsed()
                })
                .collect();
            times.sort_unstable();
            (times[times.len() / 2], times[times.len() * 95 / 100])
        };
        let door = |n| door(Ipv4Addr::from_bits(0x0a00_0000 + n), "tcp/22");
        let opened = time(&|n| set(door(n), MINUTE, "profile=laptop"));
        let refreshed = time(&|n| set(door(n), 2 * MINUTE, "profile=laptop"));
        let removed = time(&|n| Change::Remove { door: door(n) });
        println!("median and 95 %: open {opened:?}, refresh {refreshed:?}, remove {removed:?}");
        // Generous, for a machine that does other things too; starting one process takes longer.
        assert!(opened.0 < SECOND / 1000);
    });
}
