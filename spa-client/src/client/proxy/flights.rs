//! Of several connections that begin at once, the first goes ahead, and the others learn from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;

/// How a flight ended; nothing while it is under way.
type End = Mutex<Option<Result<(), Failure>>>;

/// What is under way to each destination.
#[derive(Default)]
pub(super) struct Flights(Mutex<BTreeMap<String, Arc<(End, Condvar)>>>);

/// Ends a flight, also one whose thread broke.
struct Landing<'a> {
    flights: &'a Flights,
    to: &'a str,
    end: Result<(), Failure>,
}

impl Flights {
    /// Does the work if nobody else is doing it for the same destination. Else waits for that one: its failure is ours;
    /// after its success, nothing is returned, and the work will be quick.
    pub(super) fn first<T>(
        &self,
        to: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let other = {
            let mut under_way = lock(&self.0);
            let other = under_way.get(to).cloned();
            if other.is_none() {
                under_way.insert(to.to_owned(), Arc::default());
            }
            other
        };
        if let Some(other) = other {
            let (end, landed) = &*other;
            let mut ended = lock(end);
            loop {
                match &*ended {
                    Some(Ok(())) => return Ok(None),
                    Some(Err(failure)) => return Err(failure.clone()),
                    None => ended = landed.wait(ended).unwrap_or_else(PoisonError::into_inner),
                }
            }
        }
        let mut landing = Landing { flights: self, to, end: Ok(()) };
        let result = work();
        landing.end = result.as_ref().map(drop).map_err(Clone::clone);
        result.map(Some)
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if let Some(flight) = lock(&self.flights.0).remove(self.to) {
            let (end, landed) = &*flight;
            *lock(end) = Some(std::mem::replace(&mut self.end, Ok(())));
            landed.notify_all();
        }
    }
}

/// What a thread held that broke is whole all the same: each change here is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::failure::Status;

    #[test]
    fn one_goes_ahead_and_the_others_learn_how_it_ended() {
        for end in [Ok(7), Err(Failure::new(Status::Silence, "no answer", "wait"))] {
            let flights = Flights::default();
            let worked = AtomicU32::new(0);
            let (begun, has_begun) = channel();
            let (go, may_go) = channel::<()>();
            thread::scope(|scope| {
                let (flights, worked) = (&flights, &worked);
                let first = scope.spawn({
                    let end = end.clone();
                    move || {
                        flights.first("there", || {
                            worked.fetch_add(1, Ordering::Relaxed);
                            begun.send(()).unwrap();
                            let _ = may_go.recv();
                            end
                        })
                    }
                });
                has_begun.recv().unwrap();
                let others: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(move || {
                            flights.first("there", || -> Result<i32, _> { panic!("the second") })
                        })
                    })
                    .collect();
                let elsewhere = flights.first("elsewhere", || Ok(8));
                assert_eq!(elsewhere, Ok(Some(8)), "another destination waits for nobody");
                // Whoever came too late for the flight would panic above: all four have to be waiting.
                while Arc::strong_count(lock(&flights.0).get("there").unwrap()) < 5 {
                    thread::yield_now();
                }
                go.send(()).unwrap();
                assert_eq!(first.join().unwrap(), end.clone().map(Some));
                for other in others {
                    assert_eq!(other.join().unwrap(), end.clone().map(|_| None));
                }
            });
            assert_eq!(worked.load(Ordering::Relaxed), 1);
            assert!(lock(&flights.0).is_empty());
        }
    }
}
