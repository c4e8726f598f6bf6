//! Suite `xchacha20poly1305`: XChaCha20-Poly1305, nonce = bytes 0..24 of the datagram.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::{NonceBytes, TagMismatch, TooLong};

pub(super) fn seal(
    key: &[u8; 32],
    nonce: &NonceBytes,
    aad: &[u8],
    message: &mut Vec<u8>,
) -> Result<(), TooLong> {
    XChaCha20Poly1305::new(key.into()).encrypt_in_place(nonce.into(), aad, message).map_err(|_| TooLong)
}

pub(super) fn open(
    key: &[u8; 32],
    nonce: &NonceBytes,
    aad: &[u8],
    body: &mut Vec<u8>,
) -> Result<(), TagMismatch> {
    XChaCha20Poly1305::new(key.into()).decrypt_in_place(nonce.into(), aad, body).map_err(|_| TagMismatch)
}
