use super::*;
use crate::fixture::*;
use crate::profile::Successor;

const CLOSE: bool = true;
const OPEN: bool = false;

fn monotonic(epoch: JournalEpoch) -> Profile {
    Profile { freshness: Freshness::Monotonic(epoch), ..profile(LAPTOP) }
}

fn settled() -> Replay {
    Replay::restore(EPOCH, true, DEFAULT_SKEW, [])
}

fn admit(
    replay: &mut Replay,
    keyring: &Keyring,
    time: i64,
    id: u8,
    closes: bool,
    clock: i64,
) -> &'static str {
    let verb = if closes { Verb::Close(Vec::new()) } else { open("tcp/22") };
    let bound = bound(keyring, LAPTOP, &request(time, id, verb));
    match replay.admit(bound, now(clock)) {
        Ok(_) => "admit",
        Err((_, reject)) => reject.name(),
    }
}

#[test]
fn a_clock_profile() {
    const MINUTE: i64 = 60_000;
    #[rustfmt::skip]
    let steps = [
        // time, id, verb, server's clock, end, why
        (0,               1, OPEN,  0,           "admit",    "first"),
        (0,               1, OPEN,  0,           "replayed", "the same again"),
        (0,               2, OPEN,  0,           "admit",    "another command of that millisecond"),
        (-MINUTE,         3, OPEN,  0,           "admit",    "exactly the skew behind"),
        (-MINUTE - 1,     3, OPEN,  0,           "skewed",   "one millisecond more"),
        (MINUTE,          3, OPEN,  0,           "admit",    "exactly the skew ahead"),
        (MINUTE + 1,      3, OPEN,  0,           "skewed",   "one millisecond more"),
        (0,               1, OPEN,  60 * MINUTE, "replayed", "known is judged before the clocks"),
        (0,               1, OPEN,  -9 * MINUTE, "replayed", "whatever the clock does"),
        (1,               1, OPEN,  60 * MINUTE, "skewed",   "withheld for an hour"),
        (1000,            1, CLOSE, 1000,        "admit",    "a close"),
        (1000,            1, CLOSE, 1000,        "replayed", "its copy, though at the floor"),
        (1000,            2, OPEN,  1000,        "old",      "an open of the close's millisecond"),
        (999,             2, OPEN,  1000,        "old",      "withheld from before the close"),
        (0,               1, OPEN,  1000,        "old",      "what the close swept away stays unfit"),
        (-5 * MINUTE,     2, OPEN,  1000,        "old",      "below the floor says nothing of clocks"),
        (1001,            2, OPEN,  1000,        "admit",    "right after it"),
        (MINUTE,          3, OPEN,  1000,        "replayed", "above the floor is still known"),
        (-10 * MINUTE,    9, OPEN,  -10 * MINUTE, "old",     "at the floor, and at the creation"),
    ];
    let keyring = Keyring::new([profile(LAPTOP)]);
    let mut replay = settled();
    for (row, (time, id, verb, clock, end, why)) in steps.into_iter().enumerate() {
        assert_eq!(admit(&mut replay, &keyring, time, id, verb, clock), end, "row {row}: {why}");
    }
}

#[test]
fn creation_is_judged_after_the_clocks() {
    let keyring = Keyring::new([profile(LAPTOP)]);
    let created = -600_000;
    #[rustfmt::skip]
    let rows = [
        (created,          created + 5,      "old",    "exactly the creation"),
        (created + 1,      created + 5,      "admit",  "just after it"),
        (created - 60_000, created + 5,      "skewed", "a client that is behind is told so"),
        (created - 1,      created + 59_999, "old",    "made before the profile, clocks agree"),
    ];
    for (time, clock, end, why) in rows {
        assert_eq!(admit(&mut settled(), &keyring, time, 1, OPEN, clock), end, "{why}");
    }
}

