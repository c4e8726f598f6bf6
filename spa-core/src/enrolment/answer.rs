//! The server's line: its public key, and the client's half of the profile, sealed.

use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::line::{self, BadLine, Kind};
use super::request::{Request, RequestId};
use super::{Agreement, Fingerprint, WeakKey};
use crate::crypto::key::ProfileKey;
use crate::file::BadFile;
use crate::file::client::ClientFile;
use crate::reader::Reader;

const VERSION: u8 = 1;
/// Version, request id, public key: what the seal covers without hiding it.
const FRONT: usize = 1 + 8 + 32;
/// A key seals one answer, so its nonce may be constant.
const NONCE: [u8; 24] = [0; 24];

/// The server's side, before the answer is written.
pub struct Reply {
    agreement: Agreement,
    front: Vec<u8>,
}

impl Reply {
    pub(super) fn new(request: &Request, secret: &StaticSecret) -> Result<Self, WeakKey> {
        let public = PublicKey::from(secret).to_bytes();
        let agreement = Agreement::new(secret, &request.public, &request.encode(), &public)?;
        let front = [&[VERSION][..], &request.id().0, &public].concat();
        Ok(Self { agreement, front })
    }

    /// The key that both halves of the profile are to hold.
    pub const fn profile_key(&self) -> &ProfileKey {
        &self.agreement.profile_key
    }

    /// Seals the client's half, all but its profile key, which the client computes.
    pub fn seal(&self, client: &ClientFile) -> Result<(Answer, Fingerprint), BadLine> {
        let text = client.to_text_without_key();
        let mut body = text.as_bytes().to_vec();
        XChaCha20Poly1305::new((&*self.agreement.answer_key).into())
            .encrypt_in_place(&NONCE.into(), &self.front, &mut body)
            .map_err(|_| BadLine::Malformed)?;
        let bytes = [&self.front[..], &body].concat();
        let fingerprint = self.agreement.fingerprint(&bytes);
        Ok((Answer { bytes }, fingerprint))
    }
}

/// What the server says, in public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: Vec<u8>,
}

/// Why an answer makes no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotForUs {
    /// It names another request.
    #[error("the line answers another enrolment")]
    Another,
    /// The seal is broken: not from the holder of the key that it names, or changed.
    #[error("the line is not what the server wrote: somebody changed it on the way")]
    Changed,
    /// What was sealed is no client's half.
    #[error("the server's answer holds no profile that this version reads: {0}")]
    Profile(BadFile),
}

/// An enrolment at its end.
pub struct Finished {
    /// The client's half, complete.
    pub profile: ClientFile,
    /// To be compared with the server's.
    pub fingerprint: Fingerprint,
}

impl Answer {
    /// Which request it answers.
    pub fn request_id(&self) -> RequestId {
        let mut id = [0; 8];
        id.iter_mut().zip(self.bytes.iter().skip(1)).for_each(|(to, from)| *to = *from);
        RequestId(id)
    }

    pub(super) fn open(&self, request: &Request, secret: &StaticSecret) -> Result<Finished, NotForUs> {
        if self.request_id() != request.id() {
            return Err(NotForUs::Another);
        }
        let (front, body) = self.bytes.split_at_checked(FRONT).ok_or(NotForUs::Changed)?;
        let public: &[u8; 32] = front.last_chunk().ok_or(NotForUs::Changed)?;
        let agreement =
            Agreement::new(secret, public, &request.encode(), public).map_err(|_| NotForUs::Changed)?;
        let mut text = Zeroizing::new(body.to_vec());
        XChaCha20Poly1305::new((&*agreement.answer_key).into())
            .decrypt_in_place(&NONCE.into(), front, &mut *text)
            .map_err(|_| NotForUs::Changed)?;
        let text = str::from_utf8(&text).map_err(|_| NotForUs::Changed)?;
        let key = agreement.profile_key.to_base64();
        let whole = Zeroizing::new(format!("{text}key = \"{}\"\n", key.as_str()));
        let profile = ClientFile::parse(&whole).map_err(NotForUs::Profile)?;
        let fingerprint = agreement.fingerprint(&self.bytes);
        Ok(Finished { profile, fingerprint })
    }
}

/// The line.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line::write(Kind::Answer, &self.bytes))
    }
}

impl FromStr for Answer {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let bytes = line::read(Kind::Answer, text)?;
        let mut reader = Reader::new(&bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(BadLine::Version(other)),
        }
        reader.bytes(FRONT - 1)?;
        // A tag at least.
        reader.bytes(16)?;
        Ok(Self { bytes })
    }
}
