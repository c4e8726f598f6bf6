//! The gate alone: what one datagram costs, per suite and number of profiles. `cargo bench -p spad-benches`
#![allow(missing_docs)]

use benches::gate::{Operation, Site};
use divan::{Bencher, black_box};
use spa_core::crypto::suite::Suite;

fn main() {
    divan::main();
}

const SUITES: [&str; 2] = ["aes256gcm", "xchacha20poly1305"];

fn judge(bencher: Bencher<'_, '_>, suite: &str, profiles: u32, operation: Operation) {
    let suite: Suite = suite.parse().expect("a suite");
    let mut site = Site::new(suite, profiles);
    // Replays can be judged again and again, knocks once; batches keep the datagrams in memory few.
    let mut made: Vec<Vec<u8>> = Vec::new();
    let site = std::cell::RefCell::new(&mut site);
    bencher
        .with_inputs(|| {
            let mut site = site.borrow_mut();
            if operation == Operation::Admission || made.len() < 256 {
                let datagram = site.datagram(operation);
                if operation == Operation::Admission {
                    return datagram;
                }
                made.push(datagram);
            }
            made[rand::random_range(0..made.len())].clone()
        })
        .bench_local_refs(|datagram| {
            let mut site = site.borrow_mut();
            let admitted = black_box(site.judge(datagram));
            site.forget_records();
            admitted
        });
}

#[divan::bench(args = SUITES, consts = [1, 10_000])]
fn stranger<const PROFILES: u32>(bencher: Bencher<'_, '_>, suite: &str) {
    judge(bencher, suite, PROFILES, Operation::Stranger);
}

#[divan::bench(args = SUITES, consts = [1, 10_000])]
fn wrong_mac<const PROFILES: u32>(bencher: Bencher<'_, '_>, suite: &str) {
    judge(bencher, suite, PROFILES, Operation::WrongMac);
}

#[divan::bench(args = SUITES, consts = [1, 10_000])]
fn replay<const PROFILES: u32>(bencher: Bencher<'_, '_>, suite: &str) {
    judge(bencher, suite, PROFILES, Operation::Replay);
}

#[divan::bench(args = SUITES, consts = [1, 10_000])]
fn stale_replay<const PROFILES: u32>(bencher: Bencher<'_, '_>, suite: &str) {
    judge(bencher, suite, PROFILES, Operation::StaleReplay);
}

#[divan::bench(args = SUITES, consts = [1, 10_000])]
fn admission<const PROFILES: u32>(bencher: Bencher<'_, '_>, suite: &str) {
    judge(bencher, suite, PROFILES, Operation::Admission);
}
