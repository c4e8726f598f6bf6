//! Two journal files and a mark, in memory. What was written is in the page cache; what was flushed survives a power
//! cut; what lies between survives it in part, in any order. A fuse makes the machine die at any byte.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Why a write or flush did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The process, or the machine, is gone.
    Dead,
    /// The disk says no; the process lives.
    Refused,
}

/// How long an interval of bytes stays together when the power fails.
const SECTOR: usize = 16;

#[derive(Clone, Default)]
struct Blob {
    there: bool,
    durable: Vec<u8>,
    cached: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// The files of one state folder, and what `/run` holds.
#[derive(Clone, Default)]
pub struct Disk {
    files: [Blob; 2],
    /// Cleared by a reboot.
    pub mark: Vec<u8>,
    /// Bytes and flushes until somebody pulls the plug.
    pub fuse: Option<usize>,
    /// After so many flushes one fails, and its pages are clean afterwards all the same.
    pub refuses: Option<usize>,
}

impl Disk {
    /// What a process reads; `None` if there is no such file.
    pub fn read(&self, file: usize) -> Option<&[u8]> {
        self.files[file].there.then_some(self.files[file].cached.as_slice())
    }

    /// Writes, and makes the file longer if need be.
    pub fn write(&mut self, file: usize, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        let part = self.fuse.map_or(bytes.len(), |left| left.min(bytes.len()));
        let blob = &mut self.files[file];
        blob.there = true;
        if part > 0 {
            put(&mut blob.cached, at, &bytes[..part]);
            blob.pending.push((at, bytes[..part].to_vec()));
        }
        if let Some(left) = &mut self.fuse {
            if part < bytes.len() {
                return Err(Trouble::Dead);
            }
            *left -= part;
        }
        Ok(())
    }

    /// Flushes one file.
    pub fn sync(&mut self, file: usize) -> Result<(), Trouble> {
        match &mut self.fuse {
            Some(0) => return Err(Trouble::Dead),
            Some(left) => *left -= 1,
            None => {}
        }
        let blob = &mut self.files[file];
        let pending = std::mem::take(&mut blob.pending);
        if self.refuses == Some(0) {
            self.refuses = None;
            // The pages count as clean now; that they never reached the disk shows after a power cut.
            return Err(Trouble::Refused);
        }
        self.refuses = self.refuses.map(|flushes| flushes - 1);
        for (at, bytes) in pending {
            put(&mut blob.durable, at, &bytes);
        }
        Ok(())
    }

    /// The process died; the kernel goes on and flushes when it likes, which is now.
    pub fn process_died(&mut self) {
        self.fuse = None;
        self.refuses = None;
        for file in [0, 1] {
            let _ = self.sync(file);
        }
    }

    /// The power failed: of what was not flushed, any part may have arrived.
    pub fn power_failed(&mut self, random: &mut StdRng) {
        self.fuse = None;
        self.refuses = None;
        self.mark.clear();
        for blob in &mut self.files {
            let in_order = random.random_bool(0.5);
            for (at, bytes) in std::mem::take(&mut blob.pending) {
                let keep = random.random_range(0..=bytes.len());
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    let from = number * SECTOR;
                    if in_order {
                        let part = keep.saturating_sub(from).min(sector.len());
                        put(&mut blob.durable, at + from, &sector[..part]);
                    } else if random.random_bool(0.5) {
                        put(&mut blob.durable, at + from, sector);
                    }
                }
                if in_order && keep < bytes.len() {
                    break;
                }
            }
            blob.cached = blob.durable.clone();
        }
    }

    /// Somebody, or the medium, changes what is stored.
    pub fn vandalise(&mut self, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let blob = &mut self.files[file];
        blob.pending.clear();
        change(&mut blob.cached);
        blob.durable = blob.cached.clone();
    }

    /// The file is gone.
    pub fn remove(&mut self, file: usize) {
        self.files[file] = Blob::default();
    }

    /// The files of an earlier moment, with the mark of now.
    pub fn roll_back(&mut self, earlier: &Self) {
        self.files = earlier.files.clone();
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