#[test]
fn a_monotonic_profile() {
    const YEAR: i64 = 365 * 86_400_000;
    #[rustfmt::skip]
    let steps = [
        (0,              1, OPEN,  YEAR,        "admit",    "the server's clock plays no part"),
        (0,              1, OPEN,  -600_000,    "replayed", "the same again"),
        (-59_999,        2, OPEN,  0,           "admit",    "less than the skew behind the newest"),
        (-60_000,        3, OPEN,  0,           "old",      "exactly the skew behind"),
        (YEAR,           1, OPEN,  0,           "admit",    "a client far ahead"),
        (YEAR - 60_000,  2, OPEN,  0,           "old",      "moves the newest there"),
        (0,              1, OPEN,  0,           "replayed", "known is judged first"),
        (YEAR + 1,       2, CLOSE, 0,           "admit",    "a close"),
        (YEAR,           2, OPEN,  0,           "old",      "below it, though within the skew"),
        (YEAR + 2,       3, OPEN,  0,           "admit",    "above it"),
        (-600_000,       4, OPEN,  0,           "old",      "long gone"),
    ];
    let keyring = Keyring::new([monotonic(EPOCH)]);
    let mut replay = settled();
    for (row, (time, id, verb, clock, end, why)) in steps.into_iter().enumerate() {
        assert_eq!(admit(&mut replay, &keyring, time, id, verb, clock), end, "row {row}: {why}");
    }
}

#[test]
fn a_site_floor_binds_clock_profiles_and_a_lost_epoch_shuts_monotonic_ones() {
    let floor = [Record::SiteFloor(at(0)), Record::Settled];
    let lost = JournalEpoch([9; 8]);
    #[rustfmt::skip]
    let rows = [
        // profile, journal settles, time, end, why
        (profile(LAPTOP),   false, 1, "unsettled", "nothing before it is settled"),
        (profile(LAPTOP),   true,  0, "old",       "at the site floor"),
        (profile(LAPTOP),   true,  1, "admit",     "above it"),
        (monotonic(EPOCH),  true,  0, "admit",     "the site floor is a matter of clocks"),
        (monotonic(EPOCH),  false, 1, "unsettled", "but unsettled is unsettled"),
        (monotonic(lost),   true,  1, "unsettled", "made in an epoch whose memory is gone"),
    ];
    for (row, (profile, settles, time, end, why)) in rows.into_iter().enumerate() {
        let records = if settles { &floor[..] } else { &floor[..1] };
        let mut replay = Replay::restore(EPOCH, false, DEFAULT_SKEW, records.iter().copied());
        let keyring = Keyring::new([profile]);
        assert_eq!(admit(&mut replay, &keyring, time, 1, OPEN, 0), end, "row {row}: {why}");
    }
}

#[test]
fn the_smallest_time_is_forgotten_first_and_raises_the_floor() {
    let keyring = Keyring::new([profile(LAPTOP)]);
    let record = |time, id| Record::Admitted { key_id: LAPTOP, time: at(time), id: RequestId([id; 8]) };
    let most = i64::try_from(MAX_REMEMBERED).unwrap();
    // In falling order: what came first is not what is forgotten first.
    let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, (0..most).rev().map(|time| record(time, 1)));
    assert_eq!(replay.snapshot().count(), MAX_REMEMBERED + 1, "full, and settled");
    assert_eq!(admit(&mut replay, &keyring, 0, 1, OPEN, 0), "replayed");
    replay.apply(record(0, 2));
    assert_eq!(admit(&mut replay, &keyring, 0, 1, OPEN, 0), "old", "both of that millisecond went");
    assert_eq!(admit(&mut replay, &keyring, 0, 2, OPEN, 0), "old");
    assert_eq!(admit(&mut replay, &keyring, 1, 1, OPEN, 0), "replayed", "the next one stays");
}

