//! What a guard and an attached stand have in common.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spa_core::ceiling::Ceiling;
use spa_core::crypto::key::KeyId;
use spa_core::lease::LeaseTable;
use spa_core::terms::Terms;
use spa_core::time::{BootTime, UnixMillis};

use super::super::namespace::{load, sh};
use super::super::passers_by::{self, delivers, hears};
use super::super::world::{CLIENT, HOST, STRANGER, World, bound};
use super::super::*;
use super::case::{CANDIDATES, Case};
use crate::firewall::choice::{choose, teardown, text};
use crate::firewall::{Element, FirewallError};

pub(super) const SECOND: Duration = Duration::from_secs(1);

impl Case<'_> {
    fn reaches(&self, from: &str, to: &str, port: u16) -> bool {
        self.world.peer_reaches(from, to, port)
    }
}

fn client_door(family: usize) -> Door {
    door(address(CLIENT[family]), "tcp/22")
}

pub(super) fn a_stranger_is_dropped(case: &Case) {
    let _services = [22, 80].map(|port| World::serve(&case.world.host, port));
    let before =
        if case.candidate.guards() { "open before" } else { "shut before, by the operator's policy" };
    for (host, client) in HOST.into_iter().zip(CLIENT) {
        assert_eq!(case.reaches(client, host, 22), case.candidate.guards(), "{before}");
    }
    let _firewall = case.prepared(&plan());
    for (host, client) in HOST.into_iter().zip(CLIENT) {
        assert!(!case.reaches(client, host, 22), "{client} before the knock");
        assert!(case.reaches(client, host, 80), "{client} to what the operator opened");
    }
}

pub(super) fn a_grant_opens(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        firewall.apply(&[set(client_door(family), MINUTE, "")]).unwrap();
        assert!(case.reaches(CLIENT[family], HOST[family], 22), "after the knock");
        firewall.apply(&[Change::Remove { door: client_door(family) }]).unwrap();
        assert!(!case.reaches(CLIENT[family], HOST[family], 22), "after it was closed");
    }
}

pub(super) fn only_for_whom(case: &Case) {
    let _services = [22, 443].map(|port| World::serve(&case.world.host, port));
    let mut two = plan();
    two.protect.push("tcp/443".parse().unwrap());
    let mut firewall = case.prepared(&two);
    for family in [0, 1] {
        firewall.apply(&[set(client_door(family), MINUTE, "")]).unwrap();
        assert!(case.reaches(CLIENT[family], HOST[family], 22), "who knocked");
        assert!(!case.reaches(STRANGER[family], HOST[family], 22), "somebody else");
        assert!(!case.reaches(CLIENT[family], HOST[family], 443), "another service");
    }
    let udp = World::udp(&case.world.host, 5300);
    firewall.apply(&[set(door(address(CLIENT[0]), "tcp/5300"), MINUTE, "")]).unwrap();
    assert!(!hears(&udp, || send(case, CLIENT[0])), "the same port of another transport");
}

pub(super) fn the_window_ends_by_the_kernel(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    let start = Instant::now();
    firewall.apply(&[0, 1].map(|family| set(client_door(family), 2 * SECOND, ""))).unwrap();
    drop(firewall);
    assert!(case.reaches(CLIENT[0], HOST[0], 22), "in the window");
    sleep((start + 2 * SECOND + SECOND).saturating_duration_since(Instant::now()));
    for family in [0, 1] {
        assert!(!case.reaches(CLIENT[family], HOST[family], 22), "after the window, with nobody left");
    }
}

fn only(firewall: &mut dyn Firewall) -> Element {
    let mut grants = firewall.grants().unwrap();
    assert_eq!(grants.len(), 1, "{grants:?}");
    grants.remove(0)
}

fn ceiling() -> Ceiling {
    let services = plan().protect.iter().map(|protected| protected.service).collect();
    let (prefixes, forward, forward_sources) = Default::default();
    let (max_grants, max_grants_per_profile) = (9, 9);
    let max_window = 10 * MINUTE;
    Ceiling { services, prefixes, forward, forward_sources, max_window, max_grants, max_grants_per_profile }
}

