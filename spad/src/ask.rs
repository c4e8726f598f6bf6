//! What the worker may say to the monitor: fixed-size messages, read strictly. Anything else ends the worker: only a
//! captured one would send it.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use spa_core::action::Invocation;
use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::policy::{Admission, Effect, Narrowing};
use spa_core::reader::Reader;
use spa_core::reject::Reject;
use spa_core::request::Request;
use spa_core::service::{Service, Transport};
use spa_core::target::Target;
use spa_core::terms::{Forward, OnClose, SourceNat, Terms};
use spa_core::time::UnixMillis;

use crate::answer::{self, Offer, Sealed};
use crate::report::Refusal;
use crate::wire::{address, put_address};

mod tally;

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

/// The name goes into the log, where a captured worker must not be able to write lines or escape sequences.
fn printable(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) { byte } else { b'?' }
}

/// As much of a profile's name as a message holds.
fn short(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().take(NAME).map(printable)
}

/// The same for a sentence.
fn legible(byte: u8) -> u8 {
    if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'?' }
}

fn put_sentence(bytes: &mut Vec<u8>, sentence: &str, most: usize) {
    let words: Vec<u8> = sentence.bytes().take(most).map(legible).collect();
    bytes.extend(u8::try_from(words.len()));
    bytes.extend(words);
}

fn sentence(r: &mut Reader<'_>) -> Option<String> {
    let length = usize::from(r.u8().ok()?);
    Some(str::from_utf8(r.bytes(length).ok()?).ok()?.to_owned())
}

/// A worker refuses for the reasons of the gate, and no others.
fn put_refusal(bytes: &mut Vec<u8>, Refusal { profile, reason, times, why }: &Refusal) {
    let reason = Reject::NAMES.iter().position(|name| name == reason);
    bytes.push(reason.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&times.to_be_bytes());
    bytes.extend(u8::try_from(short(profile).count()));
    bytes.extend(short(profile));
    put_sentence(bytes, why, WHY);
}

fn refusal(r: &mut Reader<'_>) -> Option<Refusal> {
    let reason = *Reject::NAMES.get(usize::from(r.u8().ok()?))?;
    let times = r.u32().ok()?;
    let length = usize::from(r.u8().ok()?);
    let name = (length <= NAME).then(|| r.bytes(length).ok())??;
    Some(Refusal { profile: str::from_utf8(name).ok()?.into(), reason, times, why: sentence(r)? })
}

/// No argument is written as the place that none can have.
fn put_invocation(bytes: &mut Vec<u8>, Invocation { action, argument }: Invocation) {
    bytes.extend([action, argument.unwrap_or(u8::MAX)]);
}

fn invocation(r: &mut Reader<'_>) -> Option<Invocation> {
    let (action, argument) = (r.u8().ok()?, r.u8().ok()?);
    Some(Invocation { action, argument: Some(argument).filter(|place| *place != u8::MAX) })
}

fn put_profile(bytes: &mut Vec<u8>, (key_id, name): &(KeyId, Arc<str>)) {
    bytes.extend_from_slice(&key_id.0.to_be_bytes());
    bytes.extend(u8::try_from(short(name).count()));
    bytes.extend(short(name));
}

