//! The firewall: what is shut, and for whom it is open for a while.
//!
//! [`Firewall`] is all that the monitor knows of it. Each backend is a folder: [`nftables`] and [`iptables`].
//! In both, an open door is an element of a set with a timeout that the kernel keeps; no rule is added for a
//! grant, and a door closes even if nobody is left to close it.

mod choice;
mod compare;
mod conntrack;
mod element;
mod error;
mod flows;
pub mod iptables;
mod netlink;
pub mod nftables;
mod observed;
mod plan;
mod raw;
mod sessions;
pub mod standing;

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use spa_core::lease::{Change, Door};

pub use self::choice::{choose, teardown, text};
pub use self::compare::differences;
pub use self::element::Element;
pub use self::error::FirewallError;
pub use self::flows::{carried, end, in_use};
pub use self::observed::Observed;
pub use self::plan::{Interfaces, Plan, Session};
pub use self::sessions::{Through, sessions};

/// How far a preparation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To its end.
    Done,
    /// A program still loads rules.
    Waits,
}

/// One way to stand in the kernel's firewall, guarding or attached. Shows itself as the place where it stands.
pub trait Firewall: fmt::Display + Send {
    /// Whether what is ours is there.
    fn exists(&mut self) -> Result<bool, FirewallError>;

    /// Makes what is ours what the plan says, whether it was there or not, without a moment in which more is
    /// open than before or after. Open doors stay open for their remaining time, but for those that lead to a target
    /// which the plan does not name; kept sessions stay kept.
    ///
    /// Where a program has to load rules, and waits for a lock that somebody else holds, nobody waits for it here:
    /// [`Self::prepared`] tells when it is done. Doors can be opened and closed meanwhile.
    fn prepare(&mut self, plan: &Plan) -> Result<Progress, FirewallError>;

    /// How far the preparation has come that was not done when [`Self::prepare`] returned. Waits for nobody.
    fn prepared(&mut self) -> Result<Progress, FirewallError> {
        Ok(Progress::Done)
    }

    /// What others have in the firewall that drops what is accepted here: one sentence each. To be asked after
    /// [`Self::prepare`].
    fn defeated(&mut self) -> Result<Vec<String>, FirewallError>;

    /// Whether the kernel holds this door, which leads to this host's own service.
    fn holds(&mut self, door: &Door) -> Result<bool, FirewallError>;

    /// The doors that are open now.
    fn grants(&mut self) -> Result<Vec<Element>, FirewallError>;

    /// Makes all these changes. Of several for one door the last counts; removing a door that is shut is no
    /// error. Of a comment 127 bytes are kept; quotes, backslashes and control characters in it become `?`.
    ///
    /// # Errors
    /// [`FirewallError::Absent`] if what is ours is gone: [`Self::prepare`] brings it back, and the doors with
    /// another `apply`.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError>;

    /// The doors, open or shut, whose sessions are dropped while they are shut.
    fn cuts(&mut self) -> Result<Vec<Door>, FirewallError>;

    /// Ends that for these: their sessions are gone. No error for one that is not among them.
    fn uncut(&mut self, doors: &[Door]) -> Result<(), FirewallError>;

    /// Lets these sessions live on, though the guard is younger than they are.
    fn keep(&mut self, sessions: &[Session]) -> Result<(), FirewallError>;

    /// Ends that for these. No error for one that is not kept.
    fn drop_kept(&mut self, sessions: &[Session]) -> Result<(), FirewallError>;

    /// The sessions that are kept now, to be compared with [`sessions()`] when some have ended.
    fn kept(&mut self) -> Result<Vec<Session>, FirewallError>;

    /// Removes all that is ours, and nothing else. No error if it is not there.
    fn teardown(&mut self) -> Result<(), FirewallError>;

    /// Begins to look for changes that others make.
    fn listen(&mut self) -> Result<(), FirewallError>;

    /// Becomes readable when [`Self::lost`] is to be asked, or during a preparation [`Self::prepared`].
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How often they are to be asked even so.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Whether somebody else took something of ours away since the last call, or put something before what has to be
    /// first. Never waits for anybody.
    fn lost(&mut self) -> bool;

    /// Whether others changed rules, as far as [`Self::lost`] has seen since the last call: then [`Self::defeated`] may
    /// have another answer.
    fn others_changed(&mut self) -> bool {
        false
    }
}
