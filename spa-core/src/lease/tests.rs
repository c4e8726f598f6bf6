use std::collections::HashSet;
use std::num::NonZeroU32;

use super::*;

const LAPTOP: KeyId = KeyId(1);
const PHONE: KeyId = KeyId(2);

fn door(address: &str, service: &str) -> Door {
    Door::plain(address.parse().unwrap(), service.parse().unwrap())
}

fn ssh() -> Door {
    door("192.0.2.10", "tcp/22")
}

fn boot(seconds: u64) -> BootTime {
    BootTime::new(Duration::from_secs(seconds))
}

fn asked(millis: u64) -> UnixMillis {
    UnixMillis::new(millis).unwrap()
}

fn ceiling() -> Ceiling {
    Ceiling {
        services: ["tcp/22", "tcp/443"].map(|service| service.parse().unwrap()).into(),
        prefixes: ["ipv4/24", "ipv6/64"].map(|length| length.parse().unwrap()).into(),
        forward: ["10.0.0.5:443", "10.0.0.6:22", "[fd00::5]:443"].map(|to| to.parse().unwrap()).into(),
        forward_sources: [IpAddr::from([192, 0, 2, 1])].into(),
        max_window: Duration::from_secs(3600),
        max_grants: 6,
        max_grants_per_profile: 4,
    }
}

fn open(
    table: &mut LeaseTable,
    door: Door,
    holder: KeyId,
    at: u64,
    window: u64,
) -> Result<u64, AboveCeiling> {
    let terms = Terms::plain(Duration::from_secs(window));
    table
        .open(door, holder, asked(at * 1000), &terms, boot(at), &ceiling())
        .map(|change| left(&change).unwrap())
}

/// Seconds that the kernel is told; `None` for a removal.
fn left(change: &Change) -> Option<u64> {
    match change {
        Change::Set { timeout, .. } => Some(timeout.as_secs()),
        Change::Remove { .. } => None,
    }
}

fn text(change: &Change) -> &str {
    match change {
        Change::Set { comment, .. } => comment,
        Change::Remove { .. } => "",
    }
}

#[test]
fn a_door_is_open_until_the_latest_of_its_leases_ends() {
    #[rustfmt::skip]
    let steps = [
        // at, who, window, the kernel is told, why
        (100, LAPTOP, 30, 30, "opens"),
        (110, LAPTOP, 30, 30, "knocked again: the full window from now on"),
        (115, LAPTOP, 5,  25, "a shorter wish shortens nothing"),
        (120, PHONE,  5,  20, "nor does somebody else's"),
        (121, PHONE,  60, 60, "a longer one lengthens"),
        (122, LAPTOP, 5,  59, "and stays"),
    ];
    let mut table = LeaseTable::default();
    for (at, who, window, told, why) in steps {
        assert_eq!(open(&mut table, ssh(), who, at, window), Ok(told), "{at}: {why}");
    }
    assert_eq!(table.len(), 1);
    assert_eq!(table.next_deadline(), Some(boot(140)));
    assert_eq!(table.expire(boot(139)), []);
    let ended = |holder, still_open| Ended { door: ssh(), holder, still_open };
    assert_eq!(table.expire(boot(140)), [ended(LAPTOP, true)], "exactly at its end");
    assert_eq!(table.expire(boot(1000)), [ended(PHONE, false)]);
    assert!(table.is_empty() && table.next_deadline().is_none());
}

