//! A STUN binding (RFC 8489): twenty bytes that ask a server from which address they came, and what it answers. Bytes in,
//! an address out; who is asked, and for how long it is waited, stands in `client/seen.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Type, length, magic cookie, transaction id.
pub const HEADER: usize = 20;
/// RFC 8489, section 5. Also what an address is hidden with from routers that rewrite addresses wherever they see them.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// 96 random bits: whoever does not see the request cannot forge its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

/// Why a datagram tells no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// It answers some other question, or none.
    #[error("not an answer to this request")]
    NotOurs,
    /// The server answers with an error.
    #[error("the server refuses to tell")]
    Refused,
    /// It answers, but not as RFC 8489 has it.
    #[error("the answer is malformed")]
    Malformed,
}

/// The request: a binding without attributes.
pub fn request(id: TransactionId) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&COOKIE);
    bytes[8..].copy_from_slice(&id.0);
    bytes
}

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// What a client must understand or else refuse the answer begins below this (RFC 8489, section 14).
const OPTIONAL: u16 = 0x8000;
/// MAPPED-ADDRESS, and SOURCE-ADDRESS and CHANGED-ADDRESS of RFC 3489: servers add them for clients of that age.
const OF_OLD: [u16; 3] = [0x0001, 0x0004, 0x0005];

/// The address and port from which the request came, by the answer's first XOR-MAPPED-ADDRESS.
///
/// # Errors
/// [`NoAddress::NotOurs`] for what any stranger could have sent: wait on. The others end the wait.
pub fn address(id: TransactionId, answer: &[u8]) -> Result<SocketAddr, NoAddress> {
    let (head, attributes) = answer.split_first_chunk::<HEADER>().ok_or(NoAddress::NotOurs)?;
    let [kind_high, kind_low, length_high, length_low, ..] = *head;
    if head[4..8] != COOKIE || head[8..] != id.0 {
        return Err(NoAddress::NotOurs);
    }
    match u16::from_be_bytes([kind_high, kind_low]) {
        BINDING_SUCCESS => {}
        BINDING_ERROR => return Err(NoAddress::Refused),
        _ => return Err(NoAddress::NotOurs),
    }
    if usize::from(u16::from_be_bytes([length_high, length_low])) != attributes.len() {
        return Err(NoAddress::Malformed);
    }
    let mut found = None;
    let mut rest = attributes;
    while !rest.is_empty() {
        let (kind, value, next) = attribute(rest).ok_or(NoAddress::Malformed)?;
        rest = next;
        match kind {
            XOR_MAPPED_ADDRESS => {
                let mapped = xor_mapped(id, value).ok_or(NoAddress::Malformed)?;
                found = found.or(Some(mapped));
            }
            _ if kind >= OPTIONAL || OF_OLD.contains(&kind) => {}
            _ => return Err(NoAddress::Malformed),
        }
    }
    found.ok_or(NoAddress::Malformed)
}

/// The first attribute: its type and value, and what follows its padding.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let ([a, b, c, d], rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([*c, *d]));
    let (padded, next) = rest.split_at_checked(length.next_multiple_of(4))?;
    Some((u16::from_be_bytes([*a, *b]), padded.get(..length)?, next))
}

