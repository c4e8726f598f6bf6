//! fwknopd with AES and HMAC, as its documentation recommends: reading packets by libpcap, or from a UDP socket.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use spa_core::crypto::key::to_base64;

use super::{Contestant, Junk, installed};
use crate::arena::{ADDRESS, Arena, Daemon, INTERFACE};
use crate::wire::{Packet, noise, udp};

const PORT: u16 = 62201;

/// fwknopd.
#[derive(Debug)]
pub struct Fwknopd {
    /// Whether it reads from a UDP socket (`-U`) instead of libpcap.
    pub socket: bool,
    /// Where its client's configuration is.
    pub rc: std::path::PathBuf,
}

fn keys(profile: usize) -> [String; 2] {
    let key = |which: u8| {
        let mut bytes = [which; 32];
        bytes[..8].copy_from_slice(&(profile as u64).to_be_bytes());
        to_base64(&bytes)
    };
    [key(1), key(2)]
}

impl Fwknopd {
    /// Writes the configuration of the client too.
    #[must_use]
    pub fn new(arena: &Arena, socket: bool) -> Self {
        let rc = arena.on_disk("fwknoprc");
        let [key, hmac] = keys(0);
        let text = format!(
            "[default]\n[bench]\nSPA_SERVER {ADDRESS}\nACCESS tcp/22\nKEY_BASE64 {key}\nHMAC_KEY_BASE64 {hmac}\n\
             USE_HMAC Y\n"
        );
        write_secret(&rc, &text);
        Self { socket, rc }
    }
}

fn write_secret(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).expect("the disk has room");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

impl Contestant for Fwknopd {
    fn name(&self) -> &'static str {
        if self.socket { "fwknopd -U" } else { "fwknopd pcap" }
    }

    fn missing(&self) -> Option<String> {
        let here = installed("fwknopd") && installed("fwknop") && installed("iptables");
        (!here).then(|| "not installed (Debian: fwknop-server, fwknop-client)".to_owned())
    }

    fn serve(&self, arena: &Arena, profiles: usize) -> Daemon {
        arena.clean(true);
        let folder = arena.on_disk("fwknop");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the disk has room");
        let mut access = String::new();
        for profile in 0..profiles {
            let [key, hmac] = keys(profile);
            let _ = write!(
                access,
                "SOURCE ANY\nOPEN_PORTS tcp/22\nFW_ACCESS_TIMEOUT 30\nKEY_BASE64 {key}\nHMAC_KEY_BASE64 {hmac}\n\n"
            );
        }
        write_secret(&folder.join("access.conf"), &access);
        write_secret(&folder.join("fwknopd.conf"), &format!("PCAP_INTF {INTERFACE};\n"));
        let mut arguments = vec!["-f".to_owned(), "-i".to_owned(), INTERFACE.to_owned()];
        for (option, file) in
            [("-c", "fwknopd.conf"), ("-a", "access.conf"), ("-p", "pid"), ("-d", "digests"), ("-r", "run")]
        {
            arguments.extend([option.to_owned(), folder.join(file).to_string_lossy().into_owned()]);
        }
        std::fs::create_dir_all(folder.join("run")).expect("the disk has room");
        if self.socket {
            arguments.push("-U".to_owned());
            return arena.start("fwknopd", &arguments, "fwknopd.log", "Kicking off UDP server");
        }
        arena.start("fwknopd", &arguments, "fwknopd.log", "Starting fwknopd main event loop")
    }

    fn client(&self, client: Ipv4Addr) -> Command {
        let mut command = Command::new("fwknop");
        command
            .args(["-n", "bench", "--no-save-args", "--rc-file"])
            .arg(&self.rc)
            .args(["-a", &client.to_string()]);
        command
    }

    fn knocks(&self, arena: &Arena, clients: &[Ipv4Addr], profiles: usize) -> Vec<Vec<Packet>> {
        let saved = arena.on_disk("fwknop.packet");
        let knock = |(n, client): (usize, &Ipv4Addr)| {
            let [key, hmac] = keys(n % profiles);
            let mut command = Command::new("fwknop");
            command.args(["--no-rc-file", "--no-save-args", "--use-hmac", "-T", "-A", "tcp/22", "-D"]);
            command.arg(ADDRESS.to_string()).args([
                "--key-base64-rijndael",
                &key,
                "--key-base64-hmac",
                &hmac,
            ]);
            command.args(["-a", &client.to_string(), "-B"]).arg(&saved);
            let done = command.stdout(Stdio::null()).status();
            assert!(done.is_ok_and(|status| status.success()), "fwknop makes a packet");
            let packet = std::fs::read(&saved).expect("fwknop saved it");
            let packet = packet.trim_ascii_end();
            vec![udp(SocketAddrV4::new(*client, 40_000), SocketAddrV4::new(ADDRESS, PORT), packet)]
        };
        clients.iter().enumerate().map(knock).collect()
    }

    fn junk(&self, arena: &Arena, kind: Junk, _profiles: usize) -> Result<Vec<Packet>, &'static str> {
        let to = SocketAddrV4::new(ADDRESS, PORT);
        let from = |n: u16| SocketAddrV4::new(Arena::stranger((n % 200) as u8 + 1), 2000 + n);
        match kind {
            // As long as a knock for one port and in the same alphabet.
            Junk::Random => {
                Ok((0..512).map(|n| udp(from(n), to, &to_base64(&noise(156)).as_bytes()[..205])).collect())
            }
            Junk::CapturedHeader => Err("its packets have no header"),
            Junk::ExactReplay => Ok(self.knocks(arena, &[Arena::stranger(201)], 1).concat()),
            Junk::StaleReplay => Err("not made: its client has no such packet ready"),
        }
    }

    fn lost(&self, daemon: &Daemon) -> u64 {
        if self.socket {
            return crate::usage::lost_at_port(daemon.pid(), PORT);
        }
        crate::usage::captured(&daemon.processes()).map_or(0, |(_, lost)| lost.into())
    }

    fn accepted(&self) -> &'static str {
        "Added access rule"
    }
}