fn profile(r: &mut Reader<'_>) -> Option<(KeyId, Arc<str>)> {
    let key_id = KeyId(r.u32().ok()?);
    let length = usize::from(r.u8().ok()?);
    // Else it would be spelt shorter.
    let name = (length <= NAME).then(|| r.bytes(length).ok())??;
    Some((key_id, str::from_utf8(name).ok()?.into()))
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

fn put_list<T>(bytes: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    bytes.push(u8::try_from(items.len()).unwrap_or(u8::MAX));
    for item in items {
        put(bytes, item);
    }
}

fn list<T>(r: &mut Reader<'_>, most: usize, item: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::from(r.u8().ok()?);
    if count > most {
        return None;
    }
    (0..count).map(|_| item(r)).collect()
}

fn put_service(bytes: &mut Vec<u8>, service: &Service) {
    bytes.push(service.transport().number());
    bytes.extend_from_slice(&service.port().get().to_be_bytes());
}

fn service(r: &mut Reader<'_>) -> Option<Service> {
    let transport = Transport::from_number(r.u8().ok()?.into())?;
    Some(Service::new(transport, NonZeroU16::new(r.u16().ok()?)?))
}

fn put_grantee(bytes: &mut Vec<u8>, grantee: &Grantee) {
    match *grantee {
        Grantee::Address(address) => {
            bytes.push(0);
            put_address(bytes, address);
        }
        Grantee::Prefix { first, bits } => {
            bytes.extend([1, bits]);
            put_address(bytes, first);
        }
        Grantee::OnLink { address, interface } => {
            bytes.push(2);
            bytes.extend_from_slice(&interface.to_be_bytes());
            put_address(bytes, address.into());
        }
    }
}

fn grantee(r: &mut Reader<'_>) -> Option<Grantee> {
    match r.u8().ok()? {
        0 => Some(Grantee::Address(address(r)?)),
        1 => {
            let bits = r.u8().ok()?;
            Grantee::prefix(address(r)?, bits)
        }
        2 => {
            let interface = r.u32().ok()?;
            let IpAddr::V6(address) = address(r)? else { return None };
            Some(Grantee::OnLink { address, interface })
        }
        _ => None,
    }
}

fn put_narrowing(bytes: &mut Vec<u8>, narrowing: Narrowing) {
    let (kind, low, high) = match narrowing {
        Narrowing::None => (0, 0, 0),
        Narrowing::SourcePorts(low, high) => (1, low, high),
        Narrowing::Once => (2, 0, 0),
    };
    bytes.push(kind);
    bytes.extend([low, high].map(u16::to_be_bytes).as_flattened());
}

fn narrowing(r: &mut Reader<'_>) -> Option<Narrowing> {
    match (r.u8().ok()?, r.u16().ok()?, r.u16().ok()?) {
        (0, ..) => Some(Narrowing::None),
        (1, low, high) => Some(Narrowing::SourcePorts(low, high)),
        (2, ..) => Some(Narrowing::Once),
        _ => None,
    }
}

/// What is absent is zero.
fn put_terms(bytes: &mut Vec<u8>, terms: &Terms) {
    let mut millis = |span: Duration| {
        bytes.extend_from_slice(&u64::try_from(span.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
    };
    millis(terms.window);
    millis(terms.extend_to.unwrap_or_default());
    bytes.extend_from_slice(&terms.most_doors.map_or(0, NonZeroU32::get).to_be_bytes());
    bytes.push(u8::from(terms.on_close == OnClose::Cut));
    bytes.push(u8::from(terms.forward.is_some()));
    let Some(Forward { to, source }) = terms.forward else { return };
    put_address(bytes, to.address());
    bytes.extend_from_slice(&to.port().get().to_be_bytes());
    match source {
        SourceNat::Keep => bytes.push(0),
        SourceNat::Masquerade => bytes.push(1),
        SourceNat::Address(address) => {
            bytes.push(2);
            put_address(bytes, address);
        }
    }
}

fn terms(r: &mut Reader<'_>) -> Option<Terms> {
    let window = Duration::from_millis(r.u64().ok()?);
    let extend_to = Some(Duration::from_millis(r.u64().ok()?)).filter(|longest| !longest.is_zero());
    let most_doors = NonZeroU32::new(r.u32().ok()?);
    let on_close = if r.u8().ok()? == 0 { OnClose::Keep } else { OnClose::Cut };
    let forward = if r.u8().ok()? == 0 { None } else { Some(forward(r)?) };
    Some(Terms { window, extend_to, on_close, forward, most_doors })
}

fn forward(r: &mut Reader<'_>) -> Option<Forward> {
    let to = Target::new(address(r)?, NonZeroU16::new(r.u16().ok()?)?)?;
    let source = match r.u8().ok()? {
        0 => SourceNat::Keep,
        1 => SourceNat::Masquerade,
        2 => SourceNat::Address(address(r)?),
        _ => return None,
    };
    Some(Forward { to, source })
}

#[cfg(test)]
mod tests;
