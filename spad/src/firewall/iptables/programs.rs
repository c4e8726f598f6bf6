//! `iptables-restore` and its relatives, run when the rules are loaded or removed, never for a grant. By
//! absolute paths, without a shell and without our environment.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::forward::Leads;
use super::rules::{self, Ruleset, Stand};
use super::set::Family;
use crate::firewall::standing::Variant;

/// Where distributions put them.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Others may hold the lock of iptables-legacy (`/run/xtables.lock`) this long. iptables-nft has none.
const WAIT: &str = "--wait=10";

/// Chains that every host has, even if their table is not there yet.
const BUILT_IN: [&str; 2] = ["INPUT", "FORWARD"];

/// Loads the rules of both families; each family's in one step for each table.
///
/// # Errors
/// What the program said.
pub(super) fn load(variant: Variant, ruleset: &Ruleset) -> Result<(), String> {
    for family in Family::BOTH {
        let mut text = String::new();
        for table in rules::tables(ruleset, family) {
            let saved = save(variant, family, table.name)?;
            let there = |chain: &str| saved.lines().any(|line| line.starts_with(&format!(":{chain} ")));
            if let Stand::Attach(chain) = &ruleset.stand
                && table.name == "filter"
                && !BUILT_IN.contains(&chain.as_str())
                && !there(chain)
            {
                let program = name(variant, family, "");
                return Err(format!("{program} has no chain {chain} in table filter to attach to"));
            }
            text += &table.restore(&saved);
        }
        if ruleset.leads == Leads::NoLonger {
            let saved = save(variant, family, "nat")?;
            let nat = rules::CHAINS.iter().filter(|(table, _)| *table == "nat");
            text.extend(nat.filter_map(|(table, chains)| rules::remove(table, chains, &saved)));
        }
        restore(variant, family, &text)?;
    }
    Ok(())
}

/// Looks whether the jump of both families is where [`load`] puts it.
///
/// # Errors
/// It is not, or what the program said.
pub(super) fn look(variant: Variant, stand: &Stand) -> Result<(), String> {
    let ruleset = Ruleset::bare(stand.clone());
    for family in Family::BOTH {
        for table in rules::tables(&ruleset, family) {
            if !table.comes_first(&save(variant, family, table.name)?) {
                return Err(format!("another rule comes before the jump of {}", name(variant, family, "")));
            }
        }
    }
    Ok(())
}

/// Removes every rule of ours.
///
/// # Errors
/// What the program said. That a program is not here is no error: then neither are its rules.
pub(super) fn unload(variant: Variant) -> Result<(), String> {
    for family in Family::BOTH {
        if find(&name(variant, family, "-save")).is_none() {
            continue;
        }
        for (table, chains) in rules::CHAINS {
            let Ok(saved) = save(variant, family, table) else { continue };
            if let Some(text) = rules::remove(table, chains, &saved) {
                restore(variant, family, &text)?;
            }
        }
    }
    Ok(())
}

fn save(variant: Variant, family: Family, table: &str) -> Result<String, String> {
    run(&name(variant, family, "-save"), &["-t", table], "")
}

fn restore(variant: Variant, family: Family, text: &str) -> Result<(), String> {
    run(&name(variant, family, "-restore"), &["--noflush", WAIT], text).map(drop)
}

/// `ip6tables-legacy-restore`.
fn name(variant: Variant, family: Family, action: &str) -> String {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    format!("{program}{}{action}", variant.infix())
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// Runs a program to its end, and returns what it wrote.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let path =
        find(program).ok_or_else(|| format!("the program {program} is not here (hint: install iptables)"))?;
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // A program that ends before it has read all says why; that counts more than the broken pipe.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("{program} failed ({}): {said}", output.status))
}