#[test]
fn a_close_ends_what_its_holder_asked_for_before_it() {
    #[rustfmt::skip]
    let rows = [
        // who, services, before (s), doors that go, why
        (LAPTOP, "",                1000, 2, "everything, for whatever address"),
        (LAPTOP, "tcp/22",          1000, 1, "one service"),
        (LAPTOP, "tcp/22,tcp/443",  1000, 2, "both"),
        (LAPTOP, "udp/53",          1000, 0, "one that is not open"),
        (LAPTOP, "",                100,  0, "asked for in the same millisecond, or later"),
        (LAPTOP, "",                101,  1, "only the earlier one"),
        (PHONE,  "",                1000, 0, "the laptop still holds it"),
        (KeyId(3), "",              1000, 0, "holds nothing"),
    ];
    for (who, services, before, gone, why) in rows {
        let mut table = LeaseTable::default();
        open(&mut table, ssh(), LAPTOP, 100, 30).unwrap();
        open(&mut table, door("2001:db8::10", "tcp/443"), LAPTOP, 101, 30).unwrap();
        if who == PHONE {
            open(&mut table, ssh(), PHONE, 101, 300).unwrap();
        }
        let services: Vec<Service> =
            services.split(',').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
        let changes = table.close(who, &services, asked(before * 1000), boot(110));
        let removed = changes.iter().filter(|change| matches!(change, Change::Remove { .. })).count();
        assert_eq!((removed, table.len()), (gone, 2 - gone), "{why}");
        if who == PHONE {
            assert_eq!(changes.iter().map(left).collect::<Vec<_>>(), [Some(20)], "back to the laptop's end");
        }
        assert_eq!(table.close(who, &services, asked(before * 1000), boot(110)), [], "{why}: once");
    }
}

#[test]
fn a_close_that_was_late_does_not_end_a_later_grant() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, 100, 30).unwrap();
    open(&mut table, ssh(), LAPTOP, 105, 30).unwrap();
    // An older open that comes late refreshes, and is no reason for the close to end it.
    table
        .open(ssh(), LAPTOP, asked(99_000), &Terms::plain(Duration::from_secs(30)), boot(106), &ceiling())
        .unwrap();
    assert_eq!(table.close(LAPTOP, &[], asked(102_000), boot(107)), []);
    assert_eq!(table.close(LAPTOP, &[], asked(105_001), boot(107)).len(), 1);
}

#[test]
fn nothing_above_the_ceiling() {
    let mut table = LeaseTable::default();
    let at = |n: u8, service: &str| door(&format!("192.0.2.{n}"), service);
    #[rustfmt::skip]
    let steps = [
        (at(1, "tcp/22"),           LAPTOP, 30,    Ok(30)),
        (at(1, "tcp/25"),           LAPTOP, 30,    Err(AboveCeiling::Service)),
        (door("127.0.0.1", "tcp/22"), LAPTOP, 30,  Err(AboveCeiling::Address)),
        (door("fe80::1", "tcp/22"), LAPTOP, 30,    Err(AboveCeiling::Address)),
        (at(2, "tcp/22"),           LAPTOP, 0,     Err(AboveCeiling::Window)),
        (at(2, "tcp/22"),           LAPTOP, 99999, Ok(3600)),
        (at(3, "tcp/22"),           LAPTOP, 30,    Ok(30)),
        (at(4, "tcp/22"),           LAPTOP, 30,    Ok(30)),
        (at(5, "tcp/22"),           LAPTOP, 30,    Err(AboveCeiling::ProfileFull)),
        (at(4, "tcp/22"),           LAPTOP, 40,    Ok(40)),
        (at(5, "tcp/22"),           PHONE,  30,    Ok(30)),
        (at(6, "tcp/22"),           PHONE,  30,    Ok(30)),
        (at(7, "tcp/22"),           PHONE,  30,    Err(AboveCeiling::Full)),
        (at(4, "tcp/22"),           PHONE,  30,    Ok(40)),
    ];
    for (row, (door, who, window, expected)) in steps.into_iter().enumerate() {
        assert_eq!(open(&mut table, door, who, 100, window), expected, "row {row}");
    }
    assert_eq!(table.expire(boot(130)).len(), 5);
    assert_eq!(open(&mut table, at(7, "tcp/22"), PHONE, 130, 30), Ok(30), "there is room again");
}

