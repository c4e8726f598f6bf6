//! What the worker may say to the monitor: fixed-size messages, read strictly. Anything else ends the worker: only a
//! captured one would send it.

use std::num::NonZeroU16;
use std::sync::Arc;

use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::policy::{Admission, Effect};
use spa_core::reader::Reader;
use spa_core::request::Request;
use spa_core::time::UnixMillis;

use crate::answer::{self, Offer, Sealed};
use crate::report::Refusal;

mod fields;
mod tally;

use self::fields::{
    grantee, invocation, legible, list, narrowing, profile, put_grantee, put_invocation, put_list,
    put_narrowing, put_profile, put_refusal, put_sentence, put_service, put_terms, refusal, sentence,
    service, short, terms,
};
pub use self::tally::{Tally, Telling};

/// Bytes of every message.
pub const SIZE: usize = 256;
const NAME: usize = 32;
/// Most profiles in one message: a key id and a name take six bytes at least.
const PROFILES: usize = (SIZE - 2) / 6;
/// Most profiles that a worker may serve: 40 MiB of key ids and names, for a monitor that takes nothing on trust.
pub const MOST_PROFILES: usize = 1 << 20;
/// Most bytes of a reason in one message.
const WORDS: usize = SIZE - 2;
/// The same where it is a profile's that was refused.
const WHY: usize = SIZE - 8 - NAME;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The worker has everything it needs, gave up everything else, and waits to take over.
    Ready {
        /// The SPA port, which the guard must keep silent.
        port: NonZeroU16,
        /// How many profiles it serves, for the log.
        profiles: u32,
        /// How many interfaces it listens on, for the log.
        interfaces: u32,
        /// What the host was like when its captures were opened ([`crate::surroundings::Surroundings::fingerprint`]).
        surroundings: u64,
        /// Which `spad.toml` it read ([`crate::config::Config::fingerprint`]).
        config: u64,
    },
    /// Profiles that the worker serves, their names for the operator. Said before `Ready`, as often as there are more; key
    /// ids ascend from the first to the last of all, so that none is named twice and no worker can say it without end.
    Serves(Vec<(KeyId, Arc<str>)>),
    /// Why it cannot serve, for whoever asked for it: said in the place of `Ready`, in pieces that belong together.
    Unfit(String),
    /// An authentic request was refused: said as often as the log says it, which is once a minute for each profile and reason.
    Refused(Refusal),
    /// How it does. Said by the one that serves, once a second at most.
    Tally(Tally),
    /// A capture of the worker ended: another worker should take its place.
    Renew,
    /// A receipt for what is asked next, if that is done, or if it is not.
    Offer(Offer),
    /// A request was admitted and is on disk.
    Ask(Ask),
    /// A request was refused by policy and is on disk; this receipt says so.
    Denied(Sealed),
}

/// What an admitted request asks of the firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Name of the profile, for the log.
    pub profile: Arc<str>,
    /// Who asks.
    pub key_id: KeyId,
    /// When it was asked, by the client's clock.
    pub time: UnixMillis,
    /// For whom.
    pub grantees: Vec<Grantee>,
    /// What.
    pub effect: Effect,
}

/// Not a message of a worker of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker sent what no worker sends")]
pub struct NotAMessage;

impl From<&Admission> for Ask {
    fn from(admission: &Admission) -> Self {
        Self {
            profile: admission.profile().clone(),
            key_id: admission.key_id(),
            time: admission.time(),
            grantees: admission.grantees().to_vec(),
            effect: admission.effect().clone(),
        }
    }
}

