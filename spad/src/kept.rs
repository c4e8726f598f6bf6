//! What is kept of the configuration that is in force: the text of its spad.toml, and what the host and the site
//! added to it. `spad guard` loads it at boot, when nothing else can be relied on; `spad apply` goes back to it.
//!
//! The file has its full size from the beginning and is written in place, slot by slot (`spa_core::slots`): a full
//! disk cannot refuse it, a power cut costs one slot, and the monitor needs no path.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use spa_core::slots::{self, Newest};

use crate::config::Config;
use crate::firewall::{Interfaces, Plan};

const NAME: &str = "guard";
const FIRST_LINE: &str = "spad guard 1";

/// A configuration that took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its spad.toml.
    pub config: Config,
    /// Where the guard stood: a default route may not be there at boot.
    pub interfaces: Interfaces,
    /// From site.toml, which is secret and perhaps not readable at boot.
    pub spa_port: NonZeroU16,
}

/// Why the kept configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason} (hint: {hint})", path.display())]
pub struct KeptError {
    path: PathBuf,
    reason: String,
    hint: &'static str,
}

const BROKEN: &str = "delete the file; spad writes it anew when it serves";
const OUT_OF_REACH: &str = "run this as root; is the state folder there?";

/// What was read, and whether it is the newest that was written.
#[derive(Debug)]
pub struct Found {
    /// What is kept.
    pub kept: Kept,
    /// The other copy is damaged, and may have been the newer one.
    pub perhaps_older: bool,
}

impl Kept {
    /// What the guard is to do.
    pub fn plan(&self) -> Plan {
        self.config.plan(self.interfaces.clone(), self.spa_port)
    }

    fn encode(&self) -> String {
        let interfaces = match &self.interfaces {
            Interfaces::Any => "any".to_owned(),
            Interfaces::Named(names) => {
                names.iter().fold("named".to_owned(), |line, name| line + " " + name.as_str())
            }
        };
        format!("{FIRST_LINE}\nport {}\ninterfaces {interfaces}\n\n{}", self.spa_port, self.config.text)
    }

    fn decode(text: &str) -> Result<Self, String> {
        let parts = || {
            let (head, config) = text.split_once("\n\n")?;
            let mut lines = head.split('\n');
            let first = lines.next()?;
            let spa_port = lines.next()?.strip_prefix("port ")?.parse().ok()?;
            let mut words = lines.next()?.strip_prefix("interfaces ")?.split(' ');
            let interfaces = match words.next()? {
                "any" => Interfaces::Any,
                "named" => {
                    Interfaces::Named(words.by_ref().map(|name| name.parse().ok()).collect::<Option<_>>()?)
                }
                _ => return None,
            };
            let all = first == FIRST_LINE && words.next().is_none() && lines.next().is_none();
            all.then_some((spa_port, interfaces, config))
        };
        let (spa_port, interfaces, config) = parts().ok_or("it is not of this version of spad")?;
        let config = Config::parse(config).map_err(|fault| fault.to_string())?;
        Ok(Self { config, interfaces, spa_port })
    }
}

/// Reads what is kept; `None` if no configuration ever took over.
pub fn read(state_dir: &Path) -> Result<Option<Found>, KeptError> {
    let path = state_dir.join(NAME);
    let broken = |reason: String| KeptError { path: path.clone(), reason, hint: BROKEN };
    let out_of_reach =
        |error: io::Error| KeptError { path: path.clone(), reason: error.to_string(), hint: OUT_OF_REACH };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(out_of_reach(error)),
    };
    let mode = fs::metadata(&path).map_err(out_of_reach)?.mode();
    // Whoever can write it, decides what is guarded.
    if mode & 0o022 != 0 {
        return Err(broken("others than its owner may write this file".to_owned()));
    }
    let Some(newest) = slots::newest(&bytes).map_err(|error| broken(error.to_string()))? else {
        return Ok(None);
    };
    let text = String::from_utf8(newest.contents).map_err(|error| broken(error.to_string()))?;
    let kept = Kept::decode(&text).map_err(broken)?;
    Ok(Some(Found { kept, perhaps_older: newest.other_is_damaged }))
}

/// Forgets what is kept. Returns whether there was something.
pub fn forget(state_dir: &Path) -> Result<bool, KeptError> {
    let path = state_dir.join(NAME);
    match fs::remove_file(&path).and_then(|()| File::open(state_dir)?.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(KeptError { path, reason: error.to_string(), hint: OUT_OF_REACH }),
    }
}

/// The file, open for writing: the monitor's way to keep something after its sandbox closed.
pub struct Keeper {
    file: File,
    newest: Option<Newest>,
}

