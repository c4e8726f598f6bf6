//! Damage to the journal's bytes, all of it: every cut, every torn write, every single byte changed. A request that was
//! flushed is either still known, or the journal says that it is lost and nothing is admitted.

use spa_core::crypto::key::{KeyId, SiteId};
use spa_core::journal::{Entry, HEADER, Header, Loaded, MachineHash, Mark, RECORD, load};
use spa_core::profile::JournalEpoch;
use spa_core::replay::Record;
use spa_core::request::RequestId;
use spa_core::time::UnixMillis;

const SITE: SiteId = SiteId([1; 16]);
const MACHINE: MachineHash = MachineHash([2; 16]);
const SLOTS: u64 = 8;
const FLUSHED: usize = 5;

fn header(generation: u64) -> Header {
    let epoch = JournalEpoch([3; 8]);
    Header { generation, epoch, settled: true, site: SITE, machine: MACHINE, capacity: SLOTS }
}

fn record(number: usize) -> Record {
    let number = u8::try_from(number).unwrap();
    let time = UnixMillis::new(1_795_169_400_000 + u64::from(number)).unwrap();
    Record::Admitted { key_id: KeyId(7), time, id: RequestId([number; 8]) }
}

fn file(generation: u64, records: usize, superseded: bool) -> Vec<u8> {
    let header = header(generation);
    let mut bytes = header.encode().to_vec();
    let entries = (0..records).map(|number| Entry::Memory(record(number)));
    for (slot, entry) in (0..).zip(entries.chain(superseded.then_some(Entry::Superseded))) {
        bytes.extend_from_slice(&header.record(slot, entry));
    }
    bytes.resize(HEADER + 8 * RECORD, 0);
    bytes
}

fn mark(records: usize) -> Option<Mark> {
    Some(Mark { boot: [4; 16], epoch: header(7).epoch, generation: 7, records: records as u64 })
}

/// Every state in which the journal is found whole, with five flushed records in the current file.
fn states() -> Vec<([Vec<u8>; 2], usize, &'static str)> {
    let blank = vec![0; HEADER + 8 * RECORD];
    vec![
        ([file(7, FLUSHED, false), blank.clone()], 0, "the first file alone"),
        ([file(6, 3, true), file(7, FLUSHED, false)], 1, "the second took over"),
        ([file(7, FLUSHED, false), file(6, 3, true)], 0, "the first took over"),
        ([file(6, 3, false), file(7, FLUSHED, false)], 1, "a crash came before the word"),
        ([blank, file(7, FLUSHED, false)], 1, "the next one was being written"),
    ]
}

/// The rule. `known`: all that was flushed, and what else may be in the file.
fn holds(files: [&[u8]; 2], mark: Option<Mark>, what: &str) {
    if let Loaded::Intact { whole, .. } = load(files.map(Some), SITE, MACHINE, mark) {
        for number in 0..FLUSHED {
            assert!(whole.records.contains(&record(number)), "{what}: intact without record {number}");
        }
    }
}

#[test]
fn as_it_was_written_it_is_whole() {
    for (files, current, state) in states() {
        let loaded = load([Some(&files[0]), Some(&files[1])], SITE, MACHINE, mark(FLUSHED));
        let Loaded::Intact { current: found, whole, .. } = loaded else { panic!("{state}: lost") };
        assert_eq!((found, whole.records.len()), (current, FLUSHED), "{state}");
    }
}

#[test]
fn every_byte_changed_in_every_way() {
    for (files, _, state) in states() {
        for (which, at) in [0, 1].into_iter().flat_map(|w| (0..files[0].len()).map(move |at| (w, at))) {
            for bits in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, files[which][at]] {
                let mut files = files.clone();
                files[which][at] ^= bits;
                // Without a mark, but for the border of a record, which a single byte does not reach.
                holds(
                    [&files[0], &files[1]],
                    None,
                    &format!("{state}, file {which} byte {at} xor {bits:#x}"),
                );
            }
        }
    }
}

