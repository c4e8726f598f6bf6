//! Messages of ipset's netlink protocol (linux/netfilter/ipset/ip_set.h): our sets and their elements, typed on
//! the way out and on the way back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use spa_core::grantee::Grantee;
use spa_core::lease::{Door, Limit};
use spa_core::service::{Service, Transport};

use super::key::Key;
use super::set::{Family, Kind, Set};
use crate::firewall::element::Element;
use crate::firewall::plan::InterfaceName;
use crate::firewall::raw::{Attributes, Raw, attributes, get, name, number};

/// `NFNL_SUBSYS_IPSET`, and the protocol version that every kernel since 2.6.39 speaks.
const SUBSYSTEM: u8 = 6;
const PROTOCOL: u8 = 6;

/// `IPSET_CMD_*`.
const CREATE: u8 = 2;
const DESTROY: u8 = 3;
const SWAP: u8 = 6;
const LIST: u8 = 7;
const ADD: u8 = 9;
const DELETE: u8 = 10;

/// `IPSET_ATTR_*` of a command.
const VERSION: u16 = 1;
const SET: u16 = 2;
const TYPE: u16 = 3;
const OTHER_SET: u16 = 3;
const REVISION: u16 = 4;
const FAMILY: u16 = 5;
const FLAGS: u16 = 6;
const DATA: u16 = 7;
const ELEMENTS: u16 = 8;

/// `IPSET_ATTR_*` in the data of a set or of an element.
const ADDRESS: u16 = 1;
const PREFIX: u16 = 3;
const PORT: u16 = 4;
const LAST_PORT: u16 = 5;
const TIMEOUT: u16 = 6;
const TRANSPORT: u16 = 7;
const DATA_FLAGS: u16 = 8;
const MOST_ELEMENTS: u16 = 19;
const COUNT: u16 = 24;
const REFERENCES: u16 = 25;
const OTHER_ADDRESS: u16 = 20;
const INTERFACE: u16 = 23;
const COMMENT: u16 = 26;

/// `IPSET_FLAG_LIST_SETNAME`, `IPSET_FLAG_LIST_HEADER`, `IPSET_FLAG_WITH_COMMENT`.
const NAMES_ONLY: u32 = 1 << 1;
const HEADER_ONLY: u32 = 1 << 2;
const WITH_COMMENT: u32 = 1 << 4;

/// The kernel's own limit (24 days): more milliseconds do not fit.
const LONGEST: u64 = u32::MAX as u64 / 1000 / 2;

/// Makes a set, under its own name or another.
pub(super) fn create(set: &Set, as_name: &str) -> Raw {
    let mut data = Attributes::default();
    if set.kind == Kind::Port {
        data = data.big_endian(PORT, &[0, 0]).big_endian(LAST_PORT, &u16::MAX.to_be_bytes());
    } else {
        data = data.big_endian(MOST_ELEMENTS, &set.most.to_be_bytes());
    }
    if set.timeouts {
        // Present, so elements may have one; zero, so those without have none.
        data = data.big_endian(TIMEOUT, &0_u32.to_be_bytes());
    }
    if set.comments {
        data = data.big_endian(DATA_FLAGS, &WITH_COMMENT.to_be_bytes());
    }
    let family = match set.family {
        None => 0,
        Some(Family::V4) => 2,
        Some(Family::V6) => 10,
    };
    let command = about(as_name)
        .text(TYPE, set.kind.name())
        .bytes(REVISION, &[set.kind.revision()])
        .bytes(FAMILY, &[family])
        .nest(DATA, &data);
    raw(CREATE, command)
}

pub(super) fn destroy(set: &str) -> Raw {
    raw(DESTROY, about(set))
}

/// Lets two sets of one type change places, in one step.
pub(super) fn swap(one: &str, other: &str) -> Raw {
    raw(SWAP, about(one).text(OTHER_SET, other))
}

/// Adds an element, or gives the one that is there this timeout and comment.
pub(super) fn add(set: &str, key: &Key, timeout: Option<Duration>, comment: Option<&str>) -> Raw {
    let mut data = of_key(key);
    if let Some(timeout) = timeout {
        data = data.big_endian(TIMEOUT, &seconds(timeout).to_be_bytes());
    }
    if let Some(comment) = comment {
        data = data.text(COMMENT, comment);
    }
    raw(ADD, about(set).nest(DATA, &data))
}

/// Removes an element, if it is there.
pub(super) fn delete(set: &str, key: &Key) -> Raw {
    raw(DELETE, about(set).nest(DATA, &of_key(key)))
}

