//! The port that knocks come to: where nobody listens, and nobody looks first.

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroU16;

use rand::RngExt as _;

use crate::random::Random;

/// Below the ports that Linux hands out by itself (32768 and up), above those of well-known services.
const RANGE: std::ops::RangeInclusive<u16> = 10_000..=32_767;

/// A random port that no UDP socket of this machine has, if there is one.
pub(super) fn unused(random: &mut Random) -> Option<NonZeroU16> {
    let used = used();
    let free: Vec<u16> = RANGE.filter(|port| !used.contains(port)).collect();
    let drawn = random.random_range(..free.len().max(1));
    free.get(drawn).copied().and_then(NonZeroU16::new)
}

/// Whether a UDP socket of this machine has this port.
pub(super) fn is_used(port: NonZeroU16) -> bool {
    used().contains(&port.get())
}

/// The ports of all UDP sockets. Asked of the kernel rather than tried: trying would open a socket for a moment.
fn used() -> HashSet<u16> {
    let tables: &[&str] = if cfg!(target_os = "linux") { &["/proc/net/udp", "/proc/net/udp6"] } else { &[] };
    tables.iter().flat_map(|table| ports(&fs::read_to_string(table).unwrap_or_default())).collect()
}

/// The local ports of such a table: a heading, then lines like `  12: 0100007F:0035 00000000:0000 …`.
fn ports(table: &str) -> Vec<u16> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
            u16::from_str_radix(port, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_kernel_tells_which_ports_are_used() {
        let table = "   sl  local_address rem_address   st tx_queue\n\
                     \x20   7: 0100007F:0035 00000000:0000 07 00000000:00000000\n\
                     \x20 123: 00000000000000000000000001000000:5C13 00000000000000000000000000000000:0000 07\n";
        assert_eq!(ports(table), [53, 23571]);
        assert_eq!(ports(""), [0; 0]);
        if cfg!(target_os = "linux") {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(socket) = UdpSocket::bind(address) else { continue };
                let port = NonZeroU16::new(socket.local_addr().unwrap().port()).unwrap();
                assert!(is_used(port), "{address}");
            }
        }
        let drawn = unused(&mut crate::random::random().unwrap()).unwrap();
        assert!(RANGE.contains(&drawn.get()));
    }
}
