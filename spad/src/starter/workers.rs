//! The workers alive: usually one, for a moment two.

use std::time::Instant;

use tracing::debug;

use super::child::{Child, End};
use crate::control::WorkerNumber;

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Started, and the monitor has not yet answered for it.
    Starting,
    /// The one that serves.
    Serving {
        /// When it took over.
        since: Instant,
    },
    /// Another took over, or it was turned away, or its monitor is gone.
    Replaced,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Workers {
    all: Vec<Worker>,
    last: WorkerNumber,
    served: bool,
}

#[derive(Debug)]
struct Worker {
    number: WorkerNumber,
    child: Child,
    stage: Stage,
}

/// A worker that ended.
pub(super) struct Death {
    pub(super) stage: Stage,
    pub(super) end: End,
}

impl Workers {
    /// Takes a newcomer in and numbers it.
    pub(super) fn add(&mut self, child: Child) -> WorkerNumber {
        self.last = self.last.next();
        self.all.push(Worker { number: self.last, child, stage: Stage::Starting });
        self.last
    }

    /// A number that no worker gets.
    pub(super) fn skip(&mut self) -> WorkerNumber {
        self.last = self.last.next();
        self.last
    }

    pub(super) fn starting(&self) -> bool {
        self.all.iter().any(|worker| worker.stage == Stage::Starting)
    }

    pub(super) fn serving(&self) -> bool {
        self.all.iter().any(|worker| matches!(worker.stage, Stage::Serving { .. }))
    }

    /// Whether any worker ever served.
    pub(super) fn has_served(&self) -> bool {
        self.served
    }

    /// The newcomer of this number serves now. One that served so far may live on until it is dismissed.
    pub(super) fn took_over(&mut self, number: WorkerNumber, now: Instant) {
        let Some(newcomer) = self.newcomer(number) else { return };
        debug!("worker {} took over", newcomer.child.id());
        self.served = true;
        for worker in &mut self.all {
            if worker.number == number {
                worker.stage = Stage::Serving { since: now };
            } else if worker.stage != Stage::Starting {
                worker.stage = Stage::Replaced;
            }
        }
    }

    /// This one has until `deadline` to end.
    pub(super) fn dismiss(&mut self, number: WorkerNumber, deadline: Instant) {
        for worker in self.all.iter_mut().filter(|worker| worker.number == number) {
            worker.dismiss(deadline);
        }
    }

    /// Kills the one that serves. It counts as replaced at once: a process that waits for a disk does not die before that.
    pub(super) fn kill_serving(&mut self) {
        for worker in self.all.iter_mut().filter(|worker| matches!(worker.stage, Stage::Serving { .. })) {
            worker.stage = Stage::Replaced;
            worker.child.kill();
        }
    }

    /// The same for one that never served. Returns whether there was one.
    pub(super) fn dismiss_newcomer(&mut self, number: WorkerNumber, deadline: Instant) -> bool {
        let newcomer = self.newcomer(number);
        let found = newcomer.is_some();
        newcomer.into_iter().for_each(|worker| worker.dismiss(deadline));
        found
    }

    /// The same for all of them.
    pub(super) fn dismiss_all(&mut self, deadline: Instant) {
        self.all.iter_mut().for_each(|worker| worker.dismiss(deadline));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|worker| worker.child.deadline()).min()
    }

    pub(super) fn kill_overdue(&mut self, now: Instant) {
        self.all.iter_mut().for_each(|worker| worker.child.kill_if_overdue(now));
    }

    /// Removes and returns those that ended.
    pub(super) fn bury(&mut self) -> Vec<Death> {
        let ended = self.all.extract_if(.., |worker| worker.child.ended().is_some());
        ended
            .filter_map(|mut worker| Some(Death { stage: worker.stage, end: worker.child.ended()? }))
            .collect()
    }

    /// Gives them all away.
    pub(super) fn drain(&mut self) -> Vec<Child> {
        self.all.drain(..).map(|worker| worker.child).collect()
    }

    fn newcomer(&mut self, number: WorkerNumber) -> Option<&mut Worker> {
        // None: it died, or was killed, while the monitor spoke of it.
        self.all.iter_mut().find(|worker| worker.number == number && worker.stage == Stage::Starting)
    }
}

impl Worker {
    fn dismiss(&mut self, deadline: Instant) {
        self.stage = Stage::Replaced;
        self.child.must_end_by(deadline);
    }
}
