//! The name of a profile. It becomes a file name on both sides.

use std::fmt;
use std::str::FromStr;

/// 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileName(String);

/// Text that is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a name: use 1 to 32 letters, digits, dots, dashes and underscores, the first no dot and no dash"
)]
pub struct BadName;

impl ProfileName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProfileName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }
}

/// The rule for all names that an operator gives: they stand in files, in logs and in environments.
pub(crate) fn is_name(text: &str) -> bool {
    let sign = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=32).contains(&text.len()) && text.bytes().all(sign) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_everywhere() {
        #[rustfmt::skip]
        let rows = [
            ("laptop",            true),
            ("a",                 true),
            ("Anna_2.old-phone",  true),
            ("7",                 true),
            ("",                  false),
            (".hidden",           false),
            ("..",                false),
            ("-dash",             false),
            ("a/b",               false),
            ("a b",               false),
            ("a\"b",              false),
            ("b\u{fc}ro",         false),
        ];
        for (text, good) in rows {
            assert_eq!(text.parse::<ProfileName>().is_ok(), good, "{text:?}");
        }
        assert!("a".repeat(32).parse::<ProfileName>().is_ok());
        assert!("a".repeat(33).parse::<ProfileName>().is_err());
    }
}
