//! The journal's bytes: two files of one size, written in turn, each a header and records of 32 bytes. What lies behind
//! the last record is zero. Anything else than valid records followed by zeros is damage, and damage means that nothing
//! is admitted until no old datagram can be fresh: a wait of a minute is cheaper than a door opened twice.

use std::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

use crate::crypto::key::{KeyId, SiteId};
use crate::profile::JournalEpoch;
use crate::reader::Reader;
use crate::replay::Record;
use crate::request::RequestId;
use crate::time::UnixMillis;

/// Bytes of a record.
pub const RECORD: usize = 32;
/// Bytes of a header, a whole number of records.
pub const HEADER: usize = 96;
/// Records that a new file has room for: 2 MiB each, half a minute of knocks at two thousand a second.
pub const CAPACITY: usize = 65_536;

const MAGIC: [u8; 8] = *b"spa1jrnl";

/// Ties secrets and memory to one machine, so that an image or a backup does not make two sites of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineHash(pub [u8; 16]);

impl MachineHash {
    /// The first 16 bytes of SHA-256(`spa1 machine` ‖ site id ‖ machine id without surrounding blanks).
    pub fn of(site: SiteId, machine_id: &str) -> Self {
        let hash = Sha256::new().chain_update("spa1 machine").chain_update(site.0);
        let hash: [u8; 32] = hash.chain_update(machine_id.trim()).finalize().into();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Self(first)
    }
}

/// What stands at the front of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts the times that the journal was written anew; the higher one is the valid file.
    pub generation: u64,
    /// Named anew after each loss.
    pub epoch: JournalEpoch,
    /// Begun with its site, not after a loss: what it does not hold was never admitted.
    pub settled: bool,
    /// Whose it is.
    pub site: SiteId,
    /// On which machine.
    pub machine: MachineHash,
    /// Records that the file has room for.
    pub capacity: u64,
}

impl Header {
    /// Its bytes. Where a successor is being written stand zeros, so that a crash meanwhile is no damage.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((front, behind)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                front.copy_from_slice(field);
                rest = behind;
            }
        };
        put(&MAGIC);
        put(&self.generation.to_be_bytes());
        put(&self.epoch.0);
        put(&u64::from(self.settled).to_be_bytes());
        put(&self.site.0);
        put(&self.machine.0);
        put(&self.capacity.to_be_bytes());
        let check = checksum(&bytes[..HEADER - 8]);
        bytes[HEADER - 8..].copy_from_slice(&check);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        if *r.array().ok()? != MAGIC {
            return None;
        }
        let header = Self {
            generation: r.u64().ok()?,
            epoch: JournalEpoch(*r.array().ok()?),
            settled: r.u64().ok()? == 1,
            site: SiteId(*r.array().ok()?),
            machine: MachineHash(*r.array().ok()?),
            capacity: r.u64().ok()?,
        };
        // Encoding anew also checks the checksum and the zeros before it.
        (header.encode() == *bytes).then_some(header)
    }

    /// The bytes of the record in slot `slot` of this file.
    pub fn record(&self, slot: u64, record: Entry) -> [u8; RECORD] {
        let (kind, key_id, time, id) = match record {
            Entry::Memory(Record::Admitted { key_id, time, id }) => (1, key_id.0, time.get(), id.0),
            Entry::Memory(Record::Floor { key_id, time }) => (2, key_id.0, time.get(), [0; 8]),
            Entry::Memory(Record::SiteFloor(time)) => (3, 0, time.get(), [0; 8]),
            Entry::Memory(Record::Settled) => (4, 0, 0, [0; 8]),
            Entry::Superseded => (5, 0, 0, [0; 8]),
        };
        let mut bytes = [0; RECORD];
        bytes[0] = kind;
        bytes[4..8].copy_from_slice(&u32::to_be_bytes(key_id));
        bytes[8..16].copy_from_slice(&u64::to_be_bytes(time));
        bytes[16..24].copy_from_slice(&id);
        let check = self.check(slot, &bytes[..24]);
        bytes[24..].copy_from_slice(&check);
        bytes
    }

    /// Which file, which slot, and what: a record that was left from an earlier use of the file does not pass.
    fn check(&self, slot: u64, bytes: &[u8]) -> [u8; 8] {
        let mut sip = SipHasher24::new_with_keys(self.generation, u64::from_be_bytes(self.epoch.0));
        sip.write(&slot.to_be_bytes());
        sip.write(bytes);
        sip.finish().to_be_bytes()
    }

    fn parse(&self, slot: u64, bytes: &[u8; RECORD]) -> Option<Entry> {
        let mut r = Reader::new(bytes);
        let [kind, _, _, _] = *r.array().ok()?;
        let key_id = KeyId(r.u32().ok()?);
        let time = UnixMillis::new(r.u64().ok()?)?;
        let id = RequestId(*r.array().ok()?);
        let entry = match kind {
            1 => Entry::Memory(Record::Admitted { key_id, time, id }),
            2 => Entry::Memory(Record::Floor { key_id, time }),
            3 => Entry::Memory(Record::SiteFloor(time)),
            4 => Entry::Memory(Record::Settled),
            5 => Entry::Superseded,
            _ => return None,
        };
        (self.record(slot, entry) == *bytes).then_some(entry)
    }
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A change of the replay memory.
    Memory(Record),
    /// The other file holds the journal from here on.
    Superseded,
}

