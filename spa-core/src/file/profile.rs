//! The server's half of a profile, as it stands in `profiles/NAME.toml` or, among others, in a file of several. Secret.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use serde::Deserialize;

use super::{BadFile, Secrecy, fields, parse};
use crate::action::ActionName;
use crate::ceiling::MAX_EXTENDED;
use crate::crypto::key::{KeyId, ProfileKey, SiteId, to_base64};
use crate::crypto::suite::{ReceiptKeys, Suite, SuiteKeys};
use crate::name::ProfileName;
use crate::prefix::PrefixLength;
use crate::profile::{DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, Freshness, JournalEpoch, Profile, Successor};
use crate::service::{Service, Transport};
use crate::target::Target;
use crate::terms::{Ends, Forward, OnClose, SourceNat};
use crate::time::UnixMillis;

/// How `freshness` is written; also used by the client's half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FreshnessName {
    /// By the server's clock.
    #[default]
    Clock,
    /// By the order of the client's own times.
    Monotonic,
}

impl FreshnessName {
    /// As it stands in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Monotonic => "monotonic",
        }
    }
}

/// The server's half.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    #[serde(default, deserialize_with = "fields::some_format")]
    format: Option<()>,
    #[serde(default, deserialize_with = "fields::some_text")]
    name: Option<ProfileName>,
    #[serde(deserialize_with = "fields::key_id")]
    key_id: u32,
    /// Shared with one client.
    #[serde(deserialize_with = "fields::profile_key")]
    pub key: ProfileKey,
    /// How datagrams are sealed.
    #[serde(deserialize_with = "fields::text")]
    pub suite: Suite,
    /// What the profile may open. Nothing, if it may have something run instead.
    #[serde(default, deserialize_with = "fields::texts")]
    pub open: Vec<Service>,
    /// Services of inner hosts that the profile may reach through its doors.
    #[serde(default, deserialize_with = "fields::texts")]
    pub forward: Vec<Target>,
    /// What those hosts see as the sender.
    #[serde(default, deserialize_with = "fields::text")]
    pub forward_source: SourceNat,
    /// Actions of spad.toml that the profile may have run.
    #[serde(default, deserialize_with = "fields::texts")]
    pub invoke: Vec<ActionName>,
    /// Window unless the request wishes another.
    #[serde(default = "default_window", deserialize_with = "fields::duration")]
    pub window: Duration,
    /// Longest window.
    #[serde(default = "default_max_window", deserialize_with = "fields::duration")]
    pub max_window: Duration,
    /// Every door ends with its first connection.
    #[serde(default)]
    pub once: bool,
    /// What becomes of sessions when their door closes.
    #[serde(default)]
    pub on_close: OnClose,
    /// How long a door may stay open while it is in use.
    #[serde(default, deserialize_with = "fields::some_duration")]
    pub extend_while_used: Option<Duration>,
    /// Nothing older is fresh.
    #[serde(deserialize_with = "fields::moment")]
    pub created: UnixMillis,
    /// From then on the profile opens nothing.
    #[serde(default, deserialize_with = "fields::some_moment")]
    pub expires: Option<UnixMillis>,
    #[serde(default)]
    freshness: FreshnessName,
    #[serde(default, deserialize_with = "fields::some_base64")]
    journal: Option<[u8; 8]>,
    /// May open for another address than the packet's source.
    #[serde(default)]
    pub any_address: bool,
    /// Must state its address.
    #[serde(default)]
    pub require_stated: bool,
    /// May open for prefixes of these lengths.
    #[serde(default, deserialize_with = "fields::texts")]
    pub prefixes: Vec<PrefixLength>,
    /// Most doors that it may have open at once.
    pub max_doors: Option<NonZeroU32>,
    /// May have receipts.
    #[serde(default)]
    pub receipt: bool,
    /// The key before this one, for rotation with overlap.
    #[serde(default)]
    pub previous: Option<PreviousKey>,
}

