//! The gate: a datagram and a moment in, a verdict out. Read here first.
//!
//! ```text
//! capture → decode → authenticate → replay → authorize → grant
//!           frame.rs  scheme/native.rs  replay.rs  policy.rs  lease.rs
//!                     keyring.rs
//!                     address.rs
//! ```
//!
//! Each step returns proof that it ran, and takes the proof of the one before: `Sealed → Authentic → Bound → Fresh →
//! Admission`. Skipping or reordering a step does not compile.

use std::fmt;
use std::sync::Arc;

use crate::action::Actions;
use crate::address::{self, OwnAddresses};
use crate::crypto::header::HeaderKey;
use crate::frame::Datagram;
use crate::keyring::{Keyring, NotOpened};
use crate::policy::{self, Admission};
use crate::profile::Profile;
use crate::receipt::wanted::Wanted;
use crate::reject::Reject;
use crate::replay::{Record, Replay};
use crate::scheme::native::Sealed;
use crate::time::Now;

/// What happens with a datagram. Nothing is answered, unless what was authentic and fresh asks for a [`Wanted`] receipt.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Admit(Admission),
    /// Drop it.
    Drop(Dropped),
}

/// Why a datagram was dropped, and whose it was if it was authentic: only then may it cause a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The reason.
    pub reject: Reject,
    /// The profile, known from the MAC on.
    pub profile: Option<Arc<str>>,
    /// The receipt that says so: only for what policy forbids, which is fresh, and known from then on.
    pub receipt: Option<Box<Wanted>>,
}

impl From<Reject> for Dropped {
    fn from(reject: Reject) -> Self {
        Self { reject, profile: None, receipt: None }
    }
}

impl From<(&Profile, Reject)> for Dropped {
    fn from((profile, reject): (&Profile, Reject)) -> Self {
        Self { reject, profile: Some(profile.name.clone()), receipt: None }
    }
}

impl From<NotOpened<'_>> for Dropped {
    fn from(not: NotOpened<'_>) -> Self {
        Self { reject: not.reject, profile: not.profile.map(|profile| profile.name.clone()), receipt: None }
    }
}

/// Judges the datagrams of one site.
pub struct Gate {
    header_keys: Vec<HeaderKey>,
    keyring: Keyring,
    replay: Replay,
    own: OwnAddresses,
    actions: Actions,
    remembered: Vec<Record>,
    counters: Counters,
}

impl Gate {
    /// A gate with these keys, this memory, on a host with these addresses.
    pub fn new(header_keys: Vec<HeaderKey>, keyring: Keyring, replay: Replay, own: OwnAddresses) -> Self {
        let (remembered, counters) = (Vec::new(), Counters::default());
        Self { header_keys, keyring, replay, own, actions: Actions::default(), remembered, counters }
    }

    /// The same where these actions may be invoked.
    pub fn with_actions(self, actions: Actions) -> Self {
        Self { actions, ..self }
    }

    /// Judges a datagram, in the order of SPEC.md, "Judging".
    pub fn judge(&mut self, datagram: &Datagram<'_>, now: Now) -> Verdict {
        match self.steps(datagram, now) {
            Ok(admission) => {
                self.counters.admitted += 1;
                Verdict::Admit(admission)
            }
            Err(dropped) => {
                self.count(dropped.reject);
                Verdict::Drop(dropped)
            }
        }
    }

    fn steps(&mut self, datagram: &Datagram<'_>, now: Now) -> Result<Admission, Dropped> {
        if !self.own.contains(datagram.destination.ip(), datagram.interface) {
            return Err(Reject::Frame.into());
        }
        let sealed = Sealed::read(datagram.payload, &self.header_keys)?;
        let authentic = self.keyring.open(&sealed)?;
        let bound = address::bind(authentic, datagram.source.ip(), datagram.interface, &self.own)?;
        let profile = bound.profile();
        let (fresh, record) = self.replay.admit(bound, now)?;
        self.remembered.push(record);
        let receipt = Wanted::by(&fresh, datagram, sealed.binding(), now.wall);
        match policy::authorize(fresh, now.wall, &self.actions) {
            Ok(admission) => Ok(admission.with_receipt(receipt)),
            Err(what) => Err(Dropped { receipt, ..(profile, Reject::Forbidden(what)).into() }),
        }
    }

    /// Counts a datagram that was dropped before it came here.
    pub const fn count(&mut self, reject: Reject) {
        self.counters.rejected[reject.index()] += 1;
    }

    /// What was remembered since the last call. It must be on disk before anything that was admitted is carried out.
    pub fn take_remembered(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.remembered)
    }

    /// The replay memory: for settling, and for writing it anew.
    pub const fn replay(&mut self) -> &mut Replay {
        &mut self.replay
    }

    /// The profiles.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// How many datagrams had which end.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// How many datagrams had which end, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Admitted.
    pub admitted: u64,
    /// Dropped, by [`Reject::index`].
    pub rejected: [u64; Reject::COUNT],
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "judged: admitted={}", self.admitted)?;
        for (name, count) in Reject::NAMES.iter().zip(self.rejected).filter(|(_, count)| *count > 0) {
            write!(f, " {name}={count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