pub(crate) fn checksum(bytes: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Zeros where the header would be: never used, or the writing of a successor did not come to its end.
    Blank,
    /// Something that this program does not write.
    Damaged(Vec<Record>),
    /// A journal.
    Whole(Whole),
}

/// A file that is as this program wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its header.
    pub header: Header,
    /// What it says, in order.
    pub records: Vec<Record>,
    /// Whether it says that the other file took over.
    pub superseded: bool,
    /// The first free slot.
    pub next: u64,
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> File {
    let Some((front, body)) = bytes.split_first_chunk::<HEADER>() else { return File::Damaged(Vec::new()) };
    let Some(header) = Header::decode(front) else {
        let blank = front.iter().all(|&byte| byte == 0);
        return if blank { File::Blank } else { File::Damaged(Vec::new()) };
    };
    let (slots, rest) = body.as_chunks::<RECORD>();
    let mut whole = Whole { header, records: Vec::new(), superseded: false, next: 0 };
    let mut sound = rest.is_empty() && slots.len() as u64 == header.capacity;
    for (slot, bytes) in (0..).zip(slots) {
        match header.parse(slot, bytes) {
            Some(entry) if whole.next == slot => {
                whole.next += 1;
                match entry {
                    Entry::Memory(record) => whole.records.push(record),
                    Entry::Superseded => whole.superseded = true,
                }
            }
            // A valid record behind a hole counts all the same: what was admitted once stays known.
            Some(Entry::Memory(record)) => {
                whole.records.push(record);
                sound = false;
            }
            _ => sound &= bytes.iter().all(|&byte| byte == 0),
        }
    }
    if sound { File::Whole(whole) } else { File::Damaged(whole.records) }
}

/// What both files say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Go on with the file at `current` (0 or 1).
    Intact {
        /// Which of the two.
        current: usize,
        /// What it says.
        whole: Whole,
        /// The other file does not yet know that it is superseded.
        unmarked: bool,
    },
    /// Begin anew, unsettled, with what is still known.
    Lost {
        /// For the log.
        why: Loss,
        /// All valid records of both files.
        records: Vec<Record>,
    },
}

/// How a journal was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Neither file is there.
    #[error("is missing")]
    Missing,
    /// A file is not as it was written.
    #[error("is damaged")]
    Damaged,
    /// It was made for another site or on another machine.
    #[error("is from another site or machine")]
    Foreign,
    /// It is older than what this boot has already written.
    #[error("was rolled back to an older state")]
    RolledBack,
}

