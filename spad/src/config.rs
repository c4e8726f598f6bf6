//! `spad.toml`: what is captured, what is protected, and the ceiling. No secret stands in it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use spa_core::ceiling::{self, Ceiling};
use spa_core::file::{self, BadFile, Secrecy, fields};
use spa_core::prefix::PrefixLength;
use spa_core::replay::DEFAULT_SKEW;
use spa_core::service::Protected;
use spa_core::target::{Target, is_one_host};

use crate::actions::{ActionTable, HooksTable, Table};
use crate::firewall::standing::{self, AttachPoint, Standing, Variant};
use crate::firewall::{Interfaces, Plan};

/// A file that spad cannot run with: one sentence and one hint.
#[derive(Debug)]
pub struct ConfigError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: BadFile,
    /// How to mend it.
    pub hint: String,
}

impl ConfigError {
    /// A fault that has no line.
    pub fn new(path: &Path, reason: impl fmt::Display, hint: impl fmt::Display) -> Self {
        let fault = BadFile { line: None, reason: reason.to_string() };
        Self { path: path.to_owned(), fault, hint: hint.to_string() }
    }

    /// A fault in the text.
    pub fn in_text(path: &Path, fault: BadFile, hint: &str) -> Self {
        Self { path: path.to_owned(), fault, hint: hint.to_owned() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (hint: {})", self.path.display(), self.fault, self.hint)
    }
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Interface names, `any` or `default-route`.
    pub interfaces: Vec<String>,
    /// Backend and mode of the firewall.
    pub standing: Standing,
    /// What is shut until somebody knocks.
    pub protect: Vec<Protected>,
    /// Services of inner hosts that doors may lead to.
    pub forward: Vec<Target>,
    /// Addresses of this host that those may see as the sender.
    pub forward_sources: Vec<IpAddr>,
    /// Who is never shut out.
    pub always_allow: Vec<IpAddr>,
    /// Distance between the clocks that is allowed.
    pub skew: Duration,
    /// The wall clock is right whatever the kernel says of it.
    pub clock_trusted: bool,
    /// What may be opened at most.
    pub ceiling: Ceiling,
    /// Receipts may be sent to those whose profile and request want them.
    pub receipts: bool,
    /// What may be run.
    pub table: Table,
    /// The text that all this was read from.
    pub text: String,
    /// Of the whole text: worker and monitor read the file one after the other, and it may change in between.
    pub fingerprint: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(rename = "format", deserialize_with = "fields::format")]
    _format: (),
    capture: CaptureTable,
    firewall: FirewallTable,
    #[serde(default)]
    freshness: FreshnessTable,
    #[serde(default)]
    ceiling: CeilingTable,
    #[serde(default)]
    action: BTreeMap<String, ActionTable>,
    #[serde(default)]
    hooks: HooksTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureTable {
    interfaces: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirewallTable {
    #[serde(default)]
    backend: Backend,
    #[serde(default)]
    mode: Mode,
    #[serde(default, deserialize_with = "some_chain")]
    attach: Option<AttachPoint>,
    #[serde(deserialize_with = "fields::texts")]
    protect: Vec<Protected>,
    #[serde(default, deserialize_with = "fields::texts")]
    always_allow: Vec<IpAddr>,
    #[serde(default, deserialize_with = "fields::texts")]
    forward: Vec<Target>,
    #[serde(default, deserialize_with = "fields::texts")]
    forward_sources: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Backend {
    #[default]
    Nftables,
    Iptables,
    IptablesNft,
    IptablesLegacy,
    Auto,
}

impl From<Backend> for standing::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Nftables => Self::Nftables,
            Backend::Iptables => Self::Iptables(Variant::Host),
            Backend::IptablesNft => Self::Iptables(Variant::Nft),
            Backend::IptablesLegacy => Self::Iptables(Variant::Legacy),
            Backend::Auto => Self::Auto,
        }
    }
}

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Guard,
    Attach,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FreshnessTable {
    #[serde(default, deserialize_with = "fields::some_duration")]
    skew: Option<Duration>,
    #[serde(default)]
    clock: Clock,
}

