use super::*;
use crate::ceiling::Ceiling;
use crate::terms::Terms;
use crate::time::UnixMillis;

const LAPTOP: KeyId = KeyId(1);
const PHONE: KeyId = KeyId(2);

fn ssh() -> Door {
    Door::plain("192.0.2.10".parse().unwrap(), "tcp/22".parse().unwrap())
}

fn once() -> Door {
    Door { limit: Limit::Once, ..ssh() }
}

fn boot(seconds: u64) -> BootTime {
    BootTime::new(Duration::from_secs(seconds))
}

fn terms(window: u64) -> Terms {
    Terms::plain(Duration::from_secs(window))
}

fn cutting(window: u64) -> Terms {
    Terms { on_close: OnClose::Cut, ..terms(window) }
}

fn extended(window: u64, longest: u64) -> Terms {
    Terms { extend_to: Some(Duration::from_secs(longest)), ..terms(window) }
}

fn open(table: &mut LeaseTable, door: Door, holder: KeyId, terms: &Terms, at: u64) -> Change {
    let ceiling = Ceiling {
        services: ["tcp/22".parse().unwrap()].into(),
        max_window: Duration::from_secs(3600),
        max_grants: usize::MAX,
        max_grants_per_profile: usize::MAX,
        forward: Default::default(),
        forward_sources: Default::default(),
        prefixes: Default::default(),
    };
    table.open(door, holder, asked(at), terms, boot(at), &ceiling).unwrap()
}

fn asked(seconds: u64) -> UnixMillis {
    UnixMillis::new(seconds * 1000).unwrap()
}

fn left(change: Option<Change>) -> Option<u64> {
    match change {
        Some(Change::Set { timeout, .. }) => Some(timeout.as_secs()),
        _ => None,
    }
}

/// What is cut now.
fn cut(table: &mut LeaseTable) -> Vec<Door> {
    let ended = table.to_cut();
    ended.into_iter().filter(|door| !table.lets_in(door.grantee.address(), door.service)).collect()
}

#[test]
fn sessions_are_cut_if_the_lease_that_ends_last_says_so() {
    #[rustfmt::skip]
    let rows = [
        // the laptop's terms, the phone's terms, cut in the end, why
        (cutting(30), None,                       true,  "its own"),
        (terms(30),   None,                       false, "nobody said so"),
        (cutting(30), Some((ssh(), terms(60))),   false, "the phone's is last, and keeps"),
        (cutting(60), Some((ssh(), terms(30))),   true,  "the phone's is over by then"),
        (terms(30),   Some((ssh(), cutting(60))), true,  "the phone's is last"),
        (cutting(30), Some((once(), terms(60))),  false, "the phone may come by another door"),
        (cutting(60), Some((once(), terms(30))),  true,  "that is over by then"),
    ];
    for (laptop, phone, is_cut, why) in rows {
        let mut table = LeaseTable::default();
        open(&mut table, ssh(), LAPTOP, &laptop, 100);
        if let Some((door, phone)) = phone {
            open(&mut table, door, PHONE, &phone, 100);
        }
        assert_eq!(cut(&mut table), [], "{why}: everything is open");
        let ends: Vec<_> = [130, 160]
            .into_iter()
            .flat_map(|at| {
                table.expire(boot(at));
                cut(&mut table)
            })
            .collect();
        assert_eq!(ends, if is_cut { vec![ssh()] } else { Vec::new() }, "{why}");
    }
}

#[test]
fn a_close_cuts_and_what_others_hold_is_left_alone() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, &cutting(30), 100);
    open(&mut table, ssh(), PHONE, &cutting(60), 100);
    table.close(PHONE, &[], asked(200), boot(101));
    assert_eq!(table.to_cut(), [], "the laptop holds it");
    table.close(LAPTOP, &[], asked(200), boot(101));
    assert_eq!(cut(&mut table), [ssh()]);
    open(&mut table, ssh(), LAPTOP, &cutting(30), 102);
    open(&mut table, ssh(), LAPTOP, &cutting(30), 103);
    assert_eq!(cut(&mut table), [], "a refresh is no end");
}

#[test]
fn a_profile_that_is_gone_ends_as_its_doors_would() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, &cutting(30), 100);
    open(&mut table, once(), LAPTOP, &terms(30), 100);
    open(&mut table, once(), PHONE, &terms(30), 100);
    let phone_only = |holder| holder == PHONE;
    assert_eq!(table.retain_holders(phone_only, boot(101)), [Change::Remove { door: ssh() }]);
    assert_eq!(cut(&mut table), [], "the phone may come by the other door, which the kernel may have shut");
    assert!(table.holds(once()));
    open(&mut table, ssh(), LAPTOP, &cutting(30), 102);
    table.forget(once());
    table.retain_holders(phone_only, boot(103));
    assert_eq!(cut(&mut table), [ssh()]);
}

#[test]
fn a_prefix_that_holds_the_address_keeps_its_sessions() {
    #[rustfmt::skip]
    let rows = [
        // prefix, cut, why
        ("192.0.2.0",  24, false, "holds the address"),
        ("192.0.3.0",  24, true,  "holds others"),
        ("0.0.0.0",    0,  false, "holds everybody"),
        ("192.0.2.11", 32, true,  "a neighbour"),
        ("::",         0,  true,  "another family"),
    ];
    for (first, bits, is_cut, why) in rows {
        let mut table = LeaseTable::default();
        open(&mut table, ssh(), LAPTOP, &cutting(30), 100);
        let grantee = Grantee::Prefix { first: first.parse().unwrap(), bits };
        // Past the ceiling, which is no part of this.
        let lease = table.lease(ssh(), LAPTOP).unwrap();
        table.put(Door { grantee, ..ssh() }, Lease { holder: PHONE, until: boot(500), ..lease });
        table.expire(boot(130));
        assert_eq!(!cut(&mut table).is_empty(), is_cut, "{why}");
    }
}

