//! The bodies of the fuzz targets, on stable: every seed, and ten thousand mutations for each parser.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::num::NonZeroU16;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use spa_core::crypto::key::SiteId;
use spa_core::journal::{Entry, Header, MachineHash};
use spa_core::profile::JournalEpoch;
use spa_core::receipt::sealed::SealedReceipt;
use spa_core::replay::Record;
use spa_core::time::UnixMillis;
use spad::answer::{Letter, Sealed, Way};

const MUTATIONS: usize = 10_000;

/// Runs a body over its seeds, then over mutations of them. A panic names the bytes.
fn hammer(name: &str, body: fn(&[u8]), seeds: &[Vec<u8>]) {
    assert!(!seeds.is_empty(), "{name}: no seeds");
    let mut rng = SmallRng::seed_from_u64(1);
    let run = |bytes: &[u8]| {
        let outcome = std::panic::catch_unwind(|| body(bytes));
        assert!(outcome.is_ok(), "{name} broke on {}", hex(bytes));
    };
    seeds.iter().for_each(|seed| run(seed));
    for _ in 0..MUTATIONS {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        for _ in 0..rng.random_range(1..=4) {
            mutate(&mut bytes, seeds, &mut rng);
        }
        run(&bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut SmallRng) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.random()),
        2 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        3 if at < bytes.len() => bytes[at] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xff][rng.random_range(0..7)],
        4 if at < bytes.len() => {
            bytes.remove(at);
        }
        _ => {
            // The end of another seed behind the beginning of this one.
            let other = &seeds[rng.random_range(0..seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// The value of a field in every vector that has it.
fn of_vectors(field: &str) -> Vec<Vec<u8>> {
    of_vectors_in("native", field)
}

fn of_vectors_in(folder: &str, field: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        found.extend(line.map(|value| unhex(value.trim())));
    }
    found
}

/// Every file with this ending in the examples.
fn of_examples(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let is_config = path.file_name().unwrap() == "spad.toml";
            if path.extension().is_some_and(|ending| ending == "toml") && is_config == (name == "spad.toml") {
                found.push(fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn frames() {
    let datagram = [vec![0x9c, 0x40, 0x5c, 0x13, 0, 12, 0, 0], vec![7; 4]].concat();
    let ipv4 =
        [vec![0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2], datagram.clone()];
    let ipv6 = [vec![0x60, 0, 0, 0, 0, 12, 17, 64], vec![0x20; 32], datagram];
    let (ipv4, ipv6) = (ipv4.concat(), ipv6.concat());
    let fronts: [(u8, Vec<u8>); 6] = [
        (0, [vec![0; 12], vec![8, 0]].concat()),
        (1, vec![2, 0, 0, 0]),
        (2, vec![0, 0, 0, 2]),
        (3, Vec::new()),
        (4, [vec![0; 14], vec![8, 0]].concat()),
        (5, [vec![8, 0], vec![0; 18]].concat()),
    ];
    let mut seeds = vec![[&[0][..], &[0; 12], &[0x81, 0, 0, 5, 0x86, 0xdd], &ipv6].concat()];
    for (link, front) in fronts {
        seeds.push([&[link][..], &front, &ipv4].concat());
    }
    hammer("frame", bodies::frame, &seeds);
}

#[test]
fn datagrams() {
    hammer("gate", bodies::gate, &of_vectors("datagram"));
}

#[test]
fn receipts() {
    let mut seeds = of_vectors_in("receipt", "plain");
    seeds.extend(of_vectors_in("receipt", "receipt"));
    let way = Way { from: [1; 4].into(), to: [2; 4].into(), port: NonZeroU16::MIN };
    let receipt = SealedReceipt::from_bytes(&[3; 128]).expect("of that length");
    let letter = Letter { port: NonZeroU16::MIN, sealed: Sealed { way, receipt } };
    seeds.push(letter.encode().to_vec());
    hammer("receipt", bodies::receipt, &seeds);
}

#[test]
fn requests() {
    hammer("request", bodies::request, &of_vectors("request"));
}

#[test]
fn messages_of_the_worker() {
    use spa_core::grantee::Grantee;
    use spa_core::policy::{Effect, Narrowing};
    use spa_core::terms::Terms;
    use spad::ask::{Ask, Message};
    let ask = Ask {
        profile: "laptop".into(),
        key_id: spa_core::crypto::key::KeyId(7),
        time: UnixMillis::MAX,
        grantees: vec![
            Grantee::Address("192.0.2.7".parse().unwrap()),
            Grantee::Prefix { first: "2001:db8::".parse().unwrap(), bits: 64 },
        ],
        effect: Effect::Open {
            services: vec!["tcp/22".parse().unwrap(), "udp/51820".parse().unwrap()],
            narrowing: Narrowing::SourcePorts(4000, 4010),
            terms: Terms::plain(std::time::Duration::from_secs(30)),
        },
    };
    let invocation = spa_core::action::Invocation { action: 1, argument: Some(2) };
    let invoke = Ask { effect: Effect::Invoke(invocation), ..ask.clone() };
    let refused =
        spad::report::Refusal { profile: "laptop".into(), reason: "old", times: 7, why: "too old".into() };
    let close = Ask { effect: Effect::Close { services: Vec::new() }, ..ask.clone() };
    let port = 23571.try_into().unwrap();
    let ready = Message::Ready { port, profiles: 1, interfaces: 1, surroundings: 1, config: 1 };
    let messages = [
        Message::Ask(ask),
        Message::Ask(close),
        Message::Ask(invoke),
        Message::Refused(refused),
        ready,
        Message::Renew,
    ];
    hammer("ask", bodies::ask, &messages.map(|message| message.encode().to_vec()));
}

#[test]
fn journals() {
    let header = Header {
        generation: 3,
        epoch: JournalEpoch([4; 8]),
        settled: true,
        site: SiteId([5; 16]),
        machine: MachineHash([6; 16]),
        capacity: 4,
    };
    let mut seeds = vec![header.encode().to_vec()];
    for records in 0..4_u64 {
        let mut bytes = header.encode().to_vec();
        for slot in 0..records {
            let time = UnixMillis::new(1_795_000_000_000 + slot).unwrap();
            bytes.extend(header.record(slot, Entry::Memory(Record::SiteFloor(time))));
        }
        bytes.resize(96 + 4 * 32, 0);
        seeds.push(bytes);
    }
    hammer("journal", bodies::journal, &seeds);
}

#[test]
fn answers_of_stun_servers() {
    let head = [1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    let id = [7; 12];
    let mapped = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    let software = *b"\x80\x22\x00\x05coturn\0\0";
    let v6 = [&[0, 0x20, 0, 20, 0, 2, 0xa1, 0x47][..], &[0x2a; 16]].concat();
    let answer = |length: u8, attributes: &[&[u8]]| {
        let mut bytes = [&head[..], &id, &attributes.concat()].concat();
        bytes[3] = length;
        bytes
    };
    let seeds = [answer(12, &[&mapped]), answer(24, &[&software, &mapped]), answer(24, &[&v6])];
    hammer("stun", bodies::stun, &seeds);
}

#[test]
fn texts() {
    let key = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
    let id = "AAECAwQFBgcICQoLDA0ODw==";
    let site = format!("format = 1\nid = \"{id}\"\nkey = \"{key}\"\nport = 23571\nmachine = \"{id}\"\n");
    let client = format!(
        "format = 1\nname = \"laptop\"\nserver = \"vpn.example.org\"\nport = 23571\nsite_id = \"{id}\"\n\
         site_key = \"{key}\"\nkey_id = 7\nkey = \"{key}\"\nsuite = \"aes256gcm\"\nopen = [\"tcp/22\"]\n\
         window = \"30s\"\nfreshness = \"clock\"\ncreated = 2026-11-20T10:00:00Z\n"
    );
    let encrypted =
        "format = 1\nname = \"laptop\"\nserver = \"vpn.example.org\"\nencrypted = \"AQAAAEABAQABAgME\"\n";
    hammer("encrypted", bodies::encrypted, &[encrypted.into()]);
    hammer("site", bodies::site, &[site.into_bytes()]);
    hammer("client", bodies::client, &[client.into_bytes()]);
    hammer("profile", bodies::profile, &of_examples("profile"));
    hammer("config", bodies::config, &of_examples("spad.toml"));
}

#[test]
fn lines_of_an_enrolment() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/passphrases-and-enrolments.txt");
    let text = fs::read_to_string(file).unwrap();
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    hammer("enrolment", bodies::enrolment, &["request", "answer"].map(|name| value(name).into()));
}
