//! A receipt on its way: 24 random bytes ‖ sealed receipt ‖ MAC, bound to the one datagram that it answers.

use rand_core::CryptoRng;

use super::Receipt;
use crate::crypto::header::Nonce;
use crate::crypto::mac::Mac;
use crate::crypto::suite::{NonceBytes, ReceiptKeys, TAG, TooLong};
use crate::scheme::native::{self, uniform};

const NONCE: usize = size_of::<NonceBytes>();
const MAC: usize = 32;
/// Bytes of a receipt that are not its message or padding.
pub const OVERHEAD: usize = NONCE + TAG + MAC;
/// Shortest sealed receipt: the longest message fits it, so that a length never tells what is inside.
pub const MIN: usize = 128;
/// Longest sealed receipt.
pub const MAX: usize = 176;

// Nobody can make a server send more bytes than it was sent.
const _: () = assert!(MAX < native::MIN);

/// Nonce and MAC of the request that a receipt answers. It is no receipt for any other datagram, a copy of the same
/// command included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding([u8; 48]);

impl Binding {
    pub(crate) const fn new(nonce: &Nonce, mac: &Mac) -> Self {
        let mut bytes = [0; 48];
        let (front, back) = bytes.split_at_mut(16);
        front.copy_from_slice(&nonce.0);
        back.copy_from_slice(&mac.0);
        Self(bytes)
    }

    /// That of a datagram that was sealed; `None` if it is too short to be one.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let (nonce, _) = datagram.split_first_chunk()?;
        let (_, mac) = datagram.split_last_chunk()?;
        Some(Self::new(&Nonce(*nonce), &Mac(*mac)))
    }
}

/// Bytes of the length of a sealed receipt. To all but the client they are noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedReceipt(Vec<u8>);

impl SealedReceipt {
    /// Takes bytes that have the length of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (MIN..=MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// As it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Seals a receipt to a length drawn at random, whatever it says.
///
/// # Errors
/// None: every receipt fits [`MIN`].
pub fn seal(
    keys: &ReceiptKeys,
    binding: &Binding,
    receipt: &Receipt,
    rng: &mut impl CryptoRng,
) -> Result<SealedReceipt, TooLong> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let total = uniform(rng, MIN, MAX);
    seal_exact(keys, binding, receipt.encode(), &nonce, total)
}

/// Seals an encoded receipt under a given nonce to a given length: for test vectors.
///
/// # Errors
/// [`TooLong`] if it does not fit `total`, or `total` is not the length of a receipt.
pub fn seal_exact(
    keys: &ReceiptKeys,
    Binding(binding): &Binding,
    mut message: Vec<u8>,
    nonce: &NonceBytes,
    total: usize,
) -> Result<SealedReceipt, TooLong> {
    let room = total.checked_sub(OVERHEAD).ok_or(TooLong)?;
    if message.len() > room || !(MIN..=MAX).contains(&total) {
        return Err(TooLong);
    }
    message.resize(room, 0);
    keys.seal(nonce, binding, &mut message)?;
    let authenticated = [&binding[..], nonce, &message].concat();
    let mac = keys.mac().mac(&authenticated);
    Ok(SealedReceipt([&nonce[..], &message, &mac.0].concat()))
}

/// Opens what came back for the request of this binding. `None` is anything but its receipt: noise, a forgery, a receipt
/// for another datagram, one in a second spelling. Which of them does not matter to a client, who goes on waiting.
pub fn open(keys: &ReceiptKeys, Binding(binding): &Binding, datagram: &[u8]) -> Option<Receipt> {
    if !(MIN..=MAX).contains(&datagram.len()) {
        return None;
    }
    let (authenticated, mac) = datagram.split_last_chunk::<MAC>()?;
    keys.mac().verify(&[&binding[..], authenticated].concat(), &Mac(*mac)).ok()?;
    let (nonce, body) = authenticated.split_first_chunk::<NONCE>()?;
    let mut message = body.to_vec();
    keys.open(nonce, binding, &mut message).ok()?;
    Receipt::decode(&message).ok()
}
