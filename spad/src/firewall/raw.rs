//! Netfilter messages whose attributes nobody has read yet: for what the library does not model, and for rules
//! of others, which may hold anything.

use std::convert::Infallible;
use std::ffi::CStr;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};

/// `NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`.
const NESTED: u16 = 0x8000;
const BIG_ENDIAN: u16 = 0x4000;

/// A message of one netfilter subsystem: `struct nfgenmsg` (family, version, two more bytes), then attributes.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// Its number (`NFNL_SUBSYS_*`).
    pub(super) subsystem: u8,
    /// Number of the message in it.
    pub(super) kind: u8,
    /// `NFPROTO_*`.
    pub(super) family: u8,
    pub(super) attributes: Attributes,
}

/// Attributes one after the other, as they are in a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // Attributes of ours are short; the kernel refuses a length that was cut.
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A number or an address, marked as big-endian.
    pub(super) fn big_endian(self, kind: u16, value: &[u8]) -> Self {
        self.bytes(kind | BIG_ENDIAN, value)
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.nested(kind, &inner.0)
    }

    /// An attribute that nests others, as it came.
    pub(super) fn nested(self, kind: u16, inner: &[u8]) -> Self {
        self.bytes(kind | NESTED, inner)
    }

    /// The value of the first attribute of that kind.
    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        get(&self.0, kind)
    }
}

/// Attributes in a value that nests some: kind and value. Ends where the bytes are none.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let ([l1, l2, k1, k2], _) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([*l1, *l2]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([*k1, *k2]) & !(NESTED | BIG_ENDIAN), value))
    })
}

/// The value of the first attribute of that kind.
pub(super) fn get(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A name in an attribute, up to its end mark.
pub(super) fn name(value: &[u8]) -> Option<&str> {
    CStr::from_bytes_until_nul(value).ok()?.to_str().ok()
}

/// A big-endian number in an attribute.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.try_into().map(u32::from_be_bytes).ok()
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.subsystem, self.kind])
    }

    fn buffer_len(&self) -> usize {
        4 + self.attributes.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let header = [self.family, 0, 0, 0];
        for (to, from) in buffer.iter_mut().zip(header.iter().chain(&self.attributes.0)) {
            *to = *from;
        }
    }
}

impl NetlinkDeserializable for Raw {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        let [subsystem, kind] = header.message_type.to_be_bytes();
        let (family, rest) = match payload {
            [family, _, _, _, rest @ ..] => (*family, rest),
            _ => (0, &[][..]),
        };
        Ok(Self { subsystem, kind, family, attributes: Attributes(rest.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again() {
        let inner = Attributes::default().big_endian(4, &22_u16.to_be_bytes()).text(26, "who");
        let all = Attributes::default().bytes(1, &[7]).nest(7, &inner).big_endian(6, &[0, 0, 0, 9]);
        assert_eq!(all.get(1), Some(&[7][..]));
        assert_eq!(all.get(6).and_then(number), Some(9));
        let nested = all.get(7).unwrap();
        assert_eq!(get(nested, 4), Some(&[0, 22][..]));
        assert_eq!(get(nested, 26).and_then(name), Some("who"));
        assert_eq!(attributes(&all.0).count(), 3);
        assert_eq!(all.get(2), None);
    }

    #[test]
    fn what_is_cut_short_ends_the_list() {
        let mut bytes = Attributes::default().bytes(1, &[7]).bytes(2, &[8; 20]).0;
        bytes.truncate(bytes.len() - 4);
        assert_eq!(attributes(&bytes).count(), 1);
        assert_eq!(attributes(&[1, 0]).count(), 0);
    }
}
