//! knockd, set up as its man page shows: three SYNs, then `iptables`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use super::{Contestant, Junk, installed};
use crate::arena::{ADDRESS, Arena, Daemon, INTERFACE};
use crate::wire::{Packet, syn};

const SEQUENCE: [u16; 3] = [7000, 8000, 9000];

/// knockd.
#[derive(Debug)]
pub struct Knockd;

impl Contestant for Knockd {
    fn name(&self) -> &'static str {
        "knockd"
    }

    fn missing(&self) -> Option<String> {
        (!installed("knockd") || !installed("iptables"))
            .then(|| "not installed (Debian: knockd, iptables)".to_owned())
    }

    fn serve(&self, arena: &Arena, _profiles: usize) -> Daemon {
        arena.clean(true);
        let conf = arena.on_disk("knockd.conf");
        let rule = "INPUT -s %IP% -p tcp --dport 22 -j ACCEPT";
        let text = format!(
            "[options]\n\tlogfile = {}\n[ssh]\n\tsequence = 7000,8000,9000\n\tseq_timeout = 5\n\ttcpflags = syn\n\
             \tstart_command = /usr/sbin/iptables -I {rule}\n\tcmd_timeout = 30\n\
             \tstop_command = /usr/sbin/iptables -D {rule}\n",
            arena.on_disk("knockd.log").display(),
        );
        std::fs::write(&conf, text).expect("the disk has room");
        let arguments = ["-i", INTERFACE, "-c", &conf.to_string_lossy()].map(str::to_owned);
        arena.start("knockd", &arguments, "knockd.log", "starting up, listening on")
    }

    fn client(&self, _client: Ipv4Addr) -> Command {
        let mut command = Command::new("knock");
        command.arg(ADDRESS.to_string()).args(SEQUENCE.map(|port| port.to_string()));
        command
    }

    fn knocks(&self, _arena: &Arena, clients: &[Ipv4Addr], _profiles: usize) -> Vec<Vec<Packet>> {
        let port = |client: &Ipv4Addr| 1024 + (client.to_bits() & 0x3fff) as u16;
        let knock = |client: &Ipv4Addr| {
            SEQUENCE
                .map(|to| syn(SocketAddrV4::new(*client, port(client)), SocketAddrV4::new(ADDRESS, to)))
                .into()
        };
        clients.iter().map(knock).collect()
    }

    fn junk(&self, _arena: &Arena, kind: Junk, _profiles: usize) -> Result<Vec<Packet>, &'static str> {
        let from = |n: u16| SocketAddrV4::new(Arena::stranger((n % 200) as u8 + 1), 2000 + n);
        match kind {
            // Ports outside the sequence never reach it; this one is in it, out of order.
            Junk::Random => {
                Ok((0..512).map(|n| syn(from(n), SocketAddrV4::new(ADDRESS, SEQUENCE[1]))).collect())
            }
            Junk::CapturedHeader => Err("its knocks have no header"),
            Junk::ExactReplay | Junk::StaleReplay => Err("a replayed knock is a knock: it opens"),
        }
    }

    fn accepted(&self) -> &'static str {
        "OPEN SESAME"
    }
}
