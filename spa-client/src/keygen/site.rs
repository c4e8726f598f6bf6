//! The site: made with the first profile, read for the others.

use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::path::Path;

use rand::Rng as _;
use spa_core::crypto::key::{KeyId, SiteId, SiteKey};
use spa_core::file::site::SiteFile;
use spa_core::journal::{Loss, MachineHash};

use super::folder::{Folders, cannot};
use super::journal::{self, Journal};
use super::{machine, port};
use crate::failure::{Failure, Status};
use crate::new_file::{Created, NewFile};
use crate::owner::owner_in;
use crate::random::Random;
use crate::secret_file::{self, quoted};

/// A site, and what its journal says.
pub(super) struct Site {
    pub(super) file: SiteFile,
    pub(super) journal: Result<Journal, Loss>,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

impl Site {
    /// Keys that the journal remembers; none of their ids may be used again.
    pub(super) fn key_ids(&self) -> &[KeyId] {
        self.journal.as_ref().map_or(&[], |journal| &journal.key_ids)
    }

    /// The site of these folders, which is there.
    pub(super) fn load(folders: &Folders) -> Result<Self, Failure> {
        read(folders, &folders.site(), None, &machine::id())
    }

    /// The site of these folders. `port`: what it must have, or is to get.
    pub(super) fn load_or_make(
        folders: &Folders,
        port: Option<NonZeroU16>,
        machine_id: &str,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let path = folders.site();
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(folders, &path, port, machine_id, random)
            }
            Err(error) => Err(cannot("read", &path, &error)),
            Ok(_) => read(folders, &path, port, machine_id),
        }
    }
}

fn read(folders: &Folders, path: &Path, port: Option<NonZeroU16>, machine_id: &str) -> Result<Site, Failure> {
    let text = secret_file::read(path)?.text;
    let file = SiteFile::parse(&text)
        .map_err(|bad| secret_file::refuse(path, &bad, "correct the file, or bring it back from a backup"))?;
    let machine = MachineHash::of(file.id, machine_id);
    if machine != file.machine() {
        // Two machines with one site would each open a door for the same datagram.
        let hint =
            "make a new site here: move site.toml, profiles and the journal away and run spa-keygen again";
        return Err(Failure::new(
            Status::File,
            format!("{} belongs to another machine", path.display()),
            hint,
        ));
    }
    if let Some(wished) = port.filter(|&wished| wished != file.port) {
        let sentence = format!("the site has UDP port {} and cannot have {wished} as well", file.port);
        let hint =
            "leave --port away; to move the site, change the port in site.toml and in every client's half";
        return Err(Failure::new(Status::File, sentence, hint));
    }
    let journal = journal::read(&folders.journal(), file.id, machine);
    Ok(Site { file, journal, is_new: false })
}

/// The journal first and site.toml last: after a crash there is a whole site or none.
fn make(
    folders: &Folders,
    path: &Path,
    port: Option<NonZeroU16>,
    machine_id: &str,
    random: &mut Random,
) -> Result<Site, Failure> {
    let journal = folders.journal();
    if journal.iter().any(|file| file.symlink_metadata().is_ok()) {
        let [a, b] = journal.each_ref().map(|file| quoted(file));
        let sentence =
            format!("there is a replay journal in {}, but no {}", folder_of(&journal[0]), path.display());
        let hint = format!("bring back site.toml; or, if that site is gone for good: rm -f {a} {b}");
        return Err(Failure::new(Status::File, sentence, hint));
    }
    let mut id = [0; 16];
    random.fill_bytes(&mut id);
    let id = SiteId(id);
    let machine = MachineHash::of(id, machine_id);
    let port = port.or_else(|| port::unused(random)).ok_or_else(|| {
        Failure::new(Status::Other, "every port from 10000 to 32767 is used", "choose one yourself: --port N")
    })?;
    let file = SiteFile::new(id, SiteKey::random(random), port, machine);
    let (journal, created) = journal::make(&journal, id, machine, random)?;
    let made = NewFile::begin(path, owner_in(&folders.profiles()), random).and_then(|mut new| {
        new.write(zeroize::Zeroizing::new(file.to_text()).as_bytes())?;
        new.publish()
    });
    made.map_err(|error| cannot("make", path, &error))?.keep();
    created.into_iter().for_each(Created::keep);
    Ok(Site { file, journal: Ok(journal), is_new: true })
}

fn folder_of(path: &Path) -> String {
    path.parent().unwrap_or(Path::new(".")).display().to_string()
}