fn xor_mapped(id: TransactionId, value: &[u8]) -> Option<SocketAddr> {
    let ([_, family, high, low], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([high ^ COOKIE[0], low ^ COOKIE[1]]);
    let mask = COOKIE.iter().chain(&id.0);
    let ip = match family {
        1 => {
            let mut plain: [u8; 4] = address.try_into().ok()?;
            plain.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            IpAddr::V4(Ipv4Addr::from(plain))
        }
        2 => {
            let mut plain: [u8; 16] = address.try_into().ok()?;
            plain.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            IpAddr::V6(Ipv6Addr::from(plain))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769, section 2: the transaction id of all its examples.
    const ID: TransactionId =
        TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
    /// The XOR-MAPPED-ADDRESS of RFC 5769, section 2.2: 192.0.2.1, port 32853.
    const MAPPED: [u8; 12] = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    /// That of section 2.3: 2001:db8:1234:5678:11:2233:4455:6677, port 32853.
    const MAPPED6: [u8; 24] = [
        0, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
        0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    ];
    /// SOFTWARE "test vector" with its padding.
    const SOFTWARE: [u8; 16] = *b"\x80\x22\x00\x0btest vector ";

    fn answer(kind: u16, id: TransactionId, attributes: &[&[u8]]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&kind.to_be_bytes()[..], &length, &COOKIE, &id.0, &attributes].concat()
    }

    #[test]
    fn a_request_is_twenty_bytes_with_an_id() {
        let expected = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &ID.0].concat();
        assert_eq!(request(ID).to_vec(), expected);
    }

    #[test]
    fn an_answer_tells_the_address_or_why_not() {
        use NoAddress::{Malformed, NotOurs, Refused};
        let v4 = Ok("192.0.2.1:32853".parse().unwrap());
        let v6 = Ok("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap());
        let (success, error) = (BINDING_SUCCESS, BINDING_ERROR);
        let other = TransactionId([7; 12]);
        let cut = |mut bytes: Vec<u8>, by: usize| {
            bytes.truncate(bytes.len() - by);
            bytes
        };
        let changed = |at: usize, to: u8| {
            let mut bytes = answer(success, ID, &[&MAPPED]);
            bytes[at] = to;
            bytes
        };
        #[rustfmt::skip]
        let rows = [
            (answer(success, ID, &[&SOFTWARE, &MAPPED]),   v4,             "RFC 5769, section 2.2, without its integrity"),
            (answer(success, ID, &[&SOFTWARE, &MAPPED6]),  v6,             "RFC 5769, section 2.3, the same"),
            (answer(success, ID, &[&MAPPED, &MAPPED6]),    v4,             "the first counts"),
            (answer(success, ID, &[&[0, 1, 0, 0], &MAPPED]), v4,           "an attribute for old clients"),
            (answer(success, ID, &[]),                     Err(Malformed), "no address"),
            (answer(success, ID, &[&SOFTWARE]),            Err(Malformed), "no address"),
            (answer(success, ID, &[&[0, 9, 0, 0], &MAPPED]), Err(Malformed), "an attribute that must be understood"),
            (answer(success, ID, &[&MAPPED, &[0x80]]),     Err(Malformed), "a byte behind the last attribute"),
            (answer(success, ID, &[&[0, 0x20, 0, 9], &MAPPED[4..], &[0; 4]]), Err(Malformed), "too long an address"),
            (changed(19 + 4, 0xff),                        Err(Malformed), "an attribute longer than the answer"),
            (changed(19 + 6, 3),                           Err(Malformed), "an unknown family"),
            (changed(19 + 6, 2),                           Err(Malformed), "IPv6 in four bytes"),
            (changed(3, 16),                               Err(Malformed), "a length that is not its own"),
            (cut(answer(success, ID, &[&MAPPED]), 1),      Err(Malformed), "cut"),
            (answer(error, ID, &[]),                       Err(Refused),   "an error"),
            (answer(success, other, &[&MAPPED]),           Err(NotOurs),   "another request's"),
            (answer(error, other, &[]),                    Err(NotOurs),   "another request's error ends no wait"),
            (answer(0x0001, ID, &[&MAPPED]),               Err(NotOurs),   "a request"),
            (changed(4, 0x20),                             Err(NotOurs),   "no cookie"),
            (cut(answer(success, ID, &[]), 1),             Err(NotOurs),   "less than a header"),
            (Vec::new(),                                   Err(NotOurs),   "nothing"),
        ];
        for (bytes, expected, why) in rows {
            assert_eq!(address(ID, &bytes), expected, "{why}");
        }
    }
}
