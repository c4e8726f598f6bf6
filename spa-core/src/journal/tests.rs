use super::*;
use crate::fixture::{EPOCH, LAPTOP, SITE, at};

const MACHINE: MachineHash = MachineHash([5; 16]);
const SLOTS: u64 = 8;

fn header(generation: u64) -> Header {
    Header { generation, epoch: EPOCH, settled: true, site: SITE, machine: MACHINE, capacity: SLOTS }
}

fn admitted(time: i64) -> Record {
    Record::Admitted { key_id: LAPTOP, time: at(time), id: RequestId([6; 8]) }
}

fn all_kinds() -> Vec<Record> {
    vec![
        admitted(1),
        Record::Floor { key_id: LAPTOP, time: at(2) },
        Record::SiteFloor(at(3)),
        Record::Settled,
        admitted(4),
    ]
}

fn file(header: &Header, entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    for (slot, entry) in (0..).zip(entries) {
        bytes.extend_from_slice(&header.record(slot, entry));
    }
    bytes.resize(HEADER + usize::try_from(header.capacity).unwrap() * RECORD, 0);
    bytes
}

fn memory(records: Vec<Record>) -> impl Iterator<Item = Entry> {
    records.into_iter().map(Entry::Memory)
}

fn written(generation: u64) -> Vec<u8> {
    file(&header(generation), memory(all_kinds()))
}

fn superseded(generation: u64) -> Vec<u8> {
    file(&header(generation), memory(all_kinds()).chain([Entry::Superseded]))
}

fn blank() -> Vec<u8> {
    vec![0; written(1).len()]
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let expected = |superseded, next| Whole { header: header(7), records: all_kinds(), superseded, next };
    assert_eq!(read(&written(7)), File::Whole(expected(false, 5)));
    assert_eq!(read(&superseded(7)), File::Whole(expected(true, 6)));
    assert_eq!(read(&blank()), File::Blank);
    assert_eq!(read(&[0; HEADER]), File::Blank);
    assert_eq!(read(&[0; HEADER - 1]), File::Damaged(Vec::new()));
    assert_eq!(read(&[]), File::Damaged(Vec::new()));
}

#[test]
fn a_record_counts_only_in_its_own_place() {
    let lonely = header(7);
    #[rustfmt::skip]
    let rows = [
        // written by, into slot, why
        (header(6),                                          0, "an earlier use of the file"),
        (Header { epoch: JournalEpoch([9; 8]), ..header(7) }, 0, "another life of the journal"),
        (header(7),                                          1, "another slot"),
    ];
    for (by, slot, why) in rows {
        let mut bytes = lonely.encode().to_vec();
        bytes.extend_from_slice(&by.record(slot, Entry::Memory(admitted(1))));
        bytes.resize(HEADER + 8 * RECORD, 0);
        assert_eq!(read(&bytes), File::Damaged(Vec::new()), "{why}");
    }
    // Behind a hole it is damage, but what it says is kept.
    let mut bytes = file(&lonely, []);
    bytes[HEADER + 3 * RECORD..HEADER + 4 * RECORD]
        .copy_from_slice(&lonely.record(3, Entry::Memory(admitted(1))));
    assert_eq!(read(&bytes), File::Damaged(vec![admitted(1)]));
}

