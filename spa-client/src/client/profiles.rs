//! `spa-client profiles`: what lies in the folder of profiles, and putting things there and away.

mod listing;

use std::fs;
use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};

use spa_core::file::client::ClientFile;
use spa_core::file::encrypted::EncryptedFile;
use spa_core::name::ProfileName;

use super::args::{Args, Profiles};
use super::half::{Half, what_else};
use super::passphrase;
use super::profile::{self, Stored, find, place};
use crate::ask;
use crate::failure::{Failure, Status};
use crate::new_file::NewFile;
use crate::output::{complain, say};
use crate::owner::owner_of;
use crate::random::{Random, random};
use crate::secret_file::{self, plain, quoted};

/// Carries out one of the commands.
pub(super) fn run(args: &Args, what: Option<Profiles>) -> Result<(), Failure> {
    let passphrase = args.passphrase_file.as_deref();
    let what = what.unwrap_or(Profiles::List);
    if args.json && !matches!(what, Profiles::List | Profiles::Show { .. }) {
        return Err(Failure::usage("of the commands for profiles, list and show go with --json"));
    }
    match what {
        Profiles::List => listing::list(args.json),
        Profiles::Show { profile } => listing::show(find(&profile)?, args.json),
        Profiles::Import { from, name, force } => import(&from, name, force),
        Profiles::Remove { profile, force } => remove(&find(&profile)?, force),
        Profiles::Encrypt { profile } => encrypt(find(&profile)?, passphrase),
        Profiles::Decrypt { profile } => decrypt(find(&profile)?, passphrase),
    }
}

fn import(from: &Path, name: Option<ProfileName>, force: bool) -> Result<(), Failure> {
    let is_paste = from == Path::new("-");
    let text = match is_paste {
        true => ask::text("Paste the client's half")?,
        false => secret_file::read(from)?.text,
    };
    let source = if is_paste { "what was pasted".to_owned() } else { from.display().to_string() };
    let half = Half::parse(&text).map_err(|bad| match what_else(&text) {
        Some((what, hint)) => Failure::new(Status::File, format!("{source} is {what}"), hint),
        None if text.trim().is_empty() => Failure::new(
            Status::File,
            format!("{source} is empty"),
            "take the text of NAME.spa.toml, all of it",
        ),
        None => secret_file::refuse(Path::new(&source), &bad, "take the text of NAME.spa.toml, all of it"),
    })?;
    let name = match name {
        Some(name) => name,
        None => half.name().parse().map_err(|bad| {
            let hint = "choose one: spa-client profiles import FILE --name NAME";
            Failure::new(Status::File, format!("the profile's own name is {bad}"), hint)
        })?,
    };
    let mut random = random()?;
    let path = add(&name, &text, force, &mut random)?;
    say(&format!("took in {name}, for {}: {}", half.server(), path.display()));
    if !is_paste {
        complain(&format!("spa-client: it is still in {source} as well: rm {}", quoted(from)));
    }
    Ok(())
}

/// Writes a profile into the folder of profiles; in place of another only if that is wished.
pub(super) fn add(
    name: &ProfileName,
    text: &str,
    force: bool,
    random: &mut Random,
) -> Result<PathBuf, Failure> {
    let folder = profile::folder()?;
    make_folder(&folder)?;
    let path = place(&folder, name.as_str());
    let cannot = |error: std::io::Error| cannot_write(&path, &error);
    let mut file = NewFile::begin(&path, None, random).map_err(cannot)?;
    file.write(text.trim().as_bytes()).and_then(|()| file.write(b"\n")).map_err(cannot)?;
    let is_there = path.symlink_metadata().is_ok();
    if force || (is_there && ask::sure(&format!("There is a profile {name}. Replace it?")) == Some(true)) {
        file.replace().map_err(cannot)?;
    } else {
        file.publish().map_err(cannot)?.keep();
    }
    Ok(path)
}

/// A folder for secrets: its owner's alone.
pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| cannot_write(folder, &error))?;
    secret_file::refuse_loose_folder(folder)
}

