//! What a profile may have. The last judgement of the pure half; the monitor's ceiling is asked after it.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::action::{Actions, Invocation};
use crate::crypto::key::KeyId;
use crate::grantee::Grantee;
use crate::lease::{Door, Limit};
use crate::profile::Profile;
use crate::receipt::wanted::Wanted;
use crate::reject::Forbidden;
use crate::replay::Fresh;
use crate::request::{Open, Verb};
use crate::service::{Service, Transport};
use crate::terms::{Forward, OnClose, Terms};
use crate::time::UnixMillis;

/// A request that may be carried out. Only [`authorize`] can make one.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    profile: Arc<str>,
    key_id: KeyId,
    time: UnixMillis,
    grantees: Vec<Grantee>,
    effect: Effect,
    receipt: Option<Box<Wanted>>,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open these services.
    Open {
        /// At least one.
        services: Vec<Service>,
        /// What narrows the grant.
        narrowing: Narrowing,
        /// The window is already clamped to the profile's longest, and to its expiry.
        terms: Terms,
    },
    /// Close what this profile opened before: these services, or all if there are none.
    Close {
        /// May be empty.
        services: Vec<Service>,
    },
    /// Run this action.
    Invoke(Invocation),
}

/// What narrows a grant beyond for whom and to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Narrowing {
    /// Nothing.
    #[default]
    None,
    /// Only these source ports may use it, both ends included.
    SourcePorts(u16, u16),
    /// It ends with the first completed connection.
    Once,
}

impl Narrowing {
    /// Most source ports of a request, counted for each grantee and each service: each is a door of its own.
    pub const MOST_PORTS: usize = 256;

    /// Whether it can be had for these. Source ports and `once` are kept for plain addresses only: what else they could go
    /// with would take one more set in the kernel each.
    pub fn is_offered(self, grantees: &[Grantee], services: &[Service]) -> bool {
        let plain = grantees.iter().all(|grantee| matches!(grantee, Grantee::Address(_)));
        let (low, high) = match self {
            Self::None => return true,
            Self::Once => return plain,
            Self::SourcePorts(low, high) => (low, high),
        };
        let ports = high.checked_sub(low).map_or(0, |more| usize::from(more) + 1);
        plain && (1..=Self::MOST_PORTS).contains(&(ports * grantees.len() * services.len()))
    }

    /// The doors that these grantees get to these services.
    pub fn doors(self, grantees: &[Grantee], services: &[Service]) -> Vec<Door> {
        let limits = match self {
            Self::None => vec![Limit::None],
            Self::SourcePorts(low, high) => (low..=high).map(Limit::SourcePort).collect(),
            Self::Once => vec![Limit::Once],
        };
        let mut doors = Vec::with_capacity(grantees.len() * services.len() * limits.len());
        for &grantee in grantees {
            for &service in services {
                doors.extend(limits.iter().map(|&limit| Door { grantee, service, limit }));
            }
        }
        doors
    }
}

impl Admission {
    /// Name of the profile, for the log.
    pub const fn profile(&self) -> &Arc<str> {
        &self.profile
    }

    /// Which key asked.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// When it was asked, by the client's clock: a `close` ends only grants that were asked for earlier.
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// For whom.
    pub fn grantees(&self) -> &[Grantee] {
        &self.grantees
    }

    /// What is to happen.
    pub const fn effect(&self) -> &Effect {
        &self.effect
    }

    /// The receipt that it asks for and may have.
    pub fn receipt(&self) -> Option<&Wanted> {
        self.receipt.as_deref()
    }

    /// The same, to be answered by this receipt.
    pub(crate) fn with_receipt(self, receipt: Option<Box<Wanted>>) -> Self {
        Self { receipt, ..self }
    }
}