impl Keeper {
    /// Opens the file, and makes it with its full size if it is not there or is of another.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(NAME);
        let whole = fs::read(&path).is_ok_and(|bytes| bytes.len() == slots::FILE);
        if !whole {
            make(state_dir, &path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut bytes = vec![0; slots::FILE];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self { file, newest: slots::newest(&bytes).unwrap_or_default() })
    }

    /// What is kept now, if it can be read.
    pub fn kept(&self) -> Option<Kept> {
        let text = str::from_utf8(&self.newest.as_ref()?.contents).ok()?;
        Kept::decode(text).ok()
    }

    /// Keeps this, flushed, in place of the older slot. Nothing is written if it is kept already.
    pub fn keep(&mut self, kept: &Kept) -> io::Result<()> {
        let contents = kept.encode().into_bytes();
        if self.newest.as_ref().is_some_and(|newest| newest.contents == contents && !newest.other_is_damaged)
        {
            return Ok(());
        }
        let (slot, generation) = self.newest.as_ref().map_or((0, 1), |n| (1 - n.slot, n.generation + 1));
        let bytes = slots::encode(generation, &contents).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.write_all_at(&bytes, (slot * slots::SLOT) as u64)?;
        self.file.sync_data()?;
        self.newest = Some(Newest { slot, generation, contents, other_is_damaged: false });
        Ok(())
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Under another name first: a file that is shorter is a damaged one.
fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    let new = state_dir.join("guard.new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let made = file
        .write_all_at(&vec![0; slots::FILE], 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| File::open(state_dir)?.sync_all());
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "format = 1\n\n[capture]\ninterfaces = [\"default-route\"]\n[firewall]\nprotect = [\"tcp/22\"]\n";

    fn kept(port: u16) -> Kept {
        let names = ["eth0", "wg-ö"].map(|name| name.parse().unwrap());
        let interfaces = Interfaces::Named(names.into());
        Kept { config: Config::parse(TEXT).unwrap(), interfaces, spa_port: NonZeroU16::new(port).unwrap() }
    }

    /// An empty folder of this test's own.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("spad-kept-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = folder("again");
        assert!(read(&folder).unwrap().is_none(), "nothing was kept");
        let mut keeper = Keeper::open(&folder).unwrap();
        assert!(read(&folder).unwrap().is_none(), "the file is there, and nothing in it");
        for port in [1001, 1002, 1003] {
            keeper.keep(&kept(port)).unwrap();
            assert_eq!(read(&folder).unwrap().unwrap().kept, kept(port));
            assert_eq!(Keeper::open(&folder).unwrap().kept(), Some(kept(port)));
        }
        assert!(forget(&folder).unwrap());
        assert!(!forget(&folder).unwrap(), "it was forgotten");
        assert!(read(&folder).unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_slot_costs_the_newest_at_most() {
        let folder = folder("damaged");
        let path = folder.join(NAME);
        let mut keeper = Keeper::open(&folder).unwrap();
        keeper.keep(&kept(1001)).unwrap();
        keeper.keep(&kept(1002)).unwrap();
        let good = fs::read(&path).unwrap();
        let mut torn = good.clone();
        torn[slots::SLOT + 700..].fill(0);
        fs::write(&path, &torn).unwrap();
        let found = read(&folder).unwrap().unwrap();
        assert_eq!(found.kept, kept(1001));
        assert!(found.perhaps_older);
        // The next write mends it.
        Keeper::open(&folder).unwrap().keep(&kept(1003)).unwrap();
        let found = read(&folder).unwrap().unwrap();
        assert_eq!((found.kept, found.perhaps_older), (kept(1003), false));

        fs::write(&path, &good[..100]).unwrap();
        let reason = read(&folder).unwrap_err().to_string();
        assert!(reason.contains("no copy in it is whole"), "{reason}");
        fs::write(&path, good).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o620)).unwrap();
        let reason = read(&folder).unwrap_err().to_string();
        assert!(reason.contains("others than its owner"), "{reason}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_what_this_program_writes_is_read() {
        let good = kept(1001).encode();
        assert_eq!(Kept::decode(&good), Ok(kept(1001)));
        #[rustfmt::skip]
        let rows = [
            ("spad guard 1",  "spad guard 2",      "another version"),
            ("port 1001",     "port 0",            "no port"),
            ("port 1001\n",   "",                  "a line is missing"),
            ("named eth0",    "named  eth0",       "a name is empty"),
            ("named eth0",    "named e*th0",       "no name of an interface"),
            ("named eth0",    "any eth0",          "both"),
            ("\n\n",          "\nmore\n\n",        "a line too many"),
            ("tcp/22",        "tcp/0",             "no service"),
        ];
        for (from, to, why) in rows {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && Kept::decode(&bad).is_err(), "{why}");
        }
    }
}
