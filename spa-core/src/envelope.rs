//! A text under a passphrase: Argon2id (RFC 9106), then XChaCha20-Poly1305. For a client's half that lies on a disk which
//! may be stolen. Format and bounds: SPEC.md, "A client's file under a passphrase".

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::reader::{Reader, Short};

const VERSION: u8 = 1;
/// Version, memory, passes, lanes, salt, nonce.
const HEADER: usize = 1 + 4 + 1 + 1 + 16 + 24;
const TAG: usize = 16;

/// What somebody remembers. Wiped on drop; cannot be printed or copied.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

/// Text that is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassphrase {
    /// Nothing at all.
    #[error("the passphrase is empty")]
    Empty,
    /// More than anybody types; a file of another kind, most likely.
    #[error("the passphrase is longer than {} bytes", Passphrase::LONGEST)]
    TooLong,
}

impl Passphrase {
    /// Longest passphrase, in bytes.
    pub const LONGEST: usize = 1024;

    /// Its bytes count as they are (UTF-8): nothing is trimmed or normalised here.
    pub fn new(text: String) -> Result<Self, BadPassphrase> {
        let passphrase = Self(text);
        match passphrase.0.len() {
            0 => Err(BadPassphrase::Empty),
            1..=Self::LONGEST => Ok(passphrase),
            _ => Err(BadPassphrase::TooLong),
        }
    }
}

/// What one guess costs, and so each opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u8,
    lanes: u8,
}

impl Cost {
    /// The second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes; a tenth of a second.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// Most memory of any envelope, in KiB. A file must not be able to take the memory of the machine that reads it.
    pub const MOST_MEMORY: u32 = 256 * 1024;
    /// Most passes.
    pub const MOST_PASSES: u8 = 16;
    /// Most lanes.
    pub const MOST_LANES: u8 = 16;

    /// `None` outside of the bounds, those above and Argon2's own (8 KiB a lane).
    pub fn new(memory_kib: u32, passes: u8, lanes: u8) -> Option<Self> {
        let good = (1..=Self::MOST_LANES).contains(&lanes)
            && (1..=Self::MOST_PASSES).contains(&passes)
            && (8 * u32::from(lanes)..=Self::MOST_MEMORY).contains(&memory_kib);
        good.then_some(Self { memory_kib, passes, lanes })
    }

    /// The key that these bytes of a passphrase and a salt make.
    fn stretch(self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, BadEnvelope> {
        let (passes, lanes) = (self.passes.into(), self.lanes.into());
        let params = Params::new(self.memory_kib, passes, lanes, Some(32)).map_err(|_| BadEnvelope::Cost)?;
        let mut memory = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(params.block_count()).map_err(|_| BadEnvelope::Memory)?;
        memory.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.0.as_bytes(),
                salt,
                key.as_mut_slice(),
                memory.as_mut_slice(),
            )
            .map_err(|_| BadEnvelope::Cost)?;
        Ok(key)
    }
}

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvelope {
    /// Cut off.
    #[error("what is encrypted is incomplete")]
    Short,
    /// Of a later version.
    #[error("this version opens envelopes of version 1 only, and this one is of version {0}")]
    Version(u8),
    /// It would take more memory or time than any of ours.
    #[error("opening it would cost more than allowed (256 MiB, 16 passes, 16 lanes)")]
    Cost,
    /// The machine has not got the memory.
    #[error("there is not enough memory to open it")]
    Memory,
    /// The tag is wrong. Which of the two it is cannot be told.
    #[error("wrong passphrase, or the file was changed")]
    Passphrase,
}

impl From<Short> for BadEnvelope {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

/// Encrypts. `public`: what stands in clear beside the envelope and must not be changed either.
pub fn seal(
    passphrase: &Passphrase,
    public: &[u8],
    plaintext: &str,
    cost: Cost,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, BadEnvelope> {
    let (mut salt, mut nonce) = ([0; 16], [0; 24]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut nonce);
    let key = cost.stretch(passphrase, &salt)?;
    let mut envelope = Vec::with_capacity(HEADER + plaintext.len() + TAG);
    envelope.push(VERSION);
    envelope.extend(cost.memory_kib.to_be_bytes());
    envelope.extend([cost.passes, cost.lanes]);
    envelope.extend(salt);
    envelope.extend(nonce);
    let aad = [&envelope, public].concat();
    // As large as it becomes, so that no copy of the plaintext stays behind.
    let mut body = Vec::with_capacity(plaintext.len() + TAG);
    body.extend_from_slice(plaintext.as_bytes());
    XChaCha20Poly1305::new((&*key).into())
        .encrypt_in_place(&nonce.into(), &aad, &mut body)
        .map_err(|_| BadEnvelope::Cost)?;
    envelope.extend(body);
    Ok(envelope)
}

/// Decrypts what [`seal`] encrypted.
///
/// # Errors
/// Bounds are checked before anything is computed: [`BadEnvelope::Cost`] costs nothing.
pub fn open(
    passphrase: &Passphrase,
    public: &[u8],
    envelope: &[u8],
) -> Result<Zeroizing<String>, BadEnvelope> {
    let mut reader = Reader::new(envelope);
    match reader.u8()? {
        VERSION => {}
        other => return Err(BadEnvelope::Version(other)),
    }
    let cost = Cost::new(reader.u32()?, reader.u8()?, reader.u8()?).ok_or(BadEnvelope::Cost)?;
    let (salt, nonce): (&[u8; 16], &[u8; 24]) = (reader.array()?, reader.array()?);
    let header = envelope.get(..HEADER).ok_or(BadEnvelope::Short)?;
    let mut body = Zeroizing::new(reader.rest().to_vec());
    if body.len() < TAG {
        return Err(BadEnvelope::Short);
    }
    let key = cost.stretch(passphrase, salt)?;
    XChaCha20Poly1305::new((&*key).into())
        .decrypt_in_place(nonce.into(), &[header, public].concat(), &mut *body)
        .map_err(|_| BadEnvelope::Passphrase)?;
    let text = str::from_utf8(&body).map_err(|_| BadEnvelope::Passphrase)?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