#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Clock {
    #[default]
    Synchronised,
    Trusted,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CeilingTable {
    #[serde(default, deserialize_with = "fields::some_duration")]
    max_window: Option<Duration>,
    max_grants: Option<usize>,
    max_grants_per_profile: Option<usize>,
    #[serde(default, deserialize_with = "fields::texts")]
    prefixes: Vec<PrefixLength>,
    #[serde(default)]
    receipts: bool,
}

/// Most targets, and most addresses as the sender: the rules for them fit one message.
pub const MOST_TARGETS: usize = 64;
/// See [`MOST_TARGETS`].
pub const MOST_SOURCES: usize = 16;

const HINT: &str = "mend it, then run `spad check`; spad.toml(5) explains every field";

impl Config {
    /// Reads the text of a `spad.toml`.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        let file: ConfigFile = file::parse(text, Secrecy::Public)?;
        let refuse = |reason: &str| Err(BadFile { line: None, reason: reason.to_owned() });
        let interfaces = file.capture.interfaces;
        if interfaces.is_empty() {
            return refuse("capture.interfaces names no interface; write [\"default-route\"] if unsure");
        }
        if interfaces.len() > 1 && interfaces.iter().any(|name| name == "any") {
            return refuse("capture.interfaces: \"any\" stands alone");
        }
        if let Some(name) = interfaces.iter().find(|name| !is_interface_name(name)) {
            return refuse(&format!("capture.interfaces: {name:?} is not the name of an interface"));
        }
        let Some(skew) = within_skew(file.freshness.skew.unwrap_or(DEFAULT_SKEW)) else {
            return refuse("freshness.skew is longer than an hour, which would be an invitation to replay");
        };
        let (forward, forward_sources) = (file.firewall.forward, file.firewall.forward_sources);
        if let Some(reason) = beyond(&forward, &forward_sources) {
            return refuse(&reason);
        }
        let table = Table::new(file.action, file.hooks).map_err(|reason| BadFile { line: None, reason })?;
        let attaches = file.firewall.mode == Mode::Attach;
        let standing = Standing::new(file.firewall.backend.into(), attaches, file.firewall.attach)
            .map_err(|reason| BadFile { line: None, reason })?;
        let limits = file.ceiling;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Ok(Self {
            fingerprint: hasher.finish(),
            text: text.to_owned(),
            interfaces,
            standing,
            skew,
            clock_trusted: file.freshness.clock == Clock::Trusted,
            ceiling: Ceiling {
                services: file.firewall.protect.iter().map(|protected| protected.service).collect(),
                prefixes: limits.prefixes.into_iter().collect(),
                forward: forward.iter().copied().collect(),
                forward_sources: forward_sources.iter().copied().collect(),
                max_window: limits.max_window.unwrap_or(ceiling::DEFAULT_MAX_WINDOW),
                max_grants: limits.max_grants.unwrap_or(ceiling::DEFAULT_MAX_GRANTS),
                max_grants_per_profile: limits
                    .max_grants_per_profile
                    .unwrap_or(ceiling::DEFAULT_MAX_GRANTS_PER_PROFILE),
            },
            receipts: limits.receipts,
            table,
            protect: file.firewall.protect,
            always_allow: file.firewall.always_allow,
            forward,
            forward_sources,
        })
    }

    /// What the guard is to do, with what the host and the site add to it.
    pub fn plan(&self, interfaces: Interfaces, spa_port: NonZeroU16) -> Plan {
        Plan {
            interfaces,
            protect: self.protect.clone(),
            always_allow: self.always_allow.clone(),
            prefixes: self.ceiling.prefixes.clone(),
            forward: self.forward.clone(),
            forward_sources: self.forward_sources.clone(),
            spa_port,
            keep: Vec::new(),
        }
    }

    /// Reads `spad.toml` from an open file, refusing one that others may write: whoever can, decides what is guarded.
    pub fn read(file: &mut std::fs::File, path: &Path) -> Result<Self, ConfigError> {
        let chmod = format!("chmod go-w {}", path.display());
        // Not `metadata`: the monitor's list knows no call that takes a name, and that one could.
        let meta =
            rustix::fs::fstat(&*file).map_err(|error| ConfigError::new(path, error, "is it a file?"))?;
        if meta.st_mode & 0o022 != 0 {
            return Err(ConfigError::new(path, "others than its owner may write this file", chmod));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| ConfigError::new(path, error, "it must be a text file in UTF-8"))?;
        Self::parse(&text).map_err(|fault| ConfigError::in_text(path, fault, HINT))
    }

    /// Opens and reads `spad.toml`.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let mut file = std::fs::File::open(path).map_err(|error| {
            let hint = "copy a complete example from profiles/ and mend it, or name another with --config";
            ConfigError::new(path, format_args!("cannot be opened: {error}"), hint)
        })?;
        Self::read(&mut file, path)
    }
}

