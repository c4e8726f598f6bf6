//! The request: what a client asks for, in clear. Its encoding is deterministic CBOR with integer keys
//! (SPEC.md, "Request"); a request has one spelling, and every other is malformed.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use rand_core::CryptoRng;

use crate::cbor::{Items, NotCanonical, Writer};
use crate::grantee::Grantee;
use crate::service::{Service, Transport};
use crate::time::UnixMillis;

/// With its time it names one command: all copies and repeats of the command carry the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 8]);

impl RequestId {
    /// A new id.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 8];
        rng.fill_bytes(&mut id);
        Self(id)
    }
}

/// For whom a door is asked to be: an address, or a prefix whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The address, or the first address of the prefix.
    pub address: IpAddr,
    /// Bits of the prefix, fewer than the address has; `None` is the one address.
    pub prefix: Option<u8>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Open doors.
    Open(Open),
    /// Close what this profile opened before: these services, or all if none is named.
    Close(Vec<Service>),
    /// Run a named action of the server.
    Invoke {
        /// Its name.
        action: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Nothing but the receipt.
    Ping,
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            None => write!(f, "{}", self.address),
            Some(bits) => write!(f, "{}/{bits}", self.address),
        }
    }
}

/// An `open` and what narrows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// 1 to 16 services.
    pub services: Vec<Service>,
    /// Wished length in seconds; the server clamps it.
    pub window: Option<NonZeroU32>,
    /// Inner address and port, for a service behind the host.
    pub forward: Option<(IpAddr, NonZeroU16)>,
    /// Source ports that alone may use the grant, both ends included.
    pub ports: Option<(u16, u16)>,
    /// The grant ends with the first completed connection.
    pub once: bool,
}

impl Open {
    /// These services, for the profile's own window, not narrowed.
    pub const fn plain(services: Vec<Service>) -> Self {
        Self { services, window: None, forward: None, ports: None, once: false }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When the command was given, by the client's clock.
    pub time: UnixMillis,
    /// Which of the commands of that millisecond.
    pub id: RequestId,
    /// What is asked.
    pub verb: Verb,
    /// For whom, up to 4; empty means the source of the packet.
    pub addresses: Vec<Stated>,
    /// Asks for a sealed answer, if the profile allows one.
    pub receipt: bool,
}

/// Not the one spelling of any request. Which rule was broken does not matter to anybody but a client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<NotCanonical> for Malformed {
    fn from(_: NotCanonical) -> Self {
        Self
    }
}

impl Request {
    /// Most services in one request.
    pub const MAX_SERVICES: usize = 16;
    /// Most stated addresses.
    pub const MAX_ADDRESSES: usize = 4;
    const MAX_ARGUMENTS: usize = 16;
    /// Longest argument of an action, in bytes.
    pub const MAX_ARGUMENT: usize = 128;
    /// Longest name of an action, in bytes; the shortest has one.
    pub const MAX_ACTION: usize = 64;

    /// The one spelling of this request, without padding.
    pub fn encode(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        pairs.put(1).unsigned(self.time.get());
        pairs.put(2).bytes(&self.id.0);
        pairs.put(3).unsigned(match self.verb {
            Verb::Open(_) => 0,
            Verb::Close(_) => 1,
            Verb::Invoke { .. } => 2,
            Verb::Ping => 3,
        });
        if let Verb::Open(Open { services, .. }) | Verb::Close(services) = &self.verb
            && !services.is_empty()
        {
            let out = pairs.put(4).array(services.len());
            for service in services {
                out.array(2)
                    .unsigned(service.transport().number().into())
                    .unsigned(service.port().get().into());
            }
        }
        if !self.addresses.is_empty() {
            let out = pairs.put(5).array(self.addresses.len());
            for stated in &self.addresses {
                match stated.prefix {
                    None => put_address(out, stated.address),
                    Some(bits) => put_address(out.array(2), stated.address).unsigned(bits.into()),
                };
            }
        }
        if let Verb::Open(open) = &self.verb {
            if let Some(window) = open.window {
                pairs.put(6).unsigned(window.get().into());
            }
            if let Some((address, port)) = open.forward {
                put_address(pairs.put(7).array(2), address).unsigned(port.get().into());
            }
            if let Some((low, high)) = open.ports {
                pairs.put(8).array(2).unsigned(low.into()).unsigned(high.into());
            }
            if open.once {
                pairs.put(9).truth();
            }
        }
        if let Verb::Invoke { action, arguments } = &self.verb {
            pairs.put(10).text(action);
            if !arguments.is_empty() {
                let out = pairs.put(11).array(arguments.len());
                for argument in arguments {
                    out.text(argument);
                }
            }
        }
        if self.receipt {
            pairs.put(12).truth();
        }
        pairs.finish()
    }

