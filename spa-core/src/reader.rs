//! The one reader that cuts bytes: every parser of this crate takes its input through it.

/// The bytes ended before a field did, or went on after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

/// Takes fields from the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes, their number taken from the type of the field.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Short> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Short)?;
        self.0 = rest;
        Ok(array)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(|&[byte]| byte)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// All that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Proof that nothing is left: one meaning, one byte string.
    pub fn end(self) -> Result<(), Short> {
        if self.0.is_empty() { Ok(()) } else { Err(Short) }
    }
}
