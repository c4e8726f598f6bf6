use std::num::NonZeroU16;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::crypto::key::{SiteId, SiteKey};
use crate::crypto::suite::Suite;
use crate::file::client::{ClientFile, NewClient};
use crate::file::profile::FreshnessName;
use crate::profile::DEFAULT_WINDOW;
use crate::time::UnixMillis;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn begun(rng: &mut StdRng) -> Begun {
    Begun::new("laptop".parse().unwrap(), "vpn.example.org".to_owned(), rng).unwrap()
}

fn client(request: &Request, key: &ProfileKey) -> ClientFile {
    ClientFile::from(NewClient {
        name: request.name().to_string(),
        server: request.server().to_owned(),
        port: NonZeroU16::MIN,
        site_id: SiteId([1; 16]),
        site_key: SiteKey::new([2; 32]),
        key_id: request.key_id(),
        key: ProfileKey::copy_of(key),
        suite: Suite::Aes256Gcm,
        open: vec!["tcp/22".parse().unwrap()],
        window: DEFAULT_WINDOW,
        freshness: FreshnessName::Clock,
        created: UnixMillis::EPOCH,
        receipt: true,
    })
}

/// What a server does with a line: the answer's line, its fingerprint, and the client's half as it knows it.
fn accept(line: &str, rng: &mut StdRng) -> (String, Fingerprint, String) {
    let request: Request = line.parse().unwrap();
    let reply = request.reply(rng).unwrap();
    let half = client(&request, reply.profile_key());
    let (answer, fingerprint) = reply.seal(&half).unwrap();
    (answer.to_string(), fingerprint, half.to_text().to_string())
}

#[test]
fn both_sides_have_the_same_profile_and_show_the_same_fingerprint() {
    let mut rng = rng(1);
    let begun = begun(&mut rng);
    let line = begun.request().to_string();
    let (answer, fingerprint, half) = accept(&line, &mut rng);
    let finished = begun.finish(&answer.parse().unwrap()).unwrap();
    assert_eq!(finished.profile.to_text().as_str(), half);
    assert_eq!(finished.fingerprint, fingerprint);
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    assert_eq!(fingerprint.to_string().to_lowercase().replace('-', " ").parse(), Ok(fingerprint));

    let key = half.lines().last().unwrap().strip_prefix("key = ").unwrap().trim_matches('"');
    for public in [&line, &answer] {
        for secret in [key, "AgICAgICAgIC"] {
            assert!(!public.contains(&secret[..8]), "a key stands in a line");
        }
    }
    // What was written down is the same enrolment.
    let restored =
        Begun::restore("laptop".parse().unwrap(), "vpn.example.org".to_owned(), *begun.secret()).unwrap();
    assert_eq!(restored.request().to_string(), line);
    assert!(restored.finish(&answer.parse().unwrap()).is_ok());
}

/// The lines go through somebody's hands who runs an exchange of his own with each side.
#[test]
fn whoever_stands_between_shows_two_fingerprints() {
    let mut rng = rng(2);
    let honest = begun(&mut rng);
    let between = begun(&mut rng);
    let (answer, at_server, _) = accept(&between.request().to_string(), &mut rng);
    // He learns the site key of his own profile, and so can answer the client as the server would.
    assert!(between.finish(&answer.parse().unwrap()).is_ok());
    let (forged, his, _) = accept(&honest.request().to_string(), &mut rng);
    let at_client = honest.finish(&forged.parse().unwrap()).unwrap().fingerprint;
    assert_eq!(at_client, his);
    assert_ne!(at_client, at_server);

    // Passing the server's answer on does not help him: it names another request.
    let refused = honest.finish(&answer.parse().unwrap()).err();
    assert_eq!(refused, Some(NotForUs::Another));
}