/// The question for all elements.
pub(super) fn list(set: &str) -> Raw {
    raw(LIST, about(set))
}

/// The question for what is known of the set without its elements.
pub(super) fn header(set: &str) -> Raw {
    raw(LIST, about(set).big_endian(FLAGS, &HEADER_ONLY.to_be_bytes()))
}

/// The same of all sets.
pub(super) fn headers() -> Raw {
    let all = Attributes::default().bytes(VERSION, &[PROTOCOL]);
    raw(LIST, all.big_endian(FLAGS, &HEADER_ONLY.to_be_bytes()))
}

/// The question for the names of all sets.
pub(super) fn names() -> Raw {
    let all = Attributes::default().bytes(VERSION, &[PROTOCOL]);
    raw(LIST, all.big_endian(FLAGS, &NAMES_ONLY.to_be_bytes()))
}

/// The names in the kernel's answer.
pub(super) fn to_names(answers: &[Raw]) -> impl Iterator<Item = &str> {
    answers.iter().filter_map(|answer| name(answer.attributes.get(SET)?))
}

fn about(set: &str) -> Attributes {
    Attributes::default().bytes(VERSION, &[PROTOCOL]).text(SET, set)
}

fn raw(kind: u8, attributes: Attributes) -> Raw {
    Raw { subsystem: SUBSYSTEM, kind, family: 0, attributes }
}

fn of_key(key: &Key) -> Attributes {
    let all = Attributes::default();
    match key {
        Key::Address(address) => all.nest(ADDRESS, &of_address(*address)),
        Key::Net(address, length) => all.nest(ADDRESS, &of_address(*address)).bytes(PREFIX, &[*length]),
        Key::Interface(any, name) => {
            all.nest(ADDRESS, &of_address(*any)).bytes(PREFIX, &[0]).text(INTERFACE, name.as_str())
        }
        Key::Link(address, name) => {
            all.nest(ADDRESS, &of_address((*address).into())).text(INTERFACE, name.as_str())
        }
        Key::Port(port) => all.big_endian(PORT, &port.to_be_bytes()),
        Key::Source(address, transport, port) => all
            .nest(ADDRESS, &of_address(*address))
            .big_endian(PORT, &port.to_be_bytes())
            .bytes(TRANSPORT, &[transport.number()]),
        Key::Door(address, service) => of_service(all.nest(ADDRESS, &of_address(*address)), *service),
        Key::Prefix(first, bits, service) => {
            of_service(all.nest(ADDRESS, &of_address(*first)).bytes(PREFIX, &[*bits]), *service)
        }
        Key::Flow(client, service, host) => {
            of_key(&Key::Door(*client, *service)).nest(OTHER_ADDRESS, &of_address(*host))
        }
        Key::Session(one, port, other) => all
            .nest(ADDRESS, &of_address(*one))
            .big_endian(PORT, &port.to_be_bytes())
            .bytes(TRANSPORT, &[Transport::Tcp.number()])
            .nest(OTHER_ADDRESS, &of_address(*other)),
    }
}

fn of_service(all: Attributes, service: Service) -> Attributes {
    let all = all.big_endian(PORT, &service.port().get().to_be_bytes());
    all.bytes(TRANSPORT, &[service.transport().number()])
}

/// `IPSET_ATTR_IPADDR_IPV4` is 1, that of IPv6 is 2.
fn of_address(address: IpAddr) -> Attributes {
    match address {
        IpAddr::V4(four) => Attributes::default().big_endian(1, &four.octets()),
        IpAddr::V6(six) => Attributes::default().big_endian(2, &six.octets()),
    }
}

/// Whole seconds are all that ipset counts. Rounded up: a door never closes early, and the monitor closes it on
/// time.
fn seconds(timeout: Duration) -> u32 {
    let up = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    u32::try_from(up.clamp(1, LONGEST)).unwrap_or(1)
}

/// How many elements each set in the kernel's answer has, and how many references there are to it, by its name.
pub(super) fn to_headers(answers: &[Raw]) -> HashMap<&str, (u32, u32)> {
    let header = |answer: &Raw| {
        let data = answer.attributes.get(DATA)?;
        let field = |kind| get(data, kind).and_then(number);
        Some((field(COUNT).unwrap_or(0), field(REFERENCES)?))
    };
    answers.iter().filter_map(|answer| Some((name(answer.attributes.get(SET)?)?, header(answer)?))).collect()
}

