//! What others have in the server's firewall.

use crate::{Lab, SERVER};

impl Lab {
    /// Everybody else's rules, in their order and with their handles, without what counts packets and bytes.
    ///
    /// - `infix`: `None` for all of nftables, else which iptables: `-nft` or `-legacy`.
    #[must_use]
    pub fn foreign_rules(&self, infix: Option<&str>) -> String {
        let Some(infix) = infix else { return without_ours(&self.sh(SERVER, "nft -a -s list ruleset")) };
        let tables = ["raw", "mangle", "nat", "filter"].map(|table| {
            format!("iptables{infix}-save -t {table}; ip6tables{infix}-save -t {table} 2>/dev/null || true; ")
        });
        let saved = self.sh(SERVER, &format!("{} ipset save | sort", tables.concat()));
        let lines =
            saved.lines().filter(|line| !line.starts_with('#') && !line.to_lowercase().contains("spad"));
        // Packets and bytes of a chain's policy, and what a set's memory looks like.
        let plain = |line: &str| {
            line.split(" [").next().unwrap_or_default().split(" initval ").next().map(str::to_owned)
        };
        lines.filter_map(plain).map(|line| line + "\n").collect()
    }
}

/// A listing of nftables without our table, without our chains and sets in tables of others, and without the jumps there.
fn without_ours(listing: &str) -> String {
    let (mut theirs, mut inside) = (String::new(), None);
    for line in listing.lines() {
        let indent = line.len() - line.trim_start().len();
        let ours = line.to_lowercase().contains("spad");
        match inside {
            Some(at) if line.trim() == "}" && indent == at => inside = None,
            Some(_) => {}
            None if ours && line.contains('{') => inside = Some(indent),
            None if ours || line.trim().is_empty() => {}
            None => {
                theirs.push_str(line);
                theirs.push('\n');
            }
        }
    }
    theirs
}