#[test]
fn only_a_clock_that_is_right_makes_it_forget() {
    const HOUR: i64 = 3_600_000;
    let keyring = Keyring::new([profile(LAPTOP)]);
    for synchronised in [true, false] {
        let mut replay = settled();
        for time in 0..100 {
            assert_eq!(admit(&mut replay, &keyring, time, 1, OPEN, 0), "admit");
        }
        let late = bound(&keyring, LAPTOP, &request(HOUR, 1, open("tcp/22")));
        assert!(replay.admit(late, Now { synchronised, ..now(HOUR) }).is_ok());
        let remembered = replay.snapshot().filter(|r| matches!(r, Record::Admitted { .. })).count();
        assert_eq!(remembered, if synchronised { MIN_REMEMBERED } else { 101 }, "{synchronised}");
        assert_eq!(
            admit(&mut replay, &keyring, 0, 1, OPEN, 0),
            if synchronised { "old" } else { "replayed" }
        );
    }
}

#[test]
fn a_profile_that_is_absent_keeps_its_floor() {
    let keyring = Keyring::new([profile(LAPTOP)]);
    let mut replay = settled();
    for time in 0..10 {
        assert_eq!(admit(&mut replay, &keyring, time, 1, OPEN, 0), "admit");
    }
    replay.forget_absent(&Keyring::default());
    assert_eq!(replay.snapshot().count(), 2, "a floor, and settled");
    for time in 0..10 {
        assert_eq!(admit(&mut replay, &keyring, time, 1, OPEN, 0), "old", "{time}");
    }
    assert_eq!(admit(&mut replay, &keyring, 10, 1, OPEN, 0), "admit");
}

#[test]
fn a_snapshot_says_the_same() {
    let keyring = Keyring::new([profile(LAPTOP)]);
    let mut replay =
        Replay::restore(EPOCH, false, DEFAULT_SKEW, [Record::SiteFloor(at(-50)), Record::Settled]);
    for (time, id, verb) in [(0, 1, CLOSE), (5, 1, OPEN), (5, 2, OPEN), (9, 1, OPEN)] {
        assert_eq!(admit(&mut replay, &keyring, time, id, verb, 0), "admit");
    }
    let mut again = Replay::restore(EPOCH, false, DEFAULT_SKEW, replay.snapshot());
    let order = |replay: &Replay| {
        let mut records: Vec<String> = replay.snapshot().map(|record| format!("{record:?}")).collect();
        records.sort();
        records
    };
    assert_eq!(order(&again), order(&replay));
    for (time, id, end) in
        [(0, 1, "old"), (5, 1, "replayed"), (5, 2, "replayed"), (9, 1, "replayed"), (9, 2, "admit")]
    {
        assert_eq!(admit(&mut again, &keyring, time, id, OPEN, 0), end, "{time} {id}");
    }
}

#[test]
fn forgetting_for_want_of_room_lets_nothing_in_twice() {
    let (laptop, phone) = (LAPTOP, KeyId(9));
    let record = |key_id, time| Record::Admitted { key_id, time: at(time), id: RequestId([1; 8]) };
    let records = (0..500).flat_map(|time| [record(laptop, time), record(phone, time)]);
    let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, records);
    replay.forget_down_to(2000);
    assert_eq!(replay.snapshot().count(), 1001, "there is room");
    replay.forget_down_to(100);
    assert!(replay.snapshot().count() <= 100);
    let keyring = Keyring::new([profile(laptop), profile(phone)]);
    for id in [laptop, phone] {
        for time in 0..500 {
            let again = bound(&keyring, id, &request(time, 1, open("tcp/22")));
            assert!(replay.admit(again, now(0)).is_err(), "{id:?} {time}");
        }
    }
}

