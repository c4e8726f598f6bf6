//! Which firewall spad uses and where it stands in it, as spad.toml says it.

use std::fmt;
use std::str::FromStr;

/// Backend and mode together. Neither changes while spad runs: what stands of the old would have to be taken
/// down, and in between the doors would be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What carries the rules.
    pub backend: Backend,
    /// Where they are.
    pub stand: Stand,
}

/// What carries the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// nftables if the kernel has it, else iptables.
    Auto,
    /// nftables, over netlink.
    Nftables,
    /// iptables and ip6tables with ipset.
    Iptables(Variant),
}

/// Which of the two programs called iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The one that `iptables` means on this host.
    Host,
    /// `iptables-nft`: rules in nf_tables.
    Nft,
    /// `iptables-legacy`: rules in ip_tables.
    Legacy,
}

/// Where the rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Before everybody else's, with a drop of our own.
    Guard,
    /// Beside a chain of the operator's, who drops.
    Attach(AttachPoint),
}

/// The operator's chain: `inet filter input` for nftables, `filter INPUT` for iptables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    /// Family of the table; `None` for iptables, where the chain is one of both address families.
    pub family: Option<Family>,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

/// Family of an nftables table that sees IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Both.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    /// As in nft's text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }

    /// Whether a table of this family sees packets of that one.
    pub fn carries(self, other: Self) -> bool {
        self == Self::Inet || self == other
    }
}

impl Variant {
    /// What stands in the names of its programs: `iptables-legacy-restore`.
    pub const fn infix(self) -> &'static str {
        match self {
            Self::Host => "",
            Self::Nft => "-nft",
            Self::Legacy => "-legacy",
        }
    }
}

/// Text that names no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no chain: write \"inet filter input\" (family, table and chain of nftables) or \"filter INPUT\" \
     (of iptables; only the table filter)"
)]
pub struct BadAttachPoint(String);

impl FromStr for AttachPoint {
    type Err = BadAttachPoint;

    fn from_str(text: &str) -> Result<Self, BadAttachPoint> {
        let words: Vec<&str> = text.split(' ').collect();
        let (family, table, chain) = match *words {
            ["inet", table, chain] if table != "spad" => (Some(Family::Inet), table, chain),
            ["ip", table, chain] => (Some(Family::Ip), table, chain),
            ["ip6", table, chain] => (Some(Family::Ip6), table, chain),
            ["filter", chain] => (None, "filter", chain),
            _ => return Err(BadAttachPoint(text.to_owned())),
        };
        if !is_name(table) || !is_name(chain) {
            return Err(BadAttachPoint(text.to_owned()));
        }
        Ok(Self { family, table: table.to_owned(), chain: chain.to_owned() })
    }
}

/// Longest name of a chain in iptables (`XT_EXTENSION_MAXNAMELEN`, less its end mark).
const LONGEST: usize = 28;

/// Letters, digits and what both kinds of text let stand in a name, never an option.
fn is_name(text: &str) -> bool {
    matches!(text.len(), 1..=LONGEST)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !text.starts_with(['-', '.'])
}

impl fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(family) = self.family {
            write!(f, "{} ", family.name())?;
        }
        write!(f, "{} {}", self.table, self.chain)
    }
}

impl Standing {
    /// Puts together what spad.toml says.
    ///
    /// - `attaches`: whether `firewall.mode` is `attach`.
    ///
    /// # Errors
    /// A sentence, where the parts do not fit.
    pub fn new(backend: Backend, attaches: bool, point: Option<AttachPoint>) -> Result<Self, String> {
        let stand = match (attaches, point) {
            (false, None) => Stand::Guard,
            (true, Some(point)) => Stand::Attach(point),
            (false, Some(_)) => return Err("firewall.attach is for mode = \"attach\" only".to_owned()),
            (true, None) => {
                return Err("firewall.mode = \"attach\" needs firewall.attach, for instance \"inet filter \
                            input\""
                    .to_owned());
            }
        };
        let Stand::Attach(point) = &stand else { return Ok(Self { backend, stand }) };
        let backend = match (backend, point.family) {
            (Backend::Auto | Backend::Nftables, Some(_)) => Backend::Nftables,
            (Backend::Auto, None) => Backend::Iptables(Variant::Host),
            (Backend::Iptables(_), None) => backend,
            (Backend::Nftables, None) => {
                return Err(format!(
                    "firewall.attach = \"{point}\" is a chain of iptables; for nftables write \
                                    family, table and chain"
                ));
            }
            (Backend::Iptables(_), Some(_)) => {
                return Err(format!(
                    "firewall.attach = \"{point}\" is a chain of nftables; for iptables write \
                                    \"filter INPUT\""
                ));
            }
        };
        Ok(Self { backend, stand })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_in_one_of_two_ways() {
        #[rustfmt::skip]
        let rows = [
            // text, valid, why
            ("inet filter input",     true,  "nftables"),
            ("ip6 fw in-put_2",       true,  "nftables, one family"),
            ("filter ufw-user-input", true,  "iptables"),
            ("nat INPUT",             false, "an accept there means nothing"),
            ("bridge filter input",   false, "no IP packets as such"),
            ("inet spad guard",       false, "our own table"),
            ("inet filter",           false, "no chain"),
            ("inet filter  input",    false, "two blanks"),
            ("filter -j",             false, "an option"),
            ("inet filter a;b",       false, "would end the line"),
            ("filter ABCDEFGHIJKLMNOPQRSTUVWXYZabc", false, "longer than iptables takes"),
        ];
        for (text, valid, why) in rows {
            let parsed = text.parse::<AttachPoint>();
            assert_eq!(parsed.is_ok(), valid, "{text}: {why}");
            assert!(parsed.is_err() || parsed.is_ok_and(|point| point.to_string() == text));
        }
    }

    #[test]
    fn the_parts_must_fit() {
        let nft = || "inet filter input".parse().ok();
        let ipt = || "filter INPUT".parse().ok();
        let iptables = Backend::Iptables(Variant::Host);
        #[rustfmt::skip]
        let rows = [
            // backend, attaches, chain, backend in the end
            (Backend::Nftables, false, None,  Ok(Backend::Nftables)),
            (Backend::Auto,     false, None,  Ok(Backend::Auto)),
            (Backend::Auto,     true,  nft(), Ok(Backend::Nftables)),
            (Backend::Auto,     true,  ipt(), Ok(iptables)),
            (iptables,          true,  ipt(), Ok(iptables)),
            (Backend::Nftables, true,  ipt(), Err("a chain of iptables")),
            (iptables,          true,  nft(), Err("a chain of nftables")),
            (Backend::Nftables, true,  None,  Err("needs firewall.attach")),
            (Backend::Nftables, false, nft(), Err("mode = \"attach\" only")),
        ];
        for (backend, attaches, point, outcome) in rows {
            match (Standing::new(backend, attaches, point), outcome) {
                (Ok(standing), Ok(backend)) => assert_eq!(standing.backend, backend),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
            }
        }
    }
}
