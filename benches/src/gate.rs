//! A gate in memory and datagrams for it, as the micro-benchmarks need them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use spa_core::crypto::header::HeaderKey;
use spa_core::crypto::header::Nonce;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use spa_core::crypto::suite::{Suite, SuiteKeys};
use spa_core::frame::Datagram;
use spa_core::gate::{Gate, Verdict};
use spa_core::keyring::Keyring;
use spa_core::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, Freshness, JournalEpoch, Profile};
use spa_core::replay::{DEFAULT_SKEW, Replay};
use spa_core::request::{Open, Request, RequestId, Stated, Verb};
use spa_core::scheme::native::{SealingKeys, seal_exact};
use spa_core::service::Service;
use spa_core::terms::Ends;
use spa_core::time::{BootTime, Now, UnixMillis};

/// The moment at which everything happens.
const NOW: u64 = 1_795_000_000_000;
/// Every datagram has the mean length of those that clients send.
const LENGTH: usize = 448;
const SITE: SiteId = SiteId([7; 16]);
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// What can happen to a datagram, from cheap to dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Random bytes.
    Stranger,
    /// A header that was captured, before random bytes.
    WrongMac,
    /// A datagram that was admitted before.
    Replay,
    /// One sealed ten minutes ago.
    StaleReplay,
    /// A knock.
    Admission,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Stranger, Self::WrongMac, Self::Replay, Self::StaleReplay, Self::Admission];

    /// Its name on command lines and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::WrongMac => "wrong-mac",
            Self::Replay => "replay",
            Self::StaleReplay => "stale-replay",
            Self::Admission => "admission",
        }
    }
}

/// A site with a gate, and what its clients seal with.
pub struct Site {
    gate: Gate,
    suite: Suite,
    profiles: u32,
    sealed: u64,
    boot: Duration,
}

fn profile_key(n: u32) -> ProfileKey {
    let mut bytes = [1; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    ProfileKey::new(bytes)
}

fn services() -> Vec<Service> {
    vec!["tcp/22".parse().expect("a service")]
}

impl Site {
    /// With so many profiles of a suite.
    #[must_use]
    pub fn new(suite: Suite, profiles: u32) -> Self {
        let profile = |n: u32| Profile {
            name: format!("p{n}").into(),
            key_id: KeyId(n + 1),
            keys: SuiteKeys::derive(&profile_key(n), SITE, suite),
            open: services(),
            forward: Vec::new(),
            invoke: Vec::new(),
            window: DEFAULT_WINDOW,
            max_window: DEFAULT_MAX_WINDOW,
            ends: Ends::default(),
            created: UnixMillis::EPOCH,
            expires: None,
            successor: None,
            freshness: Freshness::Clock,
            any_address: false,
            require_stated: false,
            prefixes: Vec::new(),
            max_doors: None,
            receipt: None,
        };
        let replay = Replay::restore(JournalEpoch([0; 8]), true, DEFAULT_SKEW, []);
        let header = HeaderKey::derive(&SiteKey::new([3; 32]), SITE);
        let own = [SERVER].into_iter().collect();
        let gate = Gate::new(vec![header], Keyring::new((0..profiles).map(profile)), replay, own);
        Self { gate, suite, profiles, sealed: 0, boot: Duration::from_secs(1000) }
    }

    /// A knock; profiles take turns. Each is new.
    pub fn knock(&mut self, ago: Duration) -> Vec<u8> {
        self.sealed += 1;
        let n = u32::try_from(self.sealed % u64::from(self.profiles)).expect("it is below a u32");
        let keys = SealingKeys {
            header: HeaderKey::derive(&SiteKey::new([3; 32]), SITE),
            key_id: KeyId(n + 1),
            suite: SuiteKeys::derive(&profile_key(n), SITE, self.suite),
        };
        let request = Request {
            time: UnixMillis::clamped(Duration::from_millis(NOW) - ago),
            id: RequestId(self.sealed.to_be_bytes()),
            verb: Verb::Open(Open::plain(services())),
            addresses: vec![Stated { address: CLIENT, prefix: None }],
            receipt: false,
        };
        let nonce = Nonce(rand::random());
        seal_exact(&keys, request.encode(), nonce, LENGTH).expect("it fits")
    }

    /// A datagram to which that will happen.
    pub fn datagram(&mut self, operation: Operation) -> Vec<u8> {
        match operation {
            Operation::Stranger => crate::wire::noise(LENGTH),
            Operation::WrongMac => {
                let mut datagram = self.knock(Duration::ZERO);
                datagram[24..].copy_from_slice(&crate::wire::noise(LENGTH - 24));
                datagram
            }
            Operation::Replay => {
                let datagram = self.knock(Duration::ZERO);
                assert!(self.judge(&datagram), "the first of two is admitted");
                datagram
            }
            Operation::StaleReplay => self.knock(Duration::from_secs(600)),
            Operation::Admission => self.knock(Duration::ZERO),
        }
    }

    /// Judges it; whether it was admitted.
    pub fn judge(&mut self, datagram: &[u8]) -> bool {
        // Far enough apart that no profile's rate is reached.
        self.boot += Duration::from_millis(20);
        let now = Now {
            wall: UnixMillis::clamped(Duration::from_millis(NOW)),
            boot: BootTime::new(self.boot),
            synchronised: true,
        };
        let datagram = Datagram {
            source: SocketAddr::new(CLIENT, 40_000),
            destination: SocketAddr::new(SERVER, 23_571),
            interface: None,
            payload: datagram,
        };
        matches!(self.gate.judge(&datagram, now), Verdict::Admit(_))
    }

    /// Takes what the journal would be given.
    pub fn forget_records(&mut self) -> usize {
        self.gate.take_remembered().len()
    }
}
