//! Which machine this is.

use std::fs;

/// The machine id of systemd and D-Bus, without blanks around it; empty where there is none.
pub(super) fn id() -> String {
    let path = if cfg!(target_os = "linux") { "/etc/machine-id" } else { "" };
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Said where nothing tells one machine from another.
pub(super) const NO_ID: &str = "this machine has no /etc/machine-id: a copy of the site on another machine would not be \
                                noticed (cure, before the site is made: systemd-machine-id-setup)";