#[test]
fn a_lease_goes_on_while_it_is_used_and_not_beyond_its_longest() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, &extended(30, 80), 100);
    #[rustfmt::skip]
    let steps = [
        // when the table wants to be asked, in use, what the kernel is told then
        (128, true, Some(32), "another window, from the end of the first"),
        (158, true, Some(22), "cut at the longest, 80 s from the opening"),
        (180, true, None,     "nobody asks any more: it ends"),
    ];
    for (at, used, told, why) in steps {
        assert_eq!(table.next_deadline(), Some(boot(at)), "{why}");
        assert_eq!(table.to_look_at(boot(at - 1)), [], "{why}: too early");
        let due = table.to_look_at(boot(at));
        let change = due.first().filter(|_| used).and_then(|&(door, who)| table.extend(door, who, boot(at)));
        assert_eq!(left(change), told, "{why}");
        assert_eq!(table.to_look_at(boot(at)), [], "{why}: once");
    }
    assert_eq!(table.expire(boot(180)).len(), 1);
}

#[test]
fn a_lease_that_is_not_used_ends_with_its_window() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, &extended(30, 3600), 100);
    assert_eq!(table.to_look_at(boot(128)), [(ssh(), LAPTOP)]);
    assert_eq!(table.next_deadline(), Some(boot(130)));
    assert_eq!(left(table.extend(ssh(), LAPTOP, boot(130))), None, "too late: the kernel has closed it");
    assert_eq!(table.expire(boot(130)).len(), 1);
    open(&mut table, ssh(), LAPTOP, &terms(30), 200);
    assert_eq!(table.next_deadline(), Some(boot(230)), "and no later one is looked at for it");
    assert_eq!(left(table.extend(ssh(), LAPTOP, boot(228))), None, "a lease without extension");
}

#[test]
fn a_worker_cannot_ask_for_more_than_a_day() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, &extended(3600, u64::MAX / 2), 0);
    let mut at = 0;
    while let Some(next) = table.next_deadline() {
        at = next.get().as_secs();
        assert!(at <= MAX_EXTENDED.as_secs(), "open after {at} s");
        let due = table.to_look_at(next);
        due.into_iter().for_each(|(door, who)| drop(table.extend(door, who, next)));
        table.expire(next);
    }
    assert_eq!(at, MAX_EXTENDED.as_secs());
}

#[test]
fn a_door_for_one_connection_is_never_told_to_the_kernel_but_when_it_is_opened() {
    let mut table = LeaseTable::default();
    let opened = open(&mut table, once(), LAPTOP, &terms(30), 100);
    assert_eq!(left(Some(opened)), Some(30));
    assert_eq!(table.elements(boot(101)), [], "it may be spent, so a repair does not bring it back");
    open(&mut table, once(), PHONE, &terms(60), 100);
    assert_eq!(table.close(PHONE, &[], asked(200), boot(102)), [], "nor does a close of one of two");
    assert!(table.holds(once()));
    assert_eq!(table.close(LAPTOP, &[], asked(200), boot(102)), [Change::Remove { door: once() }]);
    open(&mut table, once(), LAPTOP, &terms(3000), 200);
    table.forget(once());
    let again = open(&mut table, once(), PHONE, &terms(30), 200);
    assert_eq!(left(Some(again)), Some(30), "what is spent lengthens nothing");
    assert_eq!(table.expire(boot(5000)).len(), 1);
}

#[test]
fn how_a_door_ends_survives_a_restart() {
    for terms in [cutting(30), extended(30, 300), Terms { on_close: OnClose::Cut, ..extended(30, 300) }] {
        let mut table = LeaseTable::default();
        let Change::Set { door, timeout, comment, .. } = open(&mut table, ssh(), LAPTOP, &terms, 100) else {
            panic!("it opens")
        };
        let mut again = LeaseTable::default();
        again.restore(door, timeout, &comment, None, boot(100));
        assert_eq!(again.elements(boot(100)), table.elements(boot(100)), "{comment}");
        assert_eq!(again.next_deadline(), table.next_deadline(), "{comment}");
        again.expire(boot(130));
        assert_eq!(cut(&mut again).is_empty(), terms.on_close == OnClose::Keep, "{comment}");
    }
}

#[test]
fn a_strange_ending_in_a_comment_is_no_lease() {
    #[rustfmt::skip]
    let rows = [
        ("",            true,  "plain"),
        (":c",          true,  "cut"),
        (":w7530:l7530", true, "extended"),
        (":cc",         false, "no field"),
        (":w",          false, "no number"),
        (":wxyz:l1",    false, "no number"),
        (":",           false, "an empty field"),
        (":ö",          false, "no letter of ours"),
        (":q1",         false, "of somebody else, or of a later version"),
    ];
    for (ending, valid, why) in rows {
        let mut table = LeaseTable::default();
        table.restore(ssh(), Duration::from_secs(9), &format!("1:1:2710{ending}"), None, boot(1));
        assert_eq!(!table.is_empty(), valid, "{why}");
    }
    let mut table = LeaseTable::default();
    table.restore(ssh(), Duration::from_secs(9), "1:1:2710:wffffffffffff:lffffffffffff", None, boot(1));
    let at = table.to_look_at(boot(9)).len();
    assert_eq!(at, 1);
    let day = left(table.extend(ssh(), LAPTOP, boot(9)));
    assert!(day <= Some(MAX_EXTENDED.as_secs()), "{day:?}");
}