/// Every part that a fingerprint is to bind does.
#[test]
fn the_fingerprint_is_of_both_keys_and_of_all_that_was_said() {
    let mut random = rng(3);
    let first = begun(&mut random);
    let name = |name: &str, server: &str| {
        Begun::restore(name.parse().unwrap(), server.to_owned(), *first.secret())
            .unwrap()
            .request()
            .to_string()
    };
    let mut seen = Vec::new();
    #[rustfmt::skip]
    let rows = [
        // line, seed of the server, why it differs
        (first.request().to_string(),          7, "the first"),
        (first.request().to_string(),          8, "another key of the server"),
        (begun(&mut random).request().to_string(), 7, "another key of the client"),
        (name("phone", "vpn.example.org"),     7, "another name"),
        (name("laptop", "vpn.example.com"),    7, "another server"),
    ];
    for (line, seed, why) in rows {
        let (_, fingerprint, _) = accept(&line, &mut rng(seed));
        assert!(!seen.contains(&fingerprint), "{why}");
        seen.push(fingerprint);
    }
    // The same keys, but another port in the profile.
    let reply = first.request().reply(&mut rng(7)).unwrap();
    let mut half = client(first.request(), reply.profile_key());
    half.port = NonZeroU16::MAX;
    assert!(!seen.contains(&reply.seal(&half).unwrap().1), "another port");
}

#[test]
fn no_letter_of_a_line_can_be_changed_left_out_or_added() {
    let mut rng = rng(4);
    let begun = begun(&mut rng);
    let request = begun.request().to_string();
    let (answer, ..) = accept(&request, &mut rng);
    for line in [&request, &answer] {
        for at in 0..line.len() {
            let other = if line.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = [&line[..at], other, &line[at + 1..]].concat();
            let less = [&line[..at], &line[at + 1..]].concat();
            let more = [&line[..at], "A", &line[at..]].concat();
            for bad in [changed, less, more, line[..at].to_owned()] {
                // Leaving out one of two equal letters is the same as leaving out the other.
                assert!(bad.parse::<Request>().is_err() && bad.parse::<Answer>().is_err(), "{at}: {bad}");
            }
        }
    }
    let wrapped = answer.replace('A', "A\r\n ");
    assert_eq!(
        wrapped.parse::<Answer>().map(|line| line.to_string()),
        Ok(answer.clone()),
        "wrapped by a chat"
    );

    #[rustfmt::skip]
    let rows = [
        // line, as a request, as an answer, why
        (answer.as_str(),   Some(BadLine::Answer),  None,                    "the other line"),
        (request.as_str(),  None,                   Some(BadLine::Request),  "the other line"),
        ("",                Some(BadLine::Foreign), Some(BadLine::Foreign),  "nothing"),
        ("format = 1",      Some(BadLine::Foreign), Some(BadLine::Foreign),  "a profile"),
        (&request[..60],    Some(BadLine::Damaged), Some(BadLine::Request),  "cut off"),
        (&answer[..99],     Some(BadLine::Answer),  Some(BadLine::Damaged),  "cut off"),
    ];
    for (line, request, answer, why) in rows {
        assert_eq!(line.parse::<Request>().err(), request, "{why}: {line}");
        assert_eq!(line.parse::<Answer>().err(), answer, "{why}: {line}");
    }
    assert_eq!(format!("spa-enrol:{}", "A".repeat(9000)).parse::<Request>().err(), Some(BadLine::Foreign));
}