impl Message {
    /// Its bytes: a kind, fields in a fixed order, zeros.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = Vec::with_capacity(SIZE);
        match self {
            Self::Ready { port, profiles, interfaces, surroundings, config } => {
                bytes.push(1);
                bytes.extend_from_slice(&port.get().to_be_bytes());
                bytes.extend_from_slice(&profiles.to_be_bytes());
                bytes.extend_from_slice(&interfaces.to_be_bytes());
                bytes.extend_from_slice(&surroundings.to_be_bytes());
                bytes.extend_from_slice(&config.to_be_bytes());
            }
            Self::Renew => bytes.push(4),
            Self::Serves(profiles) => {
                bytes.push(5);
                put_list(&mut bytes, profiles, put_profile);
            }
            Self::Unfit(sentence) => {
                bytes.push(6);
                put_sentence(&mut bytes, sentence, WORDS);
            }
            Self::Refused(refusal) => {
                bytes.push(10);
                put_refusal(&mut bytes, refusal);
            }
            Self::Tally(tally) => {
                bytes.push(7);
                tally.put(&mut bytes);
            }
            Self::Offer(offer) => {
                bytes.push(8);
                answer::put_offer(&mut bytes, offer);
            }
            Self::Denied(sealed) => {
                bytes.push(9);
                answer::put_sealed(&mut bytes, sealed);
            }
            Self::Ask(ask) => {
                bytes.push(match ask.effect {
                    Effect::Open { .. } => 2,
                    Effect::Close { .. } => 3,
                    Effect::Invoke(_) => 11,
                });
                bytes.extend_from_slice(&ask.key_id.0.to_be_bytes());
                bytes.extend_from_slice(&ask.time.get().to_be_bytes());
                let mut name: Vec<u8> = short(&ask.profile).collect();
                name.resize(NAME, 0);
                bytes.extend_from_slice(&name);
                put_list(&mut bytes, &ask.grantees, put_grantee);
                match &ask.effect {
                    Effect::Open { services, narrowing, terms } => {
                        put_list(&mut bytes, services, put_service);
                        put_narrowing(&mut bytes, *narrowing);
                        put_terms(&mut bytes, terms);
                    }
                    Effect::Close { services } => put_list(&mut bytes, services, put_service),
                    Effect::Invoke(invocation) => put_invocation(&mut bytes, *invocation),
                }
            }
        }
        bytes.resize(SIZE, 0);
        bytes.try_into().unwrap_or([0; SIZE])
    }

    /// All profiles of a worker, ascending, in as few messages as they fit in.
    pub fn serves(profiles: &[(KeyId, Arc<str>)]) -> Vec<Self> {
        let mut messages = Vec::new();
        let (mut some, mut room) = (Vec::new(), SIZE - 2);
        for profile in profiles {
            let length = 5 + short(&profile.1).count();
            if length > room {
                messages.push(Self::Serves(std::mem::take(&mut some)));
                room = SIZE - 2;
            }
            room -= length;
            some.push(profile.clone());
        }
        messages.extend((!some.is_empty()).then_some(Self::Serves(some)));
        messages
    }

    /// A reason in as many messages as it takes.
    pub fn unfit(reason: &str) -> Vec<Self> {
        let pieces = reason.as_bytes().chunks(WORDS);
        pieces
            .map(|piece| Self::Unfit(piece.iter().copied().map(legible).map(char::from).collect()))
            .collect()
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<Self, NotAMessage> {
        let message = parse(bytes).ok_or(NotAMessage)?;
        // One meaning, one byte string: nothing may hide behind the fields.
        if message.encode() == *bytes { Ok(message) } else { Err(NotAMessage) }
    }
}

fn parse(bytes: &[u8; SIZE]) -> Option<Message> {
    let mut r = Reader::new(bytes);
    let kind = r.u8().ok()?;
    if kind == 1 {
        let port = NonZeroU16::new(r.u16().ok()?)?;
        let (profiles, interfaces) = (r.u32().ok()?, r.u32().ok()?);
        let (surroundings, config) = (r.u64().ok()?, r.u64().ok()?);
        return Some(Message::Ready { port, profiles, interfaces, surroundings, config });
    }
    if kind == 4 {
        return Some(Message::Renew);
    }
    if kind == 5 {
        let profiles = list(&mut r, PROFILES, profile)?;
        let ascending = profiles.is_sorted_by(|(a, _), (b, _)| a < b);
        return (!profiles.is_empty() && ascending).then_some(Message::Serves(profiles));
    }
    if kind == 6 {
        return sentence(&mut r).map(Message::Unfit);
    }
    if kind == 10 {
        return refusal(&mut r).map(Message::Refused);
    }
    if kind == 7 {
        return Some(Message::Tally(Tally::read(&mut r)?));
    }
    if kind == 8 {
        return answer::offer(&mut r).map(Message::Offer);
    }
    if kind == 9 {
        return answer::sealed(&mut r).map(Message::Denied);
    }
    let key_id = KeyId(r.u32().ok()?);
    let time = UnixMillis::new(r.u64().ok()?)?;
    let name = r.array::<NAME>().ok()?;
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(NAME);
    let profile = str::from_utf8(name.get(..length)?).ok()?.into();
    let grantees = list(&mut r, Request::MAX_ADDRESSES, grantee)?;
    let effect = match kind {
        2 => {
            let services = list(&mut r, Request::MAX_SERVICES, service)?;
            Effect::Open { services, narrowing: narrowing(&mut r)?, terms: terms(&mut r)? }
        }
        3 => Effect::Close { services: list(&mut r, Request::MAX_SERVICES, service)? },
        11 => Effect::Invoke(invocation(&mut r)?),
        _ => return None,
    };
    let ask = Ask { profile, key_id, time, grantees, effect };
    let offered = match &ask.effect {
        Effect::Open { services, narrowing, .. } => {
            !services.is_empty() && narrowing.is_offered(&ask.grantees, services)
        }
        Effect::Close { .. } | Effect::Invoke(_) => true,
    };
    (offered && !ask.grantees.is_empty()).then_some(Message::Ask(ask))
}

#[cfg(test)]
mod tests;
