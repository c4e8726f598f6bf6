//! A folder for one test, and programs that run in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes with its test. It holds a server's `etc` and `state` and a client's `home`.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that ended.
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("programs write UTF-8");
        let status = output.status.code().expect("no signal ended the program");
        Self { status, out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self
    }

    /// The one line that `--json` printed; its status is the program's.
    pub(crate) fn object(&self) -> serde_json::Value {
        assert_eq!(self.out.lines().count(), 1, "{}{}", self.out, self.err);
        let object: serde_json::Value = serde_json::from_str(&self.out).unwrap();
        assert_eq!(object["status"], self.status, "{object}");
        object
    }

    /// That it failed as the man page says: one sentence that holds `part`, and one hint.
    pub(crate) fn failed(self, status: i32, part: &str) -> Self {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        let lines: Vec<&str> = self.err.lines().collect();
        assert!(lines.len() == 2 && lines[1].starts_with("  hint: "), "{}", self.err);
        assert!(lines[0].contains(part), "{part}: {}", self.err);
        self
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("spa-client-test-{}-{count}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // The programs run as other users too.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Every file below, with what it holds.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.0, &mut files);
        files
    }

    /// A program of this package that runs here and knows nothing of the user who tests.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(match program {
            "spa-client" => env!("CARGO_BIN_EXE_spa-client"),
            _ => env!("CARGO_BIN_EXE_spa-keygen"),
        });
        command.current_dir(&self.0).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.path("home")).env("USER", "alice");
        command
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Done {
        Done::of(self.command(program).args(arguments).output().unwrap())
    }

    /// Words of a command line, split at blanks.
    pub(crate) fn client(&self, arguments: &str) -> Done {
        self.run("spa-client", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, for the folders of this test.
    pub(crate) fn keygen(&self, arguments: &str) -> Done {
        self.run("spa-keygen", &keygen_words(arguments))
    }

    /// A profile whose server is a socket of this test, and its client half in the client's home.
    pub(crate) fn profile(&self, name: &str, options: &str) -> Listener {
        let listener = Listener::new("127.0.0.1:0");
        fs::create_dir_all(self.path("home/.config/spa/profiles")).unwrap();
        let out = format!("home/.config/spa/profiles/{name}.spa.toml");
        self.keygen(&format!("{name} --server 127.0.0.1 --out {out} --port {} {options}", listener.port()))
            .ok();
        listener
    }
}

pub(crate) fn keygen_words(arguments: &str) -> Vec<&str> {
    let folders = ["--config-dir", "etc", "--state-dir", "state"];
    arguments.split_whitespace().chain(folders).collect()
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files)
        } else {
            drop(files.insert(path.clone(), fs::read(path).unwrap()))
        }
    }
}

/// Hears what a client sends. On the loopback a datagram is there as soon as it was sent, so nobody waits.
pub(crate) struct Listener(UdpSocket);

impl Listener {
    pub(crate) fn new(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// All that came since the last call.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| self.0.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    }
}

/// For tests that need what only root may do.
pub(crate) fn needs_root(scratch: &Scratch) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let root = fs::metadata(&scratch.0).unwrap().uid() == 0;
    if !root {
        assert!(std::env::var_os("CI").is_none(), "in CI the tests run as root");
        eprintln!("SKIPPED: only root can do this");
    }
    root
}
