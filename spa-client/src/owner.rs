//! To whom files belong that root makes in somebody else's folder: a file that its user cannot read is none for him.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Whom a new file is to belong to; `None`: whoever runs the program.
pub(crate) type Owner = Option<(u32, u32)>;

/// The owner of what is there, if it is not root's and root is asking.
#[cfg(unix)]
pub(crate) fn owner_of(metadata: &Metadata) -> Owner {
    use std::os::unix::fs::MetadataExt as _;
    (is_root() && metadata.uid() != 0).then(|| (metadata.uid(), metadata.gid()))
}

/// Whether files can be given away at all.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or folder away.
#[cfg(unix)]
pub(crate) fn give(file: &File, owner: Owner) -> io::Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    match std::os::unix::fs::fchown(file, Some(user), Some(group)) {
        // The root of a user namespace sees users that it cannot name; then all stays its own.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        given => given,
    }
}

#[cfg(not(unix))]
pub(crate) fn give(_: &File, _: Owner) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) const fn owner_of(_: &Metadata) -> Owner {
    None
}

#[cfg(not(unix))]
pub(crate) const fn is_root() -> bool {
    false
}

/// The same for what is to be made in a folder.
pub(crate) fn owner_in(folder: &Path) -> Owner {
    folder.metadata().ok().as_ref().and_then(owner_of)
}
