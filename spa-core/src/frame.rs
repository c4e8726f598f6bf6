//! From a captured frame to a UDP datagram, on every link that libpcap gives on Linux.
//! Fragments, IPv6 extension headers, truncated frames and frames that this host sent are not for us.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use crate::reader::{Reader, Short};

/// How a frame begins; the numbers are libpcap's DLT or LINKTYPE values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet II, 802.1Q and 802.1ad tags included.
    Ethernet,
    /// Four bytes of address family in the byte order of this host (BSD loopback).
    Null,
    /// Four bytes of address family in network byte order (OpenBSD loopback).
    Loop,
    /// An IP packet, nothing before it.
    Raw,
    /// Linux cooked capture v1 (`any`, PPP).
    Cooked,
    /// Linux cooked capture v2.
    Cooked2,
}

impl Link {
    /// The link of a libpcap data link type, if it is one that can be read.
    pub const fn from_dlt(dlt: i32) -> Option<Self> {
        match dlt {
            0 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            108 => Some(Self::Loop),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }
}

/// A UDP datagram as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it says that it comes from; nothing proves it.
    pub source: SocketAddr,
    /// Where it was sent.
    pub destination: SocketAddr,
    /// Index of the interface that it came in by; `None` if that is not known. A frame with a tag came in by the interface
    /// of its VLAN, not by the one that captured it.
    pub interface: Option<NonZeroU32>,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Not an unfragmented UDP datagram that came in from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotForUs;

impl From<Short> for NotForUs {
    fn from(_: Short) -> Self {
        Self
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_OUTER: u16 = 0x88a8;
/// Most stacked tags: one of a provider (802.1ad) around one of a customer (802.1Q).
const MAX_TAGS: usize = 2;
/// `sll_pkttype` of a frame that this host sent.
const PACKET_OUTGOING: u16 = 4;
const UDP: u8 = 17;

impl<'a> Datagram<'a> {
    /// Reads a frame as captured, from its first byte.
    ///
    /// - `interface`: index of the one that was captured on; not asked where the frame itself says it.
    pub fn parse(link: Link, interface: Option<NonZeroU32>, frame: &'a [u8]) -> Result<Self, NotForUs> {
        let mut r = Reader::new(frame);
        let mut interface = interface;
        let mut protocol = match link {
            Link::Raw => return ip(r, interface),
            Link::Null | Link::Loop => {
                // The family's number differs between systems; the IP version says the same.
                r.array::<4>()?;
                return ip(r, interface);
            }
            Link::Ethernet => {
                r.array::<12>()?;
                r.u16()?
            }
            Link::Cooked => {
                let kind = r.u16()?;
                r.array::<12>()?;
                incoming(kind)?;
                r.u16()?
            }
            Link::Cooked2 => {
                let protocol = r.u16()?;
                r.array::<2>()?;
                interface = NonZeroU32::new(r.u32()?);
                r.array::<2>()?;
                let kind = r.u8()?;
                r.array::<9>()?;
                incoming(kind.into())?;
                protocol
            }
        };
        for _ in 0..MAX_TAGS {
            if protocol == VLAN || protocol == VLAN_OUTER {
                r.array::<2>()?;
                protocol = r.u16()?;
                interface = None;
            }
        }
        match protocol {
            IPV4 | IPV6 => ip(r, interface),
            _ => Err(NotForUs),
        }
    }
}

fn incoming(kind: u16) -> Result<(), NotForUs> {
    if kind == PACKET_OUTGOING { Err(NotForUs) } else { Ok(()) }
}

fn ip(r: Reader<'_>, interface: Option<NonZeroU32>) -> Result<Datagram<'_>, NotForUs> {
    let datagram = match r.rest().first().map(|byte| byte >> 4) {
        Some(4) => ipv4(r),
        Some(6) => ipv6(r),
        _ => Err(NotForUs),
    };
    datagram.map(|datagram| Datagram { interface, ..datagram })
}

/// RFC 791.
fn ipv4(mut r: Reader<'_>) -> Result<Datagram<'_>, NotForUs> {
    let header = usize::from(r.u8()? & 15) * 4;
    let _service = r.u8()?;
    let total = usize::from(r.u16()?);
    let _identification = r.u16()?;
    let fragment = r.u16()?;
    let _ttl = r.u8()?;
    let protocol = r.u8()?;
    let _checksum = r.u16()?;
    let source = *r.array::<4>()?;
    let destination = *r.array::<4>()?;
    // More fragments, or an offset: a fragment. "Don't fragment" (0x4000) is fine.
    if protocol != UDP || fragment & 0x3fff != 0 {
        return Err(NotForUs);
    }
    r.bytes(header.checked_sub(20).ok_or(NotForUs)?)?;
    let body = r.bytes(total.checked_sub(header).ok_or(NotForUs)?)?;
    udp(IpAddr::from(source), IpAddr::from(destination), body)
}

/// RFC 8200.
fn ipv6(mut r: Reader<'_>) -> Result<Datagram<'_>, NotForUs> {
    r.array::<4>()?;
    let length = usize::from(r.u16()?);
    let next = r.u8()?;
    let _hop_limit = r.u8()?;
    let source = *r.array::<16>()?;
    let destination = *r.array::<16>()?;
    if next != UDP {
        return Err(NotForUs);
    }
    let body = r.bytes(length)?;
    udp(IpAddr::from(source), IpAddr::from(destination), body)
}

/// RFC 768. The checksum is not looked at: the MAC is the stronger proof.
fn udp(source: IpAddr, destination: IpAddr, body: &[u8]) -> Result<Datagram<'_>, NotForUs> {
    let mut r = Reader::new(body);
    let source_port = r.u16()?;
    let destination_port = r.u16()?;
    let length = usize::from(r.u16()?);
    let _checksum = r.u16()?;
    // One meaning, one byte string: nothing may hide behind the datagram inside its IP packet.
    if length != body.len() {
        return Err(NotForUs);
    }
    Ok(Datagram {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
        interface: None,
        payload: r.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &[u8] = b"knock";
    const HERE: Option<NonZeroU32> = NonZeroU32::new(3);

    fn udp4(options: usize, fragment: u16) -> Vec<u8> {
        let header = 20 + options;
        let mut p = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        p.extend(u16::try_from(header + 8 + PAYLOAD.len()).unwrap().to_be_bytes());
        p.extend([0, 0]);
        p.extend(fragment.to_be_bytes());
        p.extend([64, UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        p.extend(vec![1; options]);
        p.extend(udp_segment());
        p
    }

    fn udp6(next: u8) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0];
        p.extend(u16::try_from(8 + PAYLOAD.len()).unwrap().to_be_bytes());
        p.extend([next, 64]);
        p.extend([0x20; 16]);
        p.extend([0x21; 16]);
        p.extend(udp_segment());
        p
    }

    fn udp_segment() -> Vec<u8> {
        let mut p = vec![0x9c, 0x40, 0x5c, 0x13];
        p.extend(u16::try_from(8 + PAYLOAD.len()).unwrap().to_be_bytes());
        p.extend([0, 0]);
        p.extend(PAYLOAD);
        p
    }

    fn after(front: &[u8], packet: Vec<u8>) -> Vec<u8> {
        [front, &packet].concat()
    }

    #[test]
    fn every_link_carries_a_datagram() {
        let mac = [0_u8; 12];
        let cooked = |kind: u8, protocol: [u8; 2]| [&[0, kind][..], &[0; 12], &protocol].concat();
        let cooked2 = |kind: u8, protocol: [u8; 2]| {
            [&protocol[..], &[0, 0, 0, 0, 0, 2, 0, 1], &[kind, 6], &[0; 8]].concat()
        };
        #[rustfmt::skip]
        let rows = [
            // link, frame, is a datagram, why
            (Link::Ethernet, after(&[&mac[..], &[8, 0]].concat(), udp4(0, 0)), true, "Ethernet, IPv4"),
            (Link::Ethernet, after(&[&mac[..], &[8, 0]].concat(), udp4(0, 0x4000)), true, "don't fragment"),
            (Link::Ethernet, after(&[&mac[..], &[8, 0]].concat(), udp4(40, 0)), true, "IPv4 options"),
            (Link::Ethernet, after(&[&mac[..], &[0x86, 0xdd]].concat(), udp6(UDP)), true, "Ethernet, IPv6"),
            (Link::Ethernet, after(&[&mac[..], &[0x81, 0, 0, 5, 8, 0]].concat(), udp4(0, 0)), true, "802.1Q"),
            (Link::Ethernet, after(&[&mac[..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat(), udp4(0, 0)), true, "802.1ad around 802.1Q"),
            (Link::Ethernet, after(&[&mac[..], &[0x81, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 8, 0]].concat(), udp4(0, 0)), false, "three tags"),
            (Link::Ethernet, after(&[&mac[..], &[8, 0]].concat(), udp4(0, 0x2000)), false, "first fragment"),
            (Link::Ethernet, after(&[&mac[..], &[8, 0]].concat(), udp4(0, 1)), false, "later fragment"),
            (Link::Ethernet, after(&[&mac[..], &[0x86, 0xdd]].concat(), udp6(60)), false, "IPv6 destination options"),
            (Link::Ethernet, after(&[&mac[..], &[8, 6]].concat(), udp4(0, 0)), false, "ARP"),
            (Link::Raw, udp4(0, 0), true, "raw IPv4"),
            (Link::Raw, udp6(UDP), true, "raw IPv6"),
            (Link::Null, after(&[2, 0, 0, 0], udp4(0, 0)), true, "loopback"),
            (Link::Loop, after(&[0, 0, 0, 24], udp6(UDP)), true, "loopback, network order"),
            (Link::Cooked, after(&cooked(0, [8, 0]), udp4(0, 0)), true, "cooked v1"),
            (Link::Cooked, after(&cooked(4, [8, 0]), udp4(0, 0)), false, "cooked v1, sent by this host"),
            (Link::Cooked, after(&[&cooked(0, [0x81, 0])[..], &[0, 5, 8, 0]].concat(), udp4(0, 0)), true, "cooked v1, tagged"),
            (Link::Cooked2, after(&cooked2(0, [0x86, 0xdd]), udp6(UDP)), true, "cooked v2"),
            (Link::Cooked2, after(&cooked2(4, [8, 0]), udp4(0, 0)), false, "cooked v2, sent by this host"),
        ];
        for (link, frame, good, why) in rows {
            let parsed = Datagram::parse(link, HERE, &frame);
            assert_eq!(parsed.is_ok(), good, "{why}");
            let Ok(datagram) = parsed else { continue };
            assert_eq!(datagram.payload, PAYLOAD, "{why}");
            assert_eq!((datagram.source.port(), datagram.destination.port()), (40000, 23571), "{why}");
            for end in 0..frame.len() {
                assert_eq!(Datagram::parse(link, HERE, &frame[..end]), Err(NotForUs), "{why}, cut at {end}");
            }
            // Short Ethernet frames are padded by the card; the padding is not part of the datagram.
            let padded = after(&frame, vec![0; 18]);
            assert_eq!(Datagram::parse(link, HERE, &padded), Ok(datagram), "{why}, padded");
        }
    }

    #[test]
    fn the_interface_is_that_of_the_capture_or_what_the_frame_says() {
        let mac = [0_u8; 12];
        let cooked2 = |index: u8, protocol: [u8; 2]| {
            [&protocol[..], &[0, 0, 0, 0, 0, index, 0, 1, 0, 6], &[0; 8]].concat()
        };
        #[rustfmt::skip]
        let rows = [
            // link, frame, interface, why
            (Link::Ethernet, after(&[&mac[..], &[0x86, 0xdd]].concat(), udp6(UDP)), Some(3), "captured on it"),
            (Link::Raw, udp6(UDP), Some(3), "captured on it"),
            (Link::Ethernet, after(&[&mac[..], &[0x81, 0, 0, 5, 0x86, 0xdd]].concat(), udp6(UDP)), None, "that of a VLAN, whichever it is"),
            (Link::Cooked2, after(&cooked2(7, [0x86, 0xdd]), udp6(UDP)), Some(7), "captured on all at once"),
            (Link::Cooked2, after(&cooked2(0, [0x86, 0xdd]), udp6(UDP)), None, "no interface has index 0"),
            (Link::Cooked2, after(&[&cooked2(7, [0x81, 0])[..], &[0, 5, 0x86, 0xdd]].concat(), udp6(UDP)), None, "a tag"),
        ];
        for (link, frame, interface, why) in rows {
            let datagram = Datagram::parse(link, HERE, &frame).unwrap();
            assert_eq!(datagram.interface.map(NonZeroU32::get), interface, "{why}");
        }
    }
}
