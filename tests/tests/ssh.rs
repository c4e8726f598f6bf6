//! spa-client in front of real OpenSSH: knock and connect in one go, and know that it worked.

use std::path::Path;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Host, Lab, Running, SERVER, SSH, Spad, program, skip};

/// More than any program here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with sshd behind spad, and a client A with a key for both.
struct Ssh {
    lab: Lab,
    _sshd: Running,
    spad: Spad,
}

impl Ssh {
    /// `None` where it cannot be had, said loudly.
    fn new(window: &str) -> Option<Self> {
        let lab = Lab::new()?;
        for tool in ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/rsync"] {
            if !Path::new(tool).exists() {
                skip(&format!("{tool} is missing (Debian: openssh-server openssh-client rsync)"));
                return None;
            }
        }
        if lab.is_unprivileged() {
            skip("sshd needs a real root to become the user who logs in");
            return None;
        }
        let folder = Lab::inside("ssh");
        lab.sh(
            SERVER,
            &format!(
                "mkdir -p /run/sshd {folder}; cd {folder}; chmod 700 .\n\
                 ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f user\n\
                 cp user.pub authorized; echo \"server.test $(cut -d' ' -f1,2 host.pub)\" >known"
            ),
        );
        lab.write(
            "ssh/sshd_config",
            format!(
                "HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n\
                 PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
            ),
        );
        lab.write(
            "ssh/config",
            format!(
                "Host *\n IdentityFile {folder}/user\n UserKnownHostsFile {folder}/known\n BatchMode yes\n User root\n \
                 GlobalKnownHostsFile /dev/null\n"
            ),
        );
        let mut sshd = lab.command(SERVER, "/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", &format!("{folder}/sshd_config")]);
        sshd.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let sshd = lab.start(sshd);
        lab.opens(A, SSH);
        lab.configure(&Config::default());
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", window]);
        let spad = lab.spad();
        Some(Self { lab, _sshd: sshd, spad })
    }

    fn proxy() -> String {
        let client = program("spa-client");
        format!("-oProxyCommand={} connect %h %p", client.display())
    }

    /// Runs a program of OpenSSH's family on a client.
    fn run(&self, host: Host, program: &str, arguments: &[&str]) -> lab::Done {
        let config = Lab::inside("ssh/config");
        let mut all = vec!["-F", &config];
        let proxy = Self::proxy();
        all.push(&proxy);
        all.extend(arguments);
        self.lab.run(host, program, &all)
    }

    /// What nft says to a word in the namespace that holds the wires.
    fn on_the_switch(&self, word: &str) -> String {
        let pid = self.lab.anchor().to_string();
        let mut nft = std::process::Command::new("nsenter");
        let done =
            nft.args(["--target", &pid, "--net", "--", "nft", word]).output().expect("nsenter is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn knocks(&self) -> usize {
        self.spad.lines(&["opened tcp/22"]).len()
    }
}

#[test]
fn ssh_scp_sftp_and_rsync_get_in_through_the_proxy_command() {
    let Some(ssh) = Ssh::new("2s") else { return };
    ssh.lab.stays_shut(A, SSH);
    let said = ssh.run(A, "ssh", &["server.test", "echo through $SSH_CONNECTION"]).ok().out;
    assert!(said.starts_with("through "), "{said}");
    assert!(ssh.knocks() >= 1);

    // 100 MB there and back, whatever became of the window meanwhile.
    let (big, there, back) = (Lab::inside("big"), Lab::inside("there"), Lab::inside("back"));
    ssh.lab.sh(A, &format!("head -c 100000000 /dev/urandom >{big}"));
    ssh.run(A, "scp", &["-q", &big, &format!("server.test:{there}")]).ok();
    ssh.run(A, "scp", &["-q", &format!("server.test:{there}"), &back]).ok();
    ssh.lab.sh(A, &format!("cmp {big} {there} && cmp {big} {back} && rm {back}"));

    let batch = Lab::inside("batch");
    ssh.lab.sh(A, &format!("echo 'get {there} {back}' >{batch}"));
    ssh.run(A, "sftp", &["-q", "-b", &batch, "server.test"]).ok();
    ssh.lab.sh(A, &format!("cmp {big} {back} && rm {back}"));

    let shell = format!("ssh -F {} '{}'", Lab::inside("ssh/config"), Ssh::proxy());
    ssh.lab.run(A, "rsync", &["-e", &shell, &format!("server.test:{there}"), &back]).ok();
    ssh.lab.sh(A, &format!("cmp {big} {back}"));
    ssh.lab.stays_shut(B, SSH);
}

