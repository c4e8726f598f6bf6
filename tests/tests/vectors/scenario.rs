//! The text format of tests/vectors/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use spa_core::action::{Action, Actions};
use spa_core::address::OwnAddresses;
use spa_core::crypto::header::HeaderKey;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use spa_core::crypto::suite::{Suite, SuiteKeys};
use spa_core::frame::Datagram;
use spa_core::gate::{Gate, Verdict};
use spa_core::keyring::Keyring;
use spa_core::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, Freshness, JournalEpoch, Profile};
use spa_core::replay::Replay;
use spa_core::scheme::native::{MAX, MIN, SealingKeys};
use spa_core::terms::{Ends, Forward, SourceNat};
use spa_core::time::{BootTime, Now, UnixMillis};

const OUTCOME: [&str; 9] =
    ["verb", "services", "address", "window", "ports", "leads-to", "once", "action", "argument"];
#[rustfmt::skip]
const KEYS: [&str; 22] = [
    "site-id", "site-key", "previous-site-key", "key-id", "profile-key", "suite", "open", "forward", "actions", "invoke", "created", "expires",
    "freshness", "any-address", "require-stated", "prefixes", "journal", "skew-ms", "source", "interface", "server-time",
    "datagram",
];
const OWN: [&str; 2] = ["203.0.113.1", "2001:db8:1::1"];

/// One file.
pub(crate) struct Scenario {
    /// Its name without the ending.
    pub(crate) name: String,
    fields: BTreeMap<String, String>,
    before: Vec<String>,
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "half a byte: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn time(text: &str) -> UnixMillis {
    UnixMillis::new(text.parse().unwrap()).unwrap()
}

