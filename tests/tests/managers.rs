//! Beside the programs that people really run: ufw, firewalld, the rules that Docker makes, fwknopd and knockd, with their
//! own files and their own commands. spad opens and closes a hundred doors, they open theirs, and what is theirs stays as it
//! was; when they reload, restart or flush everything, the guard stands, at the latest a second later.

// A folder of its own, with names as in a crate.
#[allow(unreachable_pub)]
#[path = "managers/others.rs"]
mod others;

use std::thread;
use std::time::{Duration, Instant};

use lab::{A, B, BOX, Config, Extra, INNER, Lab, Running, SERVER, SSH, Spad, eventually, program};
use others::{DOCKER, DOCKER_ENDS, firewall_cmd, firewalld, firewalld_starts, fwknopd, knockd, start_ufw};

const SECOND: Duration = Duration::from_secs(1);
/// tcp/80 of the container, published.
const PUBLISHED: &str = "10.77.0.1:8080";
/// A host that the server routes to.
const INSIDE: &str = "10.79.0.2:443";

fn has(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| {
            !["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
                .iter()
                .any(|dir| std::path::Path::new(dir).join(program).exists())
        })
        .collect();
    if !missing.is_empty() {
        lab::skip(&format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

/// At the same time, each in a laboratory of its own: most of it is waiting.
fn on_every_backend(story: fn(&str)) {
    thread::scope(|scope| {
        for backend in ["nftables", "iptables"] {
            scope.spawn(move || story(backend));
        }
    });
}

/// A server with a routed host and a container that Docker has published, guarded on that backend.
struct Host {
    lab: Lab,
    _services: Vec<Running>,
}

impl Host {
    fn new() -> Option<Self> {
        let lab = Lab::with(&[Extra::Inner, Extra::Box])?;
        if lab.is_unprivileged() {
            lab::skip("the other programs want to be root");
            return None;
        }
        // The laboratory's own way of publishing, in favour of Docker's.
        lab.sh(SERVER, "nft delete table ip published");
        let services = [
            lab.serve(SERVER, &["tcp/22", "tcp/2222", "tcp/3333"]),
            lab.serve(BOX, &["tcp/80"]),
            lab.serve(INNER, &["tcp/443", "tcp/80"]),
        ];
        Some(Self { lab, _services: services.into() })
    }

    /// Rules of somebody else in the chains that spad hangs its own into; so these are not made when spad comes.
    fn somebody_else_has_rules(&self) {
        let tables = ["raw", "mangle"].map(|table| {
            format!("*{table}\n-A PREROUTING -p tcp -m tcp --dport 81 -m comment --comment mine -j RETURN\nCOMMIT\n")
        });
        self.lab.write("tables", tables.concat());
        self.lab.sh(
            SERVER,
            "for program in iptables ip6tables; do $program-restore -w -n </run/lab/tables; done",
        );
    }

    fn docker_starts(&self) {
        self.lab.write("docker", DOCKER);
        self.lab.sh(SERVER, "iptables -w -P FORWARD DROP; iptables-restore -w -n </run/lab/docker");
    }

    fn docker_restarts(&self) {
        self.lab.sh(SERVER, DOCKER_ENDS);
        self.docker_starts();
    }

    fn guarded_by(&self, backend: &str) -> Spad {
        let config = Config {
            interfaces: vec!["eth0"],
            ..Config::protecting(&["tcp/22", "tcp/8080", "tcp/443@10.79.0.2"])
        };
        let backend = format!("backend = \"{backend}\"");
        self.lab.write("etc/spad.toml", config.text().replace("backend = \"nftables\"", &backend));
        let opens = ["--open", "tcp/22", "--open", "tcp/8080", "--open", "tcp/443"];
        self.lab.profile_with("laptop", &[&opens[..], &["--max-window", "1m"]].concat());
        self.lab.spad()
    }

    /// All that others have: in nftables, with its handles, and as iptables shows it.
    fn rules_of_others(&self) -> String {
        self.lab.foreign_rules(None) + &self.lab.foreign_rules(Some(""))
    }

    fn a_hundred_doors_change_nothing(&self, spad: &Spad) {
        let before = self.rules_of_others();
        let client = program("spa-client");
        let client = client.display();
        let knocks = format!(
            "for n in $(seq 25); do {client} --profile laptop -4 -A tcp/22 -q; {client} --profile laptop -4 --close -q; done"
        );
        for _ in 0..4 {
            self.lab.sh(A, &knocks);
        }
        spad.says_times("opened tcp/22", 100);
        spad.says_times("closed tcp/22", 100);
        assert_eq!(self.rules_of_others(), before, "after a hundred doors");
        self.lab.stays_shut(A, SSH);
    }

    /// The doors of spad for the host itself, for a container and for a routed host.
    fn doors_work(&self) {
        for target in [SSH, PUBLISHED, INSIDE] {
            self.lab.stays_shut(A, target);
        }
        self.lab.knock(A);
        for target in [SSH, PUBLISHED, INSIDE] {
            self.lab.opens(A, target);
            self.lab.stays_shut(B, target);
        }
        for target in [SSH, PUBLISHED, INSIDE] {
            self.lab.shuts(A, target, 4 * SECOND);
        }
    }

    /// Others do something to the firewall. Nobody else gets in meanwhile, or for so long at most at a time, and an open
    /// door keeps the time that it had.
    fn stands_while(&self, what: &str, gap: Duration, others: impl FnOnce()) {
        let stranger = self.lab.watch(B, &[SSH, PUBLISHED]);
        self.lab.knock_with(A, &["-4", "-w", "8s"]);
        let knocked = Instant::now();
        self.lab.opens(A, SSH);
        others();
        thread::sleep(gap);
        self.lab.opens(A, SSH);
        self.lab.opens(A, PUBLISHED);
        if gap > Duration::ZERO {
            assert!(knocked.elapsed() < 7 * SECOND, "{what}: too slow a machine for this test");
            self.lab.shuts(A, SSH, (9 * SECOND).saturating_sub(knocked.elapsed()));
            assert!(knocked.elapsed() > 7 * SECOND, "{what}: closed early, after {:?}", knocked.elapsed());
        } else {
            self.lab.knock_with(A, &["-4", "--close"]);
            self.lab.shuts(A, SSH, SECOND);
        }
        let open = lab::longest_stretch([0, 1].map(|door| stranger.open(door)).concat());
        assert!(open <= gap, "{what}: a stranger got in for {open:?}");
        println!("{what}: open to strangers for {open:?}");
    }
}

fn ufw_docker_fwknopd_and_knockd(backend: &str) {
    if !has(&["ufw", "fwknopd", "fwknop", "knockd", "knock", "iptables", "ipset"]) {
        return;
    }
    let Some(host) = Host::new() else { return };
    let lab = &host.lab;
    start_ufw(lab);
    host.somebody_else_has_rules();
    host.docker_starts();
    let _fwknopd = fwknopd(lab);
    let _knockd = knockd(lab);
    lab.stays_shut(A, "10.77.0.1:2222");
    lab.opens(A, SSH);
    let before = host.rules_of_others();
    let mut spad = host.guarded_by(backend);
    assert_eq!(host.rules_of_others(), before, "when the guard comes");
    host.doors_work();
    host.a_hundred_doors_change_nothing(&spad);

    // Theirs open as ever, while one of ours is open, and close.
    lab.knock_with(A, &["-4", "-w", "20s"]);
    lab.sh(B, "HOME=/run/lab fwknop --rc-file /run/lab/fwknoprc -n lab --no-save-args -a 10.77.0.3");
    lab.opens(B, "10.77.0.1:2222");
    lab.sh(B, "knock 10.77.0.1 7000 8000 9000");
    lab.opens(B, "10.77.0.1:3333");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
    lab.stays_shut(A, "10.77.0.1:2222");
    lab.knock_with(A, &["-4", "--close"]);
    eventually("theirs close", 10 * SECOND, || host.rules_of_others() == before);

    host.stands_while(&format!("{backend}: ufw reload"), Duration::ZERO, || {
        drop(lab.sh(SERVER, "ufw reload"))
    });
    host.stands_while(&format!("{backend}: Docker starts anew"), Duration::ZERO, || host.docker_restarts());
    host.stands_while(&format!("{backend}: flush ruleset, ufw and Docker again"), SECOND, || {
        lab.sh(SERVER, "nft flush ruleset");
        lab.sh(SERVER, "ufw reload");
        host.docker_starts();
    });
    spad.says("putting it back");
    assert_eq!(spad.lines(&["ERROR"]), Vec::<String>::new());
    assert_eq!(spad.stop(), Some(0));
}

#[test]
fn beside_ufw_docker_fwknopd_and_knockd() {
    on_every_backend(ufw_docker_fwknopd_and_knockd);
}

fn firewalld_and_docker(backend: &str) {
    if !has(&["firewalld", "firewall-cmd", "dbus-daemon", "iptables", "ipset"]) {
        return;
    }
    let Some(host) = Host::new() else { return };
    let lab = &host.lab;
    let [_bus, firewalld] = firewalld(lab);
    host.somebody_else_has_rules();
    host.docker_starts();
    lab.sh(SERVER, "iptables -w -I DOCKER-USER -d 10.79.0.2 -p tcp --dport 443 -j ACCEPT");
    lab.sh(SERVER, "iptables -w -I DOCKER-USER -s 10.79.0.2 -p tcp --sport 443 -j ACCEPT");
    lab.opens(A, SSH);
    assert_ne!(lab.probe(A, "10.77.0.1:2222"), "open", "firewalld's own doing");
    let before = host.rules_of_others();
    let mut spad = host.guarded_by(backend);
    assert_eq!(host.rules_of_others(), before, "when the guard comes");
    host.doors_work();
    host.a_hundred_doors_change_nothing(&spad);
    // It flushes the rules of iptables as well, Docker's and ours; Docker hears of it, and puts its own back.
    for way in ["--reload", "--complete-reload"] {
        let gap = if backend == "iptables" { SECOND } else { Duration::ZERO };
        host.stands_while(&format!("{backend}: firewall-cmd {way}"), gap, || {
            assert!(firewall_cmd(lab, way).0);
            host.docker_starts();
        });
    }
    let mut again = None;
    host.stands_while(&format!("{backend}: flush ruleset, firewalld and Docker again"), SECOND, || {
        lab.sh(SERVER, "nft flush ruleset");
        // It cannot reload without its table.
        drop(firewalld);
        again = Some(firewalld_starts(lab));
        host.docker_starts();
    });
    drop(again);
    spad.says("putting it back");
    assert_eq!(spad.lines(&["ERROR"]), Vec::<String>::new());
    assert_eq!(spad.stop(), Some(0));
}

#[test]
fn beside_firewalld_and_docker() {
    on_every_backend(firewalld_and_docker);
}