mod random {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// SPEC.md, section 16: "So it is admitted once, whatever the clocks do".
        #[test]
        fn nothing_is_admitted_twice(
            monotonic_profile: bool,
            steps in vec((0_i64..40, 0_u8..3, prop::bool::weighted(0.1), 0_i64..400, any::<bool>()), 0..60),
        ) {
            let freshness = if monotonic_profile { Freshness::Monotonic(EPOCH) } else { Freshness::Clock };
            let keyring = Keyring::new([Profile { freshness, ..profile(LAPTOP) }]);
            let mut replay = settled();
            let mut admitted = Vec::new();
            for (time, id, closes, clock, restarts) in steps {
                let (time, clock) = (time * 5000, (clock - 200) * 1000);
                if admit(&mut replay, &keyring, time, id, closes, clock) == "admit" {
                    prop_assert!(!admitted.contains(&(time, id)), "{time} {id} twice");
                    admitted.push((time, id));
                }
                if restarts {
                    replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, replay.snapshot().collect::<Vec<_>>());
                }
            }
        }
    }
}

/// A profile with two keys: the present one, and the one before it, which ends when the present one is used.
fn rotated(epoch: JournalEpoch) -> Keyring {
    let successor = Some(Successor { key_id: NEXT, epoch });
    Keyring::new([Profile { successor, ..profile(LAPTOP) }, profile(NEXT)])
}

/// Whether a fresh request by the key before is known to be superseded; `time` makes it fresh.
fn is_superseded(replay: &mut Replay, keyring: &Keyring, time: i64) -> bool {
    let bound = bound(keyring, LAPTOP, &request(time, 1, open("tcp/22")));
    replay.admit(bound, now(time)).ok().unwrap().0.is_superseded()
}

fn use_the_present(replay: &mut Replay, keyring: &Keyring, time: i64, closes: bool) {
    let verb = if closes { Verb::Close(Vec::new()) } else { open("tcp/22") };
    let bound = bound(keyring, NEXT, &request(time, 2, verb));
    assert!(!replay.admit(bound, now(time)).ok().unwrap().0.is_superseded());
}

#[test]
fn the_key_before_ends_with_the_first_use_of_the_present_one_and_never_comes_back() {
    const DAY: i64 = 24 * 60 * 60_000;
    for closes in [OPEN, CLOSE] {
        let keyring = rotated(EPOCH);
        let mut replay = settled();
        for time in [0, 1000] {
            assert!(!is_superseded(&mut replay, &keyring, time), "the present one was not used");
        }
        use_the_present(&mut replay, &keyring, 2000, closes);
        assert!(is_superseded(&mut replay, &keyring, 3000), "it was used");

        // Whatever is forgotten, that it was used is not.
        type Forget = fn(&mut Replay);
        #[rustfmt::skip]
        let rows: [(&str, Forget); 5] = [
            ("nothing",                  |_| ()),
            ("a disk without room",      |replay| replay.forget_down_to(0)),
            ("its file is not there",    |replay| replay.forget_absent(&Keyring::default())),
            ("more than is remembered",  |replay| (1..=5000).for_each(|n| {
                let (time, id) = (at(3000 + n), RequestId([9; 8]));
                replay.apply(Record::Admitted { key_id: NEXT, time, id });
            })),
            ("the journal, after a loss", |replay| replay.apply(Record::SiteFloor(at(4000)))),
        ];
        for (what, forget) in rows {
            let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, replay.snapshot());
            forget(&mut replay);
            let mut replay = Replay::restore(EPOCH, true, DEFAULT_SKEW, replay.snapshot());
            assert!(is_superseded(&mut replay, &keyring, DAY), "{what}: a restart later");
        }
    }
}

#[test]
fn the_key_before_ends_where_nobody_knows_any_more_whether_the_present_one_was_used() {
    let keyring = rotated(EPOCH);
    let mut replay = Replay::restore(JournalEpoch([99; 8]), true, DEFAULT_SKEW, []);
    assert!(is_superseded(&mut replay, &keyring, 0));
}

#[test]
fn what_is_refused_by_the_present_key_ends_nothing() {
    let keyring = rotated(EPOCH);
    let mut replay = settled();
    let skewed = bound(&keyring, NEXT, &request(0, 2, open("tcp/22")));
    assert!(replay.admit(skewed, now(600_000)).is_err());
    assert!(!is_superseded(&mut replay, &keyring, 700_000));
}