/// A key that another takes the place of: it stands for the same profile until its time is over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousKey {
    #[serde(deserialize_with = "fields::key_id")]
    key_id: u32,
    #[serde(deserialize_with = "fields::profile_key")]
    key: ProfileKey,
    #[serde(deserialize_with = "fields::moment")]
    created: UnixMillis,
    /// From then on it opens nothing.
    #[serde(deserialize_with = "fields::moment")]
    pub until: UnixMillis,
    /// It ends with the first use of the key that takes its place, as this life of the journal remembers it.
    #[serde(default, deserialize_with = "fields::some_base64")]
    until_used: Option<[u8; 8]>,
    /// Its own: what it was used for in a life of the journal that is lost must not be fresh in this one.
    #[serde(default, deserialize_with = "fields::some_base64")]
    journal: Option<[u8; 8]>,
}

impl PreviousKey {
    /// Names the key.
    pub const fn key_id(&self) -> KeyId {
        KeyId(self.key_id)
    }

    /// The life of the journal that knows whether the key that takes its place was used, if that ends it.
    pub fn until_used(&self) -> Option<JournalEpoch> {
        self.until_used.map(JournalEpoch)
    }

    const fn freshness(&self) -> Freshness {
        freshness(self.journal)
    }
}

/// How long a key that is rotated stays valid beside the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It has ended.
    None,
    /// Until this moment.
    Until(UnixMillis),
    /// Until the new one is used, as this life of the journal remembers it, and no longer than until this moment.
    UntilUsed(JournalEpoch, UnixMillis),
}

const fn freshness(journal: Option<[u8; 8]>) -> Freshness {
    match journal {
        None => Freshness::Clock,
        Some(epoch) => Freshness::Monotonic(JournalEpoch(epoch)),
    }
}

/// What differs between the two keys of a profile.
struct Held<'a> {
    key_id: KeyId,
    key: &'a ProfileKey,
    freshness: Freshness,
    created: UnixMillis,
    expires: Option<UnixMillis>,
    successor: Option<Successor>,
}

fn default_window() -> Duration {
    DEFAULT_WINDOW
}

fn default_max_window() -> Duration {
    DEFAULT_MAX_WINDOW
}

