//! Receipts as the worker seals them, before it asks: afterwards it hears nothing any more.

use std::time::Duration;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use spa_core::gate::{Dropped, Gate};
use spa_core::policy::{Admission, Effect};
use spa_core::receipt::wanted::Wanted;
use spa_core::receipt::{Outcome, Refusal};
use spa_core::reject::Reject;

use crate::answer::{Offer, Sealed, Way};
use crate::ask::Message;
use crate::config::Config;

/// What is told of the configuration in receipts; there is one only where spad.toml allows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers {
    skew: Duration,
    max_window: Duration,
}

impl Offers {
    pub(crate) fn new(config: &Config) -> Option<Self> {
        config.receipts.then_some(Self { skew: config.skew, max_window: config.ceiling.max_window })
    }

    /// What is said before an admission is asked for: that it was done, and that it was not.
    pub(crate) fn of(self, gate: &Gate, admission: &Admission) -> impl Iterator<Item = Message> {
        let until = move |wanted: &Wanted| match admission.effect() {
            Effect::Open { terms, .. } => Some(wanted.time().plus(terms.window.min(self.max_window))),
            Effect::Close { .. } | Effect::Invoke(_) => None,
        };
        let both = admission.receipt().into_iter().flat_map(move |wanted| {
            [(wanted, Outcome::Done { until: until(wanted) }), (wanted, Outcome::Refused(Refusal::Limits))]
        });
        both.filter_map(move |(wanted, outcome)| {
            let sealed = self.seal(gate, wanted, outcome)?;
            let done = matches!(outcome, Outcome::Done { .. });
            Some(Message::Offer(Offer { key_id: admission.key_id(), time: admission.time(), done, sealed }))
        })
    }

    /// What is said of a request that policy refuses.
    pub(crate) fn denied(self, gate: &Gate, dropped: &Dropped) -> Option<Message> {
        let Reject::Forbidden(what) = dropped.reject else { return None };
        let outcome = Outcome::Refused(what.into());
        self.seal(gate, dropped.receipt.as_deref()?, outcome).map(Message::Denied)
    }

    fn seal(self, gate: &Gate, wanted: &Wanted, outcome: Outcome) -> Option<Sealed> {
        // The kernel's generator does not fail once it has given its first bytes, as it has for the journal's epoch.
        let receipt = wanted.seal(gate.keyring(), outcome, self.skew, &mut UnwrapErr(SysRng))?;
        Some(Sealed { way: Way::of(wanted)?, receipt })
    }
}
