//! One body for each parser that reads what others wrote. A body may be given any bytes; it checks more than that
//! nothing panics. The fuzz targets call them, and so does `tests/tests/parsers.rs` on every `make test`.
#![allow(dead_code, unreachable_pub)]

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use spa_client::stun::{self, NoAddress, TransactionId};
use spa_core::address::OwnAddresses;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use spa_core::crypto::suite::{ReceiptKeys, Suite};
use spa_core::enrolment::{Answer, Begun, Request as EnrolmentRequest};
use spa_core::file::client::ClientFile;
use spa_core::file::encrypted::EncryptedFile;
use spa_core::file::profile::ProfileFile;
use spa_core::file::profiles::Profiles;
use spa_core::file::site::SiteFile;
use spa_core::frame::{Datagram, Link};
use spa_core::gate::{Gate, Verdict};
use spa_core::journal::{self, Entry, File, MachineHash};
use spa_core::keyring::Keyring;
use spa_core::profile::{Freshness, JournalEpoch};
use spa_core::receipt::Receipt;
use spa_core::receipt::sealed::{self, Binding};
use spa_core::replay::{DEFAULT_SKEW, Replay};
use spa_core::request::Request;
use spa_core::time::{BootTime, Now, UnixMillis};
use spad::answer::Letter;
use spad::ask::{Message, SIZE};
use spad::config::Config;

/// Where frames are captured.
const HERE: Option<NonZeroU32> = NonZeroU32::new(3);

/// A datagram lies inside its frame, and what is cut off a frame never makes another datagram of it.
pub fn frame(bytes: &[u8]) {
    let Some((&link, frame)) = bytes.split_first() else { return };
    let links = [Link::Ethernet, Link::Null, Link::Loop, Link::Raw, Link::Cooked, Link::Cooked2];
    let link = links[usize::from(link) % links.len()];
    let Ok(datagram) = Datagram::parse(link, HERE, frame) else { return };
    let inside = frame.as_ptr_range();
    let payload = datagram.payload.as_ptr_range();
    assert!(inside.start <= payload.start && payload.end <= inside.end);
    assert_eq!(datagram.source.is_ipv4(), datagram.destination.is_ipv4());
    let end = payload.end as usize - inside.start as usize;
    assert_eq!(
        Datagram::parse(link, HERE, &frame[..end]),
        Ok(datagram),
        "what follows the datagram means nothing"
    );
    assert!(end == 0 || Datagram::parse(link, HERE, &frame[..end - 1]).is_err(), "a cut datagram is none");
}

/// A stranger gets nothing, and leaves nothing behind.
pub fn gate(bytes: &[u8]) {
    let site = SiteId([1; 16]);
    let profile = ProfileFile::new(
        KeyId(7),
        ProfileKey::new([2; 32]),
        Suite::Aes256Gcm,
        vec!["tcp/22".parse().expect("a service")],
        UnixMillis::EPOCH,
        Freshness::Clock,
    );
    let header = spa_core::crypto::header::HeaderKey::derive(&SiteKey::new([3; 32]), site);
    let own: OwnAddresses = ["192.0.2.1".parse().expect("an address")].into_iter().collect();
    let replay = Replay::restore(JournalEpoch([0; 8]), true, DEFAULT_SKEW, []);
    let keyring = Keyring::new([profile.into_profile("fuzz".into(), site)]);
    let mut gate = Gate::new(vec![header], keyring, replay, own);
    let datagram = Datagram {
        source: "192.0.2.9:4000".parse().expect("an address"),
        destination: "192.0.2.1:23571".parse().expect("an address"),
        interface: HERE,
        payload: bytes,
    };
    let wall = UnixMillis::new(1_795_000_000_000).expect("a time");
    let now = Now { wall, boot: BootTime::new(Duration::from_secs(100)), synchronised: true };
    let Verdict::Drop(dropped) = gate.judge(&datagram, now) else { panic!("nobody has the key") };
    assert!(dropped.profile.is_none(), "a stranger is nobody, and causes no line in the log");
    assert!(gate.take_remembered().is_empty(), "nothing is remembered of a stranger");
}

/// A receipt has one spelling, as a request has; without its key nothing is one, and a letter to the sender has one too.
pub fn receipt(bytes: &[u8]) {
    let keys = ReceiptKeys::derive(&ProfileKey::new([2; 32]), SiteId([1; 16]), Suite::Aes256Gcm);
    let binding = Binding::of(&[7; 256]).expect("long enough");
    assert_eq!(sealed::open(&keys, &binding, bytes), None, "nobody has the key");
    if let Some(letter) = bytes.first_chunk().and_then(Letter::decode) {
        assert_eq!(Some(&letter.encode()), bytes.first_chunk());
    }
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
    assert!(receipt.encode().len() + sealed::OVERHEAD <= sealed::MIN, "it fits the shortest datagram");
}