#[test]
fn for_whom_a_door_may_be_open() {
    let prefix = |first: &str, bits| Grantee::Prefix { first: first.parse().unwrap(), bits };
    let on_link = |address: &str, interface| Grantee::OnLink { address: address.parse().unwrap(), interface };
    #[rustfmt::skip]
    let rows = [
        // grantee, outcome, why
        (prefix("192.0.2.0", 24),    Ok(30),                     "a length of the ceiling's"),
        (prefix("2001:db8::", 64),   Ok(30),                     "another"),
        (prefix("192.0.0.0", 16),    Err(AboveCeiling::Prefix),  "wider"),
        (prefix("192.0.2.0", 25),    Err(AboveCeiling::Prefix),  "narrower is another length, too"),
        (prefix("2001:db8::", 24),   Err(AboveCeiling::Prefix),  "a length of the other family"),
        (prefix("127.0.0.0", 24),    Err(AboveCeiling::Address), "loopback"),
        (prefix("fe80::", 64),       Err(AboveCeiling::Address), "link-local, of whichever link"),
        (on_link("fe80::7", 3),      Ok(30),                     "a host of one link"),
        (on_link("fe80::7", 0),      Err(AboveCeiling::Address), "of no link"),
        (on_link("2001:db8::7", 3),  Err(AboveCeiling::Address), "not link-local"),
    ];
    for (grantee, outcome, why) in rows {
        let door = Door { grantee, ..ssh() };
        assert_eq!(open(&mut LeaseTable::default(), door, LAPTOP, 100, 30), outcome, "{why}");
    }
    let mut table = LeaseTable::default();
    for grantee in [prefix("192.0.2.0", 24), prefix("2001:db8::", 64), ssh().grantee] {
        open(&mut table, Door { grantee, ..ssh() }, LAPTOP, 100, 30).unwrap();
    }
    let narrower = Ceiling { prefixes: ["ipv6/64".parse().unwrap()].into(), ..ceiling() };
    let gone = Door { grantee: prefix("192.0.2.0", 24), ..ssh() };
    assert_eq!(
        table.retain(&narrower),
        [Change::Remove { door: gone }],
        "a length that is no longer allowed"
    );
}

#[test]
fn a_profile_has_no_more_doors_than_its_file_says() {
    let mut table = LeaseTable::default();
    let mut open = |n: u8, who, most| {
        let terms = Terms { most_doors: NonZeroU32::new(most), ..Terms::plain(Duration::from_secs(30)) };
        let door = door(&format!("192.0.2.{n}"), "tcp/22");
        table.open(door, who, asked(1), &terms, boot(100), &ceiling()).map(drop)
    };
    #[rustfmt::skip]
    let steps = [
        // address, who, its limit, outcome, why
        (1, LAPTOP, 2,  Ok(()),                         "the first"),
        (2, LAPTOP, 2,  Ok(()),                         "the second"),
        (3, LAPTOP, 2,  Err(AboveCeiling::ProfileDoors), "one too many"),
        (2, LAPTOP, 2,  Ok(()),                         "a refresh is none more"),
        (3, PHONE,  2,  Ok(()),                         "another's count for themselves"),
        (3, LAPTOP, 9,  Ok(()),                         "the file changed"),
        (4, LAPTOP, 9,  Ok(()),                         "as many as the ceiling allows"),
        (5, LAPTOP, 9,  Err(AboveCeiling::ProfileFull), "the ceiling counts, too"),
    ];
    for (address, who, most, outcome, why) in steps {
        assert_eq!(open(address, who, most), outcome, "{why}");
    }
}

#[test]
fn doors_on_a_link_that_is_gone_are_ended_and_no_others() {
    let mut table = LeaseTable::default();
    let on_link = |interface| Grantee::OnLink { address: "fe80::7".parse().unwrap(), interface };
    for grantee in [on_link(3), on_link(4), ssh().grantee] {
        open(&mut table, Door { grantee, ..ssh() }, LAPTOP, 100, 30).unwrap();
    }
    let gone = table.end_where(|door| matches!(door.grantee, Grantee::OnLink { interface: 3, .. }));
    assert_eq!(gone, [Change::Remove { door: Door { grantee: on_link(3), ..ssh() } }]);
    assert_eq!((table.len(), table.expire(boot(130)).len()), (2, 2));
}

