//! Suite `aes256gcm`: AES-256-GCM, nonce = bytes 0..12 of the datagram.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use super::{NonceBytes, TagMismatch, TooLong};

fn first_twelve(nonce: &NonceBytes) -> [u8; 12] {
    *nonce.first_chunk().unwrap_or(&[0; 12])
}

pub(super) fn seal(
    key: &[u8; 32],
    nonce: &NonceBytes,
    aad: &[u8],
    message: &mut Vec<u8>,
) -> Result<(), TooLong> {
    Aes256Gcm::new(key.into())
        .encrypt_in_place(&first_twelve(nonce).into(), aad, message)
        .map_err(|_| TooLong)
}

pub(super) fn open(
    key: &[u8; 32],
    nonce: &NonceBytes,
    aad: &[u8],
    body: &mut Vec<u8>,
) -> Result<(), TagMismatch> {
    Aes256Gcm::new(key.into())
        .decrypt_in_place(&first_twelve(nonce).into(), aad, body)
        .map_err(|_| TagMismatch)
}