/// What is read is written back as it was: a request has one spelling.
pub fn request(bytes: &[u8]) {
    let Ok(request) = Request::decode(bytes) else { return };
    let written = request.encode();
    assert_eq!(Request::decode(&written), Ok(request));
    let (front, padding) = bytes.split_at_checked(written.len()).unwrap_or((bytes, &[]));
    // Extensions are the one thing that is read and not kept.
    if front == written {
        assert!(padding.iter().all(|&byte| byte == 0));
    } else {
        assert!(bytes.len() > written.len(), "only an extension is dropped");
    }
}

/// A message of the worker has one spelling.
pub fn ask(bytes: &[u8]) {
    let mut message = [0; SIZE];
    for (to, from) in message.iter_mut().zip(bytes) {
        *to = *from;
    }
    if let Ok(read) = Message::decode(&message) {
        assert_eq!(read.encode(), message);
    }
}

/// A whole journal is exactly what its header and records write.
pub fn journal(bytes: &[u8]) {
    let File::Whole(whole) = journal::read(bytes) else { return };
    let mut written = whole.header.encode().to_vec();
    let mut entries: Vec<Entry> = whole.records.iter().copied().map(Entry::Memory).collect();
    entries.extend(whole.superseded.then_some(Entry::Superseded));
    assert_eq!(entries.len() as u64, whole.next);
    if !whole.superseded {
        for (slot, entry) in (0..).zip(entries) {
            written.extend(whole.header.record(slot, entry));
        }
        written.resize(bytes.len(), 0);
        assert_eq!(written, bytes);
    }
}

/// A site that is read is written, and read as the same.
pub fn site(bytes: &[u8]) {
    let Some(file) = text(bytes).and_then(|text| SiteFile::parse(text).ok()) else { return };
    let written = file.to_text();
    let again = SiteFile::parse(&written).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.to_text(), written);
    assert_ne!(again.machine(), MachineHash::of(again.id, "another machine"));
}

/// A profile that is read is written, and read as the same.
pub fn profile(bytes: &[u8]) {
    let Some(held) = text(bytes).and_then(|text| Profiles::parse(text).ok()) else { return };
    let alone = matches!(held, Profiles::One(_));
    for (name, file) in held.into_good() {
        assert_eq!(name.is_none(), alone, "of several, each that is good has a name");
        assert!(file.window <= file.max_window && !file.open.is_empty());
        let written = file.to_text();
        let again = ProfileFile::parse(&written).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.to_text(), written);
    }
}

/// A client's half that is read can seal.
pub fn client(bytes: &[u8]) {
    let Some(file) = text(bytes).and_then(|text| ClientFile::parse(text).ok()) else { return };
    assert_eq!(file.sealing_keys().key_id, file.key_id());
}

/// A line of an enrolment has one spelling, but for white space, and a stranger's opens nothing.
pub fn enrolment(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let typed: String = text.split_ascii_whitespace().collect();
    if let Ok(request) = text.parse::<EnrolmentRequest>() {
        assert_eq!(request.to_string(), typed);
        assert!(request.server().bytes().all(|byte| byte.is_ascii_graphic()) && request.key_id().0 != 0);
    }
    if let Ok(answer) = text.parse::<Answer>() {
        assert_eq!(answer.to_string(), typed);
        let ours = Begun::restore("a".parse().expect("a name"), "b".to_owned(), [7; 32]).expect("a host");
        assert!(ours.finish(&answer).is_err());
    }
}

/// What is under a passphrase is written as it was read, and opens for nobody who does not know it.
pub fn encrypted(bytes: &[u8]) {
    let Some(file) = text(bytes).and_then(|text| EncryptedFile::parse(text).ok()) else { return };
    let written = file.to_text();
    let again = EncryptedFile::parse(&written).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.to_text(), written);
}

/// An answer of a STUN server is believed only for its own request, whole, and as its address alone would have it.
pub fn stun(bytes: &[u8]) {
    let Some(&own) = bytes.get(8..).and_then(|rest| rest.first_chunk::<12>()) else { return };
    let Ok(told) = stun::address(TransactionId(own), bytes) else { return };
    let mut other = own;
    other[11] ^= 1;
    assert_eq!(stun::address(TransactionId(other), bytes), Err(NoAddress::NotOurs));
    let cut = bytes.len() - 1;
    assert!(stun::address(TransactionId(own), &bytes[..cut]).is_err(), "a cut answer is none");
    // The same address in an answer of nothing else.
    let mask = [&stun::request(TransactionId(own))[4..8], &own].concat();
    let (family, plain) = match told.ip() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(told.port().to_be_bytes().iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    value.extend(plain.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    let size = value.len() as u8;
    let written = [&[1, 1, 0, size + 4], &mask[..], &[0, 0x20, 0, size], &value].concat();
    assert_eq!(stun::address(TransactionId(own), &written), Ok(told));
}

/// A configuration that is read guards what it names and allows no skew beyond an hour.
pub fn config(bytes: &[u8]) {
    let Some(config) = text(bytes).and_then(|text| Config::parse(text).ok()) else { return };
    assert!(!config.interfaces.is_empty());
    assert!(config.skew <= Duration::from_secs(3600));
    assert!(config.protect.iter().all(|protected| config.ceiling.services.contains(&protected.service)));
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
