//! What a profile may have. The last judgement of the pure half; the monitor's ceiling is asked after it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::key::KeyId;
use crate::profile::Profile;
use crate::reject::Forbidden;
use crate::replay::Fresh;
use crate::request::Verb;
use crate::service::Service;
use crate::time::UnixMillis;

/// A request that may be carried out. Only [`authorize`] can make one.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    profile: Arc<str>,
    key_id: KeyId,
    time: UnixMillis,
    grantees: Vec<IpAddr>,
    effect: Effect,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open these services for that long.
    Open {
        /// At least one.
        services: Vec<Service>,
        /// Already clamped to the profile's longest, and to its expiry.
        window: Duration,
    },
    /// Close what this profile opened before: these services, or all if there are none.
    Close {
        /// May be empty.
        services: Vec<Service>,
    },
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
    pub fn grantees(&self) -> &[IpAddr] {
        &self.grantees
    }

    /// What is to happen.
    pub const fn effect(&self) -> &Effect {
        &self.effect
    }
}

/// Step 11. Every request that comes here has been remembered, whatever is decided.
///
/// `now`: the server's clock, for the profile's expiry, which no window outlasts: nothing has to be watched for a door to
/// be shut by then. The expiry of a monotonic profile is as right as the clock of its server, which may not know the time.
pub fn authorize(fresh: Fresh<'_>, now: UnixMillis) -> Result<Admission, Forbidden> {
    let (profile, request, grantees, prefixed) = fresh.into_parts();
    if profile.expires.is_some_and(|expires| now >= expires) {
        return Err(Forbidden::Expired);
    }
    if prefixed {
        return Err(Forbidden::Prefix);
    }
    let allowed = |services: &[Service]| services.iter().all(|service| profile.open.contains(service));
    let effect = match request.verb {
        Verb::Open(open) => {
            if !allowed(&open.services) {
                return Err(Forbidden::Service);
            }
            if open.forward.is_some() || open.ports.is_some() || open.once {
                return Err(Forbidden::Narrowing);
            }
            let wished = open.window.map_or(profile.window, |s| Duration::from_secs(s.get().into()));
            Effect::Open { services: open.services, window: clamp(wished, profile, now) }
        }
        Verb::Close(services) => Effect::Close { services },
        Verb::Invoke { .. } | Verb::Ping => return Err(Forbidden::Verb),
    };
    let Profile { name, key_id, .. } = profile;
    Ok(Admission { profile: name.clone(), key_id: *key_id, time: request.time, grantees, effect })
}

fn clamp(wished: Duration, profile: &Profile, now: UnixMillis) -> Duration {
    let left = profile.expires.map_or(Duration::MAX, |expires| expires.since(now));
    wished.min(profile.max_window).min(left)
}

#[cfg(test)]
mod tests;
