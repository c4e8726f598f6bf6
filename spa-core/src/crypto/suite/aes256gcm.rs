//! Suite `aes256gcm`: AES-256-GCM, nonce = bytes 0..12 of the datagram.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use super::{Aad, TagMismatch, TooLong};

fn nonce(aad: &Aad) -> [u8; 12] {
    *aad.bytes().first_chunk().unwrap_or(&[0; 12])
}

pub(super) fn seal(key: &[u8; 32], aad: &Aad, message: &mut Vec<u8>) -> Result<(), TooLong> {
    Aes256Gcm::new(key.into()).encrypt_in_place(&nonce(aad).into(), aad.bytes(), message).map_err(|_| TooLong)
}

pub(super) fn open(key: &[u8; 32], aad: &Aad, body: &mut Vec<u8>) -> Result<(), TagMismatch> {
    Aes256Gcm::new(key.into())
        .decrypt_in_place(&nonce(aad).into(), aad.bytes(), body)
        .map_err(|_| TagMismatch)
}
