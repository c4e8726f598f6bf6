//! `spad guard`: at boot, before there is a network, the guard goes up as it stood last. It takes the kept configuration
//! and nothing else: no key, no spad.toml, no capture, no clock.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tracing::{error, warn};

use crate::exit::ExitStatus;
use crate::firewall::standing::Stand;
use crate::firewall::{self, FirewallError, Progress};
use crate::kept::{self, Kept};
use crate::lock;
use crate::session;

/// How often it is asked whether a program has loaded its rules.
const LOOK: Duration = Duration::from_millis(10);

/// Loads the guard, and says in one line what is guarded.
pub fn run(state_dir: &Path) -> ExitStatus {
    let found = match kept::read(state_dir) {
        Ok(Some(found)) => found,
        Ok(None) => {
            println!("nothing is guarded: spad has not served yet, so there is nothing to load");
            return ExitStatus::Done;
        }
        Err(error) => {
            error!("{error}");
            return ExitStatus::Configuration;
        }
    };
    // Two that load at once would get in each other's way, and a daemon knows better what is in force.
    if lock::is_running(state_dir) {
        println!("spad runs, and keeps the guard up itself; nothing to do");
        return ExitStatus::Done;
    }
    if found.perhaps_older {
        warn!(
            "{}/guard: one of its two copies is damaged; the other is loaded, and may be the older",
            state_dir.display()
        );
    }
    match load(&found.kept) {
        Ok(line) => {
            println!("{line}");
            ExitStatus::Done
        }
        Err(error) => {
            error!("{error}");
            (&error).into()
        }
    }
}

fn load(kept: &Kept) -> Result<String, FirewallError> {
    let standing = &kept.config.standing;
    let (mut firewall, _) = firewall::choose(standing, None)?;
    let mut plan = kept.plan();
    let newly = if firewall.exists()? { Vec::new() } else { plan.protect.clone() };
    // Whoever is connected to a service before it is guarded, stays connected.
    plan.keep = firewall::sessions(&newly)?;
    let mut progress = firewall.prepare(&plan)?;
    while progress == Progress::Waits {
        sleep(LOOK);
        progress = firewall.prepared()?;
    }
    // And whoever came in between the look and the guard.
    let live = firewall::sessions(&newly)?;
    firewall.keep(&live)?;
    if let Some(line) = session::live_on(&standing.stand, &live) {
        warn!("{line}");
    }
    let services: Vec<String> = plan.protect.iter().map(ToString::to_string).collect();
    let services = services.join(", ");
    Ok(match standing.stand {
        Stand::Guard => format!("guarded: {services} on {}, by {firewall}", plan.interfaces),
        Stand::Attach(_) => {
            format!("attached to {firewall}, whose rules guard: {services} on {}", plan.interfaces)
        }
    })
}