pub(super) fn a_refresh_never_shortens(case: &Case) {
    let mut firewall = case.prepared(&plan());
    let (mut leases, now) = (LeaseTable::default(), BootTime::new(MINUTE));
    #[rustfmt::skip]
    let steps = [
        // who, window, what is left then, why
        (1, 60,  60,  "opened"),
        (2, 30,  60,  "a shorter window of somebody else"),
        (1, 10,  60,  "a shorter window of the same"),
        (2, 300, 300, "a longer one"),
    ];
    for (who, window, left, why) in steps {
        let asked = UnixMillis::new(1000).unwrap();
        let terms = Terms::plain(Duration::from_secs(window));
        let change = leases.open(client_door(0), KeyId(who), asked, &terms, now, &ceiling()).unwrap();
        firewall.apply(&[change]).unwrap();
        near(only(&mut *firewall).remaining.unwrap(), Duration::from_secs(left), why);
    }
    let shut = leases.close(KeyId(2), &[], UnixMillis::new(2000).unwrap(), now);
    firewall.apply(&shut).unwrap();
    near(only(&mut *firewall).remaining.unwrap(), MINUTE, "who stayed longest went early");
}

/// Within what a loaded machine takes, and what whole seconds are rounded by.
pub(super) fn near(got: Duration, wanted: Duration, why: &str) {
    assert!(got <= wanted + SECOND && got + 5 * SECOND > wanted, "{why}: {got:?} instead of {wanted:?}");
}

pub(super) fn a_missing_element_is_no_error(case: &Case) {
    let mut firewall = case.prepared(&plan());
    let missing = [0, 1].map(|family| Change::Remove { door: client_door(family) });
    firewall.apply(&missing).unwrap();
    let opened = door(address(STRANGER[0]), "tcp/22");
    firewall.apply(&[missing[0].clone(), set(opened, MINUTE, ""), missing[1].clone()]).unwrap();
    assert_eq!(only(&mut *firewall).door, opened, "beside others");
    firewall.apply(&[set(opened, MINUTE, ""), Change::Remove { door: opened }]).unwrap();
    assert!(firewall.grants().unwrap().is_empty(), "the last word on a door counts");
    firewall.apply(&[]).unwrap();
    firewall.drop_kept(&[]).unwrap();
}

pub(super) fn a_session_lives_on(case: &Case) {
    let sshd = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        firewall.apply(&[set(client_door(family), MINUTE, "")]).unwrap();
        let to = SocketAddr::new(address(HOST[family]), 22);
        let client = case.world.peer.run(|| passers_by::connect(address(CLIENT[family]), to).unwrap());
        let server = sshd.accept().unwrap().0;
        firewall.apply(&[Change::Remove { door: client_door(family) }]).unwrap();
        assert!(delivers(&client, &server).is_some(), "begun while the door was open");
        assert!(delivers(&server, &client).is_some(), "and back");
        assert!(!case.reaches(CLIENT[family], HOST[family], 22), "but no new one");
    }
}

fn send(case: &Case, from: &str) {
    case.world.peer.run(|| {
        let socket = bound(|| UdpSocket::bind((address(from), 5000)));
        let to = if address(from).is_ipv4() { HOST[0] } else { HOST[1] };
        socket.send_to(b"hello", (address(to), 5300)).unwrap();
    });
}

pub(super) fn a_udp_door_closes(case: &Case) {
    let service = World::udp(&case.world.host, 5300);
    let mut firewall = case.prepared(&plan());
    for client in CLIENT {
        assert!(!hears(&service, || send(case, client)), "before the knock");
        let door = door(address(client), "udp/5300");
        firewall.apply(&[set(door, MINUTE, "")]).unwrap();
        assert!(hears(&service, || send(case, client)), "after the knock");
        firewall.apply(&[Change::Remove { door }]).unwrap();
        assert!(!hears(&service, || send(case, client)), "the same flow after the window");
    }
}