/// Step 11. Every request that comes here has been remembered, whatever is decided.
///
/// `now`: the server's clock, for the profile's expiry, which no window outlasts: nothing has to be watched for a door to
/// be shut by then. The expiry of a monotonic profile is as right as the clock of its server, which may not know the time.
///
/// `actions`: those of the server; which of them the profile may have run, the profile says.
pub fn authorize(fresh: Fresh<'_>, now: UnixMillis, actions: &Actions) -> Result<Admission, Forbidden> {
    if fresh.is_superseded() {
        return Err(Forbidden::Superseded);
    }
    let (profile, request, grantees) = fresh.into_parts();
    if profile.expires.is_some_and(|expires| now >= expires) {
        return Err(Forbidden::Expired);
    }
    let allows_prefix = |grantee: &Grantee| match grantee {
        Grantee::Prefix { .. } => {
            grantee.prefix_length().is_some_and(|length| profile.prefixes.contains(&length))
        }
        Grantee::Address(_) | Grantee::OnLink { .. } => true,
    };
    if !grantees.iter().all(allows_prefix) {
        return Err(Forbidden::Prefix);
    }
    let allowed = |services: &[Service]| services.iter().all(|service| profile.open.contains(service));
    let effect = match request.verb {
        Verb::Open(open) => {
            if !allowed(&open.services) {
                return Err(Forbidden::Service);
            }
            // What may go with what is kept short: each pair would take sets of its own in the kernel.
            if open.ports.is_some() && open.forward.is_some() {
                return Err(Forbidden::Narrowing);
            }
            let ends = profile.ends;
            let once = open.once || ends.once;
            if (once || ends.on_close == OnClose::Cut) && !ends_fit(&open, once, ends.on_close, &grantees) {
                return Err(Forbidden::Narrowing);
            }
            let narrowing = match open.ports {
                _ if once => Narrowing::Once,
                Some((low, high)) => Narrowing::SourcePorts(low, high),
                None => Narrowing::None,
            };
            if !narrowing.is_offered(&grantees, &open.services) {
                return Err(Forbidden::Narrowing);
            }
            let forward = match open.forward {
                Some(_) if open.services.len() > 1 => return Err(Forbidden::Narrowing),
                Some(target) => Some(lead(target, profile, &grantees)?),
                None => None,
            };
            let wished = open.window.map_or(profile.window, |s| Duration::from_secs(s.get().into()));
            let extend_to =
                ends.extend_to.filter(|_| !once).map(|longest| longest.min(until_expiry(profile, now)));
            let window = clamp(wished, profile, now);
            let most_doors = profile.max_doors;
            let terms =
                Terms { extend_to, on_close: ends.on_close, forward, most_doors, ..Terms::plain(window) };
            Effect::Open { services: open.services, narrowing, terms }
        }
        Verb::Close(services) => Effect::Close { services },
        // Who may have nothing run learns no more than where nothing is offered.
        Verb::Invoke { .. } if profile.invoke.is_empty() => return Err(Forbidden::Verb),
        Verb::Invoke { action, arguments } => {
            let listed = profile.invoke.iter().any(|name| name.as_str() == action);
            let found = match arguments.as_slice() {
                [] => actions.find(&action, None),
                [argument] => actions.find(&action, Some(argument)),
                _ => None,
            };
            Effect::Invoke(found.filter(|_| listed).ok_or(Forbidden::Action)?)
        }
        Verb::Ping => return Err(Forbidden::Verb),
    };
    let Profile { name, key_id, .. } = profile;
    Ok(Admission {
        profile: name.clone(),
        key_id: *key_id,
        time: request.time,
        grantees,
        effect,
        receipt: None,
    })
}

/// Whether `once` and `cut` go with the rest: the kernel keeps both by the plain address and the service, `once` needs a
/// handshake, and a door that ends with its first handshake would have that session cut.
fn ends_fit(open: &Open, once: bool, on_close: OnClose, grantees: &[Grantee]) -> bool {
    let tcp = open.services.iter().all(|service| service.transport() == Transport::Tcp);
    let plain = grantees.iter().all(|grantee| matches!(grantee, Grantee::Address(_)));
    plain && open.ports.is_none() && !(once && (!tcp || open.forward.is_some() || on_close == OnClose::Cut))
}

/// Where a door for these may lead, of what the profile has.
fn lead(
    (address, port): (IpAddr, NonZeroU16),
    profile: &Profile,
    grantees: &[Grantee],
) -> Result<Forward, Forbidden> {
    let asked = |forward: &&Forward| forward.to.address() == address && forward.to.port() == port;
    let forward = profile.forward.iter().find(asked).ok_or(Forbidden::Target)?;
    for grantee in grantees {
        match grantee {
            Grantee::Address(client) if client.is_ipv4() == address.is_ipv4() => {}
            Grantee::Address(_) => return Err(Forbidden::Family),
            Grantee::Prefix { .. } | Grantee::OnLink { .. } => return Err(Forbidden::Narrowing),
        }
    }
    Ok(*forward)
}

fn clamp(wished: Duration, profile: &Profile, now: UnixMillis) -> Duration {
    wished.min(profile.max_window).min(until_expiry(profile, now))
}

/// Nothing that a profile opens, extensions included, may last longer than this from now.
fn until_expiry(profile: &Profile, now: UnixMillis) -> Duration {
    profile.expires.map_or(Duration::MAX, |expires| expires.since(now))
}

#[cfg(test)]
mod tests;
