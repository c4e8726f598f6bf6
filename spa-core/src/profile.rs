//! A profile: one device of one person at one site, and what it may open.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::action::ActionName;
use crate::crypto::key::KeyId;
use crate::crypto::suite::{ReceiptKeys, SuiteKeys};
use crate::prefix::PrefixLength;
use crate::service::Service;
use crate::terms::{Ends, Forward};
use crate::time::UnixMillis;

/// Window of a grant unless the profile or the request says otherwise.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(30);
/// Longest window unless the profile says otherwise.
pub const DEFAULT_MAX_WINDOW: Duration = Duration::from_secs(5 * 60);

/// How old and new are told apart (SPEC.md, "Freshness").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// By the server's clock.
    Clock,
    /// By the order of the client's own times, for servers without a trustworthy clock. The journal's epoch in which
    /// the profile was made is part of it: memory that was lost cannot be replaced by any clock.
    Monotonic(JournalEpoch),
}

/// Names an unbroken life of the journal; drawn anew when a journal had to be begun after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalEpoch(pub [u8; 8]);

/// The key that takes another's place: once it was used, the other has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Names it.
    pub key_id: KeyId,
    /// The life of the journal that remembers its use. What another does not remember may have been all the same.
    pub epoch: JournalEpoch,
}

impl Successor {
    /// Whether the key before it has ended, in this life of the journal. Another one does not know of a use that there may have
    /// been, so the key has ended with the life that knew: a stolen one must not come back because a disk failed.
    pub fn has_taken_over(self, epoch: JournalEpoch, was_used: impl FnOnce(KeyId) -> bool) -> bool {
        epoch != self.epoch || was_used(self.key_id)
    }
}

/// What the gate knows of a profile.
pub struct Profile {
    /// File name without its ending; for the operator.
    pub name: Arc<str>,
    /// Names its key.
    pub key_id: KeyId,
    /// Its keys, derived for its suite.
    pub keys: SuiteKeys,
    /// What it may open, if anything.
    pub open: Vec<Service>,
    /// Where a request may have a door lead, if not to the service itself.
    pub forward: Vec<Forward>,
    /// Actions of the server that it may have run.
    pub invoke: Vec<ActionName>,
    /// Window if the request wishes none.
    pub window: Duration,
    /// Longest window.
    pub max_window: Duration,
    /// How its doors end, but for their window.
    pub ends: Ends,
    /// Nothing at or before this moment is fresh.
    pub created: UnixMillis,
    /// From this moment on nothing is allowed.
    pub expires: Option<UnixMillis>,
    /// From the first use of this key on nothing is allowed.
    pub successor: Option<Successor>,
    /// How its requests are judged fresh.
    pub freshness: Freshness,
    /// May open for another address than the packet's source.
    pub any_address: bool,
    /// Must state an address: for clients that are never behind NAT.
    pub require_stated: bool,
    /// May open for prefixes of these lengths.
    pub prefixes: Vec<PrefixLength>,
    /// Most doors that it may have open.
    pub max_doors: Option<NonZeroU32>,
    /// What its receipts are sealed with, if it may have any.
    pub receipt: Option<Box<ReceiptKeys>>,
}