/// How it is said that a file could not be made.
pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::AlreadyExists {
        let sentence = format!("{} exists already", path.display());
        return Failure::new(Status::File, sentence, "choose another --name, or replace it with --force");
    }
    let sentence = format!("cannot write {}: {}", path.display(), plain(error));
    Failure::new(Status::Other, sentence, "check the folder and the disk; nothing half-written was left")
}

fn remove(path: &Path, force: bool) -> Result<(), Failure> {
    let name = path.display();
    let metadata = path.symlink_metadata().map_err(|error| {
        Failure::new(Status::File, format!("cannot remove {name}: {}", plain(&error)), "check its name")
    })?;
    if !metadata.is_file() && !metadata.is_symlink() {
        return Err(Failure::new(Status::File, format!("{name} is not a file"), "name the file itself"));
    }
    // Not any file whose path is mistyped: one that is called like a profile, or is one.
    if !path.to_string_lossy().ends_with(profile::ENDING) {
        Stored::read(path.to_owned())?;
    }
    if !force {
        match ask::sure(&format!("Remove {name} for good?")) {
            Some(true) => {}
            Some(false) => {
                return Err(Failure::new(Status::Other, "nothing was removed", "say y to remove it"));
            }
            None => return Err(Failure::usage("there is nobody to ask; --force removes without a question")),
        }
    }
    fs::remove_file(path).map_err(|error| {
        let hint = "it belongs to somebody else; try as that user";
        Failure::new(Status::Other, format!("cannot remove {name}: {}", plain(&error)), hint)
    })?;
    // The last time that a monotonic profile used; without the profile it means nothing.
    let _ = fs::remove_file(path.with_extension("last"));
    say(&format!("removed {name}; its server still has the other half"));
    Ok(())
}

fn encrypt(path: PathBuf, passphrase: Option<&Path>) -> Result<(), Failure> {
    let stored = Stored::read(path)?;
    let Half::Plain(client) = &stored.half else {
        let sentence = format!("{} is under a passphrase already", stored.path.display());
        return Err(Failure::new(
            Status::File,
            sentence,
            "to change it: spa-client profiles decrypt, then encrypt",
        ));
    };
    let passphrase = passphrase::new(&client.name, passphrase)?;
    let mut random = random()?;
    let sealed = EncryptedFile::seal(client, &stored.text, &passphrase, &mut random).map_err(|bad| {
        Failure::new(Status::Other, bad.to_string(), "it takes 64 MiB; nothing was changed")
    })?;
    replace(&stored, &sealed.to_text(), &mut random)?;
    say(&format!("{} is under a passphrase now; nobody can open it without", stored.path.display()));
    if std::io::stdout().is_terminal() {
        complain("The old text may still lie on the disk where it was, and in backups.");
    }
    Ok(())
}

fn decrypt(path: PathBuf, passphrase: Option<&Path>) -> Result<(), Failure> {
    let Stored { path, half, text, handle } = Stored::read(path)?;
    let (_, Some(clear)) = half.open(&path, passphrase)? else {
        let sentence = format!("{} is not under a passphrase", path.display());
        return Err(Failure::new(Status::File, sentence, "use it as it is"));
    };
    let half = Half::parse(&clear).map_err(|bad| secret_file::refuse(&path, &bad, "get the profile anew"))?;
    replace(&Stored { path: path.clone(), half, text, handle }, &clear, &mut random()?)?;
    say(&format!("{} is without a passphrase now", path.display()));
    Ok(())
}

/// Puts another text in the place of a profile, for the same owner.
fn replace(stored: &Stored, text: &str, random: &mut Random) -> Result<(), Failure> {
    // A link is followed, so that what it leads to is replaced, and not the link.
    let path = fs::canonicalize(&stored.path).unwrap_or_else(|_| stored.path.clone());
    let owner = stored.handle.metadata().ok().as_ref().and_then(owner_of);
    let written = NewFile::begin(&path, owner, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.replace()
    });
    written.map_err(|error| cannot_write(&path, &error))
}

/// A whole profile that came by an enrolment.
pub(super) fn add_enrolled(
    name: &ProfileName,
    client: &ClientFile,
    random: &mut Random,
) -> Result<PathBuf, Failure> {
    add(name, &client.to_text(), false, random)
}
