//! What may be asked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use spa_core::reader::Reader;

use crate::wire::{address, put_address};

/// Bytes of every question.
pub const SIZE: usize = 64;
const NAME: usize = 32;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How is it going?
    Status,
    /// Who holds which door open?
    Grants,
    /// Close these doors.
    Revoke(Whose),
    /// Read the files anew, and say whether that worked.
    Reload,
    /// Whatever happens from now on.
    Watch,
    /// The same, by the one who runs actions.
    Run,
}

/// Whose doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All that are open for packets from this address.
    Address(IpAddr),
    /// All of the profile of this name, or if there is none, with this key id of eight hexadecimal digits.
    Name(Name),
}

/// The name of a profile, or as much of it as the monitor knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-?".contains(&byte);
        ((1..=NAME).contains(&text.len()) && text.bytes().all(good)).then(|| Self(text.to_owned()))
    }
}

/// Neither an address nor what a profile can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address, nor a profile's name, nor a key id")]
pub struct Nobody;

impl FromStr for Whose {
    type Err = Nobody;

    fn from_str(text: &str) -> Result<Self, Nobody> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        // As a name is told to the monitor: what else it holds is a question mark there.
        let told = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '?' };
        Name::new(&text.chars().map(told).take(NAME).collect::<String>()).map(Self::Name).ok_or(Nobody)
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(Name(name)) => name.fmt(f),
        }
    }
}

/// Not a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQuestion;

impl Question {
    /// Its bytes: a kind, whose, zeros.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = Vec::with_capacity(SIZE);
        match self {
            Self::Status => bytes.push(1),
            Self::Grants => bytes.push(2),
            Self::Revoke(Whose::Address(address)) => {
                bytes.push(3);
                put_address(&mut bytes, *address);
            }
            Self::Revoke(Whose::Name(Name(name))) => {
                bytes.push(4);
                bytes.extend_from_slice(name.as_bytes());
            }
            Self::Reload => bytes.push(5),
            Self::Watch => bytes.push(6),
            Self::Run => bytes.push(7),
        }
        bytes.resize(SIZE, 0);
        bytes.try_into().unwrap_or([0; SIZE])
    }

    /// Reads a question.
    ///
    /// # Errors
    /// Anything that [`Self::encode`] does not write.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<Self, NotAQuestion> {
        let question = parse(bytes).ok_or(NotAQuestion)?;
        if question.encode() == *bytes { Ok(question) } else { Err(NotAQuestion) }
    }
}

fn parse(bytes: &[u8; SIZE]) -> Option<Question> {
    let mut r = Reader::new(bytes);
    match r.u8().ok()? {
        1 => Some(Question::Status),
        2 => Some(Question::Grants),
        3 => address(&mut r).map(|address| Question::Revoke(Whose::Address(address))),
        4 => {
            let name = r.array::<NAME>().ok()?;
            let length = name.iter().position(|byte| *byte == 0).unwrap_or(NAME);
            let name = Name::new(str::from_utf8(name.get(..length)?).ok()?)?;
            Some(Question::Revoke(Whose::Name(name)))
        }
        5 => Some(Question::Reload),
        6 => Some(Question::Watch),
        7 => Some(Question::Run),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_one_packet_and_nothing_else_is() {
        let whose = ["192.0.2.7", "2001:db8::7", "laptop", "00c0ffee", &"n".repeat(NAME)];
        let whose = whose.map(|text| Question::Revoke(text.parse().unwrap()));
        let plain = [Question::Status, Question::Grants, Question::Reload, Question::Watch, Question::Run];
        let all = plain.into_iter().chain(whose);
        for question in all {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Ok(question));
            for at in 0..SIZE {
                let mut other = bytes;
                other[at] ^= 0x80;
                let read = Question::decode(&other);
                assert!(read.is_err() || read.unwrap().encode() == other, "one meaning, one packet");
            }
            let mut behind = bytes;
            behind[SIZE - 1] = 1;
            assert_eq!(Question::decode(&behind), Err(NotAQuestion), "a byte behind it");
        }
        assert_eq!(Question::decode(&[0; SIZE]), Err(NotAQuestion));
        assert_eq!(Question::decode(&[0xff; SIZE]), Err(NotAQuestion));
    }

    #[test]
    fn whose_doors_is_said_by_address_or_by_name() {
        assert_eq!("::1".parse(), Ok(Whose::Address("::1".parse().unwrap())));
        let name = |text: &str| text.parse::<Whose>().map(|whose| whose.to_string());
        assert_eq!(name("192.0.2"), Ok("192.0.2".to_owned()), "a name, since it is no address");
        assert_eq!(name("my laptop\u{1b}"), Ok("my?laptop?".to_owned()));
        assert_eq!(name(&"x".repeat(40)), Ok("x".repeat(NAME)), "as much as the monitor is told");
        assert_eq!(name(""), Err(Nobody));
    }
}
