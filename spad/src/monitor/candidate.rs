//! A new worker from its start until it is ready: what it says of itself meanwhile.

use std::os::fd::OwnedFd;
use std::time::Duration;

use spa_core::time::BootTime;

use super::served::Served;
use crate::ask::{self, Message, NotAMessage};
use crate::control::WorkerNumber;
use crate::socketpair::{Received, Seqpacket};

/// How long a worker may take to load its profiles.
const GETS_READY: Duration = Duration::from_secs(30);
/// Most bytes of a reason that are waited for.
const REASON: usize = 1000;

/// A worker that was announced and is not ready yet.
pub(super) struct Candidate {
    /// When it must be.
    pub(super) deadline: BootTime,
    pub(super) number: WorkerNumber,
    pub(super) channel: Seqpacket,
    pub(super) config: OwnedFd,
    /// What it has said so far of whom it serves.
    pub(super) profiles: Served,
    /// And of why it cannot.
    reason: String,
}

impl Candidate {
    pub(super) fn new(number: WorkerNumber, channel: Seqpacket, config: OwnedFd, now: BootTime) -> Self {
        let (profiles, reason) = (Served::default(), String::new());
        Self { deadline: now.plus(GETS_READY), number, channel, config, profiles, reason }
    }

    /// Why it does not get ready, as far as it has said.
    pub(super) fn reason(self) -> String {
        let silent = self.reason.is_empty();
        if silent { "the new worker ended, or did not get ready in time".to_owned() } else { self.reason }
    }

    /// Reads on. `None`: it is not ready yet.
    pub(super) fn hear(&mut self, now: BootTime) -> Option<Result<Message, NotAMessage>> {
        loop {
            match self.channel.receive::<{ ask::SIZE }>() {
                Ok(Received::Nothing) if now < self.deadline => return None,
                Ok(Received::Message(bytes)) => match Message::decode(&bytes) {
                    Ok(Message::Serves(some)) if self.profiles.extend(&some) => {}
                    Ok(Message::Unfit(piece)) if self.reason.len() < REASON => self.reason.push_str(&piece),
                    Ok(ready @ Message::Ready { .. }) => return Some(Ok(ready)),
                    _ => return Some(Err(NotAMessage)),
                },
                // It is too late, or it ended before it was ready and has said why itself.
                Ok(Received::Nothing | Received::Closed) | Err(_) => return Some(Err(NotAMessage)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::sync::Arc;

    use spa_core::crypto::key::KeyId;

    use super::*;

    const NOW: BootTime = BootTime::new(Duration::from_secs(1));

    fn candidate() -> (Seqpacket, Candidate) {
        let (worker, channel) = Seqpacket::pair().unwrap();
        let config = std::fs::File::open("/dev/null").unwrap().into();
        (worker, Candidate::new(WorkerNumber::default(), channel, config, NOW))
    }

    fn serves(ids: &[u32]) -> Message {
        Message::Serves(ids.iter().map(|id| (KeyId(*id), "laptop".into())).collect())
    }

    fn ready() -> Message {
        Message::Ready { port: NonZeroU16::MIN, profiles: 0, interfaces: 0, surroundings: 0, config: 0 }
    }

    #[test]
    fn a_hundred_thousand_profiles_are_named_in_no_time() {
        let (worker, mut candidate) = candidate();
        let all: Vec<(KeyId, Arc<str>)> =
            (0..100_000).map(|n| (KeyId(n * 7), format!("device-{n}").into())).collect();
        let begun = std::time::Instant::now();
        for message in Message::serves(&all) {
            let message = message.encode();
            while worker.send(&message).is_err() {
                assert_eq!(candidate.hear(NOW), None, "not ready yet");
            }
        }
        while worker.send(&ready().encode()).is_err() {
            assert_eq!(candidate.hear(NOW), None, "not ready yet");
        }
        assert_eq!(candidate.hear(NOW), Some(Ok(ready())));
        println!("{:?}", begun.elapsed());
        assert_eq!(candidate.profiles.len(), all.len());
        assert!(all.iter().all(|(id, name)| candidate.profiles.name(*id) == Some(&**name)));
    }

    #[test]
    fn a_candidate_says_whom_it_serves_in_order_and_then_that_it_is_ready() {
        #[rustfmt::skip]
        let rows = [
            (vec![ready()],                                  true,  "nobody"),
            (vec![serves(&[1, 2]), serves(&[3]), ready()],   true,  "three"),
            (vec![serves(&[1, 2]), serves(&[2]), ready()],   false, "one twice"),
            (vec![serves(&[9]), serves(&[3]), ready()],      false, "falling"),
            (vec![Message::Renew],                           false, "what only a worker says that serves"),
        ];
        for (messages, good, why) in rows {
            let (worker, mut candidate) = candidate();
            messages.iter().for_each(|message| worker.send(&message.encode()).unwrap());
            assert_eq!(candidate.hear(NOW), Some(if good { Ok(ready()) } else { Err(NotAMessage) }), "{why}");
        }
        let (_worker, mut silent) = candidate();
        assert_eq!(silent.hear(NOW), None);
        assert_eq!(silent.hear(NOW.plus(GETS_READY)), Some(Err(NotAMessage)), "too late");
        let (worker, mut unfit) = candidate();
        for piece in Message::unfit(&"because ".repeat(50)) {
            worker.send(&piece.encode()).unwrap();
        }
        drop(worker);
        assert_eq!(unfit.hear(NOW), Some(Err(NotAMessage)));
        assert_eq!(unfit.reason(), "because ".repeat(50));
        let (worker, mut endless) = candidate();
        for piece in Message::unfit(&"because ".repeat(500)) {
            worker.send(&piece.encode()).unwrap();
        }
        assert_eq!(endless.hear(NOW), Some(Err(NotAMessage)), "more than is waited for");
        assert!(endless.reason().len() < 2 * REASON);
    }
}
