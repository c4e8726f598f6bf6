use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn sealed() -> Vec<u8> {
    seal(&passphrase("correct horse"), b"laptop", "text", CHEAP, &mut StdRng::seed_from_u64(1)).unwrap()
}

#[test]
fn it_opens_with_its_passphrase_and_its_public_part_only() {
    let envelope = sealed();
    #[rustfmt::skip]
    let rows = [
        // passphrase, public part, opens, why
        ("correct horse",  "laptop", true,  "as sealed"),
        ("correct horse ", "laptop", false, "a blank counts"),
        ("Correct horse",  "laptop", false, "another letter"),
        ("correct horse",  "phone",  false, "what stands in clear was changed"),
    ];
    for (typed, public, opens, why) in rows {
        let opened = open(&passphrase(typed), public.as_bytes(), &envelope);
        let expected = if opens { Ok("text".to_owned()) } else { Err(BadEnvelope::Passphrase) };
        assert_eq!(opened.map(|text| text.to_string()), expected, "{why}");
    }
}

#[test]
fn no_byte_can_be_changed_or_cut_off() {
    let envelope = sealed();
    let key = passphrase("correct horse");
    for at in 0..envelope.len() {
        let mut changed = envelope.clone();
        // The least bit: what the costs become stays cheap.
        changed[at] ^= 1;
        assert!(open(&key, b"laptop", &changed).is_err(), "byte {at}");
        assert!(open(&key, b"laptop", &envelope[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(open(&key, b"laptop", &envelope[..HEADER + TAG - 1]).err(), Some(BadEnvelope::Short));
    let longer = [&envelope[..], &[0]].concat();
    assert_eq!(open(&key, b"laptop", &longer).err(), Some(BadEnvelope::Passphrase));
}

#[test]
fn a_hostile_file_costs_no_more_than_the_bounds() {
    #[rustfmt::skip]
    let rows = [
        // memory, passes, lanes, allowed, why
        (64 * 1024,        3,  4,  true,  "ours"),
        (256 * 1024,       16, 16, true,  "all that is allowed"),
        (256 * 1024 + 1,   1,  1,  false, "more memory"),
        (4 * 1024 * 1024,  1,  1,  false, "4 GiB"),
        (u32::MAX,         1,  1,  false, "4 TiB"),
        (64,               17, 1,  false, "more passes"),
        (256,              1,  17, false, "more lanes"),
        (64,               0,  1,  false, "no pass"),
        (64,               1,  0,  false, "no lane"),
        (15,               1,  2,  false, "less than 8 KiB a lane"),
    ];
    for (memory, passes, lanes, allowed, why) in rows {
        assert_eq!(Cost::new(memory, passes, lanes).is_some(), allowed, "{why}");
        if !allowed {
            let mut hostile = sealed();
            hostile[1..5].copy_from_slice(&memory.to_be_bytes());
            (hostile[5], hostile[6]) = (passes, lanes);
            let opened = open(&passphrase("a"), b"laptop", &hostile);
            assert_eq!(opened.err(), Some(BadEnvelope::Cost), "{why}");
        }
    }
    let mut later = sealed();
    later[0] = 2;
    assert_eq!(open(&passphrase("a"), b"laptop", &later).err(), Some(BadEnvelope::Version(2)));
}

#[test]
fn two_envelopes_of_one_text_have_nothing_in_common() {
    let mut rng = StdRng::seed_from_u64(2);
    let [a, b] = [(); 2].map(|()| seal(&passphrase("a"), b"", "text", CHEAP, &mut rng).unwrap());
    assert_ne!(a[7..HEADER], b[7..HEADER]);
    assert_ne!(a[HEADER..], b[HEADER..]);
}

#[test]
fn a_passphrase_is_something_and_not_a_file() {
    assert_eq!(Passphrase::new(String::new()).err(), Some(BadPassphrase::Empty));
    assert!(Passphrase::new("a".repeat(1024)).is_ok());
    assert_eq!(Passphrase::new("a".repeat(1025)).err(), Some(BadPassphrase::TooLong));
}

/// What another program computed (`tests/vectors/passphrases_and_enrolments.py`).
#[test]
fn another_program_says_the_same() {
    let vectors = include_str!("../../../tests/vectors/passphrases-and-enrolments.txt");
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let values = |name: &'static str| {
        vectors.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let public = unhex(values("public").next().unwrap());
    let key = passphrase(values("passphrase").next().unwrap());
    assert_eq!(values("envelope").count(), 2);
    for envelope in values("envelope") {
        let opened = open(&key, &public, &unhex(envelope));
        assert_eq!(opened.map(|text| text.to_string()), Ok("format = 1\n".to_owned()));
    }
}