#[test]
fn a_service_that_is_no_longer_protected_is_let_go() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, 100, 30).unwrap();
    open(&mut table, ssh(), PHONE, 100, 30).unwrap();
    open(&mut table, door("192.0.2.10", "tcp/443"), LAPTOP, 100, 30).unwrap();
    let changes = table.retain(&Ceiling { services: ["tcp/443".parse().unwrap()].into(), ..ceiling() });
    assert_eq!(changes, [Change::Remove { door: ssh() }]);
    assert_eq!((table.len(), table.elements(boot(110)).len()), (1, 1));
    assert_eq!(table.expire(boot(130)).len(), 1, "its leases are gone as well");
}

#[test]
fn what_a_removed_profile_held_alone_closes_and_nothing_else() {
    let mut table = LeaseTable::default();
    let https = || door("192.0.2.10", "tcp/443");
    open(&mut table, ssh(), LAPTOP, 100, 30).unwrap();
    open(&mut table, https(), LAPTOP, 100, 60).unwrap();
    open(&mut table, https(), PHONE, 100, 30).unwrap();
    assert_eq!(table.retain_holders(|_| true, boot(110)), [], "all are served");
    let mut changes = table.retain_holders(|holder| holder == PHONE, boot(110));
    changes.sort_by_key(left);
    assert_eq!(changes[0], Change::Remove { door: ssh() });
    assert_eq!(left(&changes[1]), Some(20), "as long as the phone holds it");
    assert!(!text(&changes[1]).contains("00000001:"), "nobody takes the laptop's over");
    assert_eq!(table.retain_holders(|holder| holder == PHONE, boot(110)), [], "once");
    assert_eq!(table.expire(boot(130)).len(), 1, "its leases are gone as well");
}

#[test]
fn the_kernels_elements_carry_the_leases_over_a_restart() {
    let mut table = LeaseTable::default();
    open(&mut table, ssh(), LAPTOP, 100, 30).unwrap();
    open(&mut table, ssh(), PHONE, 101, 60).unwrap();
    let Change::Set { door, timeout, comment, .. } = table.elements(boot(110)).remove(0) else {
        panic!("it is open")
    };
    let mut again = LeaseTable::default();
    again.restore(door, timeout, &comment, None, boot(110));
    assert_eq!(again.elements(boot(110)), table.elements(boot(110)));
    assert_eq!(
        left(&again.close(PHONE, &[], asked(200_000), boot(111))[0]),
        Some(19),
        "the laptop's is left"
    );
    assert_eq!(left(&again.close(LAPTOP, &[], asked(200_000), boot(111))[0]), None);
}

#[test]
fn what_the_kernel_says_is_not_believed_beyond_its_own_timeout() {
    let good = format!("00000001:{:x}:{:x}", 100_000, 130_000);
    #[rustfmt::skip]
    let rows = [
        // comment, left in the kernel (s), leases, why
        (good.clone(),                              20, Some(20), "as it was"),
        (good.clone(),                              18, Some(18), "never longer than the kernel holds it"),
        (good.clone(),                              5,  None,     "saved by somebody, and put back with another time"),
        (format!("00000001:1:{:x}", u64::MAX),      20, None,     "a claim of for ever"),
        (format!("{good} {good}"),                  20, Some(20), "twice the same holder"),
        (format!("00000001:{:x}:{:x}", 1, 109_000), 20, None,     "ended already"),
        (String::new(),                             20, None,     "not ours"),
        ("somebody's own comment".to_owned(),       20, None,     "not ours"),
        (format!("{good}:1"),                       20, None,     "a field too many"),
        ("1ffffffff:1:ffffff".to_owned(),           20, None,     "a holder of 33 bits"),
        (format!("1:{:x}:ffffff", 1_u64 << 48),     20, None,     "a time of 49 bits"),
    ];
    for (comment, remaining, expected, why) in rows {
        let mut table = LeaseTable::default();
        table.restore(ssh(), Duration::from_secs(remaining), &comment, None, boot(110));
        let elements = table.elements(boot(110));
        assert_eq!(elements.first().and_then(left), expected, "{why}");
        let names_leases = comment.split(' ').any(|lease| parse(lease).is_some());
        assert_eq!(table.is_stray(ssh(), &comment), names_leases && expected.is_none(), "{why}: shut");
        assert_eq!(table.expire(boot(131)).len(), elements.len(), "{why}");
    }
}

