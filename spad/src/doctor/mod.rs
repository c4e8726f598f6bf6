//! `spad doctor`: whether the living system does what it should, with reasons and cures. `spad check` is for files, and
//! says what both can say with the same functions.
//!
//! Each check is a function that looks at one thing and changes nothing.

mod daemon;
pub mod files;
mod finding;
pub mod forwarding;
pub mod interfaces;
mod kernel;
pub mod ports;
mod rules;
mod self_test;
pub mod state;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::SystemTime;

use rustix::thread::CapabilitySet;
use spa_core::grantee::Grantee;
use spa_core::time::UnixMillis;
use tracing::error;

pub use finding::{Finding, State};

use crate::config::Config;
use crate::exit::ExitStatus;
use crate::firewall::{self, Element, Plan};
use crate::foreign::Ruleset;
use crate::monitor;
use crate::site::Site;
use crate::starter::Options;
use crate::surroundings::{Routes, Surroundings};

/// How findings are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line each, the worst first.
    Lines,
    /// One array of JSON.
    Json,
}

/// All that the checks look at, read once.
struct Facts {
    config: Config,
    site: Site,
    surroundings: Surroundings,
    plan: Plan,
    rules: Ruleset,
    /// Names of the captured interfaces; none where all are.
    captured: Vec<String>,
    gateways: BTreeSet<IpAddr>,
}

/// Looks at everything, and prints what was found.
///
/// - `self_test`: also plays a knock, apart from everything.
pub fn run(options: &Options, form: Form, self_test: bool) -> ExitStatus {
    let needed = CapabilitySet::NET_ADMIN;
    if !rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        error!("spad doctor may not look at the firewall (hint: run it as root)");
        return ExitStatus::NotPermitted;
    }
    let found = examine(options, self_test);
    let bad = found.iter().any(|finding| finding.state == State::Bad);
    match tell(&mut io::stdout().lock(), found, form) {
        Ok(()) if bad => ExitStatus::Unwell,
        Ok(()) => ExitStatus::Done,
        // Whoever reads has gone.
        Err(_) => ExitStatus::Failure,
    }
}

fn tell(out: &mut impl Write, mut found: Vec<Finding>, form: Form) -> io::Result<()> {
    found.sort_by_key(|finding| finding.state);
    if form == Form::Json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        return writeln!(out);
    }
    let count = |state| found.iter().filter(|finding| finding.state == state).count();
    for finding in &found {
        writeln!(out, "{finding}")?;
    }
    let (bad, warnings, good) = (count(State::Bad), count(State::Warning), count(State::Ok));
    writeln!(out, "{bad} bad, {warnings} to know, {good} as they should be")
}

fn examine(options: &Options, self_test: bool) -> Vec<Finding> {
    let mut found = files::permissions(&options.config, &options.state_dir);
    found.push(state::folder(&options.state_dir));
    found.extend(state::room(&options.state_dir));
    found.extend(kernel::features());
    let daemon = daemon::find(&options.state_dir);
    found.extend(daemon::runs(daemon.as_ref(), &options.state_dir));
    let facts = match Facts::read(options, daemon.as_ref().map_or(0, |daemon| daemon.uid)) {
        Ok(facts) => facts,
        Err(unread) => {
            found.push(*unread);
            return found;
        }
    };
    found.extend(daemon::hears(daemon.as_ref(), &facts.surroundings));
    found.extend(daemon::actions(&facts.config.table));
    found.push(state::clock(&facts.config));
    found.extend(files::profiles(&facts.config, &facts.site));
    found.extend(interfaces::interfaces(&facts.config, &facts.surroundings));
    found.extend(forwarding::forwarding(&facts.config, &facts.surroundings));
    found.push(ports::spa_port(&facts.site));
    found.extend(ports::port_range(&facts.config, &facts.site));
    found.extend(ports::services(&facts.config.protect, &facts.rules, &facts.captured));
    found.push(rules::backend(&facts));
    let guard = rules::whole(&facts);
    let whole = guard.state == State::Ok;
    found.push(guard);
    found.extend(rules::strangers(&facts, whole));
    found.extend(rules::spa_port(&facts, whole));
    found.extend(rules::knocks(&facts));
    found.extend(rules::ways_round(&facts));
    found.extend(rules::scan(&facts));
    found.push(interfaces::gateway(&facts.open_for(), &facts.gateways));
    if self_test {
        found.extend(self_test::run(&facts));
    }
    found
}

impl Facts {
    /// - `uid`: the daemon's, who may own its files.
    fn read(options: &Options, uid: u32) -> Result<Self, Box<Finding>> {
        let refuse = |id, what: String| Err(Box::new(Finding::bad(id, what, "see `spad check`")));
        let config = match Config::open(&options.config) {
            Ok(config) => config,
            Err(error) => return refuse("spad-toml", error.to_string()),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let site = match Site::open_as(&options.config, UnixMillis::clamped(now), uid) {
            Ok(site) => site,
            Err(error) => return refuse("site-toml", error.to_string()),
        };
        let read = || {
            let routes = Routes::open()?;
            Ok((Surroundings::read(&config.interfaces, &routes)?, routes.gateways()?))
        };
        let (surroundings, gateways) = match read() {
            Ok(read) => read,
            Err(error) => return refuse("interfaces", io::Error::to_string(&error)),
        };
        if let Err(refusal) = monitor::refuse_itself(&config, &surroundings) {
            return refuse("spad-toml", refusal.to_string());
        }
        let plan = config.plan(monitor::guarded(&config, &surroundings), site.file.port);
        let captured = surroundings.interfaces.keys().cloned().collect();
        let rules = Ruleset::read(&surroundings.addresses);
        Ok(Self { config, site, surroundings, plan, rules, captured, gateways })
    }

    /// Single addresses for which doors are open.
    fn open_for(&self) -> BTreeSet<IpAddr> {
        let grants = firewall::choose(&self.config.standing, None).and_then(|(mut all, _)| all.grants());
        let address = |element: Element| match element.door.grantee {
            Grantee::Address(address) => Some(address),
            Grantee::Prefix { .. } | Grantee::OnLink { .. } => None,
        };
        grants.unwrap_or_default().into_iter().filter_map(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_is_counted() {
        let found = || {
            vec![
                Finding::ok("clock", "right"),
                Finding::warning("scan", "seen", "hide"),
                Finding::bad("guard", "gone", "load"),
            ]
        };
        let told = |form| {
            let mut out = Vec::new();
            tell(&mut out, found(), form).unwrap();
            String::from_utf8(out).unwrap()
        };
        let lines = "BAD   guard: gone (fix: load)\nwarn  scan: seen (fix: hide)\nok    clock: right\n\
                     1 bad, 1 to know, 1 as they should be\n";
        assert_eq!(told(Form::Lines), lines);
        let json: serde_json::Value = serde_json::from_str(&told(Form::Json)).unwrap();
        assert_eq!(json[0]["id"], "guard");
    }
}