#[test]
fn both_files_are_judged_together() {
    let salvaged: Vec<Record> = all_kinds().into_iter().filter(|record| *record != Record::Settled).collect();
    let twice = [salvaged.clone(), salvaged.clone()].concat();
    let mut torn = written(7);
    torn[HEADER + 4 * RECORD + 9] ^= 1;
    let elsewhere = MachineHash([8; 16]);
    let foreign = file(&Header { machine: elsewhere, ..header(7) }, memory(all_kinds()));
    let other_site = file(&Header { site: SiteId([8; 16]), ..header(7) }, memory(all_kinds()));
    let mark = |generation, records| Some(Mark { boot: [1; 16], epoch: EPOCH, generation, records });
    let elsewhen = Some(Mark { boot: [1; 16], epoch: JournalEpoch([9; 8]), generation: 1, records: 0 });
    let lost = |why, records: &[Record]| Err((why, records.to_vec()));
    #[rustfmt::skip]
    let rows = [
        // journal.a, journal.b, mark, (current, unmarked) or the loss with what is kept, why
        (Some(written(7)),    Some(blank()),       None,       Ok((0, false)), "the first file"),
        (Some(blank()),       Some(written(7)),    None,       Ok((1, false)), "the second file"),
        (Some(superseded(6)), Some(written(7)),    None,       Ok((1, false)), "took over"),
        (Some(written(8)),    Some(superseded(7)), None,       Ok((0, false)), "took over, the other way round"),
        (Some(written(6)),    Some(written(7)),    None,       Ok((1, true)),  "a crash came before the word"),
        (Some(written(7)),    Some(blank()),       mark(7, 5), Ok((0, false)), "as far as the mark"),
        (Some(written(7)),    Some(blank()),       mark(7, 4), Ok((0, false)), "a crash came before the mark"),
        (Some(written(7)),    Some(blank()),       mark(6, 8), Ok((0, false)), "the mark of the file before"),
        (Some(written(7)),    Some(blank()),       mark(7, 6), lost(Loss::RolledBack, &salvaged), "a record less than the mark"),
        (Some(written(7)),    Some(blank()),       mark(8, 0), lost(Loss::RolledBack, &salvaged), "an older file than the mark"),
        (Some(written(7)),    Some(blank()),       elsewhen,   lost(Loss::RolledBack, &salvaged), "from before a loss that this boot knows"),
        (None,                None,                None,       lost(Loss::Missing, &[]),          "no file"),
        (None,                Some(written(7)),    None,       lost(Loss::Damaged, &salvaged),    "one is missing"),
        (Some(blank()),       Some(blank()),       None,       lost(Loss::Damaged, &[]),          "nothing in them"),
        (Some(superseded(7)), Some(blank()),       None,       lost(Loss::Damaged, &salvaged),    "the one that took over is gone"),
        (Some(superseded(6)), Some(superseded(7)), None,       lost(Loss::Damaged, &twice),       "the same"),
        (Some(superseded(5)), Some(written(7)),    None,       lost(Loss::Damaged, &twice),       "one between them is gone"),
        (Some(written(7)),    Some(written(7)),    None,       lost(Loss::Damaged, &twice),       "a copy"),
        (Some(torn),          Some(superseded(6)), None,       lost(Loss::Damaged, &[&salvaged[..3], &salvaged].concat()), "torn; the rest is kept"),
        (Some(foreign),       Some(blank()),       None,       lost(Loss::Foreign, &salvaged),    "another machine"),
        (Some(other_site),    Some(blank()),       None,       lost(Loss::Foreign, &salvaged),    "another site"),
    ];
    for (a, b, mark, expected, why) in rows {
        let loaded = load([a.as_deref(), b.as_deref()], SITE, MACHINE, mark);
        let found = match loaded {
            Loaded::Intact { current, whole, unmarked } => {
                assert_eq!(whole.records, all_kinds(), "{why}");
                Ok((current, unmarked))
            }
            Loaded::Lost { why, records } => Err((why, records)),
        };
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn a_mark_is_of_one_boot() {
    let mark = Mark { boot: [1; 16], epoch: EPOCH, generation: u64::MAX, records: 3 };
    let bytes = mark.encode();
    assert_eq!(Mark::decode(&bytes, [1; 16]), Some(mark));
    assert_eq!(Mark::decode(&bytes, [2; 16]), None);
    assert_eq!(Mark::decode(&[0; MARK], [0; 16]), None);
    for at in 0..MARK {
        assert_eq!(Mark::decode(&bytes[..at], [1; 16]), None, "cut at {at}");
        let mut flipped = bytes;
        flipped[at] ^= 0x10;
        assert_eq!(Mark::decode(&flipped, [1; 16]), None, "byte {at}");
    }
}

#[test]
fn a_machine_is_known_by_its_id_without_blanks() {
    let hash = MachineHash::of(SITE, "0123456789abcdef\n");
    assert_eq!(hash, MachineHash::of(SITE, "0123456789abcdef"));
    assert_ne!(hash, MachineHash::of(SITE, "0123456789abcdee"));
    assert_ne!(hash, MachineHash::of(SiteId([9; 16]), "0123456789abcdef"));
}
