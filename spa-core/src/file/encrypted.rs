//! A client's half under a passphrase: what is needed to choose it stands in clear, everything else in the envelope.

use rand_core::CryptoRng;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::client::ClientFile;
use super::{BadFile, Secrecy, fields, parse};
use crate::crypto::key::to_base64;
use crate::envelope::{self, BadEnvelope, Cost, Passphrase};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedFile {
    #[serde(rename = "format", deserialize_with = "fields::format")]
    _format: (),
    /// Name of the profile.
    pub name: String,
    /// Name or address of the server, so that the profile for a host is found without a passphrase.
    pub server: String,
    #[serde(deserialize_with = "fields::bytes")]
    encrypted: Vec<u8>,
}

impl EncryptedFile {
    /// Whether a text means to be one.
    pub fn is_one(text: &str) -> bool {
        text.lines().any(|line| line.trim_start().starts_with("encrypted"))
    }

    /// Reads the text of one.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        parse(text, Secrecy::Secret)
    }

    /// Puts the text of a client's half under a passphrase, whole and as it is.
    pub fn seal(
        client: &ClientFile,
        text: &str,
        passphrase: &Passphrase,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, BadEnvelope> {
        let (name, server) = (client.name.clone(), client.server.clone());
        let public = public(&name, &server);
        let encrypted = envelope::seal(passphrase, &public, text, Cost::DEFAULT, rng)?;
        Ok(Self { _format: (), name, server, encrypted })
    }

    /// The text that was put in.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, BadEnvelope> {
        envelope::open(passphrase, &public(&self.name, &self.server), &self.encrypted)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        format!(
            "# The client's half of a profile, under a passphrase: spa-client profiles decrypt takes it off.\n\
             format = 1\nname = {}\nserver = {}\nencrypted = \"{}\"\n",
            fields::write_text(&self.name),
            fields::write_text(&self.server),
            to_base64(&self.encrypted),
        )
    }
}

/// What stands in clear, with its lengths, so that no two pairs read alike.
fn public(name: &str, server: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [name, server] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const HALF: &str = "format = 1\nname = \"laptop\"\nserver = \"vpn.example.org\"\nport = 7\n\
        site_id = \"AAECAwQFBgcICQoLDA0ODw==\"\nsite_key = \"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\"\n\
        key_id = 7\nkey = \"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\"\nsuite = \"aes256gcm\"\n\
        open = [\"tcp/22\"] # mine\ncreated = 2026-11-20T10:00:00Z\n";

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    #[test]
    fn a_clients_half_comes_out_as_it_went_in_and_stays_bound_to_its_server() {
        let client = ClientFile::parse(HALF).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let sealed = EncryptedFile::seal(&client, HALF, &passphrase("a b"), &mut rng).unwrap();
        let text = sealed.to_text();
        assert!(EncryptedFile::is_one(&text) && !EncryptedFile::is_one(HALF));
        assert!(!text.contains("q83v") && !text.contains("tcp/22"));
        let read = EncryptedFile::parse(&text).unwrap();
        assert_eq!((read.name.as_str(), read.server.as_str()), ("laptop", "vpn.example.org"));
        assert_eq!(read.open(&passphrase("a b")).unwrap().as_str(), HALF);
        assert_eq!(read.open(&passphrase("a c")).err(), Some(BadEnvelope::Passphrase));
        let elsewhere = text.replace("vpn.example.org", "vpn.example.com");
        let opened = EncryptedFile::parse(&elsewhere).unwrap().open(&passphrase("a b"));
        assert_eq!(opened.err(), Some(BadEnvelope::Passphrase));
    }
}
