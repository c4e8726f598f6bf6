//! A copy of the rules of others, for another network namespace.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Ruleset;

/// What can be loaded elsewhere: filters, without what is ours and without translations, whose targets are elsewhere.
pub struct Copy {
    /// Name of what is loaded, program, arguments, input.
    parts: Vec<(String, String, &'static [&'static str], String)>,
}

impl Ruleset {
    /// Copies all but what is ours.
    pub fn copy(&self) -> Copy {
        let mut parts = Vec::new();
        for (table, entries) in self.tables() {
            let text = json!({ "nftables": entries }).to_string();
            parts.push((table, "nft".to_owned(), &["-j", "-f", "-"][..], text));
        }
        for (program, _, saved) in &self.iptables {
            let text = filters(saved);
            if text.contains("\n-A ") || text.contains(" DROP ") {
                let program_of = format!("{program}-restore");
                parts.push(((*program).to_owned(), program_of, &[][..], text));
            }
        }
        Copy { parts }
    }

    /// The entries of each table of nftables that filters.
    fn tables(&self) -> BTreeMap<String, Vec<Value>> {
        let nat: Vec<&Value> =
            self.nft.iter().map(|entry| &entry["chain"]).filter(|chain| chain["type"] == "nat").collect();
        let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for entry in &self.nft {
            let Some((kind, value)) = entry.as_object().and_then(|object| object.iter().next()) else {
                continue;
            };
            if !["table", "set", "map", "chain", "rule", "counter", "quota", "limit"].contains(&kind.as_str())
            {
                continue;
            }
            let table = if kind == "table" { &value["name"] } else { &value["table"] };
            let (Some(family), Some(table)) = (value["family"].as_str(), table.as_str()) else { continue };
            let chain = if kind == "chain" { &value["name"] } else { &value["chain"] };
            let of_nat = nat.iter().any(|one| {
                one["family"] == value["family"] && one["table"] == *table && one["name"] == *chain
            });
            let jumps = value["expr"].as_array().into_iter().flatten().any(|e| e["jump"]["target"] == "spad");
            let ours =
                |name: &Value| name.as_str().is_some_and(|name| name == "spad" || name.starts_with("spad_"));
            let is_ours = (family, table) == ("inet", "spad")
                || kind != "table" && (ours(&value["name"]) || ours(chain) || jumps);
            if is_ours || of_nat || !["inet", "ip", "ip6"].contains(&family) {
                continue;
            }
            let mut value = value.clone();
            if let Some(object) = value.as_object_mut() {
                object.remove("handle");
            }
            let mut one = serde_json::Map::new();
            one.insert(kind.clone(), value);
            tables.entry(format!("{family} {table}")).or_default().push(Value::Object(one));
        }
        tables
    }
}

/// The tables that filter, without rules of ours and without rules that look into sets, which are not copied.
fn filters(saved: &str) -> String {
    let mut text = String::new();
    let mut copied = false;
    for line in saved.lines() {
        if let Some(table) = line.strip_prefix('*') {
            copied = table != "nat";
        }
        if copied && !line.contains("SPAD") && !line.contains("--match-set") && !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

impl Copy {
    /// Loads it into the network namespace of this thread.
    ///
    /// # Returns
    /// What was loaded, and one sentence for each part that was not.
    pub fn load(&self) -> (Vec<&str>, Vec<String>) {
        let (mut loaded, mut failed) = (Vec::new(), Vec::new());
        for (name, program, arguments, text) in &self.parts {
            match load(program, arguments, text) {
                Ok(()) => loaded.push(name.as_str()),
                Err(reason) => failed.push(format!("{name}: {reason}")),
            }
        }
        (loaded, failed)
    }
}

fn load(program: &str, arguments: &[&str], text: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    // A program that ends before it has read all says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} said: {}", said.lines().find(|line| !line.is_empty()).unwrap_or("nothing")))
}
