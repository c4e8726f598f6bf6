//! Reading the files that hold keys: only as long as nobody else can.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use spa_core::file::BadFile;
use zeroize::Zeroizing;

use crate::failure::{Failure, Status};

/// No file of ours comes near this size; a device or a disk image does.
pub(crate) const LARGEST: u64 = 64 * 1024;

/// A file that was read, still open: who wants to keep others out meanwhile can lock it.
pub(crate) struct SecretFile {
    pub(crate) text: Zeroizing<String>,
    pub(crate) file: File,
}

/// Reads a file with keys.
///
/// # Errors
/// When it cannot be read, or others than its owner can read or write it.
pub(crate) fn read(path: &Path) -> Result<SecretFile, Failure> {
    read_up_to(path, LARGEST)
}

/// The same of a file that may be so large, in bytes.
pub(crate) fn read_up_to(path: &Path, largest: u64) -> Result<SecretFile, Failure> {
    let name = path.display();
    let unreadable = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "check the name, or copy the file there",
            io::ErrorKind::PermissionDenied => "it belongs to somebody else; try as that user or as root",
            _ => "check the file and the disk that it lies on",
        };
        Failure::new(Status::File, format!("cannot read {name}: {}", plain(&error)), hint)
    };
    // Before it is opened, because opening a pipe would wait for its other end.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(Failure::new(Status::File, format!("{name} is not a file"), "name the file itself"));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    // Of the file that was opened, whatever the name stands for by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if others_have_access(&metadata) {
        return Err(Failure::new(
            Status::File,
            format!("{name} holds keys, and others than its owner have access to it"),
            format!("chmod 600 {}", quoted(path)),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    // At once in its whole size: a string that grows leaves copies of the keys behind.
    text.reserve_exact(usize::try_from(metadata.len().min(largest)).unwrap_or(0) + 1);
    // What is cut off could be read as a whole file with less in it.
    if (&mut file).take(largest + 1).read_to_string(&mut text).map_err(unreadable)? as u64 > largest {
        let sentence = format!("{name} is larger than {} KiB, so it is none of ours", largest / 1024);
        return Err(Failure::new(Status::File, sentence, "check the name"));
    }
    Ok(SecretFile { text, file })
}

/// Refuses a folder in which others than its owner could put a file, or put one in place of another. One that is not
/// there is fine.
pub(crate) fn refuse_loose_folder(folder: &Path) -> Result<(), Failure> {
    if !folder.metadata().is_ok_and(|metadata| others_may_write(&metadata)) {
        return Ok(());
    }
    let sentence =
        format!("{} is a folder for keys, and others than its owner may write there", folder.display());
    Err(Failure::new(Status::File, sentence, format!("chmod go-w {}", quoted(folder))))
}

/// How a file is refused whose text is wrong.
pub(crate) fn refuse(path: &Path, bad: &BadFile, hint: &str) -> Failure {
    let place = bad.line.map(|line| format!(", line {line}")).unwrap_or_default();
    Failure::new(Status::File, format!("{}{place}: {}", path.display(), bad.reason), hint)
}

#[cfg(unix)]
fn others_have_access(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o077 != 0
}

#[cfg(unix)]
fn others_may_write(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o022 != 0
}

#[cfg(not(unix))]
const fn others_may_write(_: &Metadata) -> bool {
    false
}

/// Elsewhere a home folder is its owner's by inheritance, and there is no mode to look at.
#[cfg(not(unix))]
const fn others_have_access(_: &Metadata) -> bool {
    false
}

/// An error of the operating system without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_ascii_lowercase()
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    shell_word(&path.display().to_string())
}

/// A word as a shell takes it.
pub(crate) fn shell_word(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-@:[]+,".contains(c);
    if text.chars().all(safe) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hint_says_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/home/a/laptop.spa.toml")), "/home/a/laptop.spa.toml");
        assert_eq!(quoted(Path::new("/home/a b/it's")), r"'/home/a b/it'\''s'");
        assert_eq!(shell_word("$(true)"), "'$(true)'");
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_is_too_large_is_refused_and_not_cut_off() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("spa-secret-file-{}", std::process::id()));
        for (size, read) in [(99, true), (100, true), (101, false)] {
            std::fs::write(&path, "a".repeat(size)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let found = read_up_to(&path, 100).map(|secret| secret.text.len());
            assert_eq!(found.ok(), read.then_some(size), "{size}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
