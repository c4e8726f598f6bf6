//! What two people compare.

use std::fmt;
use std::str::FromStr;

/// 80 bits, as four groups of four letters and digits (the alphabet of RFC 4648, section 6): `ABCD-EFGH-IJKL-MNOP`.
///
/// Not shorter: whoever changes lines knows the server's fingerprint before he has to give the client its answer, and may
/// try 2^80 answers until one fits (THREAT-MODEL.md, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl Fingerprint {
    /// The first 80 bits.
    pub(super) fn of(digest: &[u8; 32]) -> Self {
        let bits = digest.iter().take(10).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        Self(std::array::from_fn(|at| ALPHABET[(bits >> (75 - 5 * at) & 31) as usize]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            if at > 0 && at % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// Text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: it has 16 letters and digits, like ABCD-EFGH-IJKL-MNOP")]
pub struct BadFingerprint;

/// As somebody types it who reads it elsewhere: dashes, blanks and capitals do not matter.
impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let letters: Vec<u8> =
            text.bytes().filter(|byte| !b"- ".contains(byte)).map(|byte| byte.to_ascii_uppercase()).collect();
        let letters: [u8; 16] = letters.try_into().map_err(|_| BadFingerprint)?;
        if letters.iter().all(|letter| ALPHABET.contains(letter)) {
            Ok(Self(letters))
        } else {
            Err(BadFingerprint)
        }
    }
}
