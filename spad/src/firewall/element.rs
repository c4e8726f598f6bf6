//! An open door as the kernel holds it, whichever backend it is held by.

use std::time::Duration;

use spa_core::grantee::Grantee;
use spa_core::lease::{Change, Door, Limit};
use spa_core::service::Transport;
use spa_core::terms::{Forward, OnClose};

/// The most bytes of a comment that nft shows; ipset takes more.
const COMMENT_MOST: usize = 127;

/// An open door, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Who may reach what.
    pub door: Door,
    /// How long it stays open; `None` if it has no end (somebody opened it by hand).
    pub remaining: Option<Duration>,
    /// Who opened it.
    pub comment: String,
    /// Where it leads, if not to this host's own service.
    pub forward: Option<Forward>,
}

/// The comment as it can be stored, and as nft and ipset can print it and read it again.
pub(super) fn printable(comment: &str) -> String {
    let safe = |c: char| if c.is_control() || "\"\\".contains(c) { '?' } else { c };
    let whole = (0..=COMMENT_MOST).rev().find_map(|end| comment.get(..end.min(comment.len())));
    whole.unwrap_or_default().chars().map(safe).collect()
}

/// Whether the sessions of the door end with it; `None` if that is not told, or if it has none: a door that is shut keeps
/// what it had until [`super::Firewall::uncut`], and no packet of UDP passes a door that is shut.
pub(super) fn cuts(change: &Change) -> Option<bool> {
    let Change::Set { door, on_close, .. } = change else { return None };
    let plain = matches!(door.grantee, Grantee::Address(_)) && door.limit == Limit::None;
    let sessions = plain && door.service.transport() == Transport::Tcp;
    sessions.then_some(*on_close == OnClose::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_stored_so_that_its_listing_can_be_read() {
        let long = "ü".repeat(80);
        #[rustfmt::skip]
        let rows = [
            ("profile=laptop", "profile=laptop".to_owned(), "plain"),
            ("a\"b\\c\nd",     "a?b?c?d".to_owned(),        "what would end or bend the string"),
            (&long,            "ü".repeat(63),              "cut at 127 bytes, between characters"),
        ];
        for (comment, stored, why) in rows {
            assert_eq!(printable(comment), stored, "{why}");
        }
    }
}
