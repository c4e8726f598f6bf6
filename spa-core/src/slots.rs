//! A file of two slots, written in turn, so that one is whole whatever happens while the other is written. The bytes
//! only; who owns the file opens, writes and flushes it.
//!
//! ```text
//! slot (SLOT bytes): magic (8) | generation (8) | length (4) | contents | zeros | checksum of all before (8)
//! ```

use crate::journal::checksum;
use crate::reader::Reader;

/// Bytes of one slot.
pub const SLOT: usize = 128 * 1024;
/// Bytes of the file.
pub const FILE: usize = 2 * SLOT;
/// Bytes of the longest contents.
pub const LONGEST: usize = SLOT - HEAD - CHECK;

const MAGIC: [u8; 8] = *b"spaslot1";
const HEAD: usize = MAGIC.len() + 8 + 4;
const CHECK: usize = 8;

/// The newest whole slot of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Which slot: 0 or 1.
    pub slot: usize,
    /// One more than that of the slot before.
    pub generation: u64,
    /// What was written.
    pub contents: Vec<u8>,
    /// The other slot is neither blank nor whole: a write that did not come to its end, or damage.
    pub other_is_damaged: bool,
}

/// Neither slot is whole, and the file is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no copy in it is whole")]
pub struct Broken;

/// A slot with these contents; `None` if they are longer than [`LONGEST`].
pub fn encode(generation: u64, contents: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(contents.len()).ok().filter(|_| contents.len() <= LONGEST)?;
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend_from_slice(&MAGIC);
    slot.extend_from_slice(&generation.to_be_bytes());
    slot.extend_from_slice(&length.to_be_bytes());
    slot.extend_from_slice(contents);
    slot.resize(SLOT - CHECK, 0);
    let check = checksum(&slot);
    slot.extend_from_slice(&check);
    Some(slot)
}

/// The newest whole slot; `None` if nothing was ever written. A file of another length counts as damaged where bytes
/// are missing.
pub fn newest(file: &[u8]) -> Result<Option<Newest>, Broken> {
    let slots = [file.get(..SLOT), file.get(SLOT..FILE)].map(|bytes| bytes.map_or(Slot::Damaged, read));
    let damaged = slots.contains(&Slot::Damaged);
    let whole = slots.into_iter().enumerate().filter_map(|(slot, read)| match read {
        Slot::Whole { generation, contents } => {
            Some(Newest { slot, generation, contents: contents.to_vec(), other_is_damaged: damaged })
        }
        Slot::Blank | Slot::Damaged => None,
    });
    match whole.max_by_key(|newest| newest.generation) {
        None if damaged => Err(Broken),
        newest => Ok(newest),
    }
}

#[derive(PartialEq, Eq)]
enum Slot<'a> {
    Blank,
    Damaged,
    Whole { generation: u64, contents: &'a [u8] },
}

fn read(bytes: &[u8]) -> Slot<'_> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Blank;
    }
    parse(bytes).map_or(Slot::Damaged, |(generation, contents)| Slot::Whole { generation, contents })
}

fn parse(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (rest, check) = bytes.split_last_chunk::<CHECK>()?;
    if checksum(rest) != *check {
        return None;
    }
    let mut r = Reader::new(rest);
    if *r.array().ok()? != MAGIC {
        return None;
    }
    let generation = r.u64().ok()?;
    let length = usize::try_from(r.u32().ok()?).ok()?;
    Some((generation, r.bytes(length).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose slots hold these generations; 0 is a blank one.
    fn file(generations: [u64; 2]) -> Vec<u8> {
        let slot = |generation: u64| match generation {
            0 => vec![0; SLOT],
            _ => encode(generation, format!("contents {generation}").as_bytes()).unwrap(),
        };
        generations.map(slot).concat()
    }

    /// The generation that is read: 0 where nothing was written, `None` where the file is broken.
    fn generation(file: &[u8]) -> Option<u64> {
        newest(file).ok().map(|newest| newest.map_or(0, |newest| newest.generation))
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let flipped = |generations, at: usize| {
            let mut file = file(generations);
            file[at] ^= 4;
            file
        };
        #[rustfmt::skip]
        let rows = [
            // file, generation, why
            (file([0, 0]),                   Some(0), "nothing was written yet"),
            (file([1, 0]),                   Some(1), "the first write"),
            (file([1, 2]),                   Some(2), "written in turn"),
            (file([3, 2]),                   Some(3), "round again"),
            (flipped([3, 2], 9),             Some(2), "a bit of the newest slot, in the generation"),
            (flipped([3, 2], 30),            Some(2), "in the contents"),
            (flipped([3, 2], SLOT - 9),      Some(2), "in the zeros"),
            (flipped([3, 2], SLOT - 1),      Some(2), "in the checksum"),
            (flipped([3, 2], SLOT + 30),     Some(3), "a bit of the older slot"),
            (flipped([1, 0], 30),            None,    "the only slot"),
            (flipped([0, 0], 30),            None,    "a bit of nothing"),
            (file([3, 2])[..FILE - 1].into(), Some(3), "a byte is missing at the end"),
            (file([1, 2])[..SLOT + 5].into(), Some(1), "cut in the newest slot"),
            (file([1, 2])[..SLOT - 1].into(), None,    "cut in the first"),
            (Vec::new(),                     None,    "cut to nothing: it was made with its full length"),
        ];
        for (file, expected, why) in rows {
            assert_eq!(generation(&file), expected, "{why}");
        }
    }

    #[test]
    fn damage_of_the_other_slot_is_told() {
        let mut file = file([1, 2]);
        assert!(!newest(&file).unwrap().unwrap().other_is_damaged);
        file[SLOT] ^= 1;
        let found = newest(&file).unwrap().unwrap();
        assert_eq!((found.slot, found.other_is_damaged), (0, true));
        assert_eq!(found.contents, b"contents 1");
    }

    #[test]
    fn contents_have_a_longest_length() {
        assert_eq!(encode(1, &vec![7; LONGEST]).map(|slot| slot.len()), Some(SLOT));
        assert_eq!(encode(1, &vec![7; LONGEST + 1]), None);
    }
}
