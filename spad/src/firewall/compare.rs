//! Whether what stands in the kernel is what the plan makes. The plan is loaded into an empty network namespace, and the
//! same program lists both: so nothing has to be known of how that program writes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::choice::{Resolved, choose, has_nf_tables, place, resolve};
use super::standing::{AttachPoint, Stand, Standing, Variant};
use super::{FirewallError, Plan, iptables, nftables};
use crate::sys::namespace;

/// Parts of what is ours: what it is called, and what it says.
type Parts = BTreeMap<String, String>;
/// Names of the sets whose elements the plan alone says.
type Planned = BTreeSet<&'static str>;

/// What differs from what the plan would load, one line each; nothing if all is whole. Open doors and kept sessions,
/// which come and go, are not compared.
///
/// # Errors
/// The kernel lacks a part; a program that lists is not here; no namespace can be made.
pub fn differences(standing: &Standing, plan: &Plan) -> Result<Vec<String>, FirewallError> {
    let (backend, _) = resolve(standing.backend, has_nf_tables)?;
    // Elements of the others come and go.
    let planned = match backend {
        Resolved::Nftables => nftables::planned(&place(&standing.stand), plan),
        Resolved::Iptables(_) => iptables::planned(plan),
    };
    let should = namespace::in_own_network(|| {
        make_room(backend, &standing.stand)?;
        // Without a loader, the programs are waited for here.
        let (mut firewall, _) = choose(standing, None)?;
        firewall.prepare(plan)?;
        list(backend, &standing.stand, &planned)
    });
    let unable = |error| FirewallError::Program(format!("no network namespace can be made: {error}"));
    let should = should.map_err(unable)??;
    let is = list(backend, &standing.stand, &planned)?;
    if is.is_empty() {
        return Ok(vec!["nothing of it is there".to_owned()]);
    }
    let mut found = Vec::new();
    for (name, text) in &should {
        match is.get(name) {
            None => found.push(format!("{name} is missing")),
            Some(other) if other != text => found.push(format!("{name} is another")),
            Some(_) => {}
        }
    }
    let added = is.keys().filter(|name| !should.contains_key(*name));
    found.extend(added.map(|name| format!("{name} was added")));
    Ok(found)
}

