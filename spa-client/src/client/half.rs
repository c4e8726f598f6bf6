//! A client's half in either of its forms, and what else a text may be that somebody takes for one.

use std::path::Path;

use spa_core::file::BadFile;
use spa_core::file::client::ClientFile;
use spa_core::file::encrypted::EncryptedFile;
use spa_core::file::profile::ProfileFile;
use spa_core::file::site::SiteFile;
use zeroize::Zeroizing;

use super::passphrase;
use crate::failure::{Failure, Status};
use crate::secret_file;

/// A text that was read.
pub(super) enum Half {
    /// As it is used.
    Plain(Box<ClientFile>),
    /// Under a passphrase.
    Encrypted(EncryptedFile),
}

impl Half {
    pub(super) fn parse(text: &str) -> Result<Self, BadFile> {
        if EncryptedFile::is_one(text) {
            EncryptedFile::parse(text).map(Self::Encrypted)
        } else {
            ClientFile::parse(text).map(|file| Self::Plain(Box::new(file)))
        }
    }

    /// What the profile calls itself.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Plain(file) => &file.name,
            Self::Encrypted(file) => &file.name,
        }
    }

    /// Its server.
    pub(super) fn server(&self) -> &str {
        match self {
            Self::Plain(file) => &file.server,
            Self::Encrypted(file) => &file.server,
        }
    }

    /// What can be used, and its text if a passphrase was needed for it.
    pub(super) fn open(
        self,
        path: &Path,
        passphrase: Option<&Path>,
    ) -> Result<(ClientFile, Option<Zeroizing<String>>), Failure> {
        let sealed = match self {
            Self::Plain(file) => return Ok((*file, None)),
            Self::Encrypted(sealed) => sealed,
        };
        let passphrase = passphrase::of(&sealed.name, passphrase)?;
        let text = sealed.open(&passphrase).map_err(|bad| {
            let hint = "type it again; if it is forgotten, get a new profile: nobody can open this one";
            Failure::new(Status::File, format!("{}: {bad}", path.display()), hint)
        })?;
        let file = ClientFile::parse(&text)
            .map_err(|bad| secret_file::refuse(path, &bad, "get the profile anew from its server"))?;
        Ok((file, Some(text)))
    }
}

/// What a text is that is no client's half, if that can be told: a sentence, and what to do with it.
pub(super) fn what_else(text: &str) -> Option<(&'static str, &'static str)> {
    let begins = |word: &str| text.trim_start().starts_with(word);
    let has_line = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    #[rustfmt::skip]
    let kinds = [
        (ProfileFile::parse(text).is_ok(),
         "the server's half of a profile, which stays on the server",
         "take the client's half, NAME.spa.toml; or get a profile with spa-client enrol HOST"),
        (SiteFile::parse(text).is_ok(),
         "a server's site.toml, which must never leave it",
         "take the client's half that spa-keygen made, NAME.spa.toml"),
        (begins("spa-answer:"),
         "a server's answer to an enrolment",
         "use it with spa-client enrol --finish LINE"),
        (begins("spa-enrol:"),
         "a client's line of an enrolment",
         "use it on the server with spa-keygen accept LINE --open SERVICE"),
        (has_line("[capture]") && has_line("[firewall]"),
         "the configuration of a server, spad.toml",
         "take the client's half that spa-keygen made, NAME.spa.toml"),
        (has_line("SPA_SERVER") || has_line("KEY_BASE64") || has_line("HMAC_KEY"),
         "a configuration of fwknop, whose protocol is another",
         "make a profile on the server with spa-keygen, or get one with spa-client enrol HOST"),
        (begins("-----BEGIN"),
         "a key or certificate of another program",
         "take the client's half that spa-keygen made, NAME.spa.toml"),
    ];
    kinds.into_iter().find(|(is, ..)| *is).map(|(_, what, hint)| (what, hint))
}
