//! `spad check`: everything that can be said of the files and the host without changing either.

use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

use spa_core::time::UnixMillis;
use tracing::error;

use crate::config::Config;
use crate::exit::ExitStatus;
use crate::firewall;
use crate::foreign;
use crate::monitor;
use crate::session;
use crate::site::Site;
use crate::starter::Options;
use crate::surroundings::{Interface, Routes, Surroundings};
use crate::sys::clock;

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
    let mut warnings: Vec<String> =
        site.left_out.iter().map(|reason| format!("left out: {reason}")).collect();
    interfaces(&config, &surroundings, &mut warnings);
    ports(&config, &site, &mut warnings);
    profiles(&config, &site, &mut warnings);
    forwarding(&config, &surroundings, &mut warnings);
    state(options, &config, &mut warnings);
    warnings.extend(foreign::deny(&config.protect, &config.forward, &config.standing.stand));
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

fn interfaces(config: &Config, surroundings: &Surroundings, warnings: &mut Vec<String>) {
    for (name, state) in &surroundings.interfaces {
        match state {
            Interface::Missing => warnings.push(format!("interface {name} is missing; spad waits for it")),
            Interface::Present { up: false, .. } => {
                warnings.push(format!("interface {name} is down; spad waits for it"));
            }
            Interface::Present { .. } => {}
        }
    }
    if config.interfaces.iter().any(|name| name == "lo") {
        warnings.push("knocks are heard on lo, where the guard never stands".to_owned());
    }
    if surroundings.interfaces.is_empty() && !surroundings.any {
        warnings.push(
            "there is no default route; until there is, the guard stands on every interface".to_owned(),
        );
    }
    if surroundings.any {
        return;
    }
    let elsewhere: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lo" && !surroundings.interfaces.contains_key(name))
        .collect();
    if !elsewhere.is_empty() && !surroundings.interfaces.is_empty() {
        warnings.push(format!("not guarded, and knocks not heard: {}", elsewhere.join(", ")));
    }
}

fn ports(config: &Config, site: &Site, warnings: &mut Vec<String>) {
    let spa_port = site.file.port.get();
    if listeners().contains(&spa_port) {
        warnings.push(format!("a program listens on udp/{spa_port}; the guard keeps every datagram from it"));
    }
    let Some((low, high)) = ephemeral() else { return };
    if (low..=high).contains(&spa_port) {
        warnings.push(format!(
            "udp/{spa_port} lies in net.ipv4.ip_local_port_range; answers to a program of this host that happens to \
             use it are lost (reserve it in net.ipv4.ip_local_reserved_ports)"
        ));
    }
    for protected in &config.protect {
        let port = protected.service.port().get();
        if protected.host.is_none() && (low..=high).contains(&port) {
            warnings.push(format!(
                "{} lies in net.ipv4.ip_local_port_range (reserve it in net.ipv4.ip_local_reserved_ports)",
                protected.service
            ));
        }
    }
}

fn profiles(config: &Config, site: &Site, warnings: &mut Vec<String>) {
    let protected: BTreeSet<_> = config.protect.iter().map(|protected| protected.service).collect();
    for profile in &site.profiles {
        for service in profile.open.iter().filter(|service| !protected.contains(service)) {
            warnings.push(format!("profile {} may open {service}, which is not protected", profile.name));
        }
        for forward in profile.forward.iter().filter(|to| config.ceiling.permit_forward(to).is_err()) {
            warnings.push(format!(
                "profile {} leads to {forward}, which firewall.forward and forward_sources do not allow",
                profile.name
            ));
        }
        if profile.max_window > config.ceiling.max_window {
            warnings.push(format!(
                "profile {}: max_window is cut to ceiling.max_window, {}",
                profile.name,
                humantime::format_duration(config.ceiling.max_window)
            ));
        }
    }
}

/// What would keep the kernel from leading on what a door lets in.
fn forwarding(config: &Config, surroundings: &Surroundings, warnings: &mut Vec<String>) {
    #[rustfmt::skip]
    let switches = [
        // IPv4 or not, its name, where the kernel has it, what sets it
        (true,  "IPv4", "/proc/sys/net/ipv4/ip_forward",          "net.ipv4.ip_forward=1"),
        (false, "IPv6", "/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding=1"),
    ];
    for (v4, family, path, setting) in switches {
        let wanted = config.forward.iter().any(|target| target.address().is_ipv4() == v4);
        let on = fs::read_to_string(path).is_ok_and(|value| value.trim() != "0");
        if wanted && !on {
            warnings.push(format!(
                "firewall.forward leads to {family}, but this host forwards none: `sysctl -w {setting}`, and put it \
                 into /etc/sysctl.d (spad never changes it)"
            ));
        }
    }
    for source in config.forward_sources.iter().filter(|source| !surroundings.addresses.contains(source)) {
        warnings.push(format!(
            "firewall.forward_sources: {source} is no address of this host; answers to it may go elsewhere"
        ));
    }
}

fn state(options: &Options, config: &Config, warnings: &mut Vec<String>) {
    const TMPFS: i128 = 0x0102_1994;
    const OVERLAY: i128 = 0x794c_7630;
    let folder = options.state_dir.display();
    match rustix::fs::statfs(&options.state_dir) {
        Ok(found) if [TMPFS, OVERLAY].contains(&i128::from(found.f_type)) => warnings.push(format!(
            "{folder} does not outlive this machine or container; without its journal replays are told by the clock only"
        )),
        Ok(_) => {}
        Err(error) => warnings.push(format!("{folder} cannot be used: {error}")),
    }
    if !config.clock_trusted && !clock::synchronised().unwrap_or(false) {
        warnings.push(
            "the kernel does not call its clock synchronised; after a loss of the journal nothing opens until it does \
             (start a time service, or set freshness.clock = \"trusted\")"
                .to_owned(),
        );
    }
}

/// Local ports of UDP sockets, from /proc/net.
fn listeners() -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let port = line.split_whitespace().nth(1).and_then(|local| local.rsplit_once(':'));
            ports.extend(port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok()));
        }
    }
    ports
}

/// Ports that the kernel gives to outgoing sockets.
fn ephemeral() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_whitespace().map(str::parse::<u16>);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}
