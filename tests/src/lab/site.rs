//! A site of the laboratory: the server's configuration, its keys, and the client.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use crate::process::run;
use crate::{Done, Host, Lab, Running, SERVER, eventually, program};

/// A configuration of spad; what is not said here is its default, but the clock: this machine's may never
/// be called synchronised.
#[derive(Clone, Debug)]
pub struct Config {
    /// `capture.interfaces`
    pub interfaces: Vec<&'static str>,
    /// `firewall.protect`
    pub protect: Vec<&'static str>,
    /// `firewall.always_allow`
    pub always_allow: Vec<&'static str>,
    /// `freshness.clock`
    pub clock: &'static str,
    /// `freshness.skew`
    pub skew: &'static str,
    /// More lines, such as a `[ceiling]`.
    pub more: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interfaces: vec!["eth0"],
            protect: vec!["tcp/22"],
            always_allow: Vec::new(),
            clock: "trusted",
            skew: "60s",
            more: "",
        }
    }
}

impl Config {
    /// A configuration that protects these services.
    #[must_use]
    pub fn protecting(services: &[&'static str]) -> Self {
        Self { protect: services.to_vec(), ..Self::default() }
    }

    /// The text of spad.toml.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { interfaces, protect, always_allow, clock, skew, more } = self;
        format!(
            "format = 1\n\
             [capture]\n\
             interfaces = {interfaces:?}\n\
             [firewall]\n\
             backend = \"nftables\"\n\
             mode = \"guard\"\n\
             protect = {protect:?}\n\
             always_allow = {always_allow:?}\n\
             [freshness]\n\
             clock = \"{clock}\"\n\
             skew = \"{skew}\"\n\
             {more}\n"
        )
    }
}

impl Lab {
    /// Writes the server's spad.toml.
    pub fn configure(&self, config: &Config) {
        self.write("etc/spad.toml", config.text());
    }

    /// Makes a profile that opens tcp/22 for two seconds, and gives its client half to the clients' home.
    pub fn profile(&self, name: &str) {
        self.profile_with(name, &["--open", "tcp/22"]);
    }

    /// Makes a profile by the options that are given, on the server, for the server's name.
    pub fn profile_with(&self, name: &str, options: &[&str]) {
        let out = Self::inside(&client_half(name));
        let mut arguments = vec![name, "--server", "server.test", "--out", &out];
        // By the clock, even where spa-keygen finds that this machine has none of its own.
        for default in [["--window", "2s"], ["--freshness", "clock"]] {
            if !options.contains(&default[0]) {
                arguments.extend(default);
            }
        }
        arguments.extend(options);
        self.keygen(&arguments).ok();
    }

    /// Runs spa-keygen on the server.
    #[must_use]
    pub fn keygen(&self, arguments: &[&str]) -> Done {
        let folders = ["--config-dir", &Self::inside("etc"), "--state-dir", &Self::inside("state")];
        let mut command = self.bounded(SERVER, &[], program("spa-keygen"));
        command.args(arguments).args(folders);
        run(command)
    }

    /// The port that takes the datagrams.
    ///
    /// # Panics
    /// Before the first profile was made.
    #[must_use]
    pub fn spa_port(&self) -> u16 {
        let site = self.read("etc/site.toml");
        let port = site.lines().find_map(|line| line.strip_prefix("port = "));
        port.and_then(|port| port.trim().parse().ok()).expect("site.toml names the port")
    }

    /// Where datagrams go by IPv4: `10.77.0.1:PORT`.
    #[must_use]
    pub fn spa_target(&self) -> String {
        format!("{}:{}", SERVER.v4, self.spa_port())
    }

    /// Runs spa-client on a host.
    #[must_use]
    pub fn client(&self, host: Host, arguments: &[&str]) -> Done {
        self.client_with(host, &[], arguments)
    }

    /// Runs spa-client on a host with settings in its environment.
    #[must_use]
    pub fn client_with(&self, host: Host, environment: &[String], arguments: &[&str]) -> Done {
        let mut command = self.bounded(host, environment, program("spa-client"));
        command.args(arguments);
        run(command)
    }

    /// Starts spa-client on a host, for what runs on; all that it says goes to this file of the laboratory.
    ///
    /// # Panics
    /// When the file cannot be made.
    #[must_use]
    pub fn start_client(&self, host: Host, arguments: &[&str], says: &str) -> Running {
        let mut command = self.command(host, program("spa-client"));
        let out = File::create(self.path(says)).expect("the laboratory has room");
        command.args(arguments).stdin(Stdio::null());
        command.stdout(out.try_clone().expect("a descriptor")).stderr(out);
        self.start(command)
    }

    /// Waits until that file says these words, and gives all of it.
    pub fn wait_for(&self, says: &str, words: &str) -> String {
        let mut said = String::new();
        eventually(&format!("{says} says {words:?}"), Duration::from_secs(20), || {
            said = self.read(says);
            said.contains(words)
        });
        said
    }

    /// Knocks by IPv4 with the profile `laptop` for what it opens.
    pub fn knock(&self, host: Host) {
        self.knock_with(host, &["-4"]);
    }

    /// Knocks with the profile `laptop` (or what the options say) and expects the client to be content.
    pub fn knock_with(&self, host: Host, options: &[&str]) {
        let mut arguments = options.to_vec();
        if !options.contains(&"--profile") {
            arguments.extend(["--profile", "laptop"]);
        }
        self.client(host, &arguments).ok();
    }

    /// Seals one datagram of the profile `laptop` into a file of the laboratory and sends nothing.
    pub fn seal(&self, host: Host, file: &str, options: &[&str]) {
        let path = Self::inside(file);
        let arguments = ["--profile", "laptop", "-4", "--dry-run", "--save-packet", &path];
        self.client(host, &[&arguments, options].concat()).ok();
    }
}

/// The client half of a profile, in the clients' home.
pub(crate) fn client_half(name: &str) -> String {
    format!("home/.config/spa/profiles/{name}.spa.toml")
}
