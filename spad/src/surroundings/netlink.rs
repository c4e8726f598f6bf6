//! All interfaces and addresses, by two questions to the kernel (rtnetlink(7)).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlaBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::Interface;

/// Large enough for any one answer: the kernel cuts its answers for a reader of 32 KiB.
const ROOM: usize = 1 << 16;
/// How often to ask again when the tables changed while they were being read.
const ATTEMPTS: usize = 5;
/// `NLM_F_DUMP_INTR`: the answer may mix an older and a newer state.
const INTERRUPTED: u16 = 0x10;

/// The interfaces of this network namespace, by name.
pub(super) fn links() -> io::Result<BTreeMap<String, Interface>> {
    let mut links = BTreeMap::new();
    // The fixed head is `struct ifinfomsg`: family, type, index, flags, change mask.
    for message in dump::<16>(libc::RTM_GETLINK, libc::RTM_NEWLINK)? {
        let (head, attributes) = &message;
        let (Some(index), Some(flags)) = (number(head, 4), number(head, 8)) else { continue };
        let up = flags & libc::IFF_UP.cast_unsigned() != 0;
        for (kind, value) in pairs(attributes) {
            let name = value.strip_suffix(b"\0").unwrap_or(value);
            if let (libc::IFLA_IFNAME, Ok(name)) = (kind, str::from_utf8(name)) {
                links.insert(name.to_owned(), Interface::Present { index, up });
            }
        }
    }
    Ok(links)
}

/// The unicast addresses of a network namespace.
#[derive(Default)]
pub(super) struct Addresses {
    /// Without IPv6 link-local ones.
    pub(super) everywhere: BTreeSet<IpAddr>,
    /// IPv6 link-local ones, each with the index of its interface.
    pub(super) on_link: BTreeSet<(Ipv6Addr, NonZeroU32)>,
}

/// The unicast addresses of this network namespace.
pub(super) fn addresses() -> io::Result<Addresses> {
    let mut addresses = Addresses::default();
    // The fixed head is `struct ifaddrmsg`: family, length, flags, scope, index.
    for (head, attributes) in dump::<8>(libc::RTM_GETADDR, libc::RTM_NEWADDR)? {
        let of = |wanted| pairs(&attributes).find(|(kind, _)| *kind == wanted).and_then(|(_, v)| address(v));
        // On a link with two ends the plain attribute is the far end's address.
        match of(libc::IFA_LOCAL).or_else(|| of(libc::IFA_ADDRESS)) {
            Some(IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
                let index = number(&head, 4).and_then(NonZeroU32::new);
                addresses.on_link.extend(index.map(|index| (v6, index)));
            }
            address => addresses.everywhere.extend(address),
        }
    }
    Ok(addresses)
}

/// The fixed head and the attributes of one message.
type Message<const HEAD: usize> = ([u8; HEAD], Vec<u8>);

/// Asks for a whole table, again if it changed meanwhile.
fn dump<const HEAD: usize>(question: u16, answer: u16) -> io::Result<Vec<Message<HEAD>>> {
    for _ in 0..ATTEMPTS {
        if let Some(messages) = dump_once(question, answer)? {
            return Ok(messages);
        }
    }
    Err(io::Error::other("the kernel's tables of interfaces and addresses do not come to rest"))
}

/// Asks once; `None` if the table changed meanwhile.
fn dump_once<const HEAD: usize>(question: u16, answer: u16) -> io::Result<Option<Vec<Message<HEAD>>>> {
    const HEADER: usize = 16;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = vec![0; HEADER + HEAD];
    let mut header = NetlinkBuffer::new(&mut request);
    header.set_length((HEADER + HEAD) as u32);
    header.set_message_type(question);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    socket.send(&request, 0)?;

    let mut messages = Vec::new();
    let mut interrupted = false;
    let mut room = Vec::with_capacity(ROOM);
    loop {
        room.clear();
        socket.recv(&mut room, 0)?;
        let mut rest = room.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            interrupted |= message.flags() & INTERRUPTED != 0;
            match message.message_type() {
                NLMSG_DONE => return Ok((!interrupted).then_some(messages)),
                NLMSG_ERROR => return Err(refusal(message.payload())),
                kind if kind == answer => {
                    messages.extend(message.payload().split_first_chunk().map(|(h, a)| (*h, a.to_vec())));
                }
                _ => {}
            }
            // Messages are aligned to 4 bytes.
            let length = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// `struct nlmsgerr` begins with the negative error number.
fn refusal(payload: &[u8]) -> io::Error {
    match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(code) => io::Error::from_raw_os_error(-code),
        None => io::ErrorKind::InvalidData.into(),
    }
}

/// The attributes, up to the first that makes no sense.
fn pairs(attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(attributes).map_while(|attribute| {
        let attribute: NlaBuffer<&[u8]> = attribute.ok()?;
        let length = usize::from(attribute.length());
        Some((attribute.kind(), attribute.into_inner().get(4..length)?))
    })
}

/// A number of the fixed head, in the machine's own byte order.
fn number(head: &[u8], at: usize) -> Option<u32> {
    head.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|v6| Ipv6Addr::from(v6).into())
}
