//! The control socket: what an operator may ask the running daemon, and what it answers (docs/ARCHITECTURE.md, "The control
//! socket"). The monitor answers ([`crate::monitor`]); the programs `spad status`, `grants`, `revoke`, `reload`, `watch`, `audit` and `metrics` ask.
//!
//! A question is one packet of fixed size, an answer one packet of JSON or several. Not to be confused with
//! [`crate::control`], the channel between starter and monitor.

pub mod answer;
mod audit;
pub mod call;
pub mod event;
pub mod listener;
pub mod metrics;
pub mod question;
mod scrape;
mod sink;
mod status;
mod through;
mod view;
mod watch;
mod words;

use std::path::{Path, PathBuf};

pub use self::audit::audit;
pub use self::metrics::{Outlet, metrics};
pub use self::scrape::Listen;
pub use self::sink::Target;
pub(crate) use self::status::say;
pub use self::status::{grants, reload, revoke, status};
pub use self::watch::watch;

/// Where the socket of the daemon with this state folder is: `/run/spad/control` for `/var/lib/spad`, as a reboot clears what
/// is there, and for any other folder in it. One daemon holds the lock of a folder, so that there is one for a socket too.
pub fn path(state_dir: &Path) -> PathBuf {
    let run = state_dir.strip_prefix("/var/lib").map(|name| Path::new("/run").join(name));
    run.unwrap_or_else(|_| state_dir.to_owned()).join("control")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_beside_the_state_folder_or_where_a_reboot_clears_it() {
        for (state, socket) in [
            ("/var/lib/spad", "/run/spad/control"),
            ("/var/lib/spad/", "/run/spad/control"),
            ("/var/lib/sites/two", "/run/sites/two/control"),
            ("/tmp/state", "/tmp/state/control"),
            ("state", "state/control"),
        ] {
            assert_eq!(path(Path::new(state)), Path::new(socket));
        }
    }
}
