//! Receipts, which the worker sealed before it asked: the one that turned out to be true goes to the sender. The monitor
//! sees where it goes, and never what it says. Nothing here holds up a door: what cannot be passed on is lost.

use spa_core::address::may_be_granted;
use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::rate::Bucket;
use spa_core::time::{BootTime, UnixMillis};

use super::Monitor;
use crate::answer::{Letter, Offer, Sealed};
use crate::ask::Ask;
use crate::control::Notice;
use crate::socketpair::{ChannelError, Received, Seqpacket};

/// Everything about receipts.
#[derive(Default)]
pub(super) struct Answering {
    sender: Option<Seqpacket>,
    offered: Option<Offered>,
    /// For all receipts of the site together: a captured worker must not make a cannon of the sender.
    bucket: Bucket,
}

/// The receipts for the ask that comes next.
pub(super) struct Offered {
    key_id: KeyId,
    time: UnixMillis,
    done: Option<Sealed>,
    refused: Option<Sealed>,
}

impl Offered {
    /// The one that is true, if it goes to somebody for whom the ask was.
    pub(super) fn true_one(self, grantees: &[Grantee], done: bool) -> Option<Sealed> {
        let sealed = if done { self.done } else { self.refused };
        sealed.filter(|sealed| grantees.contains(&Grantee::Address(sealed.way.to)))
    }
}

impl Answering {
    pub(super) const fn sender(&self) -> Option<&Seqpacket> {
        self.sender.as_ref()
    }

    /// Keeps a receipt for the ask that it belongs to. Of one ask there are two, and only the last ask's are kept.
    pub(super) fn offer(&mut self, offer: Offer) {
        let Offer { key_id, time, done, sealed } = offer;
        if self.offered.as_ref().is_none_or(|kept| (kept.key_id, kept.time) != (key_id, time)) {
            self.offered = Some(Offered { key_id, time, done: None, refused: None });
        }
        if let Some(kept) = &mut self.offered {
            *(if done { &mut kept.done } else { &mut kept.refused }) = Some(sealed);
        }
    }

    /// Those of this ask.
    pub(super) fn offered_for(&mut self, ask: &Ask) -> Option<Offered> {
        self.offered.take().filter(|kept| (kept.key_id, kept.time) == (ask.key_id, ask.time))
    }
}

impl Monitor<'_> {
    /// After a take-over: asks for a sender, or lets it go.
    pub(super) fn want_sender(&mut self) {
        if !self.sends_receipts() {
            self.answering.sender = None;
        } else if self.answering.sender.is_none() {
            self.notify(Notice::Sender);
        }
    }

    /// A sender was started. One that nobody wants any more ends with its channel.
    pub(super) fn began_sender(&mut self, sender: Seqpacket) {
        self.answering.sender = Some(sender).filter(|_| self.sends_receipts());
    }

    fn sends_receipts(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.config.receipts)
    }

    /// Takes note that the sender ended. The starter does too, and starts another; it has nothing to say otherwise.
    pub(super) fn hear_sender(&mut self) {
        let Some(sender) = &self.answering.sender else { return };
        if !matches!(sender.receive::<1>(), Ok(Received::Nothing)) {
            self.answering.sender = None;
        }
    }

    /// Has a receipt sent, if spad.toml allows any, and it goes where a door could open.
    pub(super) fn answer(&mut self, sealed: Sealed, now: BootTime) {
        let Some(serving) = self.serving.as_ref().filter(|serving| serving.config.receipts) else { return };
        let Some(sender) = &self.answering.sender else { return };
        if !may_be_granted(sealed.way.to) || !self.answering.bucket.take(now) {
            return;
        }
        let letter = Letter { port: serving.plan.spa_port, sealed };
        match sender.send(&letter.encode()) {
            // It does not keep up, or hangs: receipts are lost, and nothing waits for them.
            Ok(()) | Err(ChannelError::Full) => {}
            Err(_) => self.answering.sender = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use spa_core::policy::Effect;

    use super::*;
    use crate::answer::tests::largest;

    fn ask(key_id: u32, time: u64) -> Ask {
        let (key_id, time) = (KeyId(key_id), UnixMillis::new(time).unwrap());
        let effect = Effect::Close { services: Vec::new() };
        Ask { profile: "laptop".into(), key_id, time, grantees: Vec::new(), effect }
    }

    fn offer(of: &Ask, done: bool) -> Offer {
        Offer { key_id: of.key_id, time: of.time, done, sealed: largest() }
    }

    #[test]
    fn a_receipt_goes_with_its_own_ask_and_to_its_grantee_only() {
        let (one, other) = (ask(7, 1), ask(7, 2));
        let grantee = Grantee::Address(largest().way.to);
        #[rustfmt::skip]
        let rows = [
            // offered, asked, grantee, done, sent, why
            (vec![offer(&one, true), offer(&one, false)],   &one,   grantee, true,  true,  "done"),
            (vec![offer(&one, true), offer(&one, false)],   &one,   grantee, false, true,  "not done"),
            (vec![offer(&one, true)],                       &one,   grantee, false, false, "what was not offered"),
            (vec![offer(&one, true)],                       &other, grantee, true,  false, "another ask"),
            (vec![offer(&one, true), offer(&other, false)], &one,   grantee, true,  false, "the last one's are kept"),
            (vec![offer(&one, true)], &one, Grantee::Address([192, 0, 2, 7].into()), true, false, "to somebody else"),
            (vec![offer(&one, true)], &one, Grantee::Prefix { first: [0; 16].into(), bits: 8 }, true, false, "a prefix"),
            (vec![],                                        &one,   grantee, true,  false, "nothing"),
        ];
        for (offers, asked, grantee, done, sent, why) in rows {
            let mut answering = Answering::default();
            offers.into_iter().for_each(|offer| answering.offer(offer));
            let found = answering.offered_for(asked).and_then(|kept| kept.true_one(&[grantee], done));
            assert_eq!(found.is_some(), sent, "{why}");
            assert!(answering.offered_for(asked).is_none(), "never twice: {why}");
        }
    }
}
