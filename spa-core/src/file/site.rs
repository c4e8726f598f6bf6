//! `site.toml`: one server, one replay journal. Secret.

use std::num::NonZeroU16;

use serde::Deserialize;

use super::{BadFile, Secrecy, fields, parse};
use crate::crypto::header::HeaderKey;
use crate::crypto::key::{SiteId, SiteKey, to_base64};
use crate::journal::MachineHash;

/// A site.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteFile {
    #[serde(rename = "format", deserialize_with = "fields::format")]
    _format: (),
    /// Names the site.
    #[serde(deserialize_with = "fields::site_id")]
    pub id: SiteId,
    /// Known to every profile of the site.
    #[serde(deserialize_with = "fields::site_key")]
    pub key: SiteKey,
    /// The key before it, valid as long as it stands here: for rotation with overlap.
    #[serde(default, deserialize_with = "fields::some_site_key")]
    pub previous_key: Option<SiteKey>,
    /// The UDP port that is listened for.
    #[serde(deserialize_with = "fields::port")]
    pub port: NonZeroU16,
    #[serde(deserialize_with = "fields::base64")]
    machine: [u8; 16],
}

impl SiteFile {
    /// Reads the text of a `site.toml`.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        parse(text, Secrecy::Secret)
    }

    /// A new site on this machine.
    pub const fn new(id: SiteId, key: SiteKey, port: NonZeroU16, machine: MachineHash) -> Self {
        Self { _format: (), id, key, previous_key: None, port, machine: machine.0 }
    }

    /// Puts a new key in place of the present one, which stays valid.
    pub fn rotate(&mut self, key: SiteKey) {
        self.previous_key = Some(std::mem::replace(&mut self.key, key));
    }

    /// The machine that the site belongs to.
    pub const fn machine(&self) -> MachineHash {
        MachineHash(self.machine)
    }

    /// The header keys that are valid now.
    pub fn header_keys(&self) -> Vec<HeaderKey> {
        let keys = [Some(&self.key), self.previous_key.as_ref()];
        keys.into_iter().flatten().map(|key| HeaderKey::derive(key, self.id)).collect()
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# One server, one replay journal. Secret: every profile of this site knows the key.\n\
             # Never copy this file to another machine: a datagram would open a door on both.\n\
             format = 1\nid = \"{}\"\nkey = \"{}\"\nport = {}\nmachine = \"{}\"\n",
            to_base64(&self.id.0),
            self.key.to_base64().as_str(),
            self.port,
            to_base64(&self.machine),
        );
        if let Some(key) = &self.previous_key {
            text.push_str(&format!("previous_key = \"{}\"\n", key.to_base64().as_str()));
        }
        text
    }
}
