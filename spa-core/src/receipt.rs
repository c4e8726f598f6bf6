//! The receipt: what became of a request, told to its sender in one sealed datagram (SPEC.md, "Receipts"). Its encoding
//! is that of requests: deterministic CBOR with integer keys, one spelling, zero bytes behind it.

pub mod sealed;
pub mod wanted;

use std::net::IpAddr;
use std::time::Duration;

use crate::cbor::Items;
use crate::reject::Forbidden;
use crate::request::{Malformed, Pairs, address, put_address, read_pairs};
use crate::time::UnixMillis;

/// The longest skew that a server can be told to accept.
const MAX_SKEW: Duration = Duration::from_secs(60 * 60);

/// What a server says of a request that was authentic and fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The server's clock while it judged.
    pub time: UnixMillis,
    /// What became of the request.
    pub outcome: Outcome,
    /// The address that it came from, as the server saw it.
    pub seen: IpAddr,
    /// Distance of the clocks that the server accepts; `None` where its clock plays no part.
    pub skew: Option<Duration>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that it asks for was done.
    Done {
        /// Of an `open`, by the server's clock: until then the doors are open at least, unless somebody closes them.
        until: Option<UnixMillis>,
    },
    /// Not all of it was.
    Refused(Refusal),
}

/// Why not, no more exactly than a client has use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A service that the profile may not open.
    Service = 1,
    /// The profile, or its key, has ended.
    Expired,
    /// A prefix of a length that the profile may not ask for.
    Prefix,
    /// A target where the profile may not lead.
    Target,
    /// A narrowing that this server, or this profile, does not have.
    Narrowing,
    /// A verb or an action that the profile may not use.
    Verb,
    /// The profile allows it; the server's own limits, or its firewall, do not, or not all of it.
    Limits,
}

impl Refusal {
    const ALL: [Self; 7] =
        [Self::Service, Self::Expired, Self::Prefix, Self::Target, Self::Narrowing, Self::Verb, Self::Limits];
}

impl From<Forbidden> for Refusal {
    fn from(what: Forbidden) -> Self {
        match what {
            Forbidden::Service => Self::Service,
            Forbidden::Expired | Forbidden::Superseded => Self::Expired,
            Forbidden::Prefix => Self::Prefix,
            Forbidden::Target | Forbidden::Family => Self::Target,
            Forbidden::Narrowing => Self::Narrowing,
            Forbidden::Verb | Forbidden::Action => Self::Verb,
        }
    }
}

impl Receipt {
    /// The one spelling of this receipt, without padding.
    pub fn encode(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        pairs.put(1).unsigned(self.time.get());
        let (code, until) = match self.outcome {
            Outcome::Done { until } => (0, until),
            Outcome::Refused(why) => (why as u64, None),
        };
        pairs.put(2).unsigned(code);
        if let Some(until) = until {
            pairs.put(3).unsigned(until.get());
        }
        put_address(pairs.put(4), self.seen);
        if let Some(skew) = self.skew {
            pairs.put(5).unsigned(u64::try_from(skew.as_millis()).unwrap_or(u64::MAX));
        }
        pairs.finish()
    }

    /// Reads a plaintext: one receipt, then zero bytes to the end.
    pub fn decode(plaintext: &[u8]) -> Result<Self, Malformed> {
        let (mut time, mut code, mut until, mut seen, mut skew) = (None, None, None, None, None);
        read_pairs(plaintext, |key, items| {
            match key {
                1 => time = Some(moment(items)?),
                2 => code = Some(items.unsigned()?),
                3 => until = Some(moment(items)?),
                4 => seen = Some(address(items)?),
                5 => skew = Some(Duration::from_millis(items.unsigned()?)),
                // What a later server may add.
                128..=191 => drop(items.bytes()?),
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        if skew.is_some_and(|skew| skew > MAX_SKEW) {
            return Err(Malformed);
        }
        let outcome = match (code.ok_or(Malformed)?, until) {
            (0, until) => Outcome::Done { until },
            (code, None) => {
                let why = Refusal::ALL.into_iter().find(|why| *why as u64 == code);
                Outcome::Refused(why.ok_or(Malformed)?)
            }
            (_, Some(_)) => return Err(Malformed),
        };
        Ok(Self { time: time.ok_or(Malformed)?, outcome, seen: seen.ok_or(Malformed)?, skew })
    }
}

fn moment(items: &mut Items<'_>) -> Result<UnixMillis, Malformed> {
    UnixMillis::new(items.unsigned()?).ok_or(Malformed)
}

#[cfg(test)]
mod tests;
