//! Deterministic CBOR (RFC 8949, section 4.2.1), as much of it as a request needs, and no second spelling of anything:
//! shortest heads, definite lengths, no floats, tags or nulls.

use crate::reader::{Reader, Short};

/// Bytes that are not the one spelling of the expected item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCanonical;

impl From<Short> for NotCanonical {
    fn from(_: Short) -> Self {
        Self
    }
}

/// The kinds of item that occur (RFC 8949, section 3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Major {
    Unsigned = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
}

const TRUE: u8 = 0xf5;

/// Writes items one after the other.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(Major::Unsigned, value)
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(Major::Bytes, bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(Major::Text, text.len() as u64).0.extend_from_slice(text.as_bytes());
        self
    }

    /// The start of an array of `count` items.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(Major::Array, count as u64)
    }

    /// The start of a map of `count` pairs.
    pub fn map(&mut self, count: usize) -> &mut Self {
        self.head(Major::Map, count as u64)
    }

    /// `true`; `false` is never written.
    pub fn truth(&mut self) -> &mut Self {
        self.0.push(TRUE);
        self
    }

    fn head(&mut self, major: Major, value: u64) -> &mut Self {
        let major = (major as u8) << 5;
        let bytes = value.to_be_bytes();
        match value {
            0..24 => self.0.push(major | bytes[7]),
            24..0x100 => self.0.extend_from_slice(&[major | 24, bytes[7]]),
            0x100..0x1_0000 => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&bytes[6..]);
            }
            0x1_0000..0x1_0000_0000 => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&bytes[4..]);
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&bytes);
            }
        }
        self
    }
}

/// Reads items one after the other.
pub struct Items<'a>(Reader<'a>);

impl<'a> Items<'a> {
    /// A reader at the first item.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self) -> Result<u64, NotCanonical> {
        self.head(Major::Unsigned)
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], NotCanonical> {
        let length = self.length(Major::Bytes)?;
        Ok(self.0.bytes(length)?)
    }

    /// A text string in UTF-8.
    pub fn text(&mut self) -> Result<&'a str, NotCanonical> {
        let length = self.length(Major::Text)?;
        str::from_utf8(self.0.bytes(length)?).map_err(|_| NotCanonical)
    }

    /// The number of items in an array that starts here.
    pub fn array(&mut self) -> Result<usize, NotCanonical> {
        self.length(Major::Array)
    }

    /// The number of pairs in a map that starts here.
    pub fn map(&mut self) -> Result<usize, NotCanonical> {
        self.length(Major::Map)
    }

    /// `true`.
    pub fn truth(&mut self) -> Result<(), NotCanonical> {
        if self.0.u8()? == TRUE { Ok(()) } else { Err(NotCanonical) }
    }

    /// Whether the next item is an array.
    pub fn is_array(&self) -> bool {
        self.0.rest().first().is_some_and(|byte| byte >> 5 == Major::Array as u8)
    }

    /// The bytes after the last item that was read.
    pub const fn rest(self) -> &'a [u8] {
        self.0.rest()
    }

    fn length(&mut self, major: Major) -> Result<usize, NotCanonical> {
        usize::try_from(self.head(major)?).map_err(|_| NotCanonical)
    }

    fn head(&mut self, major: Major) -> Result<u64, NotCanonical> {
        let initial = self.0.u8()?;
        if initial >> 5 != major as u8 {
            return Err(NotCanonical);
        }
        let (value, shortest_from) = match initial & 31 {
            small @ 0..24 => return Ok(u64::from(small)),
            24 => (u64::from(self.0.u8()?), 24),
            25 => (u64::from(self.0.u16()?), 0x100),
            26 => (u64::from(self.0.u32()?), 0x1_0000),
            27 => (self.0.u64()?, 0x1_0000_0000),
            // 28..=30 are unassigned, 31 is the indefinite length that determinism forbids.
            _ => return Err(NotCanonical),
        };
        if value >= shortest_from { Ok(value) } else { Err(NotCanonical) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn integers_of_the_rfc() {
        #[rustfmt::skip]
        let rows: [(u64, &[u8]); 9] = [
            (0, &[0x00]), (10, &[0x0a]), (23, &[0x17]), (24, &[0x18, 0x18]), (100, &[0x18, 0x64]),
            (1000, &[0x19, 0x03, 0xe8]), (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (1_000_000_000_000, &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00]),
            (u64::MAX, &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, bytes) in rows {
            let mut writer = Writer::default();
            writer.unsigned(value);
            assert_eq!(writer.finish(), bytes, "{value}");
            assert_eq!(Items::new(bytes).unsigned(), Ok(value));
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        #[rustfmt::skip]
        let rows: [(&[u8], &str); 7] = [
            (&[0x18, 0x17], "23 in two bytes"),
            (&[0x19, 0x00, 0xff], "255 in three bytes"),
            (&[0x1a, 0x00, 0x00, 0xff, 0xff], "65535 in five bytes"),
            (&[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "2^32-1 in nine bytes"),
            (&[0x1f], "an indefinite integer"),
            (&[0x1c], "an unassigned length"),
            (&[0x20], "a negative integer"),
        ];
        for (bytes, why) in rows {
            assert_eq!(Items::new(bytes).unsigned(), Err(NotCanonical), "{why}");
        }
        assert_eq!(Items::new(&[0x5f, 0x41, 0, 0xff]).bytes(), Err(NotCanonical), "indefinite byte string");
        assert_eq!(Items::new(&[0x61, 0xff]).text(), Err(NotCanonical), "not UTF-8");
        assert_eq!(Items::new(&[0xf4]).truth(), Err(NotCanonical), "false");
    }
}
