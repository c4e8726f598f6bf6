//! What is measured. Each file is a subject, and a row of the table or several; contestants take turns within it, because
//! the machine is not equally quick at all times.

pub mod burst;
pub mod client;
pub mod flood;
pub mod growth;
pub mod junk;
pub mod latency;
pub mod load;
pub mod memory;
pub mod stations;
pub mod throughput;

use std::time::Duration;

use crate::arena::Arena;
use crate::report::Report;
use crate::tools::Contestant;

/// Everything that a subject needs.
pub struct Bench {
    /// Where it happens.
    pub arena: Arena,
    /// Who takes part; spad is the last.
    pub contestants: Vec<Box<dyn Contestant>>,
    /// A first look: fewer rounds.
    pub quick: bool,
}

impl Bench {
    /// How often contestants take turns.
    #[must_use]
    pub fn rounds(&self, usual: usize) -> usize {
        if self.quick { 1 } else { usual }
    }

    /// Those who can take part; of the others the row says why.
    pub fn present<'a>(
        &'a self,
        report: &mut Report,
        rows: &[(&'static str, String)],
    ) -> Vec<&'a dyn Contestant> {
        let mut present = Vec::new();
        for contestant in &self.contestants {
            match contestant.missing() {
                None => present.push(&**contestant),
                Some(why) => {
                    for (table, title) in rows {
                        report
                            .row(table, title.clone(), crate::report::Better::Less)
                            .missing(contestant.name(), why.clone());
                    }
                }
            }
        }
        present
    }
}

/// In thousandths of a second.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// In millionths of a second.
#[must_use]
pub fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
