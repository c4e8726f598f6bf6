//! Faults while a door opens, is open and closes: processes killed at every step, a firewall that others flush, a full or
//! broken disk, an interface that goes, a clock that steps. After each of them nothing is open after its end, a stranger
//! never got in, spad serves again, a captured datagram opens nothing, other people's rules are as they were, and one line
//! of the log says what happened.
//!
//! `FAULT_ROUNDS=1000` plays more rounds, `FAULT_SEED=7 FAULT_ROUND=17` one of them again.

// Folders of their own, with names as in a crate.
#[allow(unreachable_pub)]
#[path = "faults/catalogue.rs"]
mod catalogue;
#[allow(unreachable_pub)]
#[path = "faults/round.rs"]
mod round;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lab::Lab;

use catalogue::{FAULTS, Row};
use round::Told;

/// Most of a round is waiting for windows to end.
const AT_ONCE: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What came of the rounds of one fault.
#[derive(Default)]
struct Tally {
    rounds: u32,
    failed: u32,
    /// The longest time until a new knock opened.
    served_again: Duration,
    /// The longest time that a door was open beyond its window, and that a stranger got in.
    late: Duration,
    gap: Duration,
}

#[test]
fn no_fault_leaves_a_door_open_or_shuts_anybody_out() {
    if Lab::new().is_none() {
        return;
    }
    let seed = number("FAULT_SEED").unwrap_or_else(rand::random);
    let rounds = match number("FAULT_ROUND") {
        Some(round) => round..round + 1,
        None => 0..number("FAULT_ROUNDS").unwrap_or(100),
    };
    say(&format!("\nfaults: {} rounds, FAULT_SEED={seed}\n", rounds.end - rounds.start));
    let start = Instant::now();
    let queue = Mutex::new(rounds);
    let tallies = Mutex::new(FAULTS.iter().map(|_| Tally::default()).collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(round) = queue.lock().expect("no panic").next() else { return };
                    let place = usize::try_from(round).expect("few rounds") % FAULTS.len();
                    let told = play(&FAULTS[place], round, seed);
                    tally(&mut tallies.lock().expect("no panic")[place], told);
                }
            });
        }
    });
    let tallies = tallies.into_inner().expect("no panic");
    say(&table(&tallies, start.elapsed()));
    assert!(tallies.iter().all(|tally| tally.failed == 0), "see above");
}

fn play(row: &Row, round: u64, seed: u64) -> Option<Told> {
    let told = catch_unwind(AssertUnwindSafe(|| round::play(row, round, seed)));
    told.map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        say(&format!("FAILED {}, FAULT_SEED={seed} FAULT_ROUND={round}: {said}\n", row.name));
    })
    .ok()
}

fn tally(tally: &mut Tally, told: Option<Told>) {
    tally.rounds += 1;
    let Some(told) = told else {
        tally.failed += 1;
        return;
    };
    tally.served_again = tally.served_again.max(told.served_again);
    tally.late = tally.late.max(told.late);
    tally.gap = tally.gap.max(told.gap);
}

fn table(tallies: &[Tally], took: Duration) -> String {
    let width = FAULTS.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut text = format!(
        "\n{:width$}  rounds  result  served again after  open beyond its end  open to a stranger\n",
        "fault"
    );
    for (row, tally) in FAULTS.iter().zip(tallies).filter(|(_, tally)| tally.rounds > 0) {
        let result = if tally.failed == 0 { "ok".to_owned() } else { format!("{} FAILED", tally.failed) };
        let [served, late, gap] = [tally.served_again, tally.late, tally.gap]
            .map(|time| if time.is_zero() { "-".to_owned() } else { format!("{} ms", time.as_millis()) });
        text += &format!(
            "{:width$}  {:>6}  {result:<6}  {served:>18}  {late:>19}  {gap:>18}\n",
            row.name, tally.rounds
        );
    }
    text + &format!("longest of all rounds; {} s\n\n", took.as_secs())
}

/// Past the test harness, which would hide it.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
