//! `NAME.spa.toml`: the client's half of a profile. Secret.

use std::num::NonZeroU16;
use std::time::Duration;

use humantime::format_duration;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::profile::FreshnessName;
use super::{BadFile, Secrecy, fields, parse};
use crate::crypto::header::HeaderKey;
use crate::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey, to_base64};
use crate::crypto::suite::{ReceiptKeys, Suite, SuiteKeys};
use crate::profile::DEFAULT_WINDOW;
use crate::scheme::native::SealingKeys;
use crate::service::Service;
use crate::time::UnixMillis;

/// The client's half: all that a client needs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    #[serde(rename = "format", deserialize_with = "fields::format")]
    _format: (),
    /// Name of the profile.
    pub name: String,
    /// Name or address of the server.
    pub server: String,
    /// Its SPA port.
    #[serde(deserialize_with = "fields::port")]
    pub port: NonZeroU16,
    /// Names the site.
    #[serde(deserialize_with = "fields::site_id")]
    pub site_id: SiteId,
    /// Known to every profile of the site.
    #[serde(deserialize_with = "fields::site_key")]
    pub site_key: SiteKey,
    #[serde(deserialize_with = "fields::key_id")]
    key_id: u32,
    /// Shared with the server.
    #[serde(deserialize_with = "fields::profile_key")]
    pub key: ProfileKey,
    /// How datagrams are sealed.
    #[serde(deserialize_with = "fields::text")]
    pub suite: Suite,
    /// What is asked for unless the command line names services. Nothing, if the profile is for invoking alone.
    #[serde(deserialize_with = "fields::texts")]
    pub open: Vec<Service>,
    /// The profile's window at the server.
    #[serde(default = "default_window", deserialize_with = "fields::duration")]
    pub window: Duration,
    /// How the server judges this profile's requests fresh.
    #[serde(default)]
    pub freshness: FreshnessName,
    /// When the profile was made.
    #[serde(deserialize_with = "fields::moment")]
    pub created: UnixMillis,
    /// Asks for receipts.
    #[serde(default)]
    pub receipt: bool,
}

fn default_window() -> Duration {
    DEFAULT_WINDOW
}

/// What a client's half is made of; the fields of [`ClientFile`] without its format.
pub struct NewClient {
    /// Name of the profile.
    pub name: String,
    /// Name or address of the server.
    pub server: String,
    /// Its SPA port.
    pub port: NonZeroU16,
    /// Names the site.
    pub site_id: SiteId,
    /// Known to every profile of the site.
    pub site_key: SiteKey,
    /// Names the profile key.
    pub key_id: KeyId,
    /// Shared with the server.
    pub key: ProfileKey,
    /// How datagrams are sealed.
    pub suite: Suite,
    /// What the profile may open, if anything.
    pub open: Vec<Service>,
    /// Its window.
    pub window: Duration,
    /// How requests are judged fresh.
    pub freshness: FreshnessName,
    /// When the profile was made.
    pub created: UnixMillis,
    /// Asks for receipts.
    pub receipt: bool,
}

impl From<NewClient> for ClientFile {
    fn from(new: NewClient) -> Self {
        let NewClient { name, server, port, site_id, site_key, key_id, key, suite, open, window, .. } = new;
        let NewClient { freshness, created, receipt, .. } = new;
        let (_format, key_id) = ((), key_id.0);
        Self {
            _format,
            name,
            server,
            port,
            site_id,
            site_key,
            key_id,
            key,
            suite,
            open,
            window,
            freshness,
            created,
            receipt,
        }
    }
}

impl ClientFile {
    /// Reads the text of a client's half.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        parse(text, Secrecy::Secret)
    }

    /// Names the profile key.
    pub const fn key_id(&self) -> KeyId {
        KeyId(self.key_id)
    }

    /// What its datagrams are sealed with.
    pub fn sealing_keys(&self) -> SealingKeys {
        SealingKeys {
            header: HeaderKey::derive(&self.site_key, self.site_id),
            key_id: self.key_id(),
            suite: SuiteKeys::derive(&self.key, self.site_id, self.suite),
        }
    }

    /// What its receipts are opened with.
    pub fn receipt_keys(&self) -> ReceiptKeys {
        ReceiptKeys::derive(&self.key, self.site_id, self.suite)
    }

    /// The text of the file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "# The client's half of a profile. Secret: whoever reads it can knock.\n{}key = \"{}\"\n",
            self.to_text_without_key().as_str(),
            self.key.to_base64().as_str(),
        ))
    }

    /// All of it but the profile key, which stands in the last line, for a client that can compute it.
    pub fn to_text_without_key(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "format = 1\nname = {}\nserver = {}\nport = {}\nsite_id = \"{}\"\nsite_key = \"{}\"\n\
             key_id = {}\nsuite = \"{}\"\nopen = {}\nwindow = \"{}\"\nfreshness = \"{}\"\ncreated = {}\n{}",
            fields::write_text(&self.name),
            fields::write_text(&self.server),
            self.port,
            to_base64(&self.site_id.0),
            self.site_key.to_base64().as_str(),
            self.key_id,
            self.suite,
            fields::write_list(&self.open),
            format_duration(self.window),
            self.freshness.name(),
            fields::write_moment(self.created),
            if self.receipt { "receipt = true\n" } else { "" },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_whatever_the_names_hold() {
        for text in ["laptop", "a \"quoted\" one", "back\\slash", "two\nlines = 1", "it's", "é"] {
            let file = ClientFile::from(NewClient {
                name: text.to_owned(),
                server: text.to_owned(),
                port: NonZeroU16::MIN,
                site_id: SiteId([1; 16]),
                site_key: SiteKey::new([2; 32]),
                key_id: KeyId(7),
                key: ProfileKey::new([3; 32]),
                suite: Suite::Aes256Gcm,
                open: vec!["tcp/22".parse().unwrap()],
                window: DEFAULT_WINDOW,
                freshness: FreshnessName::Monotonic,
                created: UnixMillis::EPOCH,
                receipt: text == "laptop",
            });
            let again = ClientFile::parse(&file.to_text()).unwrap();
            assert_eq!((again.name.as_str(), again.server.as_str()), (text, text));
            assert_eq!(again.to_text(), file.to_text());
        }
    }
}
