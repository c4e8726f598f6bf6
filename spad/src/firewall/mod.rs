//! The firewall: what is shut, and for whom it is open for a while. nftables, guard mode.
//!
//! We own one table, `inet spad`, and touch no other. `model.rs` says what is in it; `text.rs` and
//! `encode.rs` write that description as nft's text and as netlink messages. Open doors are elements of its
//! grant sets, each with a timeout that the kernel keeps: a door closes even if nobody is left to close it.

mod elements;
mod encode;
mod error;
mod expression;
mod key;
mod model;
mod netlink;
mod plan;
mod sessions;
mod text;
mod watch;

#[cfg(test)]
mod tests;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use spa_core::lease::Change;

pub use self::elements::Element;
pub use self::error::FirewallError;
pub use self::plan::{Interfaces, Plan, Session};
pub use self::sessions::sessions;
pub use self::watch::Watch;

use self::error::Aim;
use self::model::{GRANTS, KEEP, Table};
use self::netlink::{Channel, PATIENCE, Step};

/// The kernel's nftables, reached by one socket that stays open. Works from Linux 5.10 on; starts no program.
pub struct Nftables {
    channel: Channel,
}

impl Nftables {
    /// Opens the socket.
    ///
    /// # Errors
    /// Where the kernel has no nfnetlink. A missing privilege shows only when something is asked.
    pub fn connect() -> Result<Self, FirewallError> {
        Ok(Self { channel: Channel::open(NETLINK_NETFILTER)? })
    }

    /// Whether our table is there.
    pub fn exists(&mut self) -> Result<bool, FirewallError> {
        match self.channel.get(encode::get_table(), &Aim::Elements { set: "none" }) {
            Ok(()) => Ok(true),
            Err(FirewallError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes our table what the plan says, in one transaction, whether it was there or not. Open doors stay
    /// open for their remaining time, and kept sessions stay kept.
    pub fn prepare(&mut self, plan: &Plan) -> Result<(), FirewallError> {
        self.channel.transaction(encode::prepare(&Table::new(plan)))
    }

    /// The doors that are open now.
    pub fn grants(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut grants = Vec::new();
        for set in GRANTS.both() {
            grants.extend(elements::to_elements(
                self.channel.list(elements::list(set), &Aim::Elements { set })?,
            ));
        }
        Ok(grants)
    }

    /// Makes all these changes in one transaction. Of several for one door the last counts; removing a door
    /// that is shut is no error.
    ///
    /// A timeout counts in whole milliseconds, and is 10 ms at least. Of a comment 127 bytes are kept;
    /// quotes, backslashes and control characters in it become `?`.
    ///
    /// # Errors
    /// [`FirewallError::Absent`] if the table is gone: [`Nftables::prepare`] brings it back, and the doors
    /// with another `apply`.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        self.insist(|| elements::apply(changes))
    }

    /// Lets these sessions live on, though the guard is younger than they are.
    pub fn keep(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        self.channel.transaction(elements::keep(sessions))
    }

    /// Ends that for these. No error for one that is not kept.
    pub fn drop_kept(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        self.insist(|| elements::drop_kept(sessions))
    }

    /// The sessions that are kept now, to be compared with [`sessions()`] when some have ended.
    pub fn kept(&mut self) -> Result<Vec<Session>, FirewallError> {
        let mut kept = Vec::new();
        for set in KEEP.both() {
            kept.extend(elements::to_sessions(
                self.channel.list(elements::list(set), &Aim::Elements { set })?,
            ));
        }
        Ok(kept)
    }

    /// Removes our table and with it all that we ever did. No error if it is not there.
    pub fn teardown(&mut self) -> Result<(), FirewallError> {
        self.channel.transaction(encode::teardown())
    }

    /// A second socket, which hears of changes that others make. It lives as long as `self`: what a later
    /// connection changes would count as somebody else's.
    pub fn watch(&self) -> Result<Watch, FirewallError> {
        let failed = |error| FirewallError::from_socket(error, PATIENCE);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.add_membership(watch::CHANGES).map_err(failed)?;
        Ok(Watch::new(socket, self.channel.port()))
    }

    /// Tries a transaction that removes elements a second time: one that was there when it began may have
    /// reached its end before it was removed, which older kernels call an error.
    fn insist(&mut self, steps: impl Fn() -> Vec<Step>) -> Result<(), FirewallError> {
        match self.channel.transaction(steps()) {
            Err(FirewallError::Absent) => self.channel.transaction(steps()),
            outcome => outcome,
        }
    }
}

/// The table as nft's text: what [`Nftables::prepare`] loads into a ruleset without a table of ours.
pub fn text(plan: &Plan) -> String {
    Table::new(plan).to_string()
}