impl ProfileFile {
    /// Reads the text of a profile that has its file for itself.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        let file: Self = parse(text, Secrecy::Secret)?;
        let refuse = |reason: &str| Err(BadFile { line: None, reason: reason.to_owned() });
        match (file.format, &file.name) {
            (None, _) => refuse("missing field `format`"),
            (_, Some(_)) => refuse("name is for a file of several profiles; this one is called as its file"),
            _ => file.checked(),
        }
    }

    /// The same of a profile among others, and its name.
    pub(super) fn among_others(self) -> Result<(ProfileName, Self), BadFile> {
        let refuse = |reason: &str| Err(BadFile { line: None, reason: reason.to_owned() });
        match (self.format, self.name.clone()) {
            (Some(()), _) => refuse("format stands once, before the first [[profile]]"),
            (_, None) => refuse("missing field `name`"),
            (_, Some(name)) => Ok((name, self.checked()?)),
        }
    }

    /// What the fields must be together.
    fn checked(self) -> Result<Self, BadFile> {
        let file = self;
        let refuse = |reason: &str| Err(BadFile { line: None, reason: reason.to_owned() });
        if file.open.is_empty() && file.invoke.is_empty() {
            return refuse("open: name at least one service, like [\"tcp/22\"], or in invoke an action");
        }
        if file.window > file.max_window {
            return refuse("window is longer than max_window; shorten the one or lengthen the other");
        }
        if let Some(reason) = file.ends_at_odds() {
            return refuse(&reason);
        }
        if let SourceNat::Address(source) = file.forward_source
            && file.forward.iter().any(|target| target.address().is_ipv4() != source.is_ipv4())
        {
            return refuse("forward_source is an address of another family than a target in forward");
        }
        if let Some(previous) = &file.previous {
            if previous.key_id == file.key_id {
                return refuse("previous has the same key_id; a key id names one key only");
            }
            if previous.journal.is_some() != file.journal.is_some() {
                return refuse("previous must be as fresh as the profile: both with journal, or none");
            }
        }
        match (file.freshness, file.journal) {
            (FreshnessName::Clock, Some(_)) => {
                refuse("journal belongs to freshness = \"monotonic\"; remove it")
            }
            (FreshnessName::Monotonic, None) => {
                refuse("freshness = \"monotonic\" needs the field journal; make the profile with spa-keygen")
            }
            _ => Ok(file),
        }
    }

    /// Why what it says of the end of its doors cannot be.
    fn ends_at_odds(&self) -> Option<String> {
        let udp = self.open.iter().find(|service| service.transport() == Transport::Udp);
        match (self.once, udp, self.on_close, self.extend_while_used) {
            (true, Some(udp), ..) => {
                Some(format!("once is for TCP, which has handshakes; take {udp} out of open, or once away"))
            }
            (true, _, OnClose::Cut, _) => Some(
                "a door with once ends as its session begins; on_close = \"cut\" would end both".to_owned(),
            ),
            (true, .., Some(_)) => Some(
                "a door with once ends with its first connection; extend_while_used would never be"
                    .to_owned(),
            ),
            (.., Some(longest)) if longest < self.window => Some(
                "extend_while_used is shorter than window; lengthen the one or shorten the other".to_owned(),
            ),
            (.., Some(longest)) if longest > MAX_EXTENDED => {
                Some(format!("extend_while_used is longer than {}", format_duration(MAX_EXTENDED)))
            }
            _ => None,
        }
    }

    /// A new profile with the defaults of its kind.
    pub fn new(
        key_id: KeyId,
        key: ProfileKey,
        suite: Suite,
        open: Vec<Service>,
        created: UnixMillis,
        freshness: Freshness,
    ) -> Self {
        let (freshness, journal) = match freshness {
            Freshness::Clock => (FreshnessName::Clock, None),
            Freshness::Monotonic(epoch) => (FreshnessName::Monotonic, Some(epoch.0)),
        };
        Self {
            format: Some(()),
            name: None,
            key_id: key_id.0,
            key,
            suite,
            open,
            forward: Vec::new(),
            forward_source: SourceNat::Keep,
            invoke: Vec::new(),
            window: DEFAULT_WINDOW,
            max_window: DEFAULT_MAX_WINDOW,
            once: false,
            on_close: OnClose::Keep,
            extend_while_used: None,
            created,
            expires: None,
            freshness,
            journal,
            any_address: false,
            require_stated: false,
            prefixes: Vec::new(),
            max_doors: None,
            receipt: false,
            previous: None,
        }
    }

    /// Puts a new key in place of the present one.
    pub fn rotate(
        &mut self,
        key_id: KeyId,
        key: ProfileKey,
        created: UnixMillis,
        freshness: Freshness,
        overlap: Overlap,
    ) {
        let journal = match freshness {
            Freshness::Clock => None,
            Freshness::Monotonic(epoch) => Some(epoch.0),
        };
        let (until, until_used) = match overlap {
            Overlap::None => (None, None),
            Overlap::Until(until) => (Some(until), None),
            Overlap::UntilUsed(epoch, until) => (Some(until), Some(epoch.0)),
        };
        let old = PreviousKey {
            key_id: std::mem::replace(&mut self.key_id, key_id.0),
            key: std::mem::replace(&mut self.key, key),
            created: std::mem::replace(&mut self.created, created),
            until: until.unwrap_or(created),
            until_used,
            journal: std::mem::replace(&mut self.journal, journal),
        };
        self.previous = until.map(|_| old);
    }

    /// Names its key.
    pub const fn key_id(&self) -> KeyId {
        KeyId(self.key_id)
    }

    /// How its requests are judged fresh.
    pub const fn freshness(&self) -> Freshness {
        freshness(self.journal)
    }

    /// What the gate needs of it.
    pub fn into_profile(self, name: Arc<str>, site: SiteId) -> Profile {
        let (key_id, freshness) = (self.key_id(), self.freshness());
        let key = &self.key;
        let held =
            Held { key_id, key, freshness, created: self.created, expires: self.expires, successor: None };
        self.with(held, name, site)
    }

    /// The same by the key before, if there is one: a profile of the same name, with an earlier end.
    pub fn previous_profile(&self, name: Arc<str>, site: SiteId) -> Option<Profile> {
        let previous = self.previous.as_ref()?;
        let expires = Some(self.expires.map_or(previous.until, |expires| expires.min(previous.until)));
        let (key_id, freshness) = (previous.key_id(), previous.freshness());
        let (key, created) = (&previous.key, previous.created);
        let successor = previous.until_used().map(|epoch| Successor { key_id: self.key_id(), epoch });
        Some(self.with(Held { key_id, key, freshness, created, expires, successor }, name, site))
    }

    fn with(&self, held: Held<'_>, name: Arc<str>, site: SiteId) -> Profile {
        Profile {
            name,
            key_id: held.key_id,
            keys: SuiteKeys::derive(held.key, site, self.suite),
            freshness: held.freshness,
            open: self.open.clone(),
            forward: self.forward.iter().map(|&to| Forward { to, source: self.forward_source }).collect(),
            invoke: self.invoke.clone(),
            window: self.window,
            max_window: self.max_window,
            ends: Ends { once: self.once, on_close: self.on_close, extend_to: self.extend_while_used },
            created: held.created,
            expires: held.expires,
            successor: held.successor,
            any_address: self.any_address,
            require_stated: self.require_stated,
            prefixes: self.prefixes.clone(),
            max_doors: self.max_doors,
            receipt: self.receipt.then(|| Box::new(ReceiptKeys::derive(held.key, site, self.suite))),
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# The server's half of a profile. Secret. Remove this file and reload spad to revoke the profile.\n\
             format = 1\nkey_id = {}\nkey = \"{}\"\nsuite = \"{}\"\nopen = {}\nwindow = \"{}\"\n\
             max_window = \"{}\"\ncreated = {}\n",
            self.key_id,
            self.key.to_base64().as_str(),
            self.suite,
            fields::write_list(&self.open),
            format_duration(self.window),
            format_duration(self.max_window),
            fields::write_moment(self.created),
        );
        if self.once {
            text.push_str("once = true\n");
        }
        if self.on_close == OnClose::Cut {
            text.push_str("on_close = \"cut\"\n");
        }
        if let Some(longest) = self.extend_while_used {
            text.push_str(&format!("extend_while_used = \"{}\"\n", format_duration(longest)));
        }
        if let Some(expires) = self.expires {
            text.push_str(&format!("expires = {}\n", fields::write_moment(expires)));
        }
        if let Some(epoch) = self.journal {
            text.push_str(&format!("freshness = \"monotonic\"\njournal = \"{}\"\n", to_base64(&epoch)));
        }
        if !self.forward.is_empty() {
            text.push_str(&format!("forward = {}\n", fields::write_list(&self.forward)));
        }
        if self.forward_source != SourceNat::Keep {
            text.push_str(&format!("forward_source = \"{}\"\n", self.forward_source));
        }
        if !self.invoke.is_empty() {
            text.push_str(&format!("invoke = {}\n", fields::write_list(&self.invoke)));
        }
        if self.any_address {
            text.push_str("any_address = true\n");
        }
        if self.require_stated {
            text.push_str("require_stated = true\n");
        }
        if !self.prefixes.is_empty() {
            text.push_str(&format!("prefixes = {}\n", fields::write_list(&self.prefixes)));
        }
        if let Some(most) = self.max_doors {
            text.push_str(&format!("max_doors = {most}\n"));
        }
        if self.receipt {
            text.push_str("receipt = true\n");
        }
        if let Some(previous) = &self.previous {
            text.push_str(&format!(
                "[previous]\nkey_id = {}\nkey = \"{}\"\ncreated = {}\nuntil = {}\n",
                previous.key_id,
                previous.key.to_base64().as_str(),
                fields::write_moment(previous.created),
                fields::write_moment(previous.until),
            ));
            if let Some(epoch) = previous.until_used {
                text.push_str(&format!("until_used = \"{}\"\n", to_base64(&epoch)));
            }
            if let Some(epoch) = previous.journal {
                text.push_str(&format!("journal = \"{}\"\n", to_base64(&epoch)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