impl Scenario {
    /// Reads a file, strictly.
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("# "), "{name}: the first line says why");
        let (mut fields, mut before) = (BTreeMap::new(), Vec::new());
        for line in lines {
            let (key, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            if key == "before" {
                before.push(value);
                continue;
            }
            let known = KEYS.contains(&key) || OUTCOME.contains(&key) || ["expect", "request"].contains(&key);
            assert!(known, "{name}: {key} is not described");
            assert_eq!(fields.insert(key.to_owned(), value), None, "{name}: {key} twice");
        }
        let scenario = Self { name, fields, before };
        assert!(scenario.name.starts_with(scenario.expect()), "{}", scenario.name);
        scenario
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    fn field(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }

    /// Values separated by commas; none without the key.
    fn list<T: FromStr<Err: std::fmt::Debug>>(&self, key: &str) -> Vec<T> {
        self.get(key).into_iter().flat_map(|text| text.split(',')).map(|one| one.parse().unwrap()).collect()
    }

    fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some("true") => true,
            Some(other) => panic!("{}: {key}: {other}", self.name),
        }
    }

    /// The name of a reject, or `admit`.
    pub(crate) fn expect(&self) -> &str {
        self.field("expect")
    }

    /// What an admission must say.
    pub(crate) fn outcome(&self) -> BTreeMap<&'static str, String> {
        OUTCOME.into_iter().filter_map(|key| Some((key, self.get(key)?.to_owned()))).collect()
    }

    /// The plaintext without its padding, where one was sealed for this profile in the length of a datagram.
    pub(crate) fn request(&self) -> Option<Vec<u8>> {
        let request = self.get("request").map(hex)?;
        (MIN..=MAX).contains(&self.datagram().len()).then_some(request)
    }

    pub(crate) fn datagram(&self) -> Vec<u8> {
        hex(self.field("datagram"))
    }

    fn site(&self) -> SiteId {
        SiteId(array(self.field("site-id")))
    }

    fn header_keys(&self) -> Vec<HeaderKey> {
        let keys = [Some(self.field("site-key")), self.get("previous-site-key")];
        keys.into_iter()
            .flatten()
            .map(|key| HeaderKey::derive(&SiteKey::new(array(key)), self.site()))
            .collect()
    }

    fn key_id(&self) -> KeyId {
        KeyId(u32::from_be_bytes(array(self.field("key-id"))))
    }

    fn suite_keys(&self) -> SuiteKeys {
        let suite: Suite = self.field("suite").parse().unwrap();
        SuiteKeys::derive(&ProfileKey::new(array(self.field("profile-key"))), self.site(), suite)
    }

    /// What the client sealed with: by the header key, of two, whose mask the datagram has.
    pub(crate) fn sealing_keys(&self, datagram: &[u8]) -> SealingKeys {
        let header = self
            .header_keys()
            .into_iter()
            .find(|key| spa_core::scheme::native::Sealed::read(datagram, std::slice::from_ref(key)).is_ok())
            .unwrap();
        SealingKeys { header, key_id: self.key_id(), suite: self.suite_keys() }
    }

    fn gate(&self) -> Gate {
        let journal = self.get("journal").unwrap_or("settled");
        let (ours, lost) = (JournalEpoch([1; 8]), JournalEpoch([2; 8]));
        let freshness = match self.field("freshness") {
            "clock" => Freshness::Clock,
            "monotonic" => Freshness::Monotonic(if journal == "lost" { lost } else { ours }),
            other => panic!("{}: freshness: {other}", self.name),
        };
        let profile = Profile {
            name: "vector".into(),
            key_id: self.key_id(),
            keys: self.suite_keys(),
            open: self.list("open"),
            forward: self.get("forward").map_or_else(Vec::new, |targets| {
                let keep = |to: &str| Forward { to: to.parse().unwrap(), source: SourceNat::Keep };
                targets.split(',').map(keep).collect()
            }),
            invoke: self.list("invoke"),
            window: DEFAULT_WINDOW,
            max_window: DEFAULT_MAX_WINDOW,
            ends: Ends::default(),
            created: time(self.field("created")),
            expires: self.get("expires").map(time),
            successor: None,
            freshness,
            any_address: self.flag("any-address"),
            require_stated: self.flag("require-stated"),
            prefixes: self.list("prefixes"),
            max_doors: None,
            receipt: None,
        };
        let skew = Duration::from_millis(self.field("skew-ms").parse().unwrap());
        let replay = Replay::restore(ours, journal != "unsettled", skew, []);
        let own = OwnAddresses::from_iter(OWN.iter().map(|address| address.parse().unwrap()));
        let own = own.with_links([("fe80::1".parse().unwrap(), NonZeroU32::MIN)]);
        Gate::new(self.header_keys(), Keyring::new([profile]), replay, own).with_actions(self.actions())
    }

    /// The server's.
    pub(crate) fn actions(&self) -> Actions {
        let action = |text: &str| {
            let (name, arguments) =
                text.split_once('=').map_or((text, None), |(name, all)| (name, Some(all)));
            let arguments = arguments.map(|all| all.split('|').map(str::to_owned).collect());
            Action { name: name.parse().unwrap(), arguments: arguments.unwrap_or_default() }
        };
        Actions::new(self.get("actions").into_iter().flat_map(|all| all.split(',').map(action)))
    }

    /// What becomes of the datagram after those before it.
    pub(crate) fn judge(&self) -> Verdict {
        let (mut gate, mut boot) = (self.gate(), 0);
        let interface = self.get("interface").map(|index| index.parse().unwrap());
        let synchronised = self.get("journal") != Some("unsettled");
        let mut judge = |datagram: &[u8], at: &str, source: &str| {
            let wall = time(at);
            boot = wall.get().max(boot);
            let source: IpAddr = source.parse().unwrap();
            let own = OWN[usize::from(source.is_ipv6())].parse().unwrap();
            let (source, destination) = (SocketAddr::new(source, 40000), SocketAddr::new(own, 23571));
            let boot = BootTime::new(Duration::from_millis(boot));
            let datagram = Datagram { source, destination, interface, payload: datagram };
            gate.judge(&datagram, Now { wall, boot, synchronised })
        };
        let (source, now) = (self.field("source"), self.field("server-time"));
        for line in &self.before {
            let mut words = line.split(' ');
            let datagram = hex(words.next().unwrap());
            let (mut at, mut from, mut times) = (now, source, 1);
            for word in words {
                match word.as_bytes()[0] {
                    b'@' => at = &word[1..],
                    b'*' => times = word[1..].parse().unwrap(),
                    _ => from = word,
                }
            }
            for _ in 0..times {
                let _ = judge(&datagram, at, from);
            }
        }
        judge(&self.datagram(), now, source)
    }
}