/// Doors of that limit in the kernel's answer. Elements that no change of ours could have made are left out.
pub(super) fn to_elements(answers: &[Raw], limit: Limit) -> Vec<Element> {
    let element = |data: &[u8]| {
        let (address, port) = to_end(data, ADDRESS)?;
        let service = Service::new(to_transport(data)?, port.try_into().ok()?);
        let grantee = match get(data, PREFIX) {
            None => address.into(),
            Some(bits) => Grantee::prefix(address, *bits.first()?)?,
        };
        Some(to_element(Door { grantee, service, limit }, data))
    };
    elements(answers).filter_map(element).collect()
}

/// Doors of source ports to this service in the kernel's answer.
pub(super) fn to_ports(answers: &[Raw], service: Service) -> Vec<Element> {
    let element = |data: &[u8]| {
        let (address, port) = to_end(data, ADDRESS)?;
        let door = Door { grantee: address.into(), service, limit: Limit::SourcePort(port) };
        (to_transport(data)? == service.transport()).then(|| to_element(door, data))
    };
    elements(answers).filter_map(element).collect()
}

/// Link-local addresses with the names of interfaces in the kernel's answer. The doors to this service that are in them are
/// those of the interface that the comment says.
pub(super) fn to_links(answers: &[Raw], service: Service) -> Vec<(Key, Element)> {
    let link = |data: &[u8]| {
        let IpAddr::V6(address) = to_address(get(data, ADDRESS)?)? else { return None };
        if get(data, PREFIX).is_some_and(|bits| *bits != [128]) {
            return None;
        }
        let name = get(data, INTERFACE).and_then(name)?.parse::<InterfaceName>().ok()?;
        let door = Door { grantee: IpAddr::V6(address).into(), service, limit: Limit::None };
        Some((Key::Link(address, name), to_element(door, data)))
    };
    elements(answers).filter_map(link).collect()
}

fn to_element(door: Door, data: &[u8]) -> Element {
    // The kernel rounds down what is left, and the lease in the comment knows it exactly.
    let left = get(data, TIMEOUT).and_then(number).filter(|left| *left > 0);
    let remaining = left.map(|left| Duration::from_secs(u64::from(left) + 1));
    let comment = get(data, COMMENT).and_then(name).unwrap_or_default().to_owned();
    Element { door, remaining, comment, forward: None }
}

fn to_transport(data: &[u8]) -> Option<Transport> {
    Transport::from_number((*get(data, TRANSPORT)?.first()?).into())
}

/// Translated flows in the kernel's answer.
pub(super) fn to_flows(answers: &[Raw]) -> Vec<Key> {
    let flow = |data: &[u8]| {
        let (client, port) = to_end(data, ADDRESS)?;
        let service = Service::new(to_transport(data)?, port.try_into().ok()?);
        Some(Key::Flow(client, service, to_address(get(data, OTHER_ADDRESS)?)?))
    };
    elements(answers).filter_map(flow).collect()
}

/// One address with its port, the other address, and the comment, of each session in the kernel's answer.
pub(super) fn to_sessions(answers: &[Raw]) -> Vec<((IpAddr, u16), IpAddr, String)> {
    let session = |data: &[u8]| {
        let comment = get(data, COMMENT).and_then(name).unwrap_or_default().to_owned();
        Some((to_end(data, ADDRESS)?, to_address(get(data, OTHER_ADDRESS)?)?, comment))
    };
    elements(answers).filter_map(session).collect()
}

fn elements(answers: &[Raw]) -> impl Iterator<Item = &[u8]> {
    let lists = answers.iter().filter_map(|answer| answer.attributes.get(ELEMENTS));
    lists.flat_map(attributes).filter(|(kind, _)| *kind == DATA).map(|(_, data)| data)
}

fn to_end(data: &[u8], address: u16) -> Option<(IpAddr, u16)> {
    let port = get(data, PORT)?.try_into().map(u16::from_be_bytes).ok()?;
    Some((to_address(get(data, address)?)?, port))
}

fn to_address(value: &[u8]) -> Option<IpAddr> {
    let four = get(value, 1).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let six = || get(value, 2).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    four.map(|bytes| Ipv4Addr::from(bytes).into()).or_else(|| six().map(|bytes| Ipv6Addr::from(bytes).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_rounded_up_to_whole_seconds() {
        #[rustfmt::skip]
        let rows = [
            // milliseconds, seconds, why
            (0,             1,         "nothing at all is not for ever"),
            (1,             1,         "up"),
            (30_000,        30,        "exactly"),
            (30_001,        31,        "up"),
            (u64::MAX / 2,  2_147_483, "what fits"),
        ];
        for (ms, wanted, why) in rows {
            assert_eq!(seconds(Duration::from_millis(ms)), wanted, "{ms}: {why}");
        }
    }
}
