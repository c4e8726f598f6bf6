//! How many commands run and wait. What does not fit is dropped: nothing here grows with what is asked for.

use std::collections::VecDeque;

/// At once.
pub(super) const RUNNING: usize = 8;
/// Behind those.
pub(super) const WAITING: usize = 64;

/// The oldest of what waits runs next.
pub(super) struct Queue<T> {
    waiting: VecDeque<T>,
    running: usize,
    /// Since the last time that anything was said of it.
    dropped: u64,
    said: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), running: 0, dropped: 0, said: false }
    }
}

impl<T> Queue<T> {
    /// Takes one more. Returns whether somebody should be told that things are dropped from now on.
    #[must_use]
    pub(super) fn offer(&mut self, one: T) -> bool {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(one);
            return false;
        }
        self.dropped = self.dropped.saturating_add(1);
        !std::mem::replace(&mut self.said, true)
    }

    /// The next to run, if one may.
    pub(super) fn next(&mut self) -> Option<T> {
        if self.running >= RUNNING {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// One of those that ran ended.
    pub(super) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// How many were dropped, once nothing waits any more.
    pub(super) fn settled(&mut self) -> Option<u64> {
        let over = self.said && self.waiting.is_empty();
        over.then(|| {
            self.said = false;
            std::mem::take(&mut self.dropped)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_runs_next_so_many_at_once_and_what_does_not_fit_is_counted() {
        let mut queue = Queue::default();
        assert_eq!(queue.settled(), None, "nothing was dropped");
        let said = (0..200).filter(|n| queue.offer(*n)).count();
        assert_eq!(said, 1, "said once");
        let first: Vec<i32> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(first, (0..8).collect::<Vec<_>>());
        assert_eq!(queue.settled(), None, "others wait");
        let mut rest = Vec::new();
        for _ in 0..64 {
            queue.ended();
            rest.extend(queue.next());
        }
        assert_eq!(rest, (8..64).collect::<Vec<_>>(), "those that fitted, in their order");
        assert_eq!(queue.settled(), Some(200 - 64));
        assert_eq!(queue.settled(), None, "said once");
        assert!(!queue.offer(7), "and there is room again");
    }
}
