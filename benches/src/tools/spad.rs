//! spad: one site for each number of profiles, made as spa-keygen makes them.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lab::{Lab, SERVER};
use spa_core::crypto::header::HeaderKey;
use spa_core::crypto::key::{KeyId, ProfileKey, SiteKey};
use spa_core::crypto::suite::{Suite, SuiteKeys};
use spa_core::file::client::{ClientFile, NewClient};
use spa_core::file::profile::{FreshnessName, ProfileFile};
use spa_core::file::site::SiteFile;
use spa_core::profile::{DEFAULT_WINDOW, Freshness};
use spa_core::request::{Open, Request, RequestId, Stated, Verb};
use spa_core::scheme::native::{MIDDLE, MIN, SealingKeys, seal};
use spa_core::service::Service;
use spa_core::time::UnixMillis;

use super::{Contestant, Junk};
use crate::arena::{ADDRESS, Arena, Daemon, INTERFACE};
use crate::wire::{Packet, noise, udp};

const HOUR: Duration = Duration::from_secs(3600);
/// More keys than this are on the server only.
const CLIENT_KEYS: usize = 1000;

/// spad.
pub struct Spad {
    program: PathBuf,
    client: PathBuf,
    /// The client's half of the first profile.
    pub profile: PathBuf,
    suite: Suite,
    /// The interfaces that it listens on.
    pub interfaces: String,
    /// Whether the journal is in memory: then nothing waits for a disk. For one row.
    pub journal_in_memory: bool,
    /// Where its sites are: two of these daemons do not share any.
    label: &'static str,
    /// Keys of the sites made so far, by their number of profiles.
    sites: Mutex<HashMap<usize, Arc<Site>>>,
}

struct Site {
    port: u16,
    keys: Vec<SealingKeys>,
}

impl Spad {
    /// With profiles of the usual suite.
    #[must_use]
    pub fn new(arena: &Arena, label: &'static str) -> Self {
        Self {
            label,
            program: arena.program("spad"),
            client: arena.program("spa-client"),
            profile: arena.on_disk(&format!("{label}.spa.toml")),
            suite: Suite::default(),
            interfaces: format!("\"{INTERFACE}\""),
            journal_in_memory: false,
            sites: Mutex::default(),
        }
    }

    fn state_name(&self, profiles: usize) -> String {
        format!("state-{}-{profiles}", self.label)
    }

    /// The folder of the journal, as the programs see it.
    fn state(&self, arena: &Arena, profiles: usize) -> PathBuf {
        let name = self.state_name(profiles);
        if self.journal_in_memory { Lab::inside(&name).into() } else { arena.on_disk(&name) }
    }

    /// The site with so many profiles, made when it is first asked for.
    fn site(&self, arena: &Arena, profiles: usize) -> Arc<Site> {
        let mut sites = self.sites.lock().expect("nobody panicked");
        sites.entry(profiles).or_insert_with(|| Arc::new(self.make(arena, profiles))).clone()
    }

    /// spa-keygen makes the site with its journal; its profile gives way to many, an hour old already.
    fn make(&self, arena: &Arena, profiles: usize) -> Site {
        let lab = arena.lab();
        let state = self.state(arena, profiles);
        let made = if self.journal_in_memory { lab.path(&self.state_name(profiles)) } else { state.clone() };
        fs::DirBuilder::new().mode(0o700).create(&made).expect("there is room");
        let folder = Lab::inside(&format!("etc-{}-{profiles}", self.label));
        let out = Lab::inside(&format!("first-{}-{profiles}.spa.toml", self.label));
        let mut keygen = lab.command(SERVER, arena.program("spa-keygen"));
        keygen.args(["first", "--server", &ADDRESS.to_string(), "--open", "tcp/22", "--freshness", "clock"]);
        keygen.args(["--config-dir", &folder, "--out", &out, "--state-dir"]).arg(&state);
        let made = keygen.output().expect("spa-keygen can be started");
        assert!(made.status.success(), "spa-keygen: {}", String::from_utf8_lossy(&made.stderr));

        let folder = lab.path(&format!("etc-{}-{profiles}", self.label));
        fs::remove_file(folder.join("profiles/first.toml")).expect("spa-keygen made it");
        let site =
            SiteFile::parse(&fs::read_to_string(folder.join("site.toml")).expect("made")).expect("good");
        let created = wall(HOUR);
        let services: Vec<Service> = vec!["tcp/22".parse().expect("a service")];
        let mut keys = Vec::new();
        for n in 0..profiles {
            let (key_id, key) =
                (KeyId(u32::try_from(n + 1).expect("few")), ProfileKey::random(&mut rand::rng()));
            if n < CLIENT_KEYS {
                let header = HeaderKey::derive(&site.key, site.id);
                keys.push(SealingKeys {
                    header,
                    key_id,
                    suite: SuiteKeys::derive(&key, site.id, self.suite),
                });
            }
            if n == 0 && profiles == 1 {
                let client = NewClient {
                    name: "bench".to_owned(),
                    server: ADDRESS.to_string(),
                    port: site.port,
                    site_id: site.id,
                    site_key: SiteKey::copy_of(&site.key),
                    key_id,
                    key: ProfileKey::copy_of(&key),
                    suite: self.suite,
                    open: services.clone(),
                    window: DEFAULT_WINDOW,
                    freshness: FreshnessName::Clock,
                    created,
                    receipt: false,
                };
                write_secret(&self.profile, &ClientFile::from(client).to_text());
            }
            let file = ProfileFile::new(key_id, key, self.suite, services.clone(), created, Freshness::Clock);
            write_secret(&folder.join(format!("profiles/p{n:06}.toml")), &file.to_text());
        }
        Site { port: site.port.get(), keys }
    }

