//! Writes a datagram to a file (`--save-packet`). Whoever has one that was not sent can open the door with it once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::failure::{Failure, Status};
use crate::new_file::NewFile;
use crate::random::Random;
use crate::secret_file::plain;

/// Writes it, in place of what was there.
pub(super) fn write(path: &Path, datagram: &[u8], random: &mut Random) -> Result<(), Failure> {
    put(path, datagram, random).map_err(|error| {
        Failure::new(
            Status::Other,
            format!("cannot write {}: {}", path.display(), plain(&error)),
            "nothing was sent; name a file in a folder where you may write",
        )
    })
}

fn put(path: &Path, datagram: &[u8], random: &mut Random) -> io::Result<()> {
    // A device, a pipe or a link is written to, not replaced.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(datagram);
    }
    let mut file = NewFile::begin(path, None, random)?;
    file.write(datagram)?;
    file.replace()
}
