//! What the worker may say to the monitor: fixed-size messages, read strictly. Anything else ends the worker: only a
//! captured one would send it.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::policy::{Admission, Effect, Narrowing};
use spa_core::reader::Reader;
use spa_core::request::Request;
use spa_core::service::{Service, Transport};
use spa_core::target::Target;
use spa_core::terms::{Forward, OnClose, SourceNat, Terms};
use spa_core::time::UnixMillis;

use crate::answer::{self, Offer, Sealed};
use crate::wire::{address, put_address};

/// Bytes of every message.
pub const SIZE: usize = 256;
const NAME: usize = 32;
/// Most key ids in one message.
pub const IDS: usize = 40;
/// Most key ids that a worker may serve: 4 MiB of them, for a monitor that takes nothing on trust.
pub const MOST_IDS: usize = 1 << 20;

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
    /// Key ids that the worker serves. Said before `Ready`, as often as there are more; ascending from the first to the
    /// last of all, so that none is named twice and no worker can say it without end.
    Serves(Vec<KeyId>),
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
            Self::Serves(ids) => {
                bytes.push(5);
                put_list(&mut bytes, ids, |bytes, id| bytes.extend_from_slice(&id.0.to_be_bytes()));
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
                bytes.push(if matches!(ask.effect, Effect::Open { .. }) { 2 } else { 3 });
                bytes.extend_from_slice(&ask.key_id.0.to_be_bytes());
                bytes.extend_from_slice(&ask.time.get().to_be_bytes());
                let mut name: Vec<u8> = ask.profile.bytes().take(NAME).map(printable).collect();
                name.resize(NAME, 0);
                bytes.extend_from_slice(&name);
                put_list(&mut bytes, &ask.grantees, put_grantee);
                let (Effect::Open { services, .. } | Effect::Close { services }) = &ask.effect;
                put_list(&mut bytes, services, put_service);
                if let Effect::Open { narrowing, terms, .. } = &ask.effect {
                    put_narrowing(&mut bytes, *narrowing);
                    put_terms(&mut bytes, terms);
                }
            }
        }
        bytes.resize(SIZE, 0);
        bytes.try_into().unwrap_or([0; SIZE])
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
        let ids = list(&mut r, IDS, |r| r.u32().ok().map(KeyId))?;
        return (!ids.is_empty() && ids.is_sorted_by(|a, b| a < b)).then_some(Message::Serves(ids));
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
    let services = list(&mut r, Request::MAX_SERVICES, service)?;
    let effect = match kind {
        2 if !services.is_empty() => {
            Effect::Open { services, narrowing: narrowing(&mut r)?, terms: terms(&mut r)? }
        }
        3 => Effect::Close { services },
        _ => return None,
    };
    let ask = Ask { profile, key_id, time, grantees, effect };
    let offered = match &ask.effect {
        Effect::Open { services, narrowing, .. } => narrowing.is_offered(&ask.grantees, services),
        Effect::Close { .. } => true,
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
mod tests {
    use super::*;

    fn largest() -> Message {
        let port = |n: usize| NonZeroU16::new(u16::try_from(n).unwrap() + 1).unwrap();
        Message::Ask(Ask {
            profile: "a".repeat(NAME).into(),
            key_id: KeyId(u32::MAX),
            time: UnixMillis::MAX,
            grantees: (0..4)
                .map(|n| Grantee::OnLink { address: [n; 16].into(), interface: u32::MAX })
                .collect(),
            effect: Effect::Open {
                services: (0..16).map(|n| Service::new(Transport::Udp, port(n))).collect(),
                narrowing: Narrowing::None,
                terms: Terms {
                    window: Duration::from_millis(u64::MAX),
                    extend_to: Some(Duration::from_millis(u64::MAX)),
                    on_close: OnClose::Cut,
                    forward: Some(Forward {
                        to: Target::new([1; 16].into(), NonZeroU16::MIN).unwrap(),
                        source: SourceNat::Address([2; 16].into()),
                    }),
                    most_doors: Some(NonZeroU32::MAX),
                },
            },
        })
    }

    #[test]
    fn the_largest_message_fits_and_comes_back() {
        let ids = (u32::MAX - 39..=u32::MAX).map(KeyId).collect::<Vec<_>>();
        assert_eq!(ids.len(), IDS);
        let sealed = answer::tests::largest();
        let offer = Offer { key_id: KeyId(7), time: UnixMillis::MAX, done: true, sealed: sealed.clone() };
        for message in [largest(), Message::Serves(ids), Message::Offer(offer), Message::Denied(sealed)] {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        let ready =
            Message::Ready { port: NonZeroU16::MIN, profiles: 1, interfaces: 1, surroundings: 1, config: 1 }
                .encode();
        assert!(Message::decode(&ready).is_ok());
        let mut behind = ready;
        behind[SIZE - 1] = 1;
        assert_eq!(Message::decode(&behind), Err(NotAMessage), "a byte behind the fields");
        assert_eq!(Message::decode(&[0; SIZE]), Err(NotAMessage), "no kind");
        let narrowed = |low, high, grantee: Grantee| {
            let Message::Ask(mut ask) = largest() else { panic!("an ask") };
            let Effect::Open { services, narrowing, .. } = &mut ask.effect else { panic!("an open") };
            services.truncate(1);
            *narrowing = Narrowing::SourcePorts(low, high);
            ask.grantees = vec![grantee];
            Message::decode(&Message::Ask(ask).encode())
        };
        let address = Grantee::Address([192, 0, 2, 7].into());
        assert!(narrowed(1, 256, address).is_ok());
        assert_eq!(narrowed(1, 257, address), Err(NotAMessage), "more doors than any request has");
        assert_eq!(narrowed(2, 1, address), Err(NotAMessage), "no port at all");
        let prefix = |bits| Grantee::Prefix { first: [192, 0, 2, 0].into(), bits };
        assert_eq!(narrowed(1, 1, prefix(24)), Err(NotAMessage), "source ports of a prefix");
        let wide = |bits| {
            let Message::Ask(mut ask) = largest() else { panic!("an ask") };
            ask.grantees = vec![prefix(bits)];
            Message::decode(&Message::Ask(ask).encode())
        };
        assert!(wide(24).is_ok());
        assert_eq!(wide(16), Err(NotAMessage), "a bit behind the prefix");
        let once = |grantee| {
            let Message::Ask(mut ask) = largest() else { panic!("an ask") };
            let Effect::Open { narrowing, .. } = &mut ask.effect else { panic!("an open") };
            *narrowing = Narrowing::Once;
            ask.grantees = vec![grantee];
            Message::decode(&Message::Ask(ask).encode())
        };
        assert!(once(address).is_ok());
        assert_eq!(once(prefix(24)), Err(NotAMessage), "once for a prefix");
        assert_eq!(wide(32), Err(NotAMessage), "a prefix of one address");
        let mut target = largest().encode();
        let at = target.windows(16).rposition(|bytes| bytes == [1; 16]).unwrap();
        target[at..at + 16].copy_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
        assert_eq!(Message::decode(&target), Err(NotAMessage), "a target that is none");
        for (ids, why) in [(vec![], "nobody"), (vec![2, 1], "falling"), (vec![1, 1], "one twice")] {
            let ids = Message::Serves(ids.into_iter().map(KeyId).collect());
            assert_eq!(Message::decode(&ids.encode()), Err(NotAMessage), "{why}");
        }
        let mut name = largest().encode();
        name[21] = b'\n';
        assert_eq!(Message::decode(&name), Err(NotAMessage), "a line break for the log");
    }
}
