//! Doors for hosts of one link each. ipset knows an interface by its
//! name, a door by its index: an interface that is made anew under the name of an old one leads to another link. So each
//! element says in its comment which index it is for, and one whose interface has another by now is taken away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use spa_core::grantee::Grantee;
use spa_core::lease::{Change, Door};
use spa_core::service::Service;

use super::key::Key;
use super::{ANY, Iptables, message, narrow};
use crate::firewall::element::{Element, printable};
use crate::firewall::error::{Aim, FirewallError, IP_SET};
use crate::firewall::plan::InterfaceName;
use crate::firewall::raw::Raw;
use crate::surroundings::Surroundings;

/// What the comment of such an element begins with; the interface's index follows, and what a comment says otherwise.
const INDEX: &str = "if";

fn aim() -> Aim {
    Aim::Ipset { set: ANY, feature: IP_SET }
}

impl Iptables {
    /// The doors to a service for hosts of one link each.
    pub(super) fn links(&mut self, service: Service) -> Result<Vec<Element>, FirewallError> {
        let links = self.all_links(service)?.into_iter();
        Ok(links.filter_map(|(_, element)| element).collect())
    }

    /// Every element for a host of a link, with the door that it was made for, if it was made for one.
    fn all_links(&mut self, service: Service) -> Result<Vec<(Key, Option<Element>)>, FirewallError> {
        let links = message::to_links(&self.list(&narrow::of_links(service))?, service);
        Ok(links.into_iter().map(|(key, element)| (key, for_index(element))).collect())
    }

    /// Takes away what would open on another link than it was opened for: its interface was renamed, or made anew while
    /// nobody looked, or somebody put back what he had saved before a boot.
    pub(super) fn drop_misplaced(&mut self) -> Result<(), FirewallError> {
        let mut misplaced = Vec::new();
        let interfaces = interfaces()?;
        for service in self.ruleset.services.clone() {
            for (key, element) in self.all_links(service)? {
                let Key::Link(_, name) = &key else { continue };
                let index = interfaces.get(name.as_str()).map(|index| index.get());
                if index.is_none() || element.and_then(|element| element.door.grantee.interface()) != index {
                    misplaced.push((message::delete(&narrow::of_links(service), &key), 0, aim()));
                }
            }
        }
        self.channel.series(misplaced)
    }

    /// The messages that make a change of a door for a host of a link. One whose interface is gone has none to let in.
    pub(super) fn steps_on_link(
        &mut self,
        door: &Door,
        change: &Change,
    ) -> Result<Vec<(Raw, u16, Aim)>, FirewallError> {
        let set = narrow::of_links(door.service);
        let Grantee::OnLink { address, interface } = door.grantee else { return Ok(Vec::new()) };
        if !self.has(&set) {
            return Ok(Vec::new());
        }
        let name = interfaces()?.into_iter().find(|(_, index)| index.get() == interface);
        let name = name.and_then(|(name, _)| name.parse::<InterfaceName>().ok());
        let new = match change {
            Change::Set { timeout, comment, forward: None, .. } => {
                name.map(|name| (Key::Link(address, name), *timeout, printable(comment)))
            }
            Change::Set { .. } | Change::Remove { .. } => None,
        };
        // Whatever its interface was called when it was opened.
        let old = self.all_links(door.service)?.into_iter().filter(|(key, element)| {
            element.as_ref().is_some_and(|element| element.door == *door)
                && new.as_ref().is_none_or(|(new, ..)| new != key)
        });
        let mut steps: Vec<_> = old.map(|(key, _)| (message::delete(&set, &key), 0, aim())).collect();
        steps.extend(new.as_ref().map(|(key, timeout, comment)| {
            let comment = format!("{INDEX}{interface} {comment}");
            (message::add(&set, key, Some(*timeout), Some(&comment)), 0, aim())
        }));
        Ok(steps)
    }
}

/// The interfaces that there are. That the kernel does not answer is no reason to take a door for misplaced.
fn interfaces() -> Result<BTreeMap<String, NonZeroU32>, FirewallError> {
    Surroundings::indices().map_err(FirewallError::Socket)
}

/// The door of the interface whose index the comment says, with what it says otherwise.
fn for_index(element: Element) -> Option<Element> {
    let IpAddr::V6(address) = element.door.grantee.address() else { return None };
    let (index, comment) = element.comment.split_once(' ')?;
    let interface = index.strip_prefix(INDEX)?.parse().ok()?;
    let door = Door { grantee: Grantee::OnLink { address, interface }, ..element.door };
    let comment = comment.to_owned();
    Some(Element { door, comment, ..element })
}
