//! The replay journal of a new site. It begins settled, because there is nothing that it could have forgotten, so that
//! the first start of spad need not wait.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use rand::Rng as _;
use spa_core::crypto::key::{KeyId, SiteId};
use spa_core::journal::{CAPACITY, HEADER, Header, Loaded, Loss, MachineHash, RECORD, load};
use spa_core::profile::JournalEpoch;
use spa_core::replay::Record;
use spa_core::time::UnixMillis;

use super::folder::cannot;
use crate::failure::Failure;
use crate::new_file::{Created, NewFile};
use crate::owner::owner_in;
use crate::random::Random;

/// What the making of profiles needs of the journal.
pub(super) struct Journal {
    /// Names its life.
    pub(super) epoch: JournalEpoch,
    /// Keys that it remembers; none of their ids may be used again.
    pub(super) key_ids: Vec<KeyId>,
    /// The time of the latest request that was admitted by each key, as its client's clock had it.
    pub(super) last: HashMap<KeyId, UnixMillis>,
}

/// Writes both files, really, zeros included: spad later writes in place, and the disk cannot be full then.
pub(super) fn make(
    paths: &[PathBuf; 2],
    site: SiteId,
    machine: MachineHash,
    random: &mut Random,
) -> Result<(Journal, Vec<Created>), Failure> {
    let mut epoch = [0; 8];
    random.fill_bytes(&mut epoch);
    let epoch = JournalEpoch(epoch);
    let header = Header { generation: 1, epoch, settled: true, site, machine, capacity: CAPACITY as u64 };
    let blank = [0; HEADER];
    let [a, b] = paths;
    let mut created = Vec::new();
    // The file that counts comes last.
    for (path, front) in [(b, blank), (a, header.encode())] {
        let owner = path.parent().and_then(owner_in);
        let made = NewFile::begin(path, owner, random).and_then(|mut file| {
            file.write(&front)?;
            file.write(&vec![0; CAPACITY * RECORD])?;
            file.publish()
        });
        created.push(made.map_err(|error| cannot("make", path, &error))?);
    }
    Ok((Journal { epoch, key_ids: Vec::new(), last: HashMap::new() }, created))
}

/// Reads the journal of a site that is there. A daemon may be writing: what looks damaged is looked at again.
pub(super) fn read(paths: &[PathBuf; 2], site: SiteId, machine: MachineHash) -> Result<Journal, Loss> {
    let mut tries = 3;
    loop {
        let files = paths.each_ref().map(|path| fs::read(path).ok());
        let files = files.each_ref().map(Option::as_deref);
        tries -= 1;
        match load(files, site, machine, None) {
            Loaded::Intact { whole, .. } => {
                let last = last(&whole.records);
                let key_ids = last.keys().copied().collect();
                return Ok(Journal { epoch: whole.header.epoch, key_ids, last });
            }
            Loaded::Lost { why: Loss::Damaged, .. } if tries > 0 => {}
            Loaded::Lost { why, .. } => return Err(why),
        }
    }
}

/// A floor is the time of a request too: of a `close`, or of the latest of those that were forgotten.
fn last(records: &[Record]) -> HashMap<KeyId, UnixMillis> {
    let mut last = HashMap::new();
    for record in records {
        let (Record::Admitted { key_id, time, .. } | Record::Floor { key_id, time }) = *record else {
            continue;
        };
        let latest = last.entry(key_id).or_insert(time);
        *latest = time.max(*latest);
    }
    last
}