#[test]
fn a_comment_fits_nftables_and_keeps_the_longest_lived() {
    let mut table = LeaseTable::default();
    let many = Ceiling { max_grants_per_profile: 100, max_grants: 100, ..ceiling() };
    for n in 0..20 {
        let change = table
            .open(
                ssh(),
                KeyId(n),
                UnixMillis::MAX,
                &Terms::plain(Duration::from_secs(10 + u64::from(n))),
                boot(100),
                &many,
            )
            .unwrap();
        assert!(text(&change).len() <= MAX_COMMENT);
    }
    let mut again = LeaseTable::default();
    let change = table.elements(boot(100)).remove(0);
    again.restore(ssh(), Duration::from_secs(29), text(&change), None, boot(100));
    assert_eq!(again.elements(boot(100)).first().and_then(left), Some(29), "the element ends when it did");
    assert!(again.expire(boot(1000)).iter().all(|ended| ended.holder.0 > 15));
}

fn to(target: &str, source: SourceNat) -> Option<Forward> {
    Some(Forward { to: target.parse().unwrap(), source })
}

/// Opens for ten seconds from the hundredth on.
fn led(
    table: &mut LeaseTable,
    door: Door,
    holder: KeyId,
    forward: Option<Forward>,
) -> Result<(), AboveCeiling> {
    let terms = Terms { forward, ..Terms::plain(Duration::from_secs(10)) };
    table.open(door, holder, asked(100_000), &terms, boot(100), &ceiling()).map(|change| match change {
        Change::Set { forward: set, .. } => assert_eq!(set, forward),
        Change::Remove { .. } => panic!("opened"),
    })
}

#[test]
fn a_door_leads_to_what_the_ceiling_names_and_to_nothing_else() {
    use AboveCeiling::{Source, Target, Unforwardable};
    use SourceNat::{Address, Keep, Masquerade};

    let once = Door { limit: Limit::Once, ..ssh() };
    let prefix = Door { grantee: Grantee::Prefix { first: [192, 0, 2, 0].into(), bits: 24 }, ..ssh() };
    let (ours, theirs) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([10, 0, 0, 9]));
    #[rustfmt::skip]
    let rows = [
        // door, target, sender, verdict, why
        (ssh(),                         "10.0.0.5:443",  Keep,            Ok(()),             "named"),
        (ssh(),                         "10.0.0.5:443",  Masquerade,      Ok(()),             "as this host"),
        (ssh(),                         "10.0.0.5:443",  Address(ours),   Ok(()),             "as a named address"),
        (door("2001:db8::7", "tcp/22"), "[fd00::5]:443", Keep,            Ok(()),             "IPv6"),
        (ssh(),                         "10.0.0.7:443",  Keep,            Err(Target),        "another host"),
        (ssh(),                         "10.0.0.5:22",   Keep,            Err(Target),        "another port"),
        (ssh(),                         "10.0.0.5:443",  Address(theirs), Err(Source),        "in the name of an inner host"),
        (door("2001:db8::7", "tcp/22"), "10.0.0.5:443",  Keep,            Err(Unforwardable), "from IPv6 to IPv4"),
        (once,                          "10.0.0.5:443",  Keep,            Err(Unforwardable), "once"),
        (prefix,                        "10.0.0.5:443",  Keep,            Err(Unforwardable), "for a prefix"),
    ];
    for (door, target, source, verdict, why) in rows {
        assert_eq!(led(&mut LeaseTable::default(), door, LAPTOP, to(target, source)), verdict, "{why}");
    }
}

