//! How the bytes of an enrolment stand in one line: a prefix that says which line it is, then base64 without padding in the
//! alphabet for URLs (RFC 4648, section 5), which no shell and no chat changes. The last four bytes are a checksum: for
//! copying that went wrong, not against anybody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::hash;
use crate::reader::Short;

/// Longest line that is looked at.
const LONGEST: usize = 8192;
const CHECKSUM: usize = 4;

/// Which line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Answer,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Request => "spa-enrol:",
            Self::Answer => "spa-answer:",
        }
    }
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Something else.
    #[error("this is no line of an enrolment: it begins with spa-enrol: or spa-answer:")]
    Foreign,
    /// A client's, where a server's is needed.
    #[error("this is the client's own line; the server's answer begins with spa-answer:")]
    Request,
    /// A server's, where a client's is needed.
    #[error("this is a server's answer; the client's line begins with spa-enrol:")]
    Answer,
    /// Part of it is missing or different.
    #[error("the line was cut off or changed on the way: copy all of it")]
    Damaged,
    /// Of a later version.
    #[error("the line is of version {0}, and this program knows version 1 only")]
    Version(u8),
    /// Nobody's program wrote it.
    #[error("the line is not what any program of ours writes")]
    Malformed,
}

impl From<Short> for BadLine {
    fn from(_: Short) -> Self {
        Self::Malformed
    }
}

pub(super) fn write(kind: Kind, bytes: &[u8]) -> String {
    let checked = [bytes, &checksum(kind, bytes)].concat();
    format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(checked))
}

/// White space anywhere does not count: a line that was wrapped is copied with it.
pub(super) fn read(kind: Kind, line: &str) -> Result<Vec<u8>, BadLine> {
    if line.len() > LONGEST {
        return Err(BadLine::Foreign);
    }
    let line: String = line.split_ascii_whitespace().collect();
    let Some(encoded) = line.strip_prefix(kind.prefix()) else {
        return Err(match kind {
            Kind::Request if line.starts_with(Kind::Answer.prefix()) => BadLine::Answer,
            Kind::Answer if line.starts_with(Kind::Request.prefix()) => BadLine::Request,
            _ => BadLine::Foreign,
        });
    };
    let mut bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadLine::Damaged)?;
    let sum = bytes.split_off(bytes.len().saturating_sub(CHECKSUM));
    if sum != checksum(kind, &bytes) {
        return Err(BadLine::Damaged);
    }
    Ok(bytes)
}

fn checksum(kind: Kind, bytes: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = hash("spa1 enrolment checksum", &[kind.prefix().as_bytes(), bytes]);
    [a, b, c, d]
}
