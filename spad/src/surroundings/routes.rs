//! The interfaces of the default routes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kernel's routing tables, open: they can be read again and again, also from inside a sandbox that lets
/// no file be opened, and always are those of the network namespace in which they were opened.
#[derive(Debug)]
pub struct Routes {
    v4: Option<File>,
    v6: Option<File>,
}

impl Routes {
    /// Opens both tables. To be called before the sandbox is closed.
    ///
    /// # Errors
    /// A table is there and cannot be opened. A kernel without one of the families has no table of it.
    pub fn open() -> io::Result<Self> {
        let open = |path| match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self { v4: open("/proc/net/route")?, v6: open("/proc/net/ipv6_route")? })
    }

    /// The gateways of the default routes.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn gateways(&self) -> io::Result<BTreeSet<IpAddr>> {
        let mut found = BTreeSet::new();
        read(self.v4.as_ref(), |line| found.extend(v4(line).and_then(|_| gateway4(line))))?;
        read(self.v6.as_ref(), |line| found.extend(v6(line).and_then(|_| gateway6(line))))?;
        found.retain(|gateway| !gateway.is_unspecified());
        Ok(found)
    }

    /// Names of the interfaces that a default route leads to now.
    pub(super) fn defaults(&self) -> io::Result<BTreeSet<String>> {
        let mut found = interfaces(self.v4.as_ref(), v4)?;
        found.extend(interfaces(self.v6.as_ref(), v6)?);
        Ok(found)
    }
}

/// Reads one table from its beginning, line by line: it may be as long as the whole internet's.
fn interfaces(table: Option<&File>, parse: fn(&str) -> Option<&str>) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    read(table, |line| found.extend(parse(line).map(str::to_owned)))?;
    Ok(found)
}

fn read(table: Option<&File>, mut take: impl FnMut(&str)) -> io::Result<()> {
    let Some(mut table) = table else { return Ok(()) };
    table.rewind()?;
    for line in BufReader::new(table).lines() {
        take(&line?);
    }
    Ok(())
}

/// The third field, as the processor has it in memory.
fn gateway4(line: &str) -> Option<IpAddr> {
    let number = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()).into())
}

/// The fifth field.
fn gateway6(line: &str) -> Option<IpAddr> {
    let number = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
    Some(Ipv6Addr::from(number).into())
}

/// `RTF_REJECT` of route(8): a route that leads nowhere.
const REJECT: u32 = 0x200;

/// A line of /proc/net/route: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hex.
fn v4(line: &str) -> Option<&str> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let &[interface, "00000000", _, flags, _, _, _, "00000000", ..] = fields.as_slice() else { return None };
    leads_somewhere(flags).then_some(interface)
}

/// A line of /proc/net/ipv6_route: `destination length source length gateway metric refcnt use flags Iface`.
fn v6(line: &str) -> Option<&str> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let &[destination, "00", _, _, _, _, _, _, flags, interface] = fields.as_slice() else { return None };
    (destination.bytes().all(|digit| digit == b'0') && leads_somewhere(flags)).then_some(interface)
}

fn leads_somewhere(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REJECT == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        const ZERO: &str = "00000000000000000000000000000000";
        #[rustfmt::skip]
        let rows = [
            // line, interface, why
            ("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", None, "heading"),
            ("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0", Some("eth0"), "default route"),
            ("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0", Some("ppp0"), "without a gateway"),
            ("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0", None,         "the local network"),
            ("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0", None,         "half of the internet (a VPN's trick)"),
            ("*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0",    None,         "unreachable"),
            ("", None, "nothing"),
        ];
        for (line, interface, why) in rows {
            assert_eq!(v4(line), interface, "{why}");
        }
        if cfg!(target_endian = "little") {
            assert_eq!(gateway4(rows[1].0), "192.0.2.1".parse().ok());
        }
        let gateway = "fd000000000000000000000000000001";
        #[rustfmt::skip]
        let rows = [
            (format!("{ZERO} 00 {ZERO} 00 {gateway} 00000400 00000002 00000000 00000003     eth0"), Some("eth0"), "default route"),
            (format!("{ZERO} 00 {gateway} 40 {gateway} 00000400 00000002 00000000 00000003  eth1"), Some("eth1"), "for one source only"),
            (format!("{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo"),    None, "unreachable"),
            (format!("{gateway} 80 {ZERO} 00 {ZERO} 00000000 00000003 00000000 80200001     eth0"), None, "one host"),
            (format!("{ZERO} 80 {ZERO} 00 {ZERO} 00000000 00000003 00000000 80200001     eth0"),    None, "one host, all zero"),
        ];
        assert_eq!(gateway6(&rows[0].0), "fd00::1".parse().ok());
        for (line, interface, why) in rows {
            assert_eq!(v6(&line), interface, "{why}");
        }
    }
}
