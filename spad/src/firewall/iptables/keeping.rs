//! Sessions older than the guard. No type of set has two addresses and two ports: each session stands in two sets, once
//! from either end.

use std::net::SocketAddr;

use super::key::Key;
use super::set::Family;
use super::{Iptables, message};
use crate::firewall::error::{Aim, FirewallError, IP_SET};
use crate::firewall::plan::Session;

impl Iptables {
    /// Lets these sessions live on, though the guard is younger than they are.
    pub(super) fn keep_sessions(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        let both = |session: &Session| {
            let names = Family::of(session.server().ip()).names();
            let aim = |set| Aim::Ipset { set, feature: IP_SET };
            let port = session.server().port().to_string();
            [
                (message::add(names.keep, &Key::client(session), None, Some(&port)), 0, aim(names.keep)),
                (message::add(names.keep_to, &Key::server(session), None, None), 0, aim(names.keep_to)),
            ]
        };
        let sessions = sessions.iter().filter(|_| self.guards());
        self.channel.series(sessions.flat_map(both).collect())
    }

    /// Ends that for these.
    pub(super) fn drop_sessions(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        if sessions.is_empty() || !self.guards() {
            return Ok(());
        }
        let kept = self.kept_sessions()?;
        let stays = |key: &Key| kept.iter().any(|one| !sessions.contains(one) && Key::server(one) == *key);
        let mut changes = Vec::new();
        for session in sessions {
            let names = Family::of(session.server().ip()).names();
            let aim = |set| Aim::Ipset { set, feature: IP_SET };
            changes.push((message::delete(names.keep, &Key::client(session)), 0, aim(names.keep)));
            // Another session of the same client with the same service needs it as well.
            let server = Key::server(session);
            if !stays(&server) {
                changes.push((message::delete(names.keep_to, &server), 0, aim(names.keep_to)));
            }
        }
        self.channel.series(changes)
    }

    /// Those that are kept now.
    pub(super) fn kept_sessions(&mut self) -> Result<Vec<Session>, FirewallError> {
        let mut kept = Vec::new();
        if !self.guards() {
            return Ok(kept);
        }
        for family in Family::BOTH {
            let listed = message::to_sessions(&self.list(family.names().keep)?);
            kept.extend(listed.into_iter().filter_map(|((client, port), server, comment)| {
                let server = SocketAddr::new(server, comment.parse().ok()?);
                Session::new(SocketAddr::new(client, port), server)
            }));
        }
        Ok(kept)
    }
}
