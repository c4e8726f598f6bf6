//! Hosts, their addresses, and the wires between them.
//!
//! ```text
//!             switch 10.77.0.0/24, fd77::/64
//!     ┌────────┬───┴────┬──────────┐
//!     A        B     server       NAT        A and B: two clients, two addresses
//!                    │    │       │  │       NAT: two clients behind one address
//!                 inner  box   NAT_A NAT_B   inner: a routed host; box: a "container", its port published
//! ```

use std::fmt::Write as _;

/// One host of the laboratory: a network namespace with the addresses it has on its first wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name of the network namespace.
    pub name: &'static str,
    /// Its IPv4 address.
    pub v4: &'static str,
    /// Its IPv6 address.
    pub v6: &'static str,
}

/// The machine that spad protects. It listens nowhere until a test asks for that.
pub const SERVER: Host = Host { name: "server", v4: "10.77.0.1", v6: "fd77::1" };
/// The server's ssh port by IPv4, which most tests guard.
pub const SSH: &str = "10.77.0.1:22";
/// The same by IPv6.
pub const SSH6: &str = "[fd77::1]:22";
/// The client that knocks.
pub const A: Host = Host { name: "a", v4: "10.77.0.2", v6: "fd77::2" };
/// The stranger, or the other client.
pub const B: Host = Host { name: "b", v4: "10.77.0.3", v6: "fd77::3" };
/// A router that hides its clients behind its own address ([`Extra::Nat`]).
pub const NAT: Host = Host { name: "nat", v4: "10.77.0.4", v6: "fd77::4" };
/// First client behind [`NAT`].
pub const NAT_A: Host = Host { name: "nata", v4: "10.78.1.2", v6: "fd78:1::2" };
/// Second client behind [`NAT`].
pub const NAT_B: Host = Host { name: "natb", v4: "10.78.2.2", v6: "fd78:2::2" };
/// A host that the server routes to ([`Extra::Inner`]).
pub const INNER: Host = Host { name: "inner", v4: "10.79.0.2", v6: "fd79::2" };
/// A container on the server; the server's port 8080 leads to its port 80 ([`Extra::Box`]).
pub const BOX: Host = Host { name: "box", v4: "10.80.0.2", v6: "fd80::2" };

/// What stands around the server and its two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// [`INNER`], behind the server.
    Inner,
    /// [`BOX`], on the server, published as tcp/8080.
    Box,
    /// [`NAT`] with [`NAT_A`] and [`NAT_B`].
    Nat,
}

/// A wire from one host to another: the ends' names and their networks, without the host part.
struct Wire {
    from: Host,
    interface: &'static str,
    to: Host,
    v4: &'static str,
    v6: &'static str,
}

const BEHIND_SERVER: Wire = Wire { from: SERVER, interface: "eth1", to: INNER, v4: "10.79.0", v6: "fd79" };
const ON_SERVER: Wire = Wire { from: SERVER, interface: "box0", to: BOX, v4: "10.80.0", v6: "fd80" };
const BEHIND_NAT: [Wire; 2] = [
    Wire { from: NAT, interface: "lan1", to: NAT_A, v4: "10.78.1", v6: "fd78:1" },
    Wire { from: NAT, interface: "lan2", to: NAT_B, v4: "10.78.2", v6: "fd78:2" },
];

/// Names that all hosts know: one for each family, one for both.
pub(crate) const HOSTS_FILE: &str = "127.0.0.1 localhost\n::1 localhost\n10.77.0.1 server.test four.test\n\
    fd77::1 server.test six.test\n10.77.0.1 twice.test\n10.77.0.9 twice.test\n";

