//! Which backend it is to be, what stands already, and how all of it is removed.

use super::iptables::{self, Iptables, Loader};
use super::nftables::{self, Nftables, Place};
use super::standing::{Backend, Stand, Standing, Variant};
use super::{Firewall, FirewallError, Plan};

/// Opens the firewall that the configuration means. Returns why it is this one, for the log.
///
/// - `loader`: runs the programs of iptables; ended here if there is no use for it.
///
/// # Errors
/// Where the kernel has none that would do, and where an earlier configuration's stands: two of ours side by
/// side would be open only where both are.
pub fn choose(
    standing: &Standing,
    loader: Option<Loader>,
) -> Result<(Box<dyn Firewall>, String), FirewallError> {
    let (backend, why) = resolve(standing.backend, has_nf_tables)?;
    refuse_leftovers(backend, &standing.stand)?;
    let firewall: Box<dyn Firewall> = match backend {
        Resolved::Nftables => Box::new(Nftables::at(place(&standing.stand))?),
        Resolved::Iptables(variant) => Box::new(Iptables::new(&standing.stand, variant, loader)?),
    };
    Ok((firewall, why))
}

/// Removes whatever of ours stands, in every backend and mode. Returns where it stood.
pub fn teardown() -> Result<Vec<String>, FirewallError> {
    let mut removed = Vec::new();
    match Nftables::standing() {
        Ok(all) => {
            for mut nftables in all {
                nftables.teardown()?;
                removed.push(nftables.to_string());
            }
        }
        Err(error) if is_lack(&error) => {}
        Err(error) => return Err(error),
    }
    if Iptables::stands()?.is_some() {
        for variant in [Variant::Host, Variant::Nft, Variant::Legacy] {
            Iptables::new(&Stand::Guard, variant, None)?.unload()?;
        }
        Iptables::new(&Stand::Guard, Variant::Host, None)?.teardown()?;
        removed.push("the rules of iptables and the sets of ipset".to_owned());
    }
    Ok(removed)
}

/// What would be loaded, as text, and why it is for this backend.
///
/// # Errors
/// As [`choose`], but for leftovers.
pub fn text(standing: &Standing, plan: &Plan) -> Result<(String, String), FirewallError> {
    let (backend, why) = resolve(standing.backend, has_nf_tables)?;
    let text = match backend {
        Resolved::Nftables => nftables::text(&place(&standing.stand), plan),
        Resolved::Iptables(_) => iptables::text(&standing.stand, plan),
    };
    Ok((text, why))
}

/// A backend, once it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    Nftables,
    Iptables(Variant),
}

/// - `has_nf_tables`: whether the kernel has nf_tables.
pub(super) fn resolve(
    backend: Backend,
    has_nf_tables: impl FnOnce() -> Result<(), FirewallError>,
) -> Result<(Resolved, String), FirewallError> {
    let configured = || "as configured".to_owned();
    match backend {
        Backend::Nftables => Ok((Resolved::Nftables, configured())),
        Backend::Iptables(variant) => Ok((Resolved::Iptables(variant), configured())),
        Backend::Auto => match has_nf_tables() {
            Ok(()) => Ok((Resolved::Nftables, "this kernel has nf_tables".to_owned())),
            Err(error) if is_lack(&error) => {
                let why = format!("this kernel has no nf_tables ({error})");
                Ok((Resolved::Iptables(Variant::Host), why))
            }
            Err(error) => Err(error),
        },
    }
}

pub(super) fn has_nf_tables() -> Result<(), FirewallError> {
    Nftables::guard()?.exists().map(drop)
}

/// Whether the kernel answers so because it lacks a part, not because something went wrong: nfnetlink says
/// "invalid" of a subsystem that is not there.
fn is_lack(error: &FirewallError) -> bool {
    matches!(error, FirewallError::Unsupported { .. } | FirewallError::Refused { .. })
}

pub(super) fn place(stand: &Stand) -> Place {
    // The configuration let an attach point of iptables pass for iptables only.
    match stand {
        Stand::Guard => Place::Own,
        Stand::Attach(point) => Place::beside(point).unwrap_or(Place::Own),
    }
}

fn refuse_leftovers(backend: Resolved, stand: &Stand) -> Result<(), FirewallError> {
    let leftover = |what: String| Err(FirewallError::Leftover(what));
    let own = (backend == Resolved::Nftables).then(|| place(stand));
    match Nftables::standing() {
        Ok(all) => {
            if let Some(other) = all.iter().find(|one| !own.as_ref().is_some_and(|own| one.is_at(own))) {
                return leftover(other.to_string());
            }
        }
        Err(error) if is_lack(&error) => {}
        Err(error) => return Err(error),
    }
    let guards = *stand == Stand::Guard;
    match (Iptables::stands()?, backend) {
        (None, _) => Ok(()),
        (Some(other), Resolved::Iptables(_)) if other == guards => Ok(()),
        (Some(true), _) => leftover("a guard of iptables".to_owned()),
        (Some(false), _) => leftover("what was attached to a chain of iptables".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_nftables_where_the_kernel_has_it() {
        let lacks = || {
            let source = std::io::Error::from_raw_os_error(libc::EINVAL);
            Err(FirewallError::Refused { what: "the table".to_owned(), source })
        };
        let host = Resolved::Iptables(Variant::Host);
        assert_eq!(resolve(Backend::Auto, || Ok(())).unwrap().0, Resolved::Nftables);
        let (chosen, why) = resolve(Backend::Auto, lacks).unwrap();
        assert_eq!(chosen, host);
        assert!(why.contains("no nf_tables"), "{why}");
        let denied = resolve(Backend::Auto, || Err(FirewallError::NotPermitted));
        assert!(
            matches!(denied, Err(FirewallError::NotPermitted)),
            "no privilege says nothing of the kernel"
        );
        assert_eq!(resolve(Backend::Iptables(Variant::Host), || Ok(())).unwrap().0, host);
        assert_eq!(resolve(Backend::Nftables, lacks).unwrap().0, Resolved::Nftables);
    }
}
