//! A small site for the tests of this crate: one moment, one profile a key id, datagrams sealed for it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::{self, Bound, OwnAddresses};
use crate::crypto::header::{HeaderKey, Nonce};
use crate::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use crate::crypto::suite::{ReceiptKeys, Suite, SuiteKeys};
use crate::frame::Datagram;
use crate::gate::Gate;
use crate::keyring::Keyring;
use crate::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, Freshness, JournalEpoch, Profile};
use crate::replay::{DEFAULT_SKEW, Replay};
use crate::request::{Open, Request, RequestId, Stated, Verb};
use crate::scheme::native::{MIN, Sealed, SealingKeys, seal_exact};
use crate::service::Service;
use crate::terms::Ends;
use crate::time::{BootTime, Now, UnixMillis};

pub(crate) const SITE: SiteId = SiteId([1; 16]);
pub(crate) const EPOCH: JournalEpoch = JournalEpoch([2; 8]);
pub(crate) const LAPTOP: KeyId = KeyId(0x1a2b_3c4d);
/// The key that takes the place of that one, in tests of keys that are rotated.
pub(crate) const NEXT: KeyId = KeyId(0x5e6f_7081);
/// 2026-11-20T10:10:00Z, ten minutes after the profiles were made.
pub(crate) const NOON: u64 = 1_795_169_400_000;
/// Where the server runs.
pub(crate) const SERVER: &str = "203.0.113.1";
/// Where the client is.
pub(crate) const HOME: &str = "192.0.2.10";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn services(text: &str) -> Vec<Service> {
    text.split(',').map(|service| service.parse().unwrap()).collect()
}

/// `NOON` and some milliseconds.
pub(crate) fn at(millis: i64) -> UnixMillis {
    UnixMillis::new(NOON.checked_add_signed(millis).unwrap()).unwrap()
}

/// Both clocks, `millis` after `NOON`; the clock since boot shows an hour then.
pub(crate) fn now(millis: i64) -> Now {
    let boot = Duration::from_millis(3_600_000_u64.checked_add_signed(millis).unwrap());
    Now { wall: at(millis), boot: BootTime::new(boot), synchronised: true }
}

fn profile_key(id: KeyId) -> ProfileKey {
    ProfileKey::new([id.0.to_be_bytes()[3]; 32])
}

fn site_key() -> SiteKey {
    SiteKey::new([7; 32])
}

pub(crate) fn profile(id: KeyId) -> Profile {
    Profile {
        name: format!("profile-{}", id.0).into(),
        key_id: id,
        keys: SuiteKeys::derive(&profile_key(id), SITE, Suite::Aes256Gcm),
        open: services("tcp/22,udp/51820"),
        forward: Vec::new(),
        invoke: Vec::new(),
        window: DEFAULT_WINDOW,
        max_window: DEFAULT_MAX_WINDOW,
        ends: Ends::default(),
        created: at(-600_000),
        expires: None,
        successor: None,
        freshness: Freshness::Clock,
        any_address: false,
        require_stated: false,
        prefixes: Vec::new(),
        max_doors: None,
        receipt: None,
    }
}

pub(crate) fn receipt_keys(id: KeyId) -> ReceiptKeys {
    ReceiptKeys::derive(&profile_key(id), SITE, Suite::Aes256Gcm)
}

pub(crate) fn sealing_keys(id: KeyId) -> SealingKeys {
    let suite = SuiteKeys::derive(&profile_key(id), SITE, Suite::Aes256Gcm);
    SealingKeys { header: HeaderKey::derive(&site_key(), SITE), key_id: id, suite }
}

pub(crate) fn request(millis: i64, id: u8, verb: Verb) -> Request {
    Request { time: at(millis), id: RequestId([id; 8]), verb, addresses: Vec::new(), receipt: false }
}

pub(crate) fn open(text: &str) -> Verb {
    Verb::Open(Open::plain(services(text)))
}

pub(crate) fn stating(mut request: Request, address: &str) -> Request {
    request.addresses.push(Stated { address: ip(address), prefix: None });
    request
}

/// The shortest datagram, with a nonce that depends on the request alone.
pub(crate) fn datagram(keys: &SealingKeys, request: &Request) -> Vec<u8> {
    let mut nonce = [request.id.0[0]; 16];
    nonce[8..].copy_from_slice(&request.time.get().to_be_bytes());
    seal_exact(keys, request.encode(), Nonce(nonce), MIN).unwrap()
}

/// A request that passed every step before freshness.
pub(crate) fn bound<'k>(keyring: &'k Keyring, id: KeyId, request: &Request) -> Bound<'k> {
    let keys = sealing_keys(id);
    let sealed = datagram(&keys, request);
    let sealed = Sealed::read(&sealed, &[HeaderKey::derive(&site_key(), SITE)]).unwrap();
    let authentic = keyring.open(&sealed).ok().unwrap();
    address::bind(authentic, ip(HOME), None, &OwnAddresses::default()).ok().unwrap()
}

pub(crate) fn gate(profiles: impl IntoIterator<Item = Profile>) -> Gate {
    let header = HeaderKey::derive(&site_key(), SITE);
    let replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, []);
    Gate::new(vec![header], Keyring::new(profiles), replay, [ip(SERVER)].into_iter().collect())
}

/// A datagram on its way from `source` to the server.
pub(crate) fn from<'a>(source: &str, payload: &'a [u8]) -> Datagram<'a> {
    let destination = SocketAddr::new(ip(SERVER), 23571);
    Datagram { source: SocketAddr::new(ip(source), 40000), destination, interface: None, payload }
}
