//! The journal on the disk of the world: the steps of `spad/src/journal.rs`, on bytes in memory. The bytes themselves and
//! how they are judged are those of `spa_core::journal`.

use spa_core::journal::{Entry, HEADER, Header, Loaded, Mark, RECORD, load, read};
use spa_core::journal::{File, MachineHash};
use spa_core::profile::JournalEpoch;
use spa_core::replay::{Record, Replay};

use super::disk::{Disk, Trouble};
use super::flaws::Flaw;
use super::site::SITE;

/// The machine on which the server runs.
pub const MACHINE: MachineHash = MachineHash([0x77; 16]);
/// So few that the journal is written anew all the time.
const SLOTS: u64 = 24;

/// A journal that one worker appends to.
pub struct Journal {
    current: usize,
    header: Header,
    next: u64,
    doubtful: bool,
    boot: [u8; 16],
}

/// What the journal says about the past.
pub struct Past {
    pub epoch: JournalEpoch,
    pub settled: bool,
    pub records: Vec<Record>,
}

impl Journal {
    /// What spa-keygen makes together with the site.
    pub fn create(disk: &mut Disk) {
        let (epoch, settled) = (JournalEpoch([1; 8]), true);
        let header = Header { generation: 1, epoch, settled, site: SITE, machine: MACHINE, capacity: SLOTS };
        for file in [0, 1] {
            disk.write(file, 0, &vec![0; at(SLOTS)]).expect("no fuse yet");
        }
        disk.write(0, 0, &header.encode()).expect("no fuse yet");
        disk.process_died();
    }

    /// Reads both files and begins a successor if they are lost; `lost` says so even if that fails.
    pub fn open(
        disk: &mut Disk,
        boot: [u8; 16],
        new_epoch: JournalEpoch,
        flaw: Option<Flaw>,
        lost: &mut bool,
    ) -> Result<(Self, Past), Trouble> {
        let mark = Mark::decode(&disk.mark, boot);
        match load([disk.read(0), disk.read(1)], SITE, MACHINE, mark) {
            Loaded::Intact { current, whole, unmarked } => {
                if unmarked && let Some(File::Whole(old)) = disk.read(1 - current).map(read) {
                    let word = old.header.record(old.next, Entry::Superseded);
                    disk.write(1 - current, at(old.next), &word)?;
                    disk.sync(1 - current)?;
                }
                let (header, next) = (whole.header, whole.next);
                let (epoch, settled) = (header.epoch, header.settled);
                let past = Past { epoch, settled, records: whole.records };
                let journal = Self { current, header, next, doubtful: false, boot };
                journal.note(disk);
                Ok((journal, past))
            }
            Loaded::Lost { records, .. } => {
                *lost = true;
                // Neither zeros nor a header: a crash in between must not leave the other file alone and whole.
                let ruined = if flaw == Some(Flaw::OneFileIsBlankedFirst) { 0 } else { 0xff };
                for (file, byte) in [(0, ruined), (1, ruined), (1, 0)] {
                    disk.write(file, 0, &[byte; HEADER])?;
                    disk.sync(file)?;
                }
                let settled = flaw == Some(Flaw::TheLossIsNotWrittenDown);
                let generation = mark.map_or(0, |mark| mark.generation) + 1;
                let capacity = SLOTS.max(records.len() as u64 * 2);
                let epoch = new_epoch;
                let header = Header { generation, epoch, settled, site: SITE, machine: MACHINE, capacity };
                let mut journal = Self { current: 1, header, next: 0, doubtful: false, boot };
                journal.write_whole(disk, 0, header, &records)?;
                Ok((journal, Past { epoch, settled: false, records }))
            }
        }
    }

    /// The epoch that a new monotonic profile is made in.
    pub const fn epoch(&self) -> JournalEpoch {
        self.header.epoch
    }

    /// Appends and flushes.
    pub fn append(&mut self, disk: &mut Disk, records: &[Record], replay: &Replay) -> Result<(), Trouble> {
        if self.doubtful || self.next + records.len() as u64 >= self.header.capacity {
            return self.rewrite(disk, replay);
        }
        let bytes: Vec<u8> = (self.next..)
            .zip(records)
            .flat_map(|(slot, record)| self.header.record(slot, Entry::Memory(*record)))
            .collect();
        let written = disk.write(self.current, at(self.next), &bytes).and_then(|()| disk.sync(self.current));
        match written {
            Ok(()) => {
                self.next += records.len() as u64;
                self.note(disk);
                Ok(())
            }
            Err(Trouble::Refused) => {
                self.doubtful = true;
                self.rewrite(disk, replay)
            }
            Err(Trouble::Dead) => Err(Trouble::Dead),
        }
    }

    /// Writes the whole memory into the other file.
    pub fn rewrite(&mut self, disk: &mut Disk, replay: &Replay) -> Result<(), Trouble> {
        let records: Vec<Record> = replay.snapshot().collect();
        let capacity = SLOTS.max(records.len() as u64 * 2);
        let header = Header { generation: self.header.generation + 1, capacity, ..self.header };
        let (old, old_header, slot) = (self.current, self.header, self.next);
        self.write_whole(disk, 1 - old, header, &records)?;
        let word = old_header.record(slot, Entry::Superseded);
        match disk.write(old, at(slot), &word).and_then(|()| disk.sync(old)) {
            Err(Trouble::Dead) => Err(Trouble::Dead),
            _ => Ok(()),
        }
    }

    fn write_whole(
        &mut self,
        disk: &mut Disk,
        file: usize,
        header: Header,
        records: &[Record],
    ) -> Result<(), Trouble> {
        disk.write(file, 0, &[0; HEADER])?;
        disk.sync(file)?;
        let mut body: Vec<u8> = (0..)
            .zip(records)
            .flat_map(|(slot, record)| header.record(slot, Entry::Memory(*record)))
            .collect();
        body.resize(at(header.capacity) - HEADER, 0);
        disk.write(file, HEADER, &body)?;
        disk.sync(file)?;
        disk.write(file, 0, &header.encode())?;
        disk.sync(file)?;
        (self.current, self.header, self.next) = (file, header, records.len() as u64);
        self.doubtful = false;
        self.note(disk);
        Ok(())
    }

    fn note(&self, disk: &mut Disk) {
        let Header { epoch, generation, .. } = self.header;
        let mark = Mark { boot: self.boot, epoch, generation, records: self.next };
        disk.mark = mark.encode().to_vec();
    }
}

fn at(slot: u64) -> usize {
    HEADER + usize::try_from(slot).expect("a small file") * RECORD
}
