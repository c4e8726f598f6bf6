//! A site that lives for one self-test: made in memory, known to nobody, and gone with it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU16;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use spa_core::crypto::header::HeaderKey;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteId, SiteKey};
use spa_core::crypto::suite::{Suite, SuiteKeys};
use spa_core::file::profile::ProfileFile;
use spa_core::file::site::SiteFile;
use spa_core::journal::{CAPACITY, HEADER, Header, MachineHash, RECORD};
use spa_core::profile::{Freshness, JournalEpoch};
use spa_core::request::{Open, Request, RequestId, Verb};
use spa_core::scheme::native::{SealingKeys, seal};
use spa_core::service::Service;
use spa_core::time::UnixMillis;

use crate::config::Config;
use crate::firewall::standing::{Backend, Stand, Variant};

/// How long a door stays open.
pub(super) const WINDOW: Duration = Duration::from_secs(2);
/// Nothing else lives in the namespace.
const PORT: NonZeroU16 = NonZeroU16::new(23_571).unwrap();
const ID: KeyId = KeyId(1);

pub(super) struct Site {
    keys: SealingKeys,
    random: UnwrapErr<SysRng>,
    pub(super) folder: PathBuf,
    pub(super) service: Service,
    pub(super) port: NonZeroU16,
}

impl Site {
    /// Writes all files of a site below that folder, which must be in memory.
    ///
    /// - `config`: says backend and mode.
    pub(super) fn make(
        folder: &Path,
        config: &Config,
        interface: &str,
        service: Service,
    ) -> io::Result<Self> {
        let mut random = UnwrapErr(SysRng);
        let (mut id, mut epoch) = ([0; 16], [0; 8]);
        random.fill_bytes(&mut id);
        random.fill_bytes(&mut epoch);
        let (id, key) = (SiteId(id), SiteKey::random(&mut random));
        let profile_key = ProfileKey::random(&mut random);
        let keys = SealingKeys {
            header: HeaderKey::derive(&key, id),
            key_id: ID,
            suite: SuiteKeys::derive(&profile_key, id, Suite::Aes256Gcm),
        };
        let machine = MachineHash::of(id, &crate::site::machine_id());
        let mut profile =
            ProfileFile::new(ID, profile_key, Suite::Aes256Gcm, vec![service], now(), Freshness::Clock);
        (profile.window, profile.max_window) = (WINDOW, WINDOW);
        for name in ["", "profiles", "state"] {
            fs::DirBuilder::new().mode(0o700).create(folder.join(name))?;
        }
        let write = |name: &str, bytes: &[u8]| {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name));
            file.and_then(|mut file| file.write_all(bytes))
        };
        write("spad.toml", text(config, interface, service).as_bytes())?;
        write("site.toml", SiteFile::new(id, key, PORT, machine).to_text().as_bytes())?;
        write("profiles/self-test.toml", profile.to_text().as_bytes())?;
        // It begins settled: there is nothing that it could have forgotten.
        let epoch = JournalEpoch(epoch);
        let header =
            Header { generation: 1, epoch, settled: true, site: id, machine, capacity: CAPACITY as u64 };
        let blank = vec![0; CAPACITY * RECORD];
        write("state/journal.b", &[&[0; HEADER], &blank[..]].concat())?;
        write("state/journal.a", &[&header.encode()[..], &blank].concat())?;
        Ok(Self { keys, random, folder: folder.to_owned(), service, port: PORT })
    }

    /// One datagram that asks for the service, for whoever sends it.
    pub(super) fn datagram(&mut self) -> Option<Vec<u8>> {
        let request = Request {
            time: now(),
            id: RequestId::random(&mut self.random),
            verb: Verb::Open(Open::plain(vec![self.service])),
            addresses: Vec::new(),
            receipt: false,
        };
        seal(&self.keys, &request, &mut self.random).ok()
    }
}

fn now() -> UnixMillis {
    UnixMillis::clamped(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The configuration: backend and mode of the host, one service.
fn text(config: &Config, interface: &str, service: Service) -> String {
    let backend = match config.standing.backend {
        Backend::Auto => "auto",
        Backend::Nftables => "nftables",
        Backend::Iptables(Variant::Host) => "iptables",
        Backend::Iptables(Variant::Nft) => "iptables-nft",
        Backend::Iptables(Variant::Legacy) => "iptables-legacy",
    };
    let mode = match &config.standing.stand {
        Stand::Guard => "mode = \"guard\"".to_owned(),
        Stand::Attach(point) => format!("mode = \"attach\"\nattach = \"{point}\""),
    };
    format!(
        "format = 1\n[capture]\ninterfaces = [\"{interface}\"]\n[firewall]\nbackend = \"{backend}\"\n{mode}\n\
         protect = [\"{service}\"]\n[freshness]\nclock = \"trusted\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_that_of_the_host() {
        let rows = [
            "backend = \"nftables\"\nmode = \"guard\"",
            "backend = \"iptables-legacy\"\nmode = \"attach\"\nattach = \"filter INPUT\"",
            "backend = \"auto\"\nmode = \"attach\"\nattach = \"inet filter input\"",
        ];
        for firewall in rows {
            let host = format!(
                "format = 1\n[capture]\ninterfaces = [\"wan0\"]\n[firewall]\n{firewall}\nprotect = [\"tcp/22\"]\n"
            );
            let host = Config::parse(&host).unwrap();
            let own = Config::parse(&text(&host, "wan0", "tcp/443".parse().unwrap())).unwrap();
            assert_eq!((own.standing, own.interfaces), (host.standing, host.interfaces));
        }
    }
}