/// What cannot be forwarded to, or in whose name.
fn beyond(forward: &[Target], sources: &[IpAddr]) -> Option<String> {
    if forward.len() > MOST_TARGETS || sources.len() > MOST_SOURCES {
        return Some(format!(
            "firewall.forward holds {MOST_TARGETS} targets and firewall.forward_sources {MOST_SOURCES} addresses at most"
        ));
    }
    let odd = sources.iter().find(|source| !is_one_host(**source))?;
    Some(format!("firewall.forward_sources: {odd} is not an address that an inner host could answer"))
}

fn some_chain<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<AttachPoint>, D::Error> {
    fields::text(d).map(Some)
}

fn within_skew(skew: Duration) -> Option<Duration> {
    (skew <= Duration::from_secs(60 * 60)).then_some(skew)
}

/// What Linux takes as the name of a network device.
fn is_interface_name(name: &str) -> bool {
    name == "default-route"
        || (1..16).contains(&name.len())
            && !matches!(name, "." | "..")
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "format = 1\n[capture]\ninterfaces = [\"eth0\"]\n[firewall]\nbackend = \"nftables\"\n\
                        mode = \"guard\"\nprotect = [\"tcp/22\"]\nalways_allow = [\"192.0.2.7\"]\n";

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.skew, Duration::from_secs(60));
        assert_eq!(config.ceiling.max_grants_per_profile, 1024);
        assert!(!config.clock_trusted);
        assert!(!config.receipts, "nothing is ever sent unless somebody says so");
        let receipts = Config::parse(&format!("{GOOD}[ceiling]\nreceipts = true\n")).unwrap();
        assert!(receipts.receipts);
    }

    #[test]
    fn a_fault_is_named_with_its_line() {
        #[rustfmt::skip]
        let rows = [
            // replace, by, line, part of the reason
            ("format = 1",        "format = 2",          Some(1), "format = 1 only"),
            ("[\"eth0\"]",        "[]",                  None,    "names no interface"),
            ("[\"eth0\"]",        "[\"any\", \"eth0\"]", None,    "stands alone"),
            ("[\"eth0\"]",        "[\"eth/0\"]",         None,    "not the name of an interface"),
            ("\"nftables\"",      "\"pf\"",              Some(5), "unknown variant `pf`"),
            ("\"guard\"",         "\"open\"",            Some(6), "unknown variant `open`"),
            ("\"tcp/22\"",        "\"ssh\"",             Some(7), "\"ssh\" is not a service"),
            ("\"192.0.2.7\"",     "\"home\"",            Some(8), "invalid IP address"),
            ("\"guard\"",         "\"attach\"",          None,    "needs firewall.attach"),
            ("\"guard\"",         "\"attach\"\nattach = \"input\"", Some(7), "is no chain"),
            ("\"guard\"",         "\"guard\"\nattach = \"inet filter input\"", None, "mode = \"attach\" only"),
            ("protect",           "forward = [\"10.0.0.0/24:443\"]\nprotect", Some(7), "is not a target"),
            ("protect",           "forward = [\"127.0.0.1:22\"]\nprotect", Some(7), "cannot be a target"),
            ("protect",           "forward_sources = [\"::1\"]\nprotect", None, "::1 is not an address"),
            ("mode",              "mood",                Some(6), "unknown field `mood`"),
            ("protect = [\"tcp/22\"]\n", "",             None,    "missing field `protect`"),
            ("interfaces = ",     "interfaces ",         Some(3), "expected"),
        ];
        for (from, to, line, reason) in rows {
            let fault = Config::parse(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(fault.line, line, "{to}: {fault}");
            assert!(fault.reason.contains(reason), "{to}: {fault}");
        }
    }
}
