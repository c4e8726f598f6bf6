//! The site of the world and those who may knock there.

use std::net::IpAddr;

use spa_core::ceiling::Ceiling;
use spa_core::crypto::header::HeaderKey;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use spa_core::crypto::suite::{Suite, SuiteKeys};
use spa_core::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, Freshness, JournalEpoch, Profile, Successor};
use spa_core::request::{Open, Request, RequestId, Stated, Verb};
use spa_core::scheme::native::{SealingKeys, seal};
use spa_core::service::Service;
use spa_core::terms::Ends;
use spa_core::time::UnixMillis;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// The site.
pub const SITE: SiteId = SiteId([0x51; 16]);
/// Where the server runs.
pub const SERVER: &str = "203.0.113.1";
/// Where an attacker sits who is on everybody's path.
pub const ATTACKER: &str = "203.0.113.66";
/// What profiles may open.
pub const SERVICES: [&str; 3] = ["tcp/22", "tcp/443", "udp/51820"];

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The header keys of the site.
pub fn header_key() -> HeaderKey {
    HeaderKey::derive(&SiteKey::new([0x52; 32]), SITE)
}

/// What the operator allows: more than any profile.
pub fn ceiling() -> Ceiling {
    Ceiling {
        services: SERVICES.map(|service| service.parse().expect("a service")).into(),
        prefixes: ["ipv4/24".parse().expect("a length")].into(),
        forward: Default::default(),
        forward_sources: Default::default(),
        max_window: spa_core::ceiling::DEFAULT_MAX_WINDOW,
        max_grants: 1000,
        max_grants_per_profile: 100,
    }
}

/// One device of one person, both halves of its profile together.
pub struct Device {
    pub name: &'static str,
    pub key_id: KeyId,
    pub suite: Suite,
    pub freshness: Freshness,
    pub created: UnixMillis,
    /// Where its packets come from.
    pub home: IpAddr,
    /// States its address; a device behind NAT cannot.
    pub states: bool,
    /// What its clock is ahead by.
    pub clock_error: i64,
    /// The last time used, kept by monotonic profiles.
    last: u64,
    /// The key that takes its place, once that is used.
    pub successor: Option<Successor>,
}

/// What somebody wanted, once.
#[derive(Clone)]
pub struct Command {
    pub device: usize,
    pub key_id: KeyId,
    pub monotonic: bool,
    pub home: IpAddr,
    pub request: Request,
}

impl Device {
    fn new(name: &'static str, key_id: u32, created: UnixMillis, home: &str, states: bool) -> Self {
        Self {
            name,
            key_id: KeyId(key_id),
            suite: Suite::ALL[key_id as usize % 2],
            freshness: Freshness::Clock,
            created,
            home: ip(home),
            states,
            clock_error: 0,
            last: 0,
            successor: None,
        }
    }

    /// A laptop that states its address, two devices behind one NAT, and one that keeps its own time.
    pub fn all(created: UnixMillis, monotonic: Freshness) -> Vec<Self> {
        let mut keeper = Self::new("keeper", 4, created, "2001:db8::20", true);
        keeper.freshness = monotonic;
        vec![
            Self::new("laptop", 1, created, "192.0.2.10", true),
            Self::new("phone", 2, created, "198.51.100.1", false),
            Self::new("tablet", 3, created, "198.51.100.1", false),
            keeper,
        ]
    }

    fn suite_keys(&self) -> SuiteKeys {
        let [a, b, c, d] = self.key_id.0.to_be_bytes();
        SuiteKeys::derive(&ProfileKey::new([a ^ b ^ c ^ d ^ 0x5a; 32]), SITE, self.suite)
    }

