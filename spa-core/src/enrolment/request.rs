//! The client's line: its public key, and what it would like to be called.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::line::{self, BadLine, Kind};
use super::{Answer, Finished, NotForUs, Reply, hash, new_secret};
use crate::crypto::key::KeyId;
use crate::name::ProfileName;
use crate::reader::Reader;

const VERSION: u8 = 1;
/// Longest name of a server, in bytes (RFC 1123).
const LONGEST_SERVER: usize = 253;

/// Names a request: 8 bytes of a hash over all of it. Public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub [u8; 8]);

/// What the client says in clear. A value of this type is always one that can be written in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) public: [u8; 32],
    name: ProfileName,
    server: String,
}

impl Request {
    /// What the profile is to be called.
    pub const fn name(&self) -> &ProfileName {
        &self.name
    }

    /// Name or address of the server, as the client reaches it. 1 to 253 printable ASCII characters; whether it is a host
    /// is for the caller to see.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Names this request.
    pub fn id(&self) -> RequestId {
        let [a, b, c, d, e, f, g, h, ..] = hash("spa1 enrolment id", &[&self.encode()]);
        RequestId([a, b, c, d, e, f, g, h])
    }

    /// The id of the key that is made for it. A second answer to one request would have the same, and so is noticed:
    /// ids are never used twice.
    pub fn key_id(&self) -> KeyId {
        let [a, b, c, d, ..] = hash("spa1 enrolment key id", &[&self.encode()]);
        // Zero names no key.
        KeyId(u32::from_be_bytes([a, b, c, d]).max(1))
    }

    /// The server's side of it: the profile key, and what seals the answer.
    ///
    /// # Errors
    /// [`BadLine::Malformed`] if the public key is none that a client makes.
    pub fn reply(&self, rng: &mut impl CryptoRng) -> Result<Reply, BadLine> {
        Reply::new(self, &new_secret(rng)).map_err(|_| BadLine::Malformed)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.public);
        for text in [self.name.as_str(), &self.server] {
            // Neither is longer than 253 bytes.
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend(text.as_bytes());
        }
        bytes
    }
}

/// The line.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line::write(Kind::Request, &self.encode()))
    }
}

impl FromStr for Request {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let bytes = line::read(Kind::Request, text)?;
        let mut reader = Reader::new(&bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(BadLine::Version(other)),
        }
        let public = *reader.array()?;
        let mut word = || {
            let length = reader.u8()?.into();
            str::from_utf8(reader.bytes(length)?).map_err(|_| BadLine::Malformed)
        };
        let name = word()?.parse().map_err(|_| BadLine::Malformed)?;
        let server = word()?;
        if !is_server(server) {
            return Err(BadLine::Malformed);
        }
        let server = server.to_owned();
        reader.end()?;
        Ok(Self { public, name, server })
    }
}

fn is_server(text: &str) -> bool {
    (1..=LONGEST_SERVER).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An enrolment that waits for its answer: the request, and the secret behind it. Wiped on drop; cannot be printed.
pub struct Begun {
    secret: StaticSecret,
    request: Request,
}

impl Begun {
    /// A new one; `None` if the server is no word of printable ASCII.
    pub fn new(name: ProfileName, server: String, rng: &mut impl CryptoRng) -> Option<Self> {
        Self::with_secret(name, server, new_secret(rng))
    }

    /// One that was written down.
    pub fn restore(name: ProfileName, server: String, secret: [u8; 32]) -> Option<Self> {
        Self::with_secret(name, server, StaticSecret::from(secret))
    }

    fn with_secret(name: ProfileName, server: String, secret: StaticSecret) -> Option<Self> {
        let public = PublicKey::from(&secret).to_bytes();
        is_server(&server).then_some(Self { secret, request: Request { public, name, server } })
    }

    /// What is told to the server.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// For the file that is to hold the secret, and for nothing else.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// Opens an answer.
    ///
    /// # Errors
    /// [`NotForUs`] if it answers something else, or is not as the server wrote it.
    pub fn finish(&self, answer: &Answer) -> Result<Finished, NotForUs> {
        answer.open(&self.request, &self.secret)
    }
}
