//! The suites: one AEAD each (RFC 5116). A profile has exactly one; nothing is negotiated, so nothing is downgraded.
//! A new suite is one file below, one row in each `match` here, and its vectors.

mod aes256gcm;
mod xchacha20poly1305;

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::header::{MaskedHeader, Nonce};
use super::key::{ProfileKey, SiteId, derive};
use super::mac::MacKey;

/// Bytes that a suite's AEAD adds to a plaintext. The same for all, so that lengths say nothing of the suite.
pub const TAG: usize = 16;

/// Names a suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D).
    #[default]
    Aes256Gcm,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).
    XChaCha20Poly1305,
}

/// A name that no suite has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such suite: use \"aes256gcm\" or \"xchacha20poly1305\"")]
pub struct UnknownSuite;

impl Suite {
    /// Every suite there is.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::XChaCha20Poly1305];

    /// The name in files and in the labels of key derivation. Holds no space, so that labels are prefix-free.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes256gcm",
            Self::XChaCha20Poly1305 => "xchacha20poly1305",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(name: &str) -> Result<Self, UnknownSuite> {
        Self::ALL.into_iter().find(|suite| suite.name() == name).ok_or(UnknownSuite)
    }
}

/// Additional authenticated data: the nonce and the masked header, bytes 0..24 of a datagram.
#[derive(Clone, Copy)]
pub struct Aad([u8; 24]);

impl Aad {
    /// Nonce, then header.
    pub fn new(nonce: &Nonce, header: MaskedHeader) -> Self {
        let mut aad = [0; 24];
        aad[..16].copy_from_slice(&nonce.0);
        aad[16..].copy_from_slice(&header.0);
        Self(aad)
    }

    /// As they stand at the front of the datagram.
    pub const fn bytes(&self) -> &[u8; 24] {
        &self.0
    }
}

/// The AEAD tag does not belong to the ciphertext under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagMismatch;

/// More bytes than the AEAD, or a datagram, takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is too long for one datagram")]
pub struct TooLong;

/// Seals and opens the bodies of one profile.
#[derive(Zeroize, ZeroizeOnDrop)]
struct AeadKey([u8; 32]);

/// Both keys of one profile, derived for its suite.
pub struct SuiteKeys {
    suite: Suite,
    aead: AeadKey,
    /// Authenticates the whole datagram.
    pub mac: MacKey,
}

impl SuiteKeys {
    /// HKDF-SHA-256 of the profile key under `spa1 <suite> encryption` and `spa1 <suite> mac`.
    pub fn derive(key: &ProfileKey, site: SiteId, suite: Suite) -> Self {
        let label =
            |use_: &'static [u8]| derive(key.bytes(), site, &[b"spa1 ", suite.name().as_bytes(), b" ", use_]);
        Self { suite, aead: AeadKey(*label(b"encryption")), mac: MacKey::new(*label(b"mac")) }
    }

    /// Encrypts `message` in place and appends the tag.
    pub fn seal(&self, aad: &Aad, message: &mut Vec<u8>) -> Result<(), TooLong> {
        match self.suite {
            Suite::Aes256Gcm => aes256gcm::seal(&self.aead.0, aad, message),
            Suite::XChaCha20Poly1305 => xchacha20poly1305::seal(&self.aead.0, aad, message),
        }
    }

    /// Decrypts `body` (ciphertext, then tag) in place and cuts the tag off.
    pub fn open(&self, aad: &Aad, body: &mut Vec<u8>) -> Result<(), TagMismatch> {
        match self.suite {
            Suite::Aes256Gcm => aes256gcm::open(&self.aead.0, aad, body),
            Suite::XChaCha20Poly1305 => xchacha20poly1305::open(&self.aead.0, aad, body),
        }
    }
}
