//! The masked header: tells a stranger's datagram from a client's, and names the key, for the price of one SipHash.
//! The idea is that of header protection in QUIC (RFC 9001, section 5.4).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key::{KeyId, SiteId, SiteKey, derive};

/// The first 16 bytes of a datagram: uniformly random, never used twice with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// A header as it is sent: unreadable without the header key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedHeader(pub [u8; 8]);

/// Masks and unmasks the headers of one site.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct HeaderKey([u8; 16]);

impl HeaderKey {
    /// HKDF-SHA-256 of the site key under the label `spa1 header`.
    pub fn derive(key: &SiteKey, site: SiteId) -> Self {
        Self(*derive(key.bytes(), site, &[b"spa1 header"]))
    }

    /// Puts the key id behind the mask of this nonce.
    pub fn mask(&self, nonce: &Nonce, key: KeyId) -> MaskedHeader {
        let mut header = self.stream(nonce);
        for (byte, id) in header[4..].iter_mut().zip(key.0.to_be_bytes()) {
            *byte ^= id;
        }
        MaskedHeader(header)
    }

    /// The key id, if the check word (the first four bytes) unmasks to zero. A stranger passes once in 2^32 tries.
    ///
    /// Not in constant time: nothing is ever answered here, and a header that passes still opens nothing.
    pub fn unmask(&self, nonce: &Nonce, header: MaskedHeader) -> Option<KeyId> {
        let plain = u64::from_be_bytes(self.stream(nonce)) ^ u64::from_be_bytes(header.0);
        u32::try_from(plain).ok().map(KeyId)
    }

    /// The two words of the key, as SipHash names them k0 and k1: for the program that the kernel runs.
    pub(crate) fn words(&self) -> [u64; 2] {
        let (k0, k1) = self.0.split_at(8);
        [k0, k1].map(|half| half.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }

    fn stream(&self, nonce: &Nonce) -> [u8; 8] {
        let mut sip = SipHasher24::new_with_key(&self.0);
        sip.write(&nonce.0);
        sip.finish().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SipHash-2-4 of the bytes 0..16 under the key 0..16, from the reference implementation's table.
    #[test]
    fn the_mask_is_siphash_in_the_byte_order_of_its_paper() {
        let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let stream = HeaderKey(bytes).stream(&Nonce(bytes));
        assert_eq!(stream, 0x3f2a_cc7f_57c2_9bdb_u64.to_le_bytes());
    }

    #[test]
    fn any_flipped_bit_of_the_check_word_is_seen() {
        let key = HeaderKey([7; 16]);
        let nonce = Nonce([9; 16]);
        let header = key.mask(&nonce, KeyId(42));
        assert_eq!(key.unmask(&nonce, header), Some(KeyId(42)));
        for bit in 0..32 {
            let mut flipped = header;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.unmask(&nonce, flipped), None, "bit {bit}");
        }
    }
}