    /// The server's half.
    pub fn profile(&self) -> Profile {
        Profile {
            name: self.name.into(),
            key_id: self.key_id,
            keys: self.suite_keys(),
            open: SERVICES.map(|service| service.parse().expect("a service")).into(),
            forward: Vec::new(),
            invoke: Vec::new(),
            window: DEFAULT_WINDOW,
            max_window: DEFAULT_MAX_WINDOW,
            ends: Ends::default(),
            created: self.created,
            expires: None,
            successor: self.successor,
            freshness: self.freshness,
            any_address: false,
            require_stated: false,
            prefixes: vec!["ipv4/24".parse().expect("a length")],
            max_doors: None,
            receipt: None,
        }
    }

    /// Gives a command, at the device's own time (SPEC.md, 6.2 and 10.4).
    pub fn command(&mut self, number: usize, verb: Verb, truth: i64, random: &mut StdRng) -> Command {
        let mut time = u64::try_from(truth + self.clock_error).unwrap_or(0);
        let monotonic = self.freshness != Freshness::Clock;
        if monotonic {
            time = time.max(self.last + 1).max(self.created.get() + 1);
            self.last = time;
        }
        let mut addresses = Vec::new();
        let narrowed = matches!(&verb, Verb::Open(Open { ports: Some(_), .. }));
        if self.states && narrowed {
            addresses.push(Stated { address: self.home, prefix: None });
        } else if self.states {
            addresses.push(match self.home {
                // All of its network: a device whose address changes.
                IpAddr::V4(home) if number.is_multiple_of(5) => {
                    let [a, b, c, _] = home.octets();
                    Stated { address: [a, b, c, 0].into(), prefix: Some(24) }
                }
                home => Stated { address: home, prefix: None },
            });
        }
        let time = UnixMillis::new(time).expect("below 2^48");
        let request = Request { time, id: RequestId(random.random()), verb, addresses, receipt: false };
        Command { device: number, key_id: self.key_id, monotonic, home: self.home, request }
    }

    /// Seals a command anew.
    pub fn seal(&self, command: &Command, random: &mut StdRng) -> Vec<u8> {
        let keys = SealingKeys { header: header_key(), key_id: self.key_id, suite: self.suite_keys() };
        seal(&keys, &command.request, random).expect("it fits")
    }

    /// The same device by another key, made now, in whose favour this one ends, as this epoch of the journal remembers it.
    pub fn rotated(&mut self, key_id: KeyId, truth: i64, epoch: JournalEpoch) -> Self {
        self.successor = Some(Successor { key_id, epoch });
        let created = UnixMillis::clamped(std::time::Duration::from_millis(truth.unsigned_abs()));
        let suite = Suite::ALL[key_id.0 as usize % 2];
        Self { name: self.name, key_id, suite, created, home: self.home, successor: None, ..*self }
    }

    /// A new key, made now, in this epoch of the journal.
    pub fn make_anew(&mut self, truth: i64, freshness: Freshness) {
        self.key_id = KeyId(self.key_id.0 + 16);
        self.created = UnixMillis::clamped(std::time::Duration::from_millis(truth.unsigned_abs()));
        self.freshness = freshness;
    }
}

/// Something to open.
pub fn open(services: &[&str], window: Option<u32>) -> Verb {
    open_from(services, window, None)
}

/// Something to open, perhaps for some source ports only.
pub fn open_from(services: &[&str], window: Option<u32>, ports: Option<(u16, u16)>) -> Verb {
    let window = window.and_then(std::num::NonZeroU32::new);
    Verb::Open(Open { window, ports, ..Open::plain(list(services)) })
}

/// Whether a stated address, or prefix of three octets, has this source.
pub fn holds(stated: &Stated, source: IpAddr) -> bool {
    match (stated.prefix, stated.address, source) {
        (Some(24), IpAddr::V4(first), IpAddr::V4(source)) => first.octets()[..3] == source.octets()[..3],
        (None, address, source) => address == source,
        _ => false,
    }
}

/// Something to close; nothing named is everything.
pub fn close(services: &[&str]) -> Verb {
    Verb::Close(list(services))
}

fn list(services: &[&str]) -> Vec<Service> {
    services.iter().map(|service| service.parse().expect("a service")).collect()
}
