use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::*;
use crate::crypto::key::KeyId;
use crate::fixture::*;
use crate::grantee::Grantee;
use crate::request::Verb;

fn reject(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Admit(_) => "admit",
        Verdict::Drop(dropped) => dropped.reject.name(),
    }
}

#[test]
fn each_end_is_counted_once_and_only_authentic_ones_name_a_profile() {
    let keys = sealing_keys(LAPTOP);
    let good = datagram(&keys, &request(0, 1, open("tcp/22")));
    let of = |millis, id, verb| datagram(&keys, &request(millis, id, verb));
    let flipped = |at: usize| {
        let mut datagram = good.clone();
        datagram[at] ^= 1;
        datagram
    };
    #[rustfmt::skip]
    let rows = [
        // datagram, from, end, names the profile
        (good[..255].to_vec(),                          HOME, "length",      false),
        (flipped(0),                                    HOME, "header",      false),
        (flipped(23),                                   HOME, "unknown-key", false),
        (flipped(24),                                   HOME, "mac",         false),
        (datagram(&keys, &stating(request(0, 2, open("tcp/22")), "198.51.100.7")), HOME, "address", true),
        (of(-600_000, 3, open("tcp/22")),               HOME, "skewed",      true),
        (of(0, 4, open("tcp/443")),                     HOME, "forbidden",   true),
        (of(0, 4, open("tcp/443")),                     HOME, "replayed",    true),
        (good.clone(),                                  HOME, "admit",       true),
        (good.clone(),                                  "198.51.100.7", "replayed", true),
        (of(1, 5, Verb::Close(Vec::new())),             HOME, "admit",       true),
        (of(0, 6, open("tcp/22")),                      HOME, "old",         true),
    ];
    let mut gate = gate([profile(LAPTOP)]);
    for (row, (payload, source, end, authentic)) in rows.into_iter().enumerate() {
        let verdict = gate.judge(&from(source, &payload), now(0));
        if let Verdict::Drop(dropped) = &verdict {
            assert_eq!(dropped.profile.is_some(), authentic, "row {row}: {end}");
        }
        assert_eq!(reject(verdict), end, "row {row}");
    }
    let counters = gate.counters();
    let counted: Vec<(&str, u64)> =
        Reject::NAMES.into_iter().zip(counters.rejected).filter(|(_, count)| *count > 0).collect();
    #[rustfmt::skip]
    assert_eq!(counted, [
        ("length", 1), ("header", 1), ("unknown-key", 1), ("mac", 1), ("address", 1), ("old", 1), ("skewed", 1),
        ("replayed", 2), ("forbidden", 1),
    ]);
    assert_eq!(counters.admitted, 2);
    // Forbidden requests are remembered as well: three in all.
    assert_eq!(gate.take_remembered().len(), 3);
    assert_eq!(gate.take_remembered(), []);
}

#[test]
fn a_datagram_to_an_address_of_nobody_is_not_for_us() {
    let payload = datagram(&sealing_keys(LAPTOP), &request(0, 1, open("tcp/22")));
    let mut gate = gate([profile(LAPTOP)]);
    for destination in ["203.0.113.2:23571", "203.0.113.255:23571", "224.0.0.1:23571"] {
        let destination: SocketAddr = destination.parse().unwrap();
        let misled = Datagram { destination, ..from(HOME, &payload) };
        assert_eq!(reject(gate.judge(&misled, now(0))), "frame", "{destination}");
    }
    assert_eq!(reject(gate.judge(&from(HOME, &payload), now(0))), "admit", "nothing of it was remembered");
}