#[test]
fn nobody_turns_a_door_that_another_profile_holds() {
    use SourceNat::{Keep, Masquerade};

    let (web, other) = (to("10.0.0.5:443", Keep), to("10.0.0.6:22", Keep));
    let masqueraded = to("10.0.0.5:443", Masquerade);
    let second_port = door("192.0.2.10", "tcp/443");
    let prefix = Door { grantee: Grantee::Prefix { first: [192, 0, 2, 0].into(), bits: 24 }, ..ssh() };
    let refused = Err(AboveCeiling::LeadsElsewhere);
    #[rustfmt::skip]
    let rows = [
        // first, by the laptop; then; by whom; verdict; why
        ((ssh(), web),  (ssh(), web),                         PHONE,  Ok(()),  "the same way"),
        ((ssh(), web),  (ssh(), other),                       PHONE,  refused, "elsewhere"),
        ((ssh(), web),  (ssh(), masqueraded),                 PHONE,  refused, "with another sender"),
        ((ssh(), web),  (ssh(), None),                        PHONE,  refused, "to this host itself"),
        ((ssh(), None), (ssh(), web),                         PHONE,  refused, "away from this host"),
        ((ssh(), web),  (ssh(), other),                       LAPTOP, Ok(()),  "its own door"),
        ((ssh(), web),  (ssh(), None),                        LAPTOP, Ok(()),  "its own door"),
        ((ssh(), web),  (door("192.0.2.11", "tcp/22"), other), PHONE, Ok(()),  "from another address"),
        ((ssh(), web),  (second_port, other),                 PHONE,  Ok(()),  "by another port"),
        ((ssh(), web),  (second_port, web),                   PHONE,  Ok(()),  "the same by another port"),
        ((ssh(), masqueraded), (second_port, masqueraded),    PHONE,  refused, "which nothing tells apart behind"),
        ((ssh(), web),  (second_port, masqueraded),           PHONE,  refused, "which nothing tells apart behind"),
        ((ssh(), web),  (prefix, None),                       PHONE,  refused, "for a prefix around it"),
        ((prefix, None), (ssh(), web),                        PHONE,  refused, "for one of a prefix"),
        ((ssh(), web),  (Door { limit: Limit::Once, ..ssh() }, None), PHONE, refused, "once"),
    ];
    for ((first, forward), (then, asked), by, verdict, why) in rows {
        let mut table = LeaseTable::default();
        led(&mut table, first, LAPTOP, forward).unwrap();
        assert_eq!(led(&mut table, then, by, asked), verdict, "{why}");
        table.expire(boot(110));
        led(&mut table, then, by, asked).expect("free again");
    }
}

#[test]
fn a_lease_that_has_ended_leads_nowhere() {
    let mut table = LeaseTable::default();
    led(&mut table, ssh(), LAPTOP, to("10.0.0.5:443", SourceNat::Keep)).unwrap();
    // It ends in the second in which somebody else asks, and nobody has swept it away yet.
    let terms = Terms::plain(Duration::from_secs(10));
    assert!(table.open(ssh(), PHONE, asked(110_000), &terms, boot(110), &ceiling()).is_ok());
}

#[test]
fn where_a_door_leads_survives_a_restart_and_ends_with_its_target() {
    let mut table = LeaseTable::default();
    let web = to("10.0.0.5:443", SourceNat::Masquerade);
    led(&mut table, ssh(), LAPTOP, web).unwrap();
    let elements = table.elements(boot(101));
    let Some(Change::Set { comment, forward, .. }) = elements.first() else { panic!("{elements:?}") };
    let mut again = LeaseTable::default();
    again.restore(ssh(), Duration::from_secs(9), comment, *forward, boot(101));
    assert_eq!(again.elements(boot(101)), elements);
    assert!(again.retain(&ceiling()).is_empty(), "still named");
    let fewer = Ceiling { forward: HashSet::new(), ..ceiling() };
    assert_eq!(again.retain(&fewer), [Change::Remove { door: ssh() }], "not named any more");
    assert!(again.is_empty());
}
