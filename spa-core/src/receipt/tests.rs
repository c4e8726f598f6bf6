use std::collections::BTreeSet;
use std::num::NonZeroU32;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::sealed::{Binding, MAX, MIN, OVERHEAD, SealedReceipt, open, seal, seal_exact};
use super::wanted::Wanted;
use super::*;
use crate::crypto::key::KeyId;
use crate::fixture::{
    HOME, LAPTOP, SERVER, at, datagram, from, gate, ip, now, open as opening, profile, receipt_keys, request,
    sealing_keys, stating,
};
use crate::gate::{Gate, Verdict};
use crate::profile::Profile;
use crate::replay::DEFAULT_SKEW;
use crate::request::{Request, Stated, Verb};

fn granted() -> Receipt {
    let outcome = Outcome::Done { until: Some(at(30_000)) };
    Receipt { time: at(0), outcome, seen: ip(HOME), skew: Some(DEFAULT_SKEW) }
}

fn longest() -> Receipt {
    let until = Some(UnixMillis::MAX);
    let seen = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
    Receipt { time: UnixMillis::MAX, outcome: Outcome::Done { until }, seen, skew: Some(MAX_SKEW) }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let refused = Refusal::ALL.map(Outcome::Refused);
    for outcome in [Outcome::Done { until: None }, granted().outcome].into_iter().chain(refused) {
        for seen in [HOME, "2001:db8::7"].map(ip) {
            for skew in [None, Some(Duration::ZERO), Some(MAX_SKEW)] {
                let receipt = Receipt { outcome, seen, skew, ..granted() };
                assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
            }
        }
    }
}

#[test]
fn every_other_spelling_is_refused() {
    let good = granted().encode();
    let text: String = good.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, "a5011b000001a1f86f34c00200031b000001a1f86fa9f00444c000020a0519ea60");
    #[rustfmt::skip]
    let rows = [
        // replaced, by, why
        ("a501", "a401", "a pair more than the head says"),
        ("a501", "a601", "a pair less"),
        ("0200", "021800", "an outcome in two bytes"),
        ("0200", "0208", "an outcome that there is not"),
        ("0200", "0201", "refused, and yet open until then"),
        ("0444c000020a", "0443c00002", "an address of three bytes"),
        ("0519ea60", "051a0036ee81", "a skew that no server has"),
        ("0519ea60", "0619ea60", "a key that there is not"),
        ("0519ea60", "0419ea60", "a key twice"),
        ("0519ea60", "0519ea6001", "something behind it"),
        ("031b000001a1f86fa9f0", "031b0001000000000000", "a time of 2^48"),
    ];
    for (from, to, why) in rows {
        assert!(text.contains(from), "{from}");
        let bytes = text.replacen(from, to, 1);
        let bytes: Vec<u8> =
            (0..bytes.len() / 2).map(|n| u8::from_str_radix(&bytes[2 * n..2 * n + 2], 16).unwrap()).collect();
        assert_eq!(Receipt::decode(&bytes), Err(Malformed), "{why}");
    }
    for end in 0..good.len() {
        assert_eq!(Receipt::decode(&good[..end]), Err(Malformed), "cut at {end}");
    }
    let padded = [good.as_slice(), &[0; 40]].concat();
    assert_eq!(Receipt::decode(&padded), Ok(granted()), "padding");
    let extended = [&[0xa6], &good[1..], &[0x18, 128, 0x41, 7]].concat();
    assert_eq!(Receipt::decode(&extended), Ok(granted()), "an extension that may be ignored");
}

fn knock() -> (Binding, Vec<u8>) {
    let datagram = datagram(&sealing_keys(LAPTOP), &wishing(opening("tcp/22")));
    (Binding::of(&datagram).unwrap(), datagram)
}

#[test]
fn a_receipt_opens_for_the_datagram_that_it_answers_and_for_no_other() {
    let (keys, mut rng) = (receipt_keys(LAPTOP), StdRng::seed_from_u64(1));
    let (binding, datagram) = knock();
    let sealed = seal(&keys, &binding, &granted(), &mut rng).unwrap();
    assert_eq!(open(&keys, &binding, sealed.bytes()), Some(granted()));
    for at in 0..sealed.bytes().len() {
        let mut changed = sealed.bytes().to_vec();
        changed[at] ^= 1;
        assert_eq!(open(&keys, &binding, &changed), None, "byte {at}");
        assert_eq!(open(&keys, &binding, &sealed.bytes()[..at]), None, "cut at {at}");
    }
    // Another copy of the same command, sealed anew.
    for at in [0, 15, datagram.len() - 32, datagram.len() - 1] {
        let mut other = datagram.clone();
        other[at] ^= 1;
        assert_eq!(open(&keys, &Binding::of(&other).unwrap(), sealed.bytes()), None, "bound to byte {at}");
    }
    assert_eq!(open(&receipt_keys(KeyId(7)), &binding, sealed.bytes()), None, "another profile's");
}

#[test]
fn neither_direction_can_be_reflected_into_the_other() {
    let (keys, mut rng) = (receipt_keys(LAPTOP), StdRng::seed_from_u64(2));
    let (binding, datagram) = knock();
    // To the client its own request, as long as a receipt.
    assert_eq!(open(&keys, &binding, &datagram), None);
    assert_eq!(open(&keys, &binding, &datagram[..MAX]), None);
    // To the server a receipt: too short for any datagram, and under other keys.
    let sealed = seal(&keys, &binding, &granted(), &mut rng).unwrap();
    let verdict = gate([answering()]).judge(&from(HOME, sealed.bytes()), now(0));
    assert!(matches!(verdict, Verdict::Drop(dropped) if dropped.reject.name() == "length"));
}