#[test]
fn a_door_that_is_open_already_costs_no_knock() {
    let Some(ssh) = Ssh::new("1m") else { return };
    ssh.run(A, "ssh", &["server.test", "true"]).ok();
    let knocks = ssh.knocks();
    assert_ne!(knocks, 0);
    ssh.lab.count_datagrams(A);
    ssh.run(A, "ssh", &["server.test", "true"]).ok();
    assert_eq!((ssh.lab.datagrams(A), ssh.knocks()), (0, knocks));
}

#[test]
fn a_first_knock_that_is_lost_is_made_up_for() {
    let Some(ssh) = Ssh::new("5s") else { return };
    // On the wire, where nobody tells the client: both copies to both addresses of the server (200 bytes each at least).
    let port = ssh.lab.spa_port();
    ssh.on_the_switch(&format!(
        "add table bridge loss; add chain bridge loss way {{ type filter hook forward priority 0; }};\
         add rule bridge loss way udp dport {port} quota until 800 bytes drop"
    ));
    let begun = Instant::now();
    ssh.run(A, "ssh", &["server.test", "true"]).ok();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let rules = ssh.on_the_switch("list table bridge loss");
    assert!(!rules.contains("used 0 bytes") && rules.contains("used "), "nothing was lost: {rules}");
}

#[test]
fn half_a_connection_may_end_before_the_other() {
    let Some(ssh) = Ssh::new("5s") else { return };
    // The service says nothing before we have ended: what came after our end must arrive all the same.
    let client = program("spa-client");
    let said = ssh.lab.sh(
        A,
        &format!("printf 'SSH-2.0-nobody\\r\\n' | {} connect server.test 22 | head -c 7", client.display()),
    );
    assert_eq!(said, "SSH-2.0");
}

#[test]
fn ensure_knocks_once_and_then_believes() {
    let Some(ssh) = Ssh::new("1m") else { return };
    ssh.lab.stays_shut(A, SSH);
    ssh.lab.client(A, &["ensure", "server.test"]).ok();
    assert_eq!(ssh.lab.probe(A, SSH), "open");
    ssh.lab.count_datagrams(A);
    let begun = Instant::now();
    ssh.lab.client(A, &["ensure", "server.test"]).ok();
    let took = begun.elapsed();
    assert_eq!(ssh.lab.datagrams(A), 0);
    // Most of this is the laboratory's own way into its namespaces.
    assert!(took < Duration::from_millis(500), "{took:?}");
    // As ssh itself uses it.
    let config = Lab::inside("ssh/config");
    let exec = format!("{} ensure %h", program("spa-client").display());
    ssh.lab.write(
        "ssh/config",
        format!("Match host server.test exec \"{exec}\"\n{}", ssh.lab.read("ssh/config")),
    );
    ssh.lab.run(A, "ssh", &["-F", &config, "server.test", "true"]).ok();
}

#[test]
fn run_gives_a_command_the_place_and_takes_its_status() {
    let Some(ssh) = Ssh::new("5s") else { return };
    let script = "printf '%s %s' \"$SPA_ADDRESS\" \"$SPA_PORT\"; exit 42";
    let done = ssh.lab.client(A, &["run", "-4", "--", "sh", "-c", script]);
    assert_eq!((done.out.as_str(), done.status), ("10.77.0.1 22", Some(42)), "{}", done.err);
    let missing = ssh.lab.client(A, &["run", "-4", "--", "no-such-program"]);
    assert_eq!(missing.status, Some(1));
    assert!(missing.err.contains("no-such-program could not be started"), "{}", missing.err);
}

#[test]
fn a_wait_says_how_long_it_took_or_why_it_was_in_vain() {
    let Some(mut ssh) = Ssh::new("5s") else { return };
    let said = ssh.lab.client(A, &["--wait", "-4"]).ok().out;
    assert!(said.contains("tcp/22 at server.test answers (10.77.0.1:22), "), "{said}");

    // Nothing listens behind the door.
    ssh.lab.profile_with("web", &["--open", "tcp/443"]);
    let done = ssh.lab.client(A, &["--wait=2s", "-4", "--profile", "web"]);
    assert_eq!(done.status, Some(8), "{}", done.text());
    assert!(done.err.contains("tcp/443 at server.test refuses at once"), "{}", done.err);

    // Nobody hears the knock.
    ssh.spad.stop();
    std::thread::sleep(Duration::from_secs(5));
    let done = ssh.lab.client(A, &["--wait=2s", "-4", "--profile", "laptop"]);
    assert_eq!(done.status, Some(7), "{}", done.text());
    assert!(
        done.err.contains("no answer from tcp/22 at server.test within 2 s of the knock"),
        "{}",
        done.err
    );
}