    /// Knocks sealed as if at another time.
    fn sealed(&self, site: &Site, clients: &[Ipv4Addr], profiles: usize, ago: Duration) -> Vec<Vec<Packet>> {
        let services: Vec<Service> = vec!["tcp/22".parse().expect("a service")];
        let knock = |(n, client): (usize, &Ipv4Addr)| {
            let request = Request {
                time: wall(ago),
                id: RequestId::random(&mut rand::rng()),
                verb: Verb::Open(Open::plain(services.clone())),
                addresses: vec![Stated { address: (*client).into(), prefix: None }],
                receipt: false,
            };
            let keys = &site.keys[n % profiles.min(site.keys.len())];
            let datagram = seal(keys, &request, &mut rand::rng()).expect("a short request");
            vec![udp(SocketAddrV4::new(*client, 40_000), SocketAddrV4::new(ADDRESS, site.port), &datagram)]
        };
        clients.iter().enumerate().map(knock).collect()
    }
}

/// The wall clock, so long ago.
fn wall(ago: Duration) -> UnixMillis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    UnixMillis::clamped(now - ago)
}

fn write_secret(path: &Path, text: &str) {
    use std::io::Write as _;
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("there is room");
}

impl Contestant for Spad {
    fn name(&self) -> &'static str {
        "spad"
    }

    fn serve(&self, arena: &Arena, profiles: usize) -> Daemon {
        arena.clean(false);
        let _ = self.site(arena, profiles);
        let config = format!("etc-{}-{profiles}/spad.toml", self.label);
        arena.lab().write(
            &config,
            format!(
                "format = 1\n[capture]\ninterfaces = [{}]\n[firewall]\nprotect = [\"tcp/22\"]\n\
                 [freshness]\nclock = \"trusted\"\n",
                self.interfaces
            ),
        );
        let state = self.state(arena, profiles);
        let arguments =
            ["--config", &Lab::inside(&config), "--state-dir", &state.to_string_lossy()].map(str::to_owned);
        arena.start(&self.program, &arguments, "spad.log", "serving")
    }

    fn client(&self, _client: Ipv4Addr) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--profile").arg(&self.profile);
        command
    }

    fn knocks(&self, arena: &Arena, clients: &[Ipv4Addr], profiles: usize) -> Vec<Vec<Packet>> {
        self.sealed(&self.site(arena, profiles), clients, profiles, Duration::ZERO)
    }

    fn junk(&self, arena: &Arena, kind: Junk, profiles: usize) -> Result<Vec<Packet>, &'static str> {
        let site = self.site(arena, profiles);
        let to = SocketAddrV4::new(ADDRESS, site.port);
        let from = |n: u16| SocketAddrV4::new(Arena::stranger((n % 200) as u8 + 1), 2000 + n);
        let length = |n: u16| MIN + usize::from(n) * 37 % (MIDDLE - MIN + 1);
        let stranger = [Arena::stranger(201)];
        Ok(match kind {
            Junk::Random => (0..512).map(|n| udp(from(n), to, &noise(length(n)))).collect(),
            Junk::CapturedHeader => {
                let captured = self.sealed(&site, &stranger, profiles, Duration::ZERO).concat();
                let front = captured[0].payload()[..24].to_vec();
                let behind = |n| [front.clone(), noise(length(n) - front.len())].concat();
                (0..512).map(|n| udp(from(n), to, &behind(n))).collect()
            }
            Junk::ExactReplay => self.sealed(&site, &stranger, profiles, Duration::ZERO).concat(),
            Junk::StaleReplay => self.sealed(&site, &stranger, profiles, HOUR / 6).concat(),
        })
    }

    fn accepted(&self) -> &'static str {
        "opened tcp/22"
    }
}
