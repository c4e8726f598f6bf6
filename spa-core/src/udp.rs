//! A UDP datagram to be sent (RFC 768): its header, with the checksum that IPv6 demands (RFC 8200, 8.1) and that keeps a
//! damaged receipt from its reader. The IP header is the kernel's, which knows the host's own addresses.

use std::net::{IpAddr, SocketAddr};

const PROTOCOL: u8 = 17;
const HEADER: u16 = 8;

/// Header and payload. `None` if the addresses are of two families, or the payload is too long for any datagram.
pub fn segment(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?.checked_add(HEADER)?;
    let ports = [source.port(), destination.port()];
    let mut segment = [ports[0], ports[1], length, 0].map(u16::to_be_bytes).as_flattened().to_vec();
    segment.extend_from_slice(payload);
    // The pseudo-header: both addresses, the length and the protocol; the order of its 16-bit words does not matter.
    let addresses = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        _ => return None,
    };
    let mut total = addresses + u64::from(PROTOCOL) + u64::from(length) + sum(&segment);
    while let over @ 1.. = total >> 16 {
        total = (total & 0xffff) + over;
    }
    // Zero would say that there is no checksum.
    let checksum = match !u16::try_from(total).unwrap_or(0) {
        0 => 0xffff,
        checksum => checksum,
    };
    segment.get_mut(6..8)?.copy_from_slice(&checksum.to_be_bytes());
    Some(segment)
}

/// Of 16-bit words; an odd last byte is followed by zero.
fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(source: &str, destination: &str, payload: &[u8]) -> Option<Vec<u8>> {
        segment(source.parse().unwrap(), destination.parse().unwrap(), payload)
    }

    /// A receiver adds up everything, checksum included, and gets all ones.
    #[test]
    fn a_receiver_finds_the_checksum_right() {
        for payload in [&b""[..], b"k", b"knock", &[0xff; 176], &[0; 175]] {
            for (from, to) in
                [("192.0.2.1:23571", "198.51.100.7:40000"), ("[2001:db8::1]:7", "[2001:db8::9]:65535")]
            {
                let segment = made(from, to, payload).unwrap();
                assert_eq!(segment[8..], *payload);
                let [from, to]: [SocketAddr; 2] = [from.parse().unwrap(), to.parse().unwrap()];
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                let mut total = sum(&octets(from.ip())) + sum(&octets(to.ip())) + 17 + segment.len() as u64;
                total += sum(&segment);
                while total > 0xffff {
                    total = (total & 0xffff) + (total >> 16);
                }
                assert_eq!(total, 0xffff, "{from} {payload:?}");
                assert_eq!(segment[..2], from.port().to_be_bytes());
                assert_eq!(segment[2..4], to.port().to_be_bytes());
                assert_eq!(usize::from(u16::from_be_bytes([segment[4], segment[5]])), segment.len());
            }
        }
    }

    /// By hand: c000 + 0201 + c000 + 0202 + 11 + 000a + 1 + 2 + 000a + 6869 = 1ec94 -> ec95, and its complement.
    #[test]
    fn a_checksum_worked_out_by_hand() {
        let segment = made("192.0.2.1:1", "192.0.2.2:2", b"hi").unwrap();
        assert_eq!(segment, [0, 1, 0, 2, 0, 10, 0x13, 0x6a, b'h', b'i']);
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        // The payload makes the sum all ones, whose complement would be zero.
        let without = made("192.0.2.1:1", "192.0.2.2:2", &[0, 0]).unwrap();
        let segment = made("192.0.2.1:1", "192.0.2.2:2", &without[6..8]).unwrap();
        assert_eq!(segment[6..8], [0xff, 0xff]);
    }

    #[test]
    fn nothing_goes_from_one_family_to_the_other() {
        assert_eq!(made("192.0.2.1:1", "[2001:db8::1]:2", b""), None);
        assert_eq!(made("192.0.2.1:1", "192.0.2.2:2", &[0; 65_528]), None, "longer than its length can say");
    }
}