#[test]
fn every_cut_and_every_length() {
    for (files, _, state) in states() {
        for (which, at) in [0, 1].into_iter().flat_map(|w| (0..files[0].len()).map(move |at| (w, at))) {
            let cut = &files[which][..at];
            let short = if which == 0 { [cut, &files[1]] } else { [&files[0], cut] };
            holds(short, None, &format!("{state}, file {which} cut to {at}"));
        }
        for (which, extra) in [(0, 1), (1, 1), (0, RECORD), (1, RECORD)] {
            let mut files = files.clone();
            let longer = files[which].len() + extra;
            files[which].resize(longer, 0);
            holds([&files[0], &files[1]], None, &format!("{state}, file {which} longer by {extra}"));
        }
    }
}

/// From some byte on all is zero, as if it had never been written. At the border of a record only the mark tells.
#[test]
fn torn_at_every_byte() {
    for (files, current, state) in states() {
        for at in 0..files[current].len() {
            let mut files = files.clone();
            files[current][at..].fill(0);
            holds([&files[0], &files[1]], mark(FLUSHED), &format!("{state}, zeros from {at}"));
            let border = at >= HEADER && (at - HEADER).is_multiple_of(RECORD);
            if at >= HEADER && !border {
                holds([&files[0], &files[1]], None, &format!("{state}, zeros from {at}, no mark"));
            }
        }
    }
}

/// The sixth record is being written when the power fails: whatever part of it arrives, the five before it are known.
#[test]
fn an_append_torn_at_every_byte_in_any_order() {
    let appended = header(7).record(FLUSHED as u64, Entry::Memory(record(FLUSHED)));
    let from = HEADER + FLUSHED * RECORD;
    for (files, current, state) in states() {
        for keep in 0..=RECORD {
            for first in [true, false] {
                let mut files = files.clone();
                let part = if first { 0..keep } else { keep..RECORD };
                files[current][from + part.start..from + part.end].copy_from_slice(&appended[part]);
                holds([&files[0], &files[1]], mark(FLUSHED), &format!("{state}, {keep} first {first}"));
            }
        }
    }
}

/// A journal of an earlier moment of this boot, put back whole: the mark alone knows better.
#[test]
fn rolled_back_to_every_earlier_moment() {
    for earlier in 0..FLUSHED {
        let blank = vec![0; HEADER + 8 * RECORD];
        let old = file(7, earlier, false);
        holds([&old, &blank], mark(FLUSHED), &format!("{earlier} records"));
        let older = file(6, FLUSHED, false);
        holds([&older, &blank], mark(earlier), "the file before");
        let loaded = load([Some(&older), Some(&blank)], SITE, MACHINE, mark(earlier));
        assert!(matches!(loaded, Loaded::Lost { .. }), "an older generation than the mark");
    }
}

/// Sectors of one write arrive in any order: each subset of what a successor's file is made of.
#[test]
fn a_successor_half_written_in_any_order() {
    let old = file(6, FLUSHED, false);
    let new = file(7, FLUSHED, false);
    for subset in 0..1_u32 << (SLOTS as usize + 1) {
        let mut half = vec![0; new.len()];
        for part in 0..=SLOTS as usize {
            // Part 0 is the header. It goes last, after a flush: with it, all of the others are there.
            let range =
                if part == 0 { 0..HEADER } else { HEADER + (part - 1) * RECORD..HEADER + part * RECORD };
            if subset & 1 == 0 && subset & (1 << part) != 0 {
                half[range.clone()].copy_from_slice(&new[range]);
            }
        }
        let loaded =
            load([Some(&old), Some(&half)], SITE, MACHINE, mark(0).map(|m| Mark { generation: 6, ..m }));
        let Loaded::Intact { current: 0, whole, .. } = loaded else { panic!("{subset:b}: lost") };
        assert_eq!(whole.records.len(), FLUSHED);
    }
}
