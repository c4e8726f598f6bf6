//! What of the host the daemon depends on, read anew whenever something of it may have changed.
//!
//! A worker opens captures on interfaces and refuses the host's own addresses. When either changes, a new
//! worker takes its place; so nothing in a worker ever has to be changed in flight.

mod netlink;
mod routes;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

pub use routes::Routes;
pub use watcher::Watcher;

/// Everything a worker is made for. If two are equal, the worker may stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// The interfaces meant by the configuration, by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Whether the configuration says `any`: a capture of its own that needs no other.
    pub any: bool,
    /// The host's own unicast addresses, without IPv6 link-local ones.
    pub addresses: BTreeSet<IpAddr>,
    /// IPv6 link-local ones of the interfaces meant, each with the index of its interface.
    pub on_link: BTreeSet<(Ipv6Addr, NonZeroU32)>,
}

/// The state of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// There is none of this name now.
    Missing,
    /// There is one.
    Present {
        /// The kernel's number for it: another one means that it was deleted and made anew.
        index: u32,
        /// Whether it is set up; a capture can be opened only then.
        up: bool,
    },
}

impl Interface {
    /// The kernel's number for it, if there is one.
    pub fn index(self) -> Option<NonZeroU32> {
        match self {
            Self::Missing => None,
            Self::Present { index, .. } => NonZeroU32::new(index),
        }
    }
}

impl Surroundings {
    /// A number that two processes of this program compare instead of the whole.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Names to open captures on, each with the index of its interface.
    pub fn captures(&self) -> impl Iterator<Item = (&str, Option<NonZeroU32>)> {
        let any = self.any.then_some(("any", None));
        any.into_iter().chain(self.interfaces.iter().map(|(name, state)| (name.as_str(), state.index())))
    }

    /// Looks at the host.
    ///
    /// - `configured`: names of interfaces, `any`, or `default-route` for those that a default route of either
    ///   family leads to (there may be none now).
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn read(configured: &[String], routes: &Routes) -> io::Result<Self> {
        let mut names = BTreeSet::new();
        let mut any = false;
        for name in configured {
            match name.as_str() {
                "any" => any = true,
                "default-route" => names.extend(routes.defaults()?),
                name => drop(names.insert(name.to_owned())),
            }
        }
        let links = netlink::links()?;
        let state = |name: &String| links.get(name).copied().unwrap_or(Interface::Missing);
        let interfaces: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), state(&name))).collect();
        let netlink::Addresses { everywhere, mut on_link } = netlink::addresses()?;
        // A container that comes and goes elsewhere on this host is no reason for a new worker.
        let meant: BTreeSet<_> = interfaces.values().filter_map(|interface| interface.index()).collect();
        on_link.retain(|(_, index)| any || meant.contains(index));
        Ok(Self { interfaces, any, addresses: everywhere, on_link })
    }

    /// All interfaces that there are: names and indices.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn indices() -> io::Result<BTreeMap<String, NonZeroU32>> {
        let links = netlink::links()?.into_iter();
        Ok(links.filter_map(|(name, interface)| Some((name, interface.index()?))).collect())
    }
}
