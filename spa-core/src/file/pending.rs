//! `enrolments/NAME.toml`: an enrolment that waits for the server's answer. Secret.

use serde::Deserialize;

use super::{BadFile, Secrecy, fields, parse};
use crate::crypto::key::to_base64;
use crate::enrolment::Begun;
use crate::name::ProfileName;
use zeroize::Zeroizing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingFile {
    #[serde(rename = "format", deserialize_with = "fields::format")]
    _format: (),
    #[serde(deserialize_with = "fields::text")]
    name: ProfileName,
    server: String,
    #[serde(deserialize_with = "fields::base64")]
    secret: [u8; 32],
}

/// Reads the text of one.
pub fn read(text: &str) -> Result<Begun, BadFile> {
    let file: PendingFile = parse(text, Secrecy::Secret)?;
    let bad = || BadFile { line: None, reason: "server is no host".to_owned() };
    Begun::restore(file.name, file.server, *Zeroizing::new(file.secret)).ok_or_else(bad)
}

/// The text of the file.
pub fn write(begun: &Begun) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# An enrolment that waits for the server's answer: spa-client enrol --finish. Secret.\n\
         format = 1\nname = {}\nserver = {}\nsecret = \"{}\"\n",
        fields::write_text(begun.request().name().as_str()),
        fields::write_text(begun.request().server()),
        Zeroizing::new(to_base64(begun.secret().as_slice())).as_str(),
    ))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let mut rng = StdRng::seed_from_u64(1);
        let begun = Begun::new("laptop".parse().unwrap(), "[::1]".to_owned(), &mut rng).unwrap();
        let text = write(&begun);
        assert_eq!(read(&text).map(|begun| begun.request().to_string()), Ok(begun.request().to_string()));
        assert!(read(&text.replace("laptop", "../laptop")).is_err());
        assert!(read(&text.replace("[::1]", "a b")).is_err());
    }
}
