//! What the operator called acceptable, from spad.toml alone. The monitor holds every ask against it, so that a captured
//! worker opens nothing else, and nothing for longer at a time.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::address;
use crate::grantee::Grantee;
use crate::prefix::PrefixLength;
use crate::service::Service;
use crate::target::Target;
use crate::terms::{Forward, SourceNat};

/// Longest window at all, unless spad.toml says otherwise.
pub const DEFAULT_MAX_WINDOW: Duration = Duration::from_secs(60 * 60);
/// How long a door may stay open from its opening because it is in use, whatever a profile says.
pub const MAX_EXTENDED: Duration = Duration::from_secs(24 * 60 * 60);
/// Most open doors, unless spad.toml says otherwise.
pub const DEFAULT_MAX_GRANTS: usize = 65_536;
/// Most open doors of one profile, unless spad.toml says otherwise.
pub const DEFAULT_MAX_GRANTS_PER_PROFILE: usize = 1024;

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// What may be opened: the protected services. Anything else is not spad's to open.
    pub services: HashSet<Service>,
    /// Lengths of the prefixes that may be granted anything.
    pub prefixes: BTreeSet<PrefixLength>,
    /// Where doors may lead beyond this host.
    pub forward: HashSet<Target>,
    /// Addresses that inner hosts may see as the sender, besides the client's and the outgoing interface's.
    pub forward_sources: HashSet<IpAddr>,
    /// Longest window; a longer wish is cut to it.
    pub max_window: Duration,
    /// Most open doors.
    pub max_grants: usize,
    /// Most open doors of one profile.
    pub max_grants_per_profile: usize,
}

/// Why the ceiling refuses an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AboveCeiling {
    /// Not in `protect`.
    #[error("the service is not among firewall.protect in spad.toml")]
    Service,
    /// An address for which nothing ever opens.
    #[error("nothing opens for this address")]
    Address,
    /// A prefix of a length that is not allowed.
    #[error("a prefix of this length is not among ceiling.prefixes in spad.toml")]
    Prefix,
    /// Not in `firewall.forward`.
    #[error("the target is not among firewall.forward in spad.toml")]
    Target,
    /// Not in `firewall.forward_sources`.
    #[error("the sender's address is not among firewall.forward_sources in spad.toml")]
    Source,
    /// From one family to the other, or for more than one address.
    #[error("only what comes from one address of the target's family can be forwarded")]
    Unforwardable,
    /// Somebody else's door.
    #[error("the same port leads elsewhere for that address as long as another door is open")]
    LeadsElsewhere,
    /// A window of no time.
    #[error("the window is empty")]
    Window,
    /// The profile has as many doors open as it may.
    #[error("the profile has ceiling.max_grants_per_profile doors open")]
    ProfileFull,
    /// The profile has as many as its own file allows.
    #[error("the profile has max_doors doors open")]
    ProfileDoors,
    /// All together have.
    #[error("ceiling.max_grants doors are open")]
    Full,
}

impl Ceiling {
    /// Whether such a door may be open at all.
    pub fn allows(&self, service: Service, grantee: Grantee) -> Result<(), AboveCeiling> {
        if !self.services.contains(&service) {
            return Err(AboveCeiling::Service);
        }
        if !address::may_open_for(grantee) {
            return Err(AboveCeiling::Address);
        }
        let is_prefix = matches!(grantee, Grantee::Prefix { .. });
        if is_prefix && !grantee.prefix_length().is_some_and(|length| self.prefixes.contains(&length)) {
            return Err(AboveCeiling::Prefix);
        }
        Ok(())
    }

    /// The window that is granted for these wishes.
    pub fn permit(
        &self,
        service: Service,
        grantee: Grantee,
        window: Duration,
    ) -> Result<Duration, AboveCeiling> {
        self.allows(service, grantee)?;
        let window = window.min(self.max_window);
        if window.is_zero() { Err(AboveCeiling::Window) } else { Ok(window) }
    }

    /// Whether doors may lead there at all.
    pub fn permit_forward(&self, forward: &Forward) -> Result<(), AboveCeiling> {
        if !self.forward.contains(&forward.to) {
            return Err(AboveCeiling::Target);
        }
        match forward.source {
            SourceNat::Address(address) if !self.forward_sources.contains(&address) => {
                Err(AboveCeiling::Source)
            }
            SourceNat::Keep | SourceNat::Masquerade | SourceNat::Address(_) => Ok(()),
        }
    }
}
