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

/// Random bytes in front of a datagram or receipt that hold the AEAD nonce of every suite: the first 12 or all of them.
pub(crate) type NonceBytes = [u8; 24];

/// Both keys of one profile, derived for its suite.
pub struct SuiteKeys {
    suite: Suite,
    aead: AeadKey,
    /// Authenticates the whole datagram.
    pub mac: MacKey,
}

/// Both keys of one profile for its receipts. Other keys than a request's: a receipt that is sent back to the server
/// must not be a request, nor a request that is sent back to its client a receipt.
pub struct ReceiptKeys(SuiteKeys);

impl SuiteKeys {
    /// HKDF-SHA-256 of the profile key under `spa1 <suite> encryption` and `spa1 <suite> mac`.
    pub fn derive(key: &ProfileKey, site: SiteId, suite: Suite) -> Self {
        Self::labelled(key, site, suite, [b"encryption", b"mac"])
    }

    fn labelled(key: &ProfileKey, site: SiteId, suite: Suite, [aead, mac]: [&[u8]; 2]) -> Self {
        let label = |use_| derive(key.bytes(), site, &[b"spa1 ", suite.name().as_bytes(), b" ", use_]);
        Self { suite, aead: AeadKey(*label(aead)), mac: MacKey::new(*label(mac)) }
    }

    /// Encrypts `message` in place and appends the tag.
    pub fn seal(&self, aad: &Aad, message: &mut Vec<u8>) -> Result<(), TooLong> {
        self.seal_under(aad.bytes(), aad.bytes(), message)
    }

    /// Decrypts `body` (ciphertext, then tag) in place and cuts the tag off.
    pub fn open(&self, aad: &Aad, body: &mut Vec<u8>) -> Result<(), TagMismatch> {
        self.open_under(aad.bytes(), aad.bytes(), body)
    }

    fn seal_under(&self, nonce: &NonceBytes, aad: &[u8], message: &mut Vec<u8>) -> Result<(), TooLong> {
        match self.suite {
            Suite::Aes256Gcm => aes256gcm::seal(&self.aead.0, nonce, aad, message),
            Suite::XChaCha20Poly1305 => xchacha20poly1305::seal(&self.aead.0, nonce, aad, message),
        }
    }

    fn open_under(&self, nonce: &NonceBytes, aad: &[u8], body: &mut Vec<u8>) -> Result<(), TagMismatch> {
        match self.suite {
            Suite::Aes256Gcm => aes256gcm::open(&self.aead.0, nonce, aad, body),
            Suite::XChaCha20Poly1305 => xchacha20poly1305::open(&self.aead.0, nonce, aad, body),
        }
    }
}

impl ReceiptKeys {
    /// HKDF-SHA-256 of the profile key under `spa1 <suite> receipt encryption` and `spa1 <suite> receipt mac`.
    pub fn derive(key: &ProfileKey, site: SiteId, suite: Suite) -> Self {
        Self(SuiteKeys::labelled(key, site, suite, [b"receipt encryption", b"receipt mac"]))
    }

    pub(crate) const fn mac(&self) -> &MacKey {
        &self.0.mac
    }

    /// As [`SuiteKeys::seal`], with additional data that is not sent.
    pub(crate) fn seal(&self, nonce: &NonceBytes, aad: &[u8], message: &mut Vec<u8>) -> Result<(), TooLong> {
        self.0.seal_under(nonce, aad, message)
    }

    /// As [`SuiteKeys::open`], with additional data that is not sent.
    pub(crate) fn open(&self, nonce: &NonceBytes, aad: &[u8], body: &mut Vec<u8>) -> Result<(), TagMismatch> {
        self.0.open_under(nonce, aad, body)
    }
}
