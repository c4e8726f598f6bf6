//! The fields of the messages: how each is written, and read again.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use spa_core::action::Invocation;
use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::policy::Narrowing;
use spa_core::reader::Reader;
use spa_core::reject::Reject;
use spa_core::service::{Service, Transport};
use spa_core::target::Target;
use spa_core::terms::{Forward, OnClose, SourceNat, Terms};

use super::{NAME, WHY};
use crate::report::Refusal;
use crate::wire::{address, put_address};

/// The name goes into the log, where a captured worker must not be able to write lines or escape sequences.
pub(super) fn printable(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) { byte } else { b'?' }
}

/// As much of a profile's name as a message holds.
pub(super) fn short(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().take(NAME).map(printable)
}

/// The same for a sentence.
pub(super) fn legible(byte: u8) -> u8 {
    if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'?' }
}

pub(super) fn put_sentence(bytes: &mut Vec<u8>, sentence: &str, most: usize) {
    let words: Vec<u8> = sentence.bytes().take(most).map(legible).collect();
    bytes.extend(u8::try_from(words.len()));
    bytes.extend(words);
}

pub(super) fn sentence(r: &mut Reader<'_>) -> Option<String> {
    let length = usize::from(r.u8().ok()?);
    Some(str::from_utf8(r.bytes(length).ok()?).ok()?.to_owned())
}

/// A worker refuses for the reasons of the gate, and no others.
pub(super) fn put_refusal(bytes: &mut Vec<u8>, Refusal { profile, reason, times, why }: &Refusal) {
    let reason = Reject::NAMES.iter().position(|name| name == reason);
    bytes.push(reason.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&times.to_be_bytes());
    bytes.extend(u8::try_from(short(profile).count()));
    bytes.extend(short(profile));
    put_sentence(bytes, why, WHY);
}

pub(super) fn refusal(r: &mut Reader<'_>) -> Option<Refusal> {
    let reason = *Reject::NAMES.get(usize::from(r.u8().ok()?))?;
    let times = r.u32().ok()?;
    let length = usize::from(r.u8().ok()?);
    let name = (length <= NAME).then(|| r.bytes(length).ok())??;
    Some(Refusal { profile: str::from_utf8(name).ok()?.into(), reason, times, why: sentence(r)? })
}

/// No argument is written as the place that none can have.
pub(super) fn put_invocation(bytes: &mut Vec<u8>, Invocation { action, argument }: Invocation) {
    bytes.extend([action, argument.unwrap_or(u8::MAX)]);
}

pub(super) fn invocation(r: &mut Reader<'_>) -> Option<Invocation> {
    let (action, argument) = (r.u8().ok()?, r.u8().ok()?);
    Some(Invocation { action, argument: Some(argument).filter(|place| *place != u8::MAX) })
}

pub(super) fn put_profile(bytes: &mut Vec<u8>, (key_id, name): &(KeyId, Arc<str>)) {
    bytes.extend_from_slice(&key_id.0.to_be_bytes());
    bytes.extend(u8::try_from(short(name).count()));
    bytes.extend(short(name));
}

pub(super) fn profile(r: &mut Reader<'_>) -> Option<(KeyId, Arc<str>)> {
    let key_id = KeyId(r.u32().ok()?);
    let length = usize::from(r.u8().ok()?);
    // Else it would be spelt shorter.
    let name = (length <= NAME).then(|| r.bytes(length).ok())??;
    Some((key_id, str::from_utf8(name).ok()?.into()))
}

pub(super) fn put_list<T>(bytes: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    bytes.push(u8::try_from(items.len()).unwrap_or(u8::MAX));
    for item in items {
        put(bytes, item);
    }
}

pub(super) fn list<T>(
    r: &mut Reader<'_>,
    most: usize,
    item: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::from(r.u8().ok()?);
    if count > most {
        return None;
    }
    (0..count).map(|_| item(r)).collect()
}

pub(super) fn put_service(bytes: &mut Vec<u8>, service: &Service) {
    bytes.push(service.transport().number());
    bytes.extend_from_slice(&service.port().get().to_be_bytes());
}

pub(super) fn service(r: &mut Reader<'_>) -> Option<Service> {
    let transport = Transport::from_number(r.u8().ok()?.into())?;
    Some(Service::new(transport, NonZeroU16::new(r.u16().ok()?)?))
}

pub(super) fn put_grantee(bytes: &mut Vec<u8>, grantee: &Grantee) {
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

pub(super) fn grantee(r: &mut Reader<'_>) -> Option<Grantee> {
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

pub(super) fn put_narrowing(bytes: &mut Vec<u8>, narrowing: Narrowing) {
    let (kind, low, high) = match narrowing {
        Narrowing::None => (0, 0, 0),
        Narrowing::SourcePorts(low, high) => (1, low, high),
        Narrowing::Once => (2, 0, 0),
    };
    bytes.push(kind);
    bytes.extend([low, high].map(u16::to_be_bytes).as_flattened());
}

pub(super) fn narrowing(r: &mut Reader<'_>) -> Option<Narrowing> {
    match (r.u8().ok()?, r.u16().ok()?, r.u16().ok()?) {
        (0, ..) => Some(Narrowing::None),
        (1, low, high) => Some(Narrowing::SourcePorts(low, high)),
        (2, ..) => Some(Narrowing::Once),
        _ => None,
    }
}

/// What is absent is zero.
pub(super) fn put_terms(bytes: &mut Vec<u8>, terms: &Terms) {
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

pub(super) fn terms(r: &mut Reader<'_>) -> Option<Terms> {
    let window = Duration::from_millis(r.u64().ok()?);
    let extend_to = Some(Duration::from_millis(r.u64().ok()?)).filter(|longest| !longest.is_zero());
    let most_doors = NonZeroU32::new(r.u32().ok()?);
    let on_close = if r.u8().ok()? == 0 { OnClose::Keep } else { OnClose::Cut };
    let forward = if r.u8().ok()? == 0 { None } else { Some(forward(r)?) };
    Some(Terms { window, extend_to, on_close, forward, most_doors })
}

pub(super) fn forward(r: &mut Reader<'_>) -> Option<Forward> {
    let to = Target::new(address(r)?, NonZeroU16::new(r.u16().ok()?)?)?;
    let source = match r.u8().ok()? {
        0 => SourceNat::Keep,
        1 => SourceNat::Masquerade,
        2 => SourceNat::Address(address(r)?),
        _ => return None,
    };
    Some(Forward { to, source })
}