/// With the checksum made right, as somebody would who wants more than to damage it.
#[test]
fn a_line_that_was_made_by_hand_is_read_strictly() {
    let mut rng = rng(5);
    let begun = begun(&mut rng);
    let good = begun.request().encode();
    let (answer, ..) = accept(&begun.request().to_string(), &mut rng);
    let bytes = line::read(line::Kind::Answer, &answer).unwrap();
    let request = |bytes: &[u8]| line::write(line::Kind::Request, bytes).parse::<Request>().err();
    assert_eq!(request(&good), None);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    #[rustfmt::skip]
    let rows = [
        (changed(0, 2),                      BadLine::Version(2), "a later version"),
        (good[..good.len() - 1].to_vec(),    BadLine::Malformed,  "too short"),
        ([&good[..], &[0]].concat(),         BadLine::Malformed,  "too long"),
        (changed(33, 0),                     BadLine::Malformed,  "no name"),
        (changed(34, b'/'),                  BadLine::Malformed,  "a name that is a path"),
        (changed(41, b' '),                  BadLine::Malformed,  "a server with a blank"),
        (changed(41, 0x1b),                  BadLine::Malformed,  "a server that steers the terminal"),
        (changed(41, 0xff),                  BadLine::Malformed,  "no UTF-8"),
    ];
    for (bytes, why_not, why) in rows {
        assert_eq!(request(&bytes), Some(why_not), "{why}");
    }

    // A point of small order: every client would have the same secret.
    let mut weak = good.clone();
    weak[1..33].fill(0);
    let weak: Request = line::write(line::Kind::Request, &weak).parse().unwrap();
    assert_eq!(weak.reply(&mut rng).err(), Some(BadLine::Malformed));

    for at in 1..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let answer: Answer = line::write(line::Kind::Answer, &bytes).parse().unwrap();
        let expected = if at < 9 { NotForUs::Another } else { NotForUs::Changed };
        assert_eq!(begun.finish(&answer).err(), Some(expected), "byte {at}");
    }
    let short = line::write(line::Kind::Answer, &bytes[..FRONT_AND_TAG - 1]);
    assert_eq!(short.parse::<Answer>().err(), Some(BadLine::Malformed));
}

const FRONT_AND_TAG: usize = 41 + 16;

#[test]
fn a_second_answer_to_one_line_has_the_same_key_id() {
    let mut rng = rng(6);
    let [one, other] = [begun(&mut rng), begun(&mut rng)];
    let again: Request = one.request().to_string().parse().unwrap();
    assert_eq!(again.key_id(), one.request().key_id());
    assert_ne!(again.key_id(), other.request().key_id());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_enrolled_comes_out_as_it_went_in(
        seed: u64, name in "[A-Za-z0-9_][A-Za-z0-9._-]{0,31}", server in "[!-~]{1,253}",
    ) {
        let mut rng = rng(seed);
        let begun = Begun::new(name.parse().unwrap(), server.clone(), &mut rng).unwrap();
        let line = begun.request().to_string();
        let read: Request = line.parse().unwrap();
        prop_assert_eq!(&read, begun.request());
        let (answer, fingerprint, half) = accept(&line, &mut rng);
        let finished = begun.finish(&answer.parse().unwrap()).unwrap();
        prop_assert_eq!(finished.fingerprint, fingerprint);
        prop_assert_eq!(finished.profile.to_text().to_string(), half);
        prop_assert_eq!((finished.profile.name, finished.profile.server), (name, server));
    }
}

/// What another program computed (`tests/vectors/passphrases_and_enrolments.py`).
#[test]
fn another_program_says_the_same() {
    let vectors = include_str!("../../../tests/vectors/passphrases-and-enrolments.txt");
    let value =
        |name: &str| vectors.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    let bytes = |name: &str| -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&value(name)[2 * at..2 * at + 2], 16).unwrap())
    };
    let begun =
        Begun::restore("laptop".parse().unwrap(), "vpn.example.org".to_owned(), bytes("client-secret"))
            .unwrap();
    assert_eq!(begun.request().to_string(), value("request"));
    let reply = Reply::new(begun.request(), &StaticSecret::from(bytes("server-secret"))).ok().unwrap();
    assert_eq!(reply.profile_key().bytes(), &bytes("profile-key"));
    let (answer, fingerprint) = reply.seal(&client(begun.request(), reply.profile_key())).unwrap();
    // A vector says what the file said when it was made; fields that came later need not stand in it.
    let theirs: Answer = value("answer").parse().unwrap();
    let finished = begun.finish(&theirs).unwrap();
    assert_eq!(finished.fingerprint.to_string(), value("fingerprint"));
    assert_eq!(finished.profile.key.bytes(), &bytes("profile-key"));
    assert_eq!(begun.finish(&answer).unwrap().fingerprint, fingerprint);
}