/// Shell text that makes the hosts and wires.
pub(crate) fn script(extras: &[Extra]) -> String {
    let mut lines = String::from("ip link add br0 type bridge mcast_snooping 0\nip link set br0 up\n");
    for host in [SERVER, A, B] {
        on_the_switch(&mut lines, host);
    }
    for extra in extras {
        match extra {
            Extra::Inner => behind(&mut lines, &BEHIND_SERVER),
            Extra::Box => {
                behind(&mut lines, &ON_SERVER);
                lines.push_str(PUBLISHED);
            }
            Extra::Nat => {
                on_the_switch(&mut lines, NAT);
                BEHIND_NAT.iter().for_each(|wire| behind(&mut lines, wire));
                lines.push_str(MASQUERADE);
            }
        }
    }
    // The server has a default route like any other machine; nobody answers there.
    lines.push_str("ip -n server route add default via 10.77.0.254\n");
    for host in [A, B] {
        let name = host.name;
        let _ = writeln!(lines, "ip -n {name} route add default via 10.77.0.1");
        let _ = writeln!(lines, "ip -n {name} -6 route add default via fd77::1");
    }
    lines
}

/// What a container engine does for `-p 8080:80`.
const PUBLISHED: &str = "ip netns exec server nft -f - <<'END'
table ip published {
  chain pre { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 8080 dnat to 10.80.0.2:80; }
  chain post { type nat hook postrouting priority srcnat; ip saddr 10.80.0.0/24 oifname != \"box0\" masquerade; }
}
END\n";

const MASQUERADE: &str = "ip netns exec nat nft -f - <<'END'
table ip hide { chain post { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade; }; }
END\n";

/// A namespace whose IPv6 addresses are usable at once: nobody looks for duplicates, which takes a second.
fn add_namespace(lines: &mut String, name: &str) {
    let _ = writeln!(
        lines,
        "ip netns add {name}\nip netns exec {name} sh -c '\
         cd /proc/sys/net/ipv6/conf; echo 0 >all/accept_dad; echo 0 >default/accept_dad'"
    );
}

fn add_host(lines: &mut String, host: Host) {
    let Host { name, v4, v6 } = host;
    let _ = writeln!(lines, "ip -n {name} -batch - <<'END'");
    let _ = writeln!(lines, "link set lo up\nlink set eth0 up\naddr add {v4}/24 dev eth0");
    let _ = writeln!(lines, "addr add {v6}/64 dev eth0 nodad\nEND");
}

fn on_the_switch(lines: &mut String, host: Host) {
    add_namespace(lines, host.name);
    wire(lines, host);
}

/// Shell text that gives a host of the switch its first interface again.
pub(crate) fn plug(host: Host) -> String {
    let mut lines = String::new();
    wire(&mut lines, host);
    let _ = writeln!(lines, "ip -n {} route add default via 10.77.0.254", host.name);
    lines
}

fn wire(lines: &mut String, host: Host) {
    let Host { name, v4, .. } = host;
    // A hardware address that stays the same, so that no neighbour has to look for it again.
    let last = v4.rsplit('.').next().unwrap_or_default();
    let address = format!("02:77:00:00:00:{last:0>2}");
    let _ = writeln!(lines, "ip link add p-{name} type veth peer name eth0 address {address} netns {name}");
    let _ = writeln!(lines, "ip link set p-{name} master br0 up");
    add_host(lines, host);
}

fn behind(lines: &mut String, wire: &Wire) {
    let Wire { from, interface, to, v4, v6 } = wire;
    let (from, name) = (from.name, to.name);
    add_namespace(lines, name);
    let _ = writeln!(lines, "ip -n {from} link add {interface} type veth peer name eth0 netns {name}");
    add_host(lines, *to);
    let _ = writeln!(lines, "ip -n {from} -batch - <<'END'\nlink set {interface} up");
    let _ =
        writeln!(lines, "addr add {v4}.1/24 dev {interface}\naddr add {v6}::1/64 dev {interface} nodad\nEND");
    let _ = writeln!(lines, "ip -n {name} route add default via {v4}.1");
    let _ = writeln!(lines, "ip -n {name} -6 route add default via {v6}::1");
    let _ = writeln!(
        lines,
        "ip netns exec {from} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; \
         echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'"
    );
}