/// SPEC.md, section 11: the rate stands behind freshness.
#[test]
fn the_rate_counts_fresh_requests_only() {
    let keys = sealing_keys(LAPTOP);
    let payload = |millis| datagram(&keys, &request(millis, 1, open("tcp/22")));
    let mut gate = gate([profile(LAPTOP)]);
    let mut judge = |millis, clock| reject(gate.judge(&from(HOME, &payload(millis)), now(clock)));
    let captured = 0;
    assert_eq!(judge(captured, 0), "admit");
    for _ in 0..3000 {
        assert_eq!(judge(captured, 0), "replayed");
    }
    for millis in 1..1000 {
        assert_eq!(judge(millis, 0), "admit", "{millis} of a burst, after a flood of replays");
    }
    assert_eq!(judge(1000, 0), "rate", "the burst is used up");
    assert_eq!(judge(captured, 0), "replayed", "judged before the rate");
    assert_eq!(judge(1000, 9), "rate", "not yet");
    assert_eq!(judge(1000, 10), "admit", "a token flowed back, and what the rate refused is not remembered");
    assert_eq!(judge(1000, 10), "replayed");
}

#[test]
fn one_profile_does_not_use_up_the_rate_of_another() {
    let (laptop, phone) = (LAPTOP, KeyId(9));
    let mut gate = gate([profile(laptop), profile(phone)]);
    let mut judge = |id, millis| {
        let payload = datagram(&sealing_keys(id), &request(millis, 1, open("tcp/22")));
        reject(gate.judge(&from(HOME, &payload), now(0)))
    };
    for millis in 0..1000 {
        assert_eq!(judge(laptop, millis), "admit");
    }
    assert_eq!(judge(laptop, 1000), "rate");
    assert_eq!(judge(phone, 1000), "admit");
}

#[test]
fn a_link_local_knock_opens_for_its_link_only() {
    let here: OwnAddresses = [ip(SERVER)].into_iter().collect();
    let (first, second) = (NonZeroU32::new(1), NonZeroU32::new(2));
    let own = here.with_links([("fe80::1".parse().unwrap(), NonZeroU32::MIN)]);
    let any = |profile: Profile| Profile { any_address: true, ..profile };
    let on_first = Ok(Grantee::OnLink { address: "fe80::7".parse().unwrap(), interface: 1 });
    #[rustfmt::skip]
    let rows = [
        // source, destination, interface, stated, any address, for whom or the reject, why
        ("fe80::7", "fe80::1",  first,  None,            false, on_first,                   "from its link"),
        ("fe80::7", "fe80::1",  first,  Some("fe80::7"), false, on_first,                   "and stated"),
        ("fe80::7", SERVER,     first,  None,            false, on_first,                   "to another address of this host"),
        ("fe80::7", "fe80::1",  second, None,            false, Err("frame"),               "another host's address, on another link"),
        ("fe80::7", "fe80::1",  None,   None,            false, Err("frame"),               "on which link?"),
        ("fe80::7", SERVER,     None,   None,            false, Err("address"),             "on which link?"),
        ("fe80::1", SERVER,     first,  None,            false, Err("address"),             "our own"),
        ("fe80::1", SERVER,     second, None,            false, Ok(Grantee::OnLink { address: "fe80::1".parse().unwrap(), interface: 2 }), "a neighbour of the same name"),
        ("fe80::7", "fe80::1",  first,  Some("fe80::8"), false, Err("address"),             "not the source"),
        ("fe80::7", "fe80::1",  first,  Some("fe80::8"), true,  Err("address"),             "a stated one has no link"),
        (HOME,      SERVER,     first,  Some("fe80::7"), true,  Err("address"),             "a stated one has no link"),
        ("fe80::7", "fe80::1",  first,  Some(HOME),      true,  Ok(ip(HOME).into()),        "any address"),
    ];
    for (source, destination, interface, stated, any_address, expected, why) in rows {
        let profile = if any_address { any(profile(LAPTOP)) } else { profile(LAPTOP) };
        let mut gate = Gate { own: own.clone(), ..gate([profile]) };
        let mut request = request(0, 1, open("tcp/22"));
        if let Some(stated) = stated {
            request = stating(request, stated);
        }
        let payload = datagram(&sealing_keys(LAPTOP), &request);
        let destination = SocketAddr::new(ip(destination), 23571);
        let arrived = Datagram { destination, interface, ..from(source, &payload) };
        let got = match gate.judge(&arrived, now(0)) {
            Verdict::Admit(admission) => Ok(admission.grantees()[0]),
            Verdict::Drop(dropped) => Err(dropped.reject.name()),
        };
        assert_eq!(got, expected, "{source} to {destination}: {why}");
    }
}
