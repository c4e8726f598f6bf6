//! The journal on disk. What was admitted is here, flushed, before a door is asked for. The bytes are those of
//! `spa_core::journal`; this file opens, locks, reads, appends and rewrites.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use rustix::fs::FlockOperation;
use spa_core::crypto::key::SiteId;
use spa_core::journal::{
    self, CAPACITY, Entry, HEADER, Header, Loaded, Loss, MARK, MachineHash, Mark, RECORD,
};
use spa_core::profile::JournalEpoch;
use spa_core::replay::{Record, Replay};

/// A journal that was opened but not yet locked or read.
pub struct Opened {
    files: [File; 2],
    /// Which of them were there.
    found: [bool; 2],
    mark: Option<File>,
    boot: [u8; 16],
    site: SiteId,
    machine: MachineHash,
}

/// A journal that this process alone appends to.
pub struct Journal {
    files: [File; 2],
    mark: Option<File>,
    boot: [u8; 16],
    current: usize,
    header: Header,
    next: u64,
    /// A write or flush failed, and what the current file holds on disk is not known any more.
    doubtful: bool,
}

/// What the journal says about the past.
pub struct Past {
    /// Names the unbroken life of the journal.
    pub epoch: JournalEpoch,
    /// It was begun with its site: what it does not hold was never admitted.
    pub settled: bool,
    /// What was remembered.
    pub records: Vec<Record>,
    /// Why it had to be begun anew, if it had.
    pub loss: Option<Loss>,
}