#[test]
fn a_length_says_nothing_and_is_never_that_of_a_request() {
    let (keys, mut rng) = (receipt_keys(LAPTOP), StdRng::seed_from_u64(3));
    let (binding, _) = knock();
    assert!(longest().encode().len() + OVERHEAD <= MIN, "{}", longest().encode().len());
    for receipt in [longest(), Receipt { outcome: Outcome::Refused(Refusal::Service), ..granted() }] {
        let lengths: BTreeSet<usize> =
            (0..2000).map(|_| seal(&keys, &binding, &receipt, &mut rng).unwrap().bytes().len()).collect();
        assert!(lengths.into_iter().eq(MIN..=MAX));
    }
    for (total, good) in [(MIN - 1, false), (MIN, true), (MAX, true), (MAX + 1, false)] {
        assert_eq!(seal_exact(&keys, &binding, granted().encode(), &[0; 24], total).is_ok(), good, "{total}");
        assert_eq!(SealedReceipt::from_bytes(&vec![0; total]).is_some(), good, "{total}");
    }
}

fn answering() -> Profile {
    Profile { receipt: Some(Box::new(receipt_keys(LAPTOP))), ..profile(LAPTOP) }
}

fn wishing(verb: Verb) -> Request {
    Request { receipt: true, ..request(0, 1, verb) }
}

/// The receipt that the gate would have sent for it.
fn wanted(gate: &mut Gate, request: &Request, source: &str, millis: i64) -> Option<Wanted> {
    let bytes = datagram(&sealing_keys(LAPTOP), request);
    match gate.judge(&from(source, &bytes), now(millis)) {
        Verdict::Admit(admission) => admission.receipt().cloned(),
        Verdict::Drop(dropped) => dropped.receipt.map(|wanted| *wanted),
    }
}

#[test]
fn who_gets_a_receipt() {
    let any = || Profile { any_address: true, ..answering() };
    let link = |request: Request| {
        let prefix = Stated { address: ip("192.0.2.0"), prefix: Some(24) };
        Request { addresses: vec![prefix], ..request }
    };
    let plain = || wishing(opening("tcp/22"));
    #[rustfmt::skip]
    let rows = [
        // profile, request, source, sent, why
        (answering(),     plain(),                                HOME,           true,  "an open"),
        (answering(),     wishing(Verb::Close(Vec::new())),       HOME,           true,  "a close"),
        (answering(),     wishing(opening("tcp/80")),             HOME,           true,  "what policy forbids"),
        (answering(),     wishing(Verb::Ping),                    HOME,           true,  "a verb that is not served"),
        (answering(),     stating(plain(), HOME),                 HOME,           true,  "the address stated"),
        (any(),           stating(plain(), HOME),                 HOME,           true,  "the address stated, any allowed"),
        (any(),           stating(stating(plain(), HOME), "198.51.100.7"), HOME,  true,  "one of two addresses"),
        (profile(LAPTOP), plain(),                                HOME,           false, "not in its profile"),
        (answering(),     request(0, 1, opening("tcp/22")),       HOME,           false, "not asked for"),
        (answering(),     stating(plain(), HOME),                 "198.51.100.7", false, "forwarded from elsewhere"),
        (any(),           stating(plain(), "198.51.100.7"),       HOME,           false, "for somebody else"),
        (answering(),     link(plain()),                          HOME,           false, "a prefix"),
        (answering(),     plain(),                                "127.0.0.1",    false, "an address that gets nothing"),
        (answering(),     plain(),                                SERVER,         false, "the server's own"),
        (answering(),     Request { time: at(60_001), ..plain() }, HOME,          false, "a clock too far ahead"),
        (answering(),     Request { time: at(-60_001), ..plain() }, HOME,         false, "a clock too far behind"),
        (answering(),     Request { time: at(-600_000), ..plain() }, HOME,        false, "older than its profile"),
    ];
    for (profile, request, source, sent, why) in rows {
        let mut gate = gate([profile]);
        let first = wanted(&mut gate, &request, source, 0);
        assert_eq!(first.is_some(), sent, "{why}");
        if let Some(first) = first {
            assert_eq!((first.from(), first.to()), (ip(SERVER), from(source, &[]).source), "{why}");
            assert_eq!(first.time(), at(0), "{why}");
        }
        assert_eq!(wanted(&mut gate, &request, source, 0), None, "never twice: {why}");
    }
}

#[test]
fn a_wanted_receipt_says_what_it_is_given_and_how_far_apart_clocks_may_be() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut gate = gate([answering()]);
    let knock = wishing(opening("tcp/22"));
    let wanted = wanted(&mut gate, &knock, HOME, 0).unwrap();
    let sealed = wanted.seal(gate.keyring(), granted().outcome, DEFAULT_SKEW, &mut rng).unwrap();
    let binding = Binding::of(&datagram(&sealing_keys(LAPTOP), &knock)).unwrap();
    assert_eq!(open(&receipt_keys(LAPTOP), &binding, sealed.bytes()), Some(granted()));
}

#[test]
fn what_comes_by_a_link_local_address_gets_no_receipt() {
    let bytes = datagram(&sealing_keys(LAPTOP), &wishing(opening("tcp/22")));
    let mut datagram = from("fe80::7", &bytes);
    datagram.interface = NonZeroU32::new(2);
    let Verdict::Admit(admission) = gate([answering()]).judge(&datagram, now(0)) else { panic!("it opens") };
    assert_eq!(admission.receipt(), None);
}