/// Judges both files. `mark`: how far this boot is known to have come, if it is known.
pub fn load(files: [Option<&[u8]>; 2], site: SiteId, machine: MachineHash, mark: Option<Mark>) -> Loaded {
    let [a, b] = files.map(|bytes| bytes.map(read));
    let lost = |why, files: [Option<File>; 2]| Loaded::Lost { why, records: salvage(files) };
    let (current, whole, other) = match (a, b) {
        (None, None) => return lost(Loss::Missing, [None, None]),
        (Some(File::Whole(a)), Some(File::Whole(b))) => {
            if a.header.generation > b.header.generation {
                (0, a, Some(b))
            } else {
                (1, b, Some(a))
            }
        }
        (Some(File::Whole(a)), Some(File::Blank)) => (0, a, None),
        (Some(File::Blank), Some(File::Whole(b))) => (1, b, None),
        files => return lost(Loss::Damaged, files.into()),
    };
    let generations = other.as_ref().map(|other| (other.header.generation, whole.header.generation));
    let consecutive = generations.is_none_or(|(old, new)| old.checked_add(1) == Some(new));
    let unmarked = other.as_ref().is_some_and(|other| !other.superseded);
    // A file that says it was superseded must not be the newest: the one that took over is gone.
    let why = if whole.superseded || !consecutive {
        Some(Loss::Damaged)
    } else if (whole.header.site, whole.header.machine) != (site, machine) {
        Some(Loss::Foreign)
    } else if mark.is_some_and(|mark| mark.is_ahead_of(&whole)) {
        Some(Loss::RolledBack)
    } else {
        None
    };
    match why {
        None => Loaded::Intact { current, whole, unmarked },
        Some(why) => lost(why, [Some(File::Whole(whole)), other.map(File::Whole)]),
    }
}

fn salvage(files: [Option<File>; 2]) -> Vec<Record> {
    let records = |file| match file {
        Some(File::Whole(whole)) => whole.records,
        Some(File::Damaged(records)) => records,
        Some(File::Blank) | None => Vec::new(),
    };
    // That the lost journal was settled says nothing of its successor.
    files.into_iter().flat_map(records).filter(|record| *record != Record::Settled).collect()
}

/// Bytes of a [`Mark`].
pub const MARK: usize = 64;

/// How far the journal had come, kept where a reboot clears it (`/run`): a journal that is behind it was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which boot (`/proc/sys/kernel/random/boot_id`, hashed): some systems keep `/run`.
    pub boot: [u8; 16],
    /// Which life of the journal. A loss begins generations anew, so that an older life may look further.
    pub epoch: JournalEpoch,
    /// Generation that was being written.
    pub generation: u64,
    /// Records in it.
    pub records: u64,
}

impl Mark {
    /// Its bytes.
    pub fn encode(&self) -> [u8; MARK] {
        let mut bytes = [0; MARK];
        bytes[..8].copy_from_slice(b"spa1mark");
        bytes[8..24].copy_from_slice(&self.boot);
        bytes[24..32].copy_from_slice(&self.epoch.0);
        bytes[32..40].copy_from_slice(&self.generation.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.records.to_be_bytes());
        let check = checksum(&bytes[..MARK - 8]);
        bytes[MARK - 8..].copy_from_slice(&check);
        bytes
    }

    /// Reads it; `None` if it is not one, or of another boot: then nothing is known.
    pub fn decode(bytes: &[u8], boot: [u8; 16]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        r.array::<8>().ok()?;
        let boot_then = *r.array().ok()?;
        let epoch = JournalEpoch(*r.array().ok()?);
        let mark = Self { boot: boot_then, epoch, generation: r.u64().ok()?, records: r.u64().ok()? };
        (mark.boot == boot && mark.encode() == bytes).then_some(mark)
    }

    fn is_ahead_of(&self, whole: &Whole) -> bool {
        let header = whole.header;
        self.epoch != header.epoch || (self.generation, self.records) > (header.generation, whole.next)
    }
}

#[cfg(test)]
mod tests;
