//! What the worker may say to the monitor: fixed-size messages, read strictly. Anything else ends the worker: only a
//! captured one would send it.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use spa_core::crypto::key::KeyId;
use spa_core::policy::{Admission, Effect};
use spa_core::reader::Reader;
use spa_core::request::Request;
use spa_core::service::{Service, Transport};
use spa_core::time::UnixMillis;

/// Bytes of every message.
pub const SIZE: usize = 176;
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
    /// A request was admitted and is on disk.
    Ask(Ask),
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
    pub addresses: Vec<IpAddr>,
    /// What.
    pub services: Vec<Service>,
    /// For how long; `None` closes.
    pub window: Option<Duration>,
}

/// Not a message of a worker of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker sent what no worker sends")]
pub struct NotAMessage;

impl From<&Admission> for Ask {
    fn from(admission: &Admission) -> Self {
        let (services, window) = match admission.effect() {
            Effect::Open { services, window } => (services.clone(), Some(*window)),
            Effect::Close { services } => (services.clone(), None),
        };
        Self {
            profile: admission.profile().clone(),
            key_id: admission.key_id(),
            time: admission.time(),
            addresses: admission.grantees().to_vec(),
            services,
            window,
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
            Self::Ask(ask) => {
                bytes.push(if ask.window.is_some() { 2 } else { 3 });
                bytes.extend_from_slice(&ask.key_id.0.to_be_bytes());
                bytes.extend_from_slice(&ask.time.get().to_be_bytes());
                let window = ask.window.unwrap_or_default().as_millis();
                bytes.extend_from_slice(&u64::try_from(window).unwrap_or(u64::MAX).to_be_bytes());
                let mut name: Vec<u8> = ask.profile.bytes().take(NAME).map(printable).collect();
                name.resize(NAME, 0);
                bytes.extend_from_slice(&name);
                put_list(&mut bytes, &ask.services, put_service);
                put_list(&mut bytes, &ask.addresses, put_address);
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
    let key_id = KeyId(r.u32().ok()?);
    let time = UnixMillis::new(r.u64().ok()?)?;
    let window = Duration::from_millis(r.u64().ok()?);
    let window = match kind {
        2 => Some(window),
        3 => None,
        _ => return None,
    };
    let name = r.array::<NAME>().ok()?;
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(NAME);
    let profile = str::from_utf8(name.get(..length)?).ok()?.into();
    let services = list(&mut r, Request::MAX_SERVICES, service)?;
    let addresses = list(&mut r, Request::MAX_ADDRESSES, address)?;
    let asks_something = !addresses.is_empty() && (window.is_none() || !services.is_empty());
    let ask = Ask { profile, key_id, time, addresses, services, window };
    asks_something.then_some(Message::Ask(ask))
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

fn put_address(bytes: &mut Vec<u8>, address: &IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            bytes.push(4);
            bytes.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            bytes.push(6);
            bytes.extend_from_slice(&v6.octets());
        }
    }
}

fn address(r: &mut Reader<'_>) -> Option<IpAddr> {
    match r.u8().ok()? {
        4 => Some(IpAddr::from(*r.array::<4>().ok()?)),
        6 => Some(IpAddr::from(*r.array::<16>().ok()?)),
        _ => None,
    }
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
            addresses: (0..4).map(|n| IpAddr::from([n; 16])).collect(),
            services: (0..16).map(|n| Service::new(Transport::Udp, port(n))).collect(),
            window: Some(Duration::from_millis(u64::MAX)),
        })
    }

    #[test]
    fn the_largest_message_fits_and_comes_back() {
        let ids = (u32::MAX - 39..=u32::MAX).map(KeyId).collect::<Vec<_>>();
        assert_eq!(ids.len(), IDS);
        for message in [largest(), Message::Serves(ids)] {
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
        for (ids, why) in [(vec![], "nobody"), (vec![2, 1], "falling"), (vec![1, 1], "one twice")] {
            let ids = Message::Serves(ids.into_iter().map(KeyId).collect());
            assert_eq!(Message::decode(&ids.encode()), Err(NotAMessage), "{why}");
        }
        let mut name = largest().encode();
        name[21] = b'\n';
        assert_eq!(Message::decode(&name), Err(NotAMessage), "a line break for the log");
    }
}