    /// Reads a plaintext: one request, then zero bytes to the end.
    pub fn decode(plaintext: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::default();
        read_pairs(plaintext, |key, items| fields.read(key, items))?;
        fields.assemble()
    }
}

/// Reads the one map of a plaintext, pair for pair, then zero bytes to the end.
pub(crate) fn read_pairs(
    plaintext: &[u8],
    mut read: impl FnMut(u64, &mut Items<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut items = Items::new(plaintext);
    let mut last = 0;
    for _ in 0..items.map()? {
        let key = items.unsigned()?;
        // Ascending keys: deterministic order, and no key twice.
        if key <= last {
            return Err(Malformed);
        }
        last = key;
        read(key, &mut items)?;
    }
    // Padding reaches every length, which a CBOR field could not; and it carries nothing.
    if items.rest().iter().any(|&byte| byte != 0) { Err(Malformed) } else { Ok(()) }
}

/// The pairs of a map whose number is known only at the end.
#[derive(Default)]
pub(crate) struct Pairs {
    count: usize,
    body: Writer,
}

impl Pairs {
    pub(crate) fn put(&mut self, key: u64) -> &mut Writer {
        self.count += 1;
        self.body.unsigned(key)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut map = Writer::default();
        map.map(self.count);
        let mut bytes = map.finish();
        bytes.extend_from_slice(&self.body.finish());
        bytes
    }
}

pub(crate) fn put_address(out: &mut Writer, address: IpAddr) -> &mut Writer {
    match address {
        IpAddr::V4(v4) => out.bytes(&v4.octets()),
        IpAddr::V6(v6) => out.bytes(&v6.octets()),
    }
}

#[derive(Default)]
struct Fields {
    time: Option<UnixMillis>,
    id: Option<RequestId>,
    verb: Option<u64>,
    services: Vec<Service>,
    addresses: Vec<Stated>,
    window: Option<NonZeroU32>,
    forward: Option<(IpAddr, NonZeroU16)>,
    ports: Option<(u16, u16)>,
    once: bool,
    action: Option<String>,
    arguments: Vec<String>,
    receipt: bool,
}

impl Fields {
    fn read(&mut self, key: u64, items: &mut Items<'_>) -> Result<(), Malformed> {
        match key {
            1 => self.time = Some(UnixMillis::new(items.unsigned()?).ok_or(Malformed)?),
            2 => self.id = Some(RequestId(items.bytes()?.try_into().map_err(|_| Malformed)?)),
            3 => self.verb = Some(items.unsigned()?),
            4 => self.services = list(items, Request::MAX_SERVICES, service)?,
            5 => self.addresses = list(items, Request::MAX_ADDRESSES, stated)?,
            6 => {
                let seconds = u32::try_from(items.unsigned()?).map_err(|_| Malformed)?;
                self.window = Some(NonZeroU32::new(seconds).ok_or(Malformed)?);
            }
            7 => {
                pair(items)?;
                self.forward = Some((address(items)?, port(items)?));
            }
            8 => {
                pair(items)?;
                let low = u16::try_from(items.unsigned()?).map_err(|_| Malformed)?;
                let high = u16::try_from(items.unsigned()?).map_err(|_| Malformed)?;
                self.ports = (low <= high).then_some((low, high));
                self.ports.ok_or(Malformed)?;
            }
            9 => {
                items.truth()?;
                self.once = true;
            }
            10 => self.action = Some(text(items, 1, Request::MAX_ACTION)?),
            11 => {
                let count = items.array()?;
                if count == 0 || count > Request::MAX_ARGUMENTS {
                    return Err(Malformed);
                }
                for _ in 0..count {
                    self.arguments.push(text(items, 0, Request::MAX_ARGUMENT)?);
                }
            }
            12 => {
                items.truth()?;
                self.receipt = true;
            }
            // Extensions that may be ignored, because none of them ever narrows a grant.
            128..=191 => {
                items.bytes()?;
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn assemble(self) -> Result<Request, Malformed> {
        let narrowed = self.window.is_some() || self.forward.is_some() || self.ports.is_some() || self.once;
        let invokes = self.action.is_some() || !self.arguments.is_empty();
        let verb = match self.verb.ok_or(Malformed)? {
            0 if !self.services.is_empty() && !invokes => Verb::Open(Open {
                services: self.services,
                window: self.window,
                forward: self.forward,
                ports: self.ports,
                once: self.once,
            }),
            1 if !narrowed && !invokes => Verb::Close(self.services),
            2 if self.services.is_empty() && !narrowed => {
                Verb::Invoke { action: self.action.ok_or(Malformed)?, arguments: self.arguments }
            }
            3 if self.services.is_empty() && !narrowed && !invokes => Verb::Ping,
            _ => return Err(Malformed),
        };
        Ok(Request {
            time: self.time.ok_or(Malformed)?,
            id: self.id.ok_or(Malformed)?,
            verb,
            addresses: self.addresses,
            receipt: self.receipt,
        })
    }
}

/// 1 to `most` different items.
fn list<T: PartialEq>(
    items: &mut Items<'_>,
    most: usize,
    item: impl Fn(&mut Items<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = items.array()?;
    if count == 0 || count > most {
        return Err(Malformed);
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let next = item(items)?;
        if list.contains(&next) {
            return Err(Malformed);
        }
        list.push(next);
    }
    Ok(list)
}

fn pair(items: &mut Items<'_>) -> Result<(), Malformed> {
    if items.array()? == 2 { Ok(()) } else { Err(Malformed) }
}

fn service(items: &mut Items<'_>) -> Result<Service, Malformed> {
    pair(items)?;
    let transport = Transport::from_number(items.unsigned()?).ok_or(Malformed)?;
    Ok(Service::new(transport, port(items)?))
}

fn port(items: &mut Items<'_>) -> Result<NonZeroU16, Malformed> {
    u16::try_from(items.unsigned()?).ok().and_then(NonZeroU16::new).ok_or(Malformed)
}

pub(crate) fn address(items: &mut Items<'_>) -> Result<IpAddr, Malformed> {
    let bytes = items.bytes()?;
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| Malformed)
}

fn stated(items: &mut Items<'_>) -> Result<Stated, Malformed> {
    if !items.is_array() {
        return Ok(Stated { address: address(items)?, prefix: None });
    }
    pair(items)?;
    let address = address(items)?;
    let prefix = u8::try_from(items.unsigned()?).map_err(|_| Malformed)?;
    // A full length would be a second spelling of the address; host bits would be a second one of the prefix.
    Grantee::prefix(address, prefix).ok_or(Malformed)?;
    Ok(Stated { address, prefix: Some(prefix) })
}

fn text(items: &mut Items<'_>, least: usize, most: usize) -> Result<String, Malformed> {
    let text = items.text()?;
    if (least..=most).contains(&text.len()) { Ok(text.to_owned()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests;
