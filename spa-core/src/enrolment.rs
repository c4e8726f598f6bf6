//! Enrolment without a secret that travels. The client prints a line, the server answers with one; both may be read by
//! others. X25519 (RFC 7748) gives both sides the same secret, HKDF-SHA-256 (RFC 5869) makes of it the profile key and the
//! key under which the answer carries everything else. Whoever *changes* lines is found out by the fingerprint, which both
//! sides show. SPEC.md, "Enrolment".

mod answer;
mod fingerprint;
mod line;
mod request;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

pub use answer::{Answer, Finished, NotForUs, Reply};
pub use fingerprint::Fingerprint;
pub use line::BadLine;
pub use request::{Begun, Request, RequestId};

use crate::crypto::key::ProfileKey;

/// The other side's public key is one of the few points that make every secret the same (RFC 7748, section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WeakKey;

/// A new X25519 secret.
fn new_secret(rng: &mut impl CryptoRng) -> StaticSecret {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut_slice());
    StaticSecret::from(*bytes)
}

/// SHA-256 of a label and parts whose lengths are fixed by the label, but for the last.
fn hash(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(label);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// What both sides have in common once they know each other's public key.
struct Agreement {
    /// Binds all that follows to both public keys and to every byte of the request.
    transcript: [u8; 32],
    profile_key: ProfileKey,
    answer_key: Zeroizing<[u8; 32]>,
}

impl Agreement {
    fn new(
        ours: &StaticSecret,
        theirs: &[u8; 32],
        request: &[u8],
        server: &[u8; 32],
    ) -> Result<Self, WeakKey> {
        let shared = ours.diffie_hellman(&PublicKey::from(*theirs));
        if !shared.was_contributory() {
            return Err(WeakKey);
        }
        let transcript =
            hash("spa1 enrolment transcript", &[&hash("spa1 enrolment request", &[request]), server]);
        let hkdf = Hkdf::<Sha256>::new(Some(&transcript), shared.as_bytes());
        let expand = |info: &str| {
            let mut key = Zeroizing::new([0; 32]);
            // The only error is an output of more than 8160 bytes.
            let _ = hkdf.expand(info.as_bytes(), key.as_mut_slice());
            key
        };
        let profile_key = ProfileKey::new(*expand("spa1 enrolment profile key"));
        Ok(Self { transcript, profile_key, answer_key: expand("spa1 enrolment answer key") })
    }

    /// Of what both sides have seen; the answer holds, sealed, all that the profile says.
    fn fingerprint(&self, answer: &[u8]) -> Fingerprint {
        let digest = hash("spa1 enrolment fingerprint", &[&self.transcript, answer]);
        Fingerprint::of(&digest)
    }
}

#[cfg(test)]
mod tests;
