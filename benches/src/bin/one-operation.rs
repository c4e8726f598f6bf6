//! Judges one kind of datagram a fixed number of times, for callgrind to count instructions.
//!
//! ```text
//! one-operation SUITE OPERATION PROFILES TIMES     makes 600 datagrams, judges TIMES of them
//! ```
//!
//! Two runs that differ in TIMES alone differ in the instructions of the gate alone: `make bench-instructions`.

use benches::gate::{Operation, Site};

/// Datagrams that are made in every run.
const MADE: usize = 600;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, operation, profiles, times] = arguments.as_slice() else {
        panic!("see the top of this file")
    };
    let operation =
        Operation::ALL.into_iter().find(|one| one.name() == operation).expect("a known operation");
    let profiles = profiles.parse().expect("a number of profiles");
    let times: usize = times.parse().expect("a number of times");
    let mut site = Site::new(suite.parse().expect("a suite"), profiles);
    let made: Vec<_> = (0..MADE).map(|_| site.datagram(operation)).collect();
    let admitted = made.iter().take(times).filter(|datagram| site.judge(datagram)).count();
    let expected = if operation == Operation::Admission { times.min(MADE) } else { 0 };
    assert_eq!(admitted, expected, "{operation:?}");
}