pub(super) fn foreign_rules_stay(case: &Case) {
    let before = case.foreign();
    assert!(before.contains("of the operator"), "{before}");
    let mut firewall = case.prepared(&plan());
    same(&case.foreign(), &before, "after preparing");
    for cycle in 0..100 {
        let opened = [0, 1].map(|family| set(client_door(family), MINUTE, "profile=laptop"));
        firewall.apply(&opened).unwrap();
        firewall.apply(&[0, 1].map(|family| Change::Remove { door: client_door(family) })).unwrap();
        if cycle % 25 == 0 {
            case.world.host.run(|| firewall.prepare(&plan()).unwrap());
        }
    }
    same(&case.foreign(), &before, "after 100 doors were opened and closed");
}

pub(super) fn a_restart_reads_back(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    let (mut leases, now) = (LeaseTable::default(), BootTime::new(MINUTE));
    for family in [0, 1] {
        let asked = UnixMillis::new(1000).unwrap();
        let change = leases
            .open(client_door(family), KeyId(7), asked, &Terms::plain(MINUTE), now, &ceiling())
            .unwrap();
        firewall.apply(&[change]).unwrap();
    }
    drop(firewall);
    let mut later = case.prepared(&plan());
    let (mut restored, then) = (LeaseTable::default(), now.plus(10 * SECOND));
    for element in later.grants().unwrap() {
        near(element.remaining.unwrap(), MINUTE, "read back");
        let (left, forward) = (element.remaining.unwrap() - 10 * SECOND, element.forward);
        restored.restore(element.door, left, &element.comment, forward, then);
    }
    assert_eq!(restored.len(), 2, "who holds them stands in the comment");
    let left = restored.next_deadline().unwrap().since(then);
    near(left, 50 * SECOND, "of the lease");
    assert!(case.reaches(CLIENT[0], HOST[0], 22), "nothing closed");
    assert!(!case.reaches(STRANGER[0], HOST[0], 22), "and nothing opened");
}

pub(super) fn a_door_opens_fast(case: &Case) {
    let mut firewall = case.prepared(&plan());
    let mut times: Vec<_> = (0..200_u8)
        .map(|n| {
            let opened = [set(door([192, 0, 2, n], "tcp/22"), MINUTE, "profile=laptop")];
            let start = Instant::now();
            firewall.apply(&opened).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{}: a door opens in {:?} (median)", case.candidate.name, times[100]);
    assert!(times[100] < SECOND / 1000, "{:?}", times[100]);
    assert_eq!(firewall.grants().unwrap().len(), 200);
}

pub(super) fn no_change_leaves_a_gap(case: &Case) {
    let service = World::udp(&case.world.host, 5300);
    let mut firewall = case.prepared(&full());
    let opened = [set(door(address(CLIENT[0]), "udp/5300"), MINUTE, "")];
    firewall.apply(&opened).unwrap();
    let [client, stranger] =
        [CLIENT[0], STRANGER[0]].map(|from| case.world.peer.run(|| bound(|| UdpSocket::bind((from, 5000)))));
    service.set_read_timeout(Some(SECOND)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut plans = 0;
            case.world.host.run(|| {
                while !done.load(Relaxed) || plans < 4 {
                    let plan = if plans % 2 == 0 { plan() } else { full() };
                    firewall.prepare(&plan).unwrap();
                    firewall.apply(&opened).unwrap();
                    plans += 1;
                }
            });
            plans
        });
        let start = Instant::now();
        let (mut sent, mut wrong) = (0_u32, None);
        while wrong.is_none() && start.elapsed() < 2 * SECOND {
            stranger.send_to(b"no", "10.9.0.1:5300").unwrap();
            client.send_to(&sent.to_be_bytes(), "10.9.0.1:5300").unwrap();
            let mut heard = [0; 8];
            let received = service.recv(&mut heard);
            if received.is_err() || heard[..4] != sent.to_be_bytes() {
                wrong = Some(format!("datagram {sent}: {received:?} {heard:?}"));
            }
            sent += 1;
        }
        done.store(true, Relaxed);
        let plans = changer.join().unwrap();
        assert_eq!(wrong, None);
        println!("{}: {sent} datagrams during {plans} new plans", case.candidate.name);
    });
}