/// Makes the chain that is attached to, where it is none that every namespace has.
fn make_room(backend: Resolved, stand: &Stand) -> Result<(), FirewallError> {
    let Stand::Attach(AttachPoint { family, table, chain }) = stand else { return Ok(()) };
    match (backend, family) {
        (Resolved::Nftables, Some(family)) => {
            let table = format!("{} {table}", family.name());
            let text = format!("add table {table}; add chain {table} {chain}");
            run("nft", &[&text]).map(drop)
        }
        (Resolved::Iptables(variant), _) if !["INPUT", "FORWARD"].contains(&&**chain) => {
            for program in ["iptables", "ip6tables"] {
                run(&format!("{program}{}", variant.infix()), &["-N", chain])?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn list(backend: Resolved, stand: &Stand, planned: &Planned) -> Result<Parts, FirewallError> {
    match backend {
        Resolved::Nftables => {
            let json = run("nft", &["-j", "list", "ruleset"])?;
            let listed: Value = serde_json::from_str(&json)
                .map_err(|error| FirewallError::Program(format!("nft's list is not understood: {error}")))?;
            let entries = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(of_nftables(entries, stand, planned))
        }
        Resolved::Iptables(variant) => of_iptables(variant, stand, planned),
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, FirewallError> {
    let output = Command::new(program).args(arguments).output();
    let failed = |reason: String| FirewallError::Program(format!("{program}: {reason}"));
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it failed").to_owned()))
}

fn of_nftables(entries: &[Value], stand: &Stand, planned: &Planned) -> Parts {
    let (family, table, attached) = match stand {
        Stand::Guard => ("inet", "spad", None),
        Stand::Attach(point) => {
            (point.family.map_or("inet", |family| family.name()), &*point.table, Some(&*point.chain))
        }
    };
    let own = |name: &Value| attached.is_none() || name.as_str().is_some_and(|name| name.starts_with("spad"));
    let (mut parts, mut counts) = (Parts::new(), BTreeMap::<String, u32>::new());
    for entry in entries {
        let Some((kind, value)) = entry.as_object().and_then(|object| object.iter().next()) else { continue };
        if kind == "table" && attached.is_none() && value["family"] == family && value["name"] == table {
            // A table may sleep, with all that is in it.
            parts.insert(format!("table {family} {table}"), value["flags"].to_string());
        }
        if value["family"] != family || value["table"] != table {
            continue;
        }
        let mut value = value.clone();
        forget(&mut value);
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "rule" => {
                let chain = value["chain"].as_str().unwrap_or_default().to_owned();
                let count = counts.entry(chain.clone()).or_default();
                *count += 1;
                let jumps =
                    value["expr"].as_array().into_iter().flatten().any(|e| e["jump"]["target"] == "spad");
                if own(&value["chain"]) {
                    parts.insert(format!("rule {count} of chain {chain}"), value["expr"].to_string());
                } else if attached == Some(&chain) && jumps {
                    let place = if *count == 1 { "the head" } else { "another place" };
                    parts.insert(format!("the jump at {place} of chain {chain}"), String::new());
                }
            }
            "set" | "map" if own(&value["name"]) => {
                let mut elements: Vec<_> =
                    value["elem"].as_array().into_iter().flatten().map(Value::to_string).collect();
                elements.sort();
                elements.retain(|_| planned.contains(name.as_str()));
                if let Some(set) = value.as_object_mut() {
                    set.remove("elem");
                }
                parts.insert(format!("{kind} {name}"), format!("{value} {elements:?}"));
            }
            "chain" if own(&value["name"]) => drop(parts.insert(format!("chain {name}"), value.to_string())),
            _ => {}
        }
    }
    parts
}

/// Handles and counters differ from one load to the next.
fn forget(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for name in ["handle", "packets", "bytes"] {
                object.remove(name);
            }
            object.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

fn of_iptables(variant: Variant, stand: &Stand, planned: &Planned) -> Result<Parts, FirewallError> {
    let mut parts = Parts::new();
    // A table that is only asked for is made: others are left alone.
    let tables: &[&str] = if *stand == Stand::Guard { &["raw", "mangle"] } else { &["filter"] };
    for program in ["iptables", "ip6tables"] {
        for table in tables {
            let name = format!("{program}{}-save", variant.infix());
            let Ok(saved) = run(&name, &["-t", table]) else { continue };
            let mut counts = BTreeMap::<String, u32>::new();
            for line in saved.lines().filter_map(|line| line.strip_prefix("-A ")) {
                let chain = line.split(' ').next().unwrap_or_default();
                let count = counts.entry(chain.to_owned()).or_default();
                *count += 1;
                let place = format!("chain {chain} of {program}'s table {table}");
                if chain.starts_with("SPAD") {
                    parts.insert(format!("rule {count} of {place}"), line.to_owned());
                } else if line.contains(" -j SPAD") {
                    let at = if *count == 1 { "the head" } else { "another place" };
                    parts.insert(format!("the jump at {at} of {place}"), line.to_owned());
                }
            }
        }
    }
    // The program is not needed to run; then the rules have to do.
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in run("ipset", &["save"]).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[what, name, value, ..] = words.as_slice() else { continue };
        if name.starts_with("spad_") && (what == "create" || planned.contains(name)) {
            sets.entry(format!("set {name}")).or_default().push(format!("{what} {value}"));
        }
    }
    for (name, mut lines) in sets {
        lines.sort();
        parts.insert(name, lines.join("\n"));
    }
    Ok(parts)
}
