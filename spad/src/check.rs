//! `spad check`: everything that can be said of the files and the host without changing either.

use std::time::SystemTime;

use spa_core::time::UnixMillis;
use tracing::error;

use crate::actions;
use crate::config::Config;
use crate::doctor::{State, files, forwarding, interfaces, ports, state};
use crate::exit::ExitStatus;
use crate::firewall;
use crate::foreign;
use crate::monitor;
use crate::session;
use crate::site::Site;
use crate::starter::Options;
use crate::surroundings::{Routes, Surroundings};

/// Prints what was found. The status is that of the configuration: warnings do not change it.
pub fn run(options: &Options) -> ExitStatus {
    let config = match Config::open(&options.config) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    println!("{}: in order", options.config.display());
    let site = match Site::open(&options.config, now()) {
        Ok(site) => site,
        Err(error) => return refuse(&error),
    };
    println!("site.toml: in order; knocks come to udp/{}", site.file.port);
    println!("profiles: {} in order, {} left out", site.profiles.len(), site.left_out.len());
    let surroundings = match Routes::open().and_then(|routes| Surroundings::read(&config.interfaces, &routes))
    {
        Ok(surroundings) => surroundings,
        Err(error) => return refuse(&error),
    };
    if let Err(refusal) = monitor::refuse_itself(&config, &surroundings) {
        return refuse(&refusal);
    }
    let faults = actions::faults(&config.table);
    if !faults.is_empty() {
        for fault in faults {
            error!("{}: {fault} (hint: spad.toml(5), \"action\")", options.config.display());
        }
        return ExitStatus::Configuration;
    }
    let mut found = files::profiles(&config, &site);
    found.extend(forwarding::forwarding(&config, &surroundings));
    found.extend(interfaces::interfaces(&config, &surroundings));
    found.push(ports::spa_port(&site));
    found.extend(ports::port_range(&config, &site));
    found.push(state::folder(&options.state_dir));
    found.push(state::clock(&config));
    let wrong = found.into_iter().filter(|finding| finding.state != State::Ok);
    let mut warnings: Vec<String> = wrong
        .map(|finding| match finding.fix {
            Some(fix) => format!("{} (fix: {fix})", finding.what),
            None => finding.what,
        })
        .collect();
    let rules = foreign::Ruleset::read(&surroundings.addresses);
    let names: Vec<String> = surroundings.interfaces.keys().cloned().collect();
    warnings.extend(rules.unread.iter().cloned());
    warnings.extend(foreign::deny(&rules, &config.protect, &config.standing, &names));
    warnings.extend(foreign::held_back(&rules, &config.forward, &names));
    for warning in &warnings {
        println!("warning: {warning}");
    }
    if let Some(line) = session::would_live_on(&config.standing.stand, &config.protect) {
        println!("{line}");
    }
    let plan = config.plan(monitor::guarded(&config, &surroundings), site.file.port);
    match firewall::text(&config.standing, &plan) {
        Ok((text, why)) => {
            println!("firewall: {why}\n\n# what would be loaded\n{text}");
            ExitStatus::Done
        }
        Err(error) => {
            error!("{error}");
            ExitStatus::Firewall
        }
    }
}

fn refuse(error: &impl std::fmt::Display) -> ExitStatus {
    error!("{error}");
    ExitStatus::Configuration
}

fn now() -> UnixMillis {
    UnixMillis::clamped(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