impl Opened {
    /// Opens both files, and the mark in `run_dir`, without a path being needed ever again.
    ///
    /// A mark that cannot be opened costs the proof against a rollback within one boot, nothing else.
    pub fn open(state_dir: &Path, run_dir: &Path, site: SiteId, machine: MachineHash) -> io::Result<Self> {
        let paths = ["journal.a", "journal.b"].map(|name| state_dir.join(name));
        let found = [paths[0].exists(), paths[1].exists()];
        let [a, b] = paths.map(|path| open(&path));
        let name: String = site.0[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = fs::create_dir_all(run_dir).and_then(|()| open(&run_dir.join(format!("{name}.mark"))));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = MachineHash::of(site, &boot).0;
        Ok(Self { files: [a?, b?], found, mark: mark.ok(), boot, site, machine })
    }

    /// The descriptors that the sandbox must leave writable.
    pub fn descriptors(&self) -> impl Iterator<Item = &File> {
        self.files.iter().chain(&self.mark)
    }

    /// Waits until no other process appends, then reads. The lock is the kernel's and dies with its holder.
    pub fn lock_and_load(mut self) -> io::Result<(Journal, Past)> {
        rustix::fs::flock(&self.files[0], FlockOperation::LockExclusive)?;
        let mut contents = [Vec::new(), Vec::new()];
        for (file, content) in self.files.iter_mut().zip(&mut contents) {
            file.read_to_end(content)?;
        }
        let mut mark = [0; MARK];
        let known = self.mark.as_ref().filter(|file| file.read_exact_at(&mut mark, 0).is_ok());
        let known = known.and_then(|_| Mark::decode(&mark, self.boot));
        let files = [0, 1].map(|i| self.found[i].then_some(contents[i].as_slice()));
        let Self { files: handles, mark, boot, site, machine, .. } = self;
        match journal::load(files, site, machine, known) {
            Loaded::Intact { current, whole, unmarked } => {
                let header = whole.header;
                let mut journal = Journal {
                    files: handles,
                    mark,
                    boot,
                    current,
                    header,
                    next: whole.next,
                    doubtful: false,
                };
                if unmarked {
                    journal.supersede(&contents[1 - current])?;
                }
                journal.note();
                let (epoch, settled) = (header.epoch, header.settled);
                Ok((journal, Past { epoch, settled, records: whole.records, loss: None }))
            }
            Loaded::Lost { why, records } => {
                let mut epoch = [0; 8];
                rand::rng().fill_bytes(&mut epoch);
                let generation = known.map_or(0, |mark| mark.generation);
                let header = Header {
                    generation,
                    epoch: JournalEpoch(epoch),
                    settled: false,
                    site,
                    machine,
                    capacity: CAPACITY as u64,
                };
                let mut journal =
                    Journal { files: handles, mark, boot, current: 1, header, next: 0, doubtful: false };
                journal.begin_anew(&records)?;
                let past = Past { epoch: header.epoch, settled: false, records, loss: Some(why) };
                Ok((journal, past))
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

impl Journal {
    /// Appends and flushes. On return the records are on disk; on an error it is not known what is, and only a file
    /// written anew may be trusted: a second flush of the same pages would lie.
    pub fn append(&mut self, records: &[Record], replay: &mut Replay) -> io::Result<()> {
        // The last slot is for the word that the other file took over.
        let full = self.next + records.len() as u64 >= self.header.capacity;
        if full || self.doubtful {
            return self.rewrite(replay);
        }
        let file = &self.files[self.current];
        let appended = write_records(file, &self.header, self.next, records).and_then(|()| file.sync_data());
        if appended.is_err() {
            self.doubtful = true;
            return self.rewrite(replay);
        }
        self.next += records.len() as u64;
        self.note();
        Ok(())
    }

    /// Writes the whole memory into the other file.
    fn rewrite(&mut self, replay: &mut Replay) -> io::Result<()> {
        let needed = replay.snapshot().count();
        let other = 1 - self.current;
        let room = length(&self.files[other])?.saturating_sub(HEADER as u64) / RECORD as u64;
        let wanted = (needed as u64 * 4).max(CAPACITY as u64).next_power_of_two();
        // Without room on the disk the oldest requests are forgotten, which raises floors and lets nothing in twice.
        let capacity = if room >= wanted || grow(&self.files[other], wanted).is_ok() {
            wanted.max(room)
        } else {
            replay.forget_down_to(usize::try_from(room / 2).unwrap_or(usize::MAX));
            room
        };
        let records: Vec<Record> = replay.snapshot().collect();
        if records.len() as u64 >= capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let header = Header { generation: self.header.generation + 1, capacity, ..self.header };
        // A snapshot of a settled memory says so itself; the flag of the header is that of the epoch's beginning.
        write_whole(&self.files[other], &header, &records)?;
        let old = (self.current, self.header, self.next);
        (self.current, self.header, self.next) = (other, header, records.len() as u64);
        self.doubtful = false;
        let (file, old_header, slot) = (&self.files[old.0], old.1, old.2);
        // Should this not reach the disk, the next start does it again.
        let word = old_header.record(slot, Entry::Superseded);
        let _ = file.write_all_at(&word, offset(slot)).and_then(|()| file.sync_data());
        self.note();
        Ok(())
    }

    /// A file that was superseded, but a crash came before the word.
    fn supersede(&mut self, content: &[u8]) -> io::Result<()> {
        if let journal::File::Whole(old) = journal::read(content) {
            let file = &self.files[1 - self.current];
            file.write_all_at(&old.header.record(old.next, Entry::Superseded), offset(old.next))?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// Begins a successor after a loss. Both headers become damage first: a crash at any moment must not leave an old
    /// file that looks whole beside one that looks blank.
    fn begin_anew(&mut self, records: &[Record]) -> io::Result<()> {
        for file in &self.files {
            file.write_all_at(&[0xff; HEADER], 0)?;
            file.sync_data()?;
        }
        self.files[1].write_all_at(&[0; HEADER], 0)?;
        self.files[1].sync_data()?;
        self.header.generation += 1;
        self.header.capacity = self.header.capacity.max((records.len() as u64 * 4).next_power_of_two());
        for file in &self.files {
            grow(file, self.header.capacity)?;
        }
        self.current = 0;
        write_whole(&self.files[0], &self.header, records)?;
        self.next = records.len() as u64;
        self.note();
        Ok(())
    }

    /// Tells `/run` how far the journal has come.
    fn note(&self) {
        let Header { epoch, generation, .. } = self.header;
        let mark = Mark { boot: self.boot, epoch, generation, records: self.next };
        if let Some(file) = &self.mark {
            // A full /run costs the proof against a rollback, not the knock.
            let _ = file.write_all_at(&mark.encode(), 0);
        }
    }
}

const fn offset(slot: u64) -> u64 {
    HEADER as u64 + slot * RECORD as u64
}

fn write_records(file: &File, header: &Header, from: u64, records: &[Record]) -> io::Result<()> {
    let bytes: Vec<u8> = (from..)
        .zip(records)
        .flat_map(|(slot, record)| header.record(slot, Entry::Memory(*record)))
        .collect();
    file.write_all_at(&bytes, offset(from))
}

/// Writes records, zeros, and only then the header that makes them valid.
fn write_whole(file: &File, header: &Header, records: &[Record]) -> io::Result<()> {
    file.write_all_at(&[0; HEADER], 0)?;
    file.sync_data()?;
    write_records(file, header, 0, records)?;
    zero(file, offset(records.len() as u64), offset(header.capacity))?;
    file.set_len(offset(header.capacity))?;
    file.sync_all()?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_data()
}

/// Gives a file room that the disk cannot refuse later.
fn grow(file: &File, capacity: u64) -> io::Result<()> {
    zero(file, length(file)?, offset(capacity))?;
    file.sync_all()
}

/// By `fstat`: the sandbox has no `statx`, which the standard library would ask.
fn length(file: &File) -> io::Result<u64> {
    u64::try_from(rustix::fs::fstat(file)?.st_size).map_err(io::Error::other)
}

fn zero(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
