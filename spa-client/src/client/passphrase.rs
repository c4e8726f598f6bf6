//! The passphrase of a profile: from a file that nobody else can read, or from somebody at the terminal. Never from the
//! command line or the environment, which others may see.

use std::path::Path;

use spa_core::envelope::Passphrase;

use crate::failure::{Failure, Status};
use crate::secret_file::{self, plain};

/// The passphrase of a profile that has one.
pub(super) fn of(name: &str, file: Option<&Path>) -> Result<Passphrase, Failure> {
    match file {
        Some(file) => from_file(file),
        None => asked(&format!("Passphrase of the profile {name}: ")),
    }
}

/// A passphrase for a profile that has none; what is typed unseen is typed twice.
pub(super) fn new(name: &str, file: Option<&Path>) -> Result<Passphrase, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    let typed = typed(&format!("New passphrase for the profile {name}: "))?;
    if *typed != *self::typed("The same again: ")? {
        let hint = "type it again; nothing was changed";
        return Err(Failure::new(Status::Other, "the two passphrases differ", hint));
    }
    passphrase(&typed)
}

/// The first line, without its end.
fn from_file(file: &Path) -> Result<Passphrase, Failure> {
    let text = secret_file::read(file)?.text;
    let line = text.lines().next().unwrap_or_default();
    passphrase(line).map_err(|failure| Failure {
        status: Status::File,
        sentence: format!("{}: {}", file.display(), failure.sentence),
        ..failure
    })
}

fn asked(prompt: &str) -> Result<Passphrase, Failure> {
    passphrase(&typed(prompt)?)
}

fn typed(prompt: &str) -> Result<zeroize::Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt).map(zeroize::Zeroizing::new).map_err(|error| {
        let sentence =
            format!("a passphrase is needed, and there is no terminal to ask on: {}", plain(&error));
        Failure::new(
            Status::File,
            sentence,
            "write it to a file of your own (mode 0600): --passphrase-file FILE",
        )
    })
}

fn passphrase(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::new(text.to_owned())
        .map_err(|bad| Failure::new(Status::File, bad.to_string(), "choose another"))
}
