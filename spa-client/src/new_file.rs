//! Writing files so that there is the whole file or none: under a temporary name in the same folder, flushed, and only
//! then given its name. Files are their owner's alone (0600) from their first byte on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand::Rng as _;

use crate::owner::{Owner, give};
use crate::random::Random;

/// A file in the making. Dropping it removes it.
pub(crate) struct NewFile {
    file: File,
    temporary: Removed,
    target: PathBuf,
}

impl NewFile {
    /// Begins a file that is to be called `target`.
    pub(crate) fn begin(target: &Path, owner: Owner, random: &mut Random) -> io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(format!(".{:016x}.new", random.next_u64()));
        let temporary = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&temporary)?;
        let new = Self { file, temporary: Removed(Some(temporary)), target: target.to_owned() };
        give(&new.file, owner)?;
        Ok(new)
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives the file its name, unless something has that name already.
    pub(crate) fn publish(self) -> io::Result<Created> {
        self.file.sync_all()?;
        let Self { file: _, mut temporary, target } = self;
        temporary.rename_new(&target)?;
        let created = Created(Removed(Some(target.clone())));
        sync_folder_of(&target)?;
        Ok(created)
    }

    /// Gives the file its name, in place of what had it before.
    pub(crate) fn replace(self) -> io::Result<()> {
        self.file.sync_all()?;
        let Self { file: _, mut temporary, target } = self;
        if let Some(path) = &temporary.0 {
            fs::rename(path, &target)?;
        }
        temporary.0 = None;
        sync_folder_of(&target)
    }
}

/// A file that was made and that goes again unless all that belongs to it could be made.
#[must_use]
pub(crate) struct Created(Removed);

impl Created {
    /// Leaves the file where it is.
    pub(crate) fn keep(mut self) {
        self.0.0 = None;
    }
}

/// Removes a file when dropped.
struct Removed(Option<PathBuf>);

impl Removed {
    fn rename_new(&mut self, target: &Path) -> io::Result<()> {
        let Some(temporary) = &self.0 else { return Ok(()) };
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.0 = None;
                    return Ok(());
                }
                // A filesystem that cannot: it may be able to link.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A second name is refused where there is a file; the temporary one goes when this is dropped.
        fs::hard_link(temporary, target)
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a name as durable as what it names. Elsewhere than on Unix a folder cannot be opened.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::random::random;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn there_is_the_whole_file_or_none() {
        let folder = std::env::temp_dir().join(format!("spa-new-file-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut random = random().unwrap();
        let target = folder.join("a");

        let mut begun = NewFile::begin(&target, None, &mut random).unwrap();
        begun.write(b"half").unwrap();
        assert!(!target.exists());
        drop(begun);
        assert_eq!(names(&folder), [""; 0]);

        let mut first = NewFile::begin(&target, None, &mut random).unwrap();
        first.write(b"first").unwrap();
        first.publish().unwrap().keep();
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o7777, 0o600);

        let mut second = NewFile::begin(&target, None, &mut random).unwrap();
        second.write(b"second").unwrap();
        assert_eq!(second.publish().err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(names(&folder), ["a"]);

        let mut third = NewFile::begin(&target, None, &mut random).unwrap();
        third.write(b"third").unwrap();
        third.replace().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"third");

        let begun = NewFile::begin(&folder.join("b"), None, &mut random).unwrap();
        drop(begun.publish().unwrap());
        assert_eq!(names(&folder), ["a"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
