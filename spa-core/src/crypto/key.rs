//! Keys and the ids that name them. Secrets are wiped on drop and can be neither copied nor printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Names one server and its replay journal: 16 random bytes. The HKDF salt of all its keys, so that a datagram
/// for one site is worthless at another even where a key was used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SiteId(pub [u8; 16]);

/// Names one profile key at a site; never used again for another key. Its role is that of an SPI (RFC 4303).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({:#010x})", self.0)
    }
}

/// Text that is not the base64 of as many bytes as the value has. Says nothing of the text: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64 of {0} bytes")]
pub struct BadBase64(pub usize);

/// Reads base64 with padding (RFC 4648, section 4) of exactly `N` bytes.
pub fn from_base64<const N: usize>(text: &str) -> Result<[u8; N], BadBase64> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| BadBase64(N))?);
    bytes.as_slice().try_into().map_err(|_| BadBase64(N))
}

/// Writes base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $size]);

        impl $name {
            /// The key with these bytes.
            pub const fn new(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// A new key.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut key = Self([0; $size]);
                rng.fill_bytes(&mut key.0);
                key
            }

            /// Reads base64 as it stands in a file.
            pub fn from_base64(text: &str) -> Result<Self, BadBase64> {
                from_base64(text).map(Self)
            }

            /// For the second of two files that are to hold the same key, and for nothing else.
            pub const fn copy_of(key: &Self) -> Self {
                Self(key.0)
            }

            /// For the file that is to hold the key, and for nothing else.
            pub fn to_base64(&self) -> Zeroizing<String> {
                Zeroizing::new(to_base64(&self.0))
            }

            pub(crate) const fn bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }
    };
}

secret! {
    /// The secret that all profiles of a site share. Its loss costs camouflage and the cheap check, never access.
    SiteKey, 32
}
secret! {
    /// The secret of one profile at one site.
    ProfileKey, 32
}

/// HKDF-SHA-256 (RFC 5869) with the site id as salt.
///
/// `info` must be shorter than 255 blocks of SHA-256 demand, which every label of this protocol is.
pub(crate) fn derive<const N: usize>(ikm: &[u8; 32], site: SiteId, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut okm = Zeroizing::new([0; N]);
    // The only error is an output of more than 8160 bytes; the largest key here has 32.
    const { assert!(N <= 8160) };
    let _ = Hkdf::<Sha256>::new(Some(&site.0), ikm).expand_multi_info(info, okm.as_mut_slice());
    okm
}
