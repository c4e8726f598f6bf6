//! The native datagram (SPEC.md, "Datagram"): nonce ‖ masked header ‖ sealed request ‖ MAC.

use rand_core::CryptoRng;

use crate::crypto::header::{HeaderKey, MaskedHeader, Nonce};
use crate::crypto::key::KeyId;
use crate::crypto::mac::Mac;
use crate::crypto::suite::{Aad, SuiteKeys, TAG, TagMismatch, TooLong};
use crate::receipt::sealed::Binding;
use crate::reject::Reject;
use crate::request::Request;

const NONCE: usize = 16;
const HEADER: usize = 8;
const MAC: usize = 32;

/// Bytes of a datagram that are not request or padding.
pub const OVERHEAD: usize = NONCE + HEADER + TAG + MAC;
/// Shortest datagram.
pub const MIN: usize = 256;
/// Longest datagram: what IPv6 carries unfragmented on every path (RFC 8200: 1280) less its header and that of UDP.
pub const MAX: usize = 1232;
/// Shorter requests are sealed to `MIN..=MIDDLE` bytes, longer ones to `MIDDLE..=MAX`.
pub const MIDDLE: usize = 640;
/// Longest request: it fits even the smallest length that a long request draws.
pub const MAX_REQUEST: usize = MIDDLE - OVERHEAD;

/// What a client seals with.
pub struct SealingKeys {
    /// Masks the header; from the site key.
    pub header: HeaderKey,
    /// Names the profile key.
    pub key_id: KeyId,
    /// From the profile key.
    pub suite: SuiteKeys,
}

/// Seals a request into a datagram of a length drawn at random, whatever the request says.
///
/// # Errors
/// [`TooLong`] if the request has more than [`MAX_REQUEST`] bytes.
pub fn seal(keys: &SealingKeys, request: &Request, rng: &mut impl CryptoRng) -> Result<Vec<u8>, TooLong> {
    let message = request.encode();
    let mut nonce = Nonce([0; NONCE]);
    rng.fill_bytes(&mut nonce.0);
    let total =
        if message.len() + OVERHEAD <= MIN { uniform(rng, MIN, MIDDLE) } else { uniform(rng, MIDDLE, MAX) };
    seal_exact(keys, message, nonce, total)
}

/// Seals an encoded request under a given nonce to a given length: for test vectors.
///
/// # Errors
/// [`TooLong`] if it does not fit `total`, or `total` does not fit a datagram.
pub fn seal_exact(
    keys: &SealingKeys,
    mut message: Vec<u8>,
    nonce: Nonce,
    total: usize,
) -> Result<Vec<u8>, TooLong> {
    let room = total.checked_sub(OVERHEAD).ok_or(TooLong)?;
    if !(MIN..=MAX).contains(&total) || message.len() > room || message.len() > MAX_REQUEST {
        return Err(TooLong);
    }
    message.resize(room, 0);
    let header = keys.header.mask(&nonce, keys.key_id);
    let aad = Aad::new(&nonce, header);
    keys.suite.seal(&aad, &mut message)?;
    let mut datagram = Vec::with_capacity(total);
    datagram.extend_from_slice(aad.bytes());
    datagram.extend_from_slice(&message);
    let mac = keys.suite.mac.mac(&datagram);
    datagram.extend_from_slice(&mac.0);
    Ok(datagram)
}

/// A length in `low..=high`, each equally likely: draws that would favour the small ones are thrown away.
pub(crate) fn uniform(rng: &mut impl CryptoRng, low: usize, high: usize) -> usize {
    let span = (high - low + 1) as u64;
    let fair = u64::MAX - u64::MAX % span;
    loop {
        let draw = rng.next_u64();
        if draw < fair {
            // The remainder is below `span`, which came from a usize.
            return low + usize::try_from(draw % span).unwrap_or(0);
        }
    }
}

/// A datagram of the right length whose header names a key. Only [`Sealed::read`] can make one.
pub struct Sealed<'a> {
    key_id: KeyId,
    nonce: Nonce,
    header: MaskedHeader,
    body: &'a [u8],
    authenticated: &'a [u8],
    mac: Mac,
}

impl<'a> Sealed<'a> {
    /// Steps 1 and 2: length and check word. All that a stranger's datagram ever costs.
    ///
    /// `header_keys`: those of the site, two while the site key is being rotated.
    pub fn read(datagram: &'a [u8], header_keys: &[HeaderKey]) -> Result<Self, Reject> {
        if !(MIN..=MAX).contains(&datagram.len()) {
            return Err(Reject::Length);
        }
        let (nonce, rest) = datagram.split_first_chunk::<NONCE>().ok_or(Reject::Length)?;
        let (header, rest) = rest.split_first_chunk::<HEADER>().ok_or(Reject::Length)?;
        let (body, mac) = rest.split_last_chunk::<MAC>().ok_or(Reject::Length)?;
        let (authenticated, _) = datagram.split_last_chunk::<MAC>().ok_or(Reject::Length)?;
        let (nonce, header) = (Nonce(*nonce), MaskedHeader(*header));
        let key_id = header_keys.iter().find_map(|key| key.unmask(&nonce, header)).ok_or(Reject::Header)?;
        Ok(Self { key_id, nonce, header, body, authenticated, mac: Mac(*mac) })
    }

    /// What a receipt for it is bound to.
    pub const fn binding(&self) -> Binding {
        Binding::new(&self.nonce, &self.mac)
    }

    /// The key that it claims to be sealed with.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Step 4: the MAC over everything before it.
    pub fn verify(&self, keys: &SuiteKeys) -> Result<(), Reject> {
        keys.mac.verify(self.authenticated, &self.mac).map_err(|_| Reject::Mac)
    }

    /// Step 5: the plaintext, padding included.
    pub fn open(&self, keys: &SuiteKeys) -> Result<Vec<u8>, Reject> {
        let mut message = self.body.to_vec();
        keys.open(&Aad::new(&self.nonce, self.header), &mut message).map_err(|TagMismatch| Reject::Aead)?;
        Ok(message)
    }
}
