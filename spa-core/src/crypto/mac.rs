//! HMAC-SHA-256 (RFC 2104) over everything before it: encrypt-then-MAC, checked before anything is decrypted.
//! It commits to its key, which GCM and Poly1305 alone do not.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A full-length tag.
#[derive(Clone, Copy)]
pub struct Mac(pub [u8; 32]);

/// The MAC does not belong to the message under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacMismatch;

/// Authenticates the datagrams of one profile.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The MAC of `message`.
    pub fn mac(&self, message: &[u8]) -> Mac {
        // RFC 2104 pads a short key with zeros to the block of its hash, 64 bytes for SHA-256.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(&self.0);
        let mut hmac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
        hmac.update(message);
        Mac(hmac.finalize().into_bytes().into())
    }

    /// Compares in constant time; the only place in the project where two tags meet. A comparison that stopped at
    /// the first difference would let a sender find a tag byte by byte.
    pub fn verify(&self, message: &[u8], mac: &Mac) -> Result<(), MacMismatch> {
        if self.mac(message).0.ct_eq(&mac.0).into() { Ok(()) } else { Err(MacMismatch) }
    }
}