pub(super) fn preparing_again_changes_nothing(case: &Case) {
    let mut firewall = case.prepared(&full());
    let (once, foreign) = (case.listing(), case.foreign());
    case.world.host.run(|| firewall.prepare(&full()).unwrap());
    same(&without_handles(&case.listing()), &without_handles(&once), "once more");
    let _other = case.prepared(&full());
    same(&without_handles(&case.listing()), &without_handles(&once), "from another process");
    same(&case.foreign(), &foreign, "with their handles");
}

/// Our own rules are made anew and get new numbers.
pub(super) fn without_handles(listing: &str) -> String {
    let lines = listing.lines().map(|line| line.split(" # handle").next().unwrap_or_default().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn same(got: &str, wanted: &str, why: &str) {
    let only = |one: &str, other: &str| {
        one.lines().filter(|line| !other.lines().any(|o| o == *line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(got == wanted, "{why}: came {:#?}, went {:#?}", only(got, wanted), only(wanted, got));
}

/// A plan with something in every set.
fn full() -> Plan {
    let mut full = plan();
    full.protect.extend(
        ["tcp/443@10.8.0.2", "udp/53@2001:db8:8::2"]
            .map(|p| p.parse::<spa_core::service::Protected>().unwrap()),
    );
    full.prefixes = ["ipv4/24", "ipv6/64"].map(|length| length.parse().unwrap()).into();
    full.forward =
        ["10.8.0.2:443", "10.8.0.3:22", "[2001:db8:8::2]:443"].map(|to| to.parse().unwrap()).into();
    full.forward_sources = vec![address("10.8.0.9"), address("2001:db8:8::9")];
    full.always_allow = vec![address("192.0.2.7"), address("2001:db8::7")];
    full
}

pub(super) fn a_flush_is_repaired(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    let open = [set(client_door(0), MINUTE, "profile=laptop")];
    firewall.apply(&open).unwrap();
    while lost_soon(&mut *firewall, SECOND / 10) {}
    let elapsed = case.world.host.run(|| {
        let start = Instant::now();
        case.reload();
        assert!(lost_soon(&mut *firewall, SECOND), "nothing was noticed");
        firewall.prepare(&plan()).unwrap();
        firewall.apply(&open).unwrap();
        start.elapsed()
    });
    assert!(elapsed < SECOND, "repaired after {elapsed:?}");
    assert!(case.reaches(CLIENT[0], HOST[0], 22), "who knocked");
    assert!(!case.reaches(STRANGER[0], HOST[0], 22), "who did not");
    near(only(&mut *firewall).remaining.unwrap(), MINUTE, "what was left");
    assert!(!lost_soon(&mut *firewall, SECOND / 2), "the repair itself is no loss");
}

/// Asks as the monitor does: when there is something to read, or once in an interval.
pub(super) fn lost_soon(firewall: &mut dyn Firewall, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let wait =
            Timespec::try_from(firewall.interval().map_or(left, |interval| interval.min(left))).unwrap();
        let descriptor = firewall.descriptor().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        poll(&mut Vec::from_iter(descriptor), Some(&wait)).unwrap();
        if firewall.lost() {
            return true;
        }
    }
}

pub(super) fn teardown_leaves_nothing(case: &Case) {
    let before = (case.foreign(), case.listing());
    let mut firewall = case.prepared(&full());
    firewall.apply(&[set(client_door(0), MINUTE, "")]).unwrap();
    let removed = case.world.host.run(|| teardown().unwrap());
    assert_eq!(removed.len(), 1, "{removed:?}");
    let after = (case.foreign(), case.listing());
    same(&after.0, &before.0, "the operator's");
    assert!(!after.1.to_lowercase().contains("spad"), "{}", after.1);
    assert!(!case.world.host.run(|| case.open().exists().unwrap()));
    if case.candidate.name.starts_with("nft") {
        same(&after.1, &before.1, "everything");
    }
    assert!(case.world.host.run(|| teardown().unwrap()).is_empty(), "a second time");
    firewall.prepare(&plan()).err();
}

pub(super) fn the_text_makes_the_same(case: &Case) {
    let by_hand = case.world.host.run(|| text(&case.candidate.standing(), &full()).unwrap().0);
    case.world.host.run(|| {
        if case.candidate.name.starts_with("nft") {
            return load(&by_hand);
        }
        let infix = case.candidate.standing();
        let crate::firewall::standing::Backend::Iptables(variant) = infix.backend else { unreachable!() };
        let parts: Vec<_> = by_hand.split_inclusive('\n').collect();
        let starts: Vec<_> =
            (0..parts.len()).filter(|n| parts[*n].starts_with('#')).chain([parts.len()]).collect();
        for window in starts.windows(2) {
            let program = parts[window[0]].trim_start_matches("# ").trim();
            let program = program.replace("tables-", &format!("tables{}-", variant.infix()));
            sh(&format!("{program} <<'END'\n{}END", parts[window[0] + 1..window[1]].concat()));
        }
    });
    let by_text = case.listing();
    let other = Case::new(case.candidate);
    let _firewall = other.prepared(&full());
    same(
        &without_handles(&other.listing()),
        &without_handles(&by_text),
        "by prepare, instead of by the text",
    );
}

pub(super) fn another_stand_is_refused(case: &Case) {
    let _firewall = case.prepared(&plan());
    for other in CANDIDATES {
        let outcome =
            case.world.host.run(|| choose(&other.standing(), None).map(|(firewall, _)| firewall.to_string()));
        // Which of the two programs loads the rules is not told apart.
        let same = other.guards() == case.candidate.guards()
            && other.name.starts_with("nft") == case.candidate.name.starts_with("nft");
        match outcome {
            Ok(_) => assert!(same, "{} beside it", other.name),
            Err(FirewallError::Leftover(what)) => assert!(!same, "{}: {what}", other.name),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) fn a_drop_elsewhere_is_named(case: &Case) {
    let mut firewall = case.prepared(&plan());
    let defeated = |firewall: &mut dyn Firewall| case.world.host.run(|| firewall.defeated().unwrap());
    assert_eq!(
        defeated(&mut *firewall),
        Vec::<String>::new(),
        "the operator's own chain comes after the jump"
    );
    #[rustfmt::skip]
    let rivals = [
        // another table's chain at the same hook, part of what is said
        ("policy drop; tcp dport 80 accept",             "its policy is drop"),
        ("policy accept; counter drop",                  "drops the rest"),
        ("policy accept; log prefix \"x\" reject",       "drops the rest"),
    ];
    for (rest, said) in rivals {
        for priority in [-10, 10] {
            let chain = format!("type filter hook input priority {priority}; {}", rest.replace("; ", ";\n"));
            case.world.host.run(|| load(&format!("table inet rival {{\n chain late {{\n {chain}\n }}\n }}")));
            let found = defeated(&mut *firewall);
            assert_eq!(found.len(), 1, "{rest}: {found:?}");
            assert!(found[0].contains("inet rival late") && found[0].contains(said), "{found:?}");
            case.world.host.run(|| sh("nft delete table inet rival"));
        }
    }
    case.world.host.run(|| load("table inet rival {\n chain late {\n type filter hook input priority 10;\n tcp dport 25 drop\n }\n }"));
    assert_eq!(defeated(&mut *firewall), Vec::<String>::new(), "a drop of something is none of all");
}
