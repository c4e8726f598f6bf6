//! Beside the programs that people really run: ufw, firewalld, the rules that Docker makes, fwknopd and knockd, with their
//! own files and their own commands. spad opens and closes a hundred doors, they open theirs, and what is theirs stays as it
//! was; when they reload, restart or flush everything, the guard stands, at the latest a second later.

use std::thread;
use std::time::{Duration, Instant};

use lab::{A, B, BOX, Config, Extra, INNER, Lab, Running, SERVER, SSH, Spad, eventually, program};

const SECOND: Duration = Duration::from_secs(1);
/// tcp/80 of the container, published.
const PUBLISHED: &str = "10.77.0.1:8080";
/// A host that the server routes to.
const INSIDE: &str = "10.79.0.2:443";

/// What `docker run -p 8080:80` leaves in iptables, and Docker's own chains around it.
const DOCKER: &str = "*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.80.0.0/24 ! -o box0 -j MASQUERADE
-A POSTROUTING -s 10.80.0.2/32 -d 10.80.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i box0 -j RETURN
-A DOCKER ! -i box0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.80.0.2:80
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-I FORWARD -i box0 ! -o box0 -j ACCEPT
-I FORWARD -o box0 -j DOCKER
-I FORWARD -o box0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-I FORWARD -j DOCKER-ISOLATION-STAGE-1
-I FORWARD -j DOCKER-USER
-A DOCKER -d 10.80.0.2/32 ! -i box0 -o box0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i box0 ! -o box0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o box0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
";

/// Takes Docker's rules away as it does itself when it starts anew: its jumps, then its chains.
const DOCKER_ENDS: &str = "for table in nat filter; do
    iptables -w -t $table -S | grep DOCKER | grep -E '^-A (PREROUTING|OUTPUT|FORWARD)' | sed s/^-A/-D/ |
        while read -r rule; do eval \"iptables -w -t $table $rule\"; done
    for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
        iptables -w -t $table -F $chain 2>/dev/null || true
    done
    for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
        iptables -w -t $table -X $chain 2>/dev/null || true
    done
done
iptables -w -t nat -D POSTROUTING -s 10.80.0.0/24 ! -o box0 -j MASQUERADE
iptables -w -t nat -D POSTROUTING -s 10.80.0.2/32 -d 10.80.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
iptables -w -t filter -D FORWARD -o box0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -w -t filter -D FORWARD -i box0 ! -o box0 -j ACCEPT";

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

/// `ufw` with its own files, in the laboratory only: deny what comes in, but ssh and what spad guards.
fn start_ufw(lab: &Lab) {
    lab.outside(
        "cp -r /etc/ufw /run/lab/ufw; mount --bind /run/lab/ufw /etc/ufw
         cp /etc/default/ufw /run/lab/ufw.default; mount --bind /run/lab/ufw.default /etc/default/ufw",
    );
    lab.sh(
        SERVER,
        "ufw allow 22/tcp; ufw route allow proto tcp to 10.79.0.2 port 443; ufw route allow proto tcp to 10.80.0.2 port 80
         ufw default deny incoming; ufw --force enable",
    );
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

/// fwknopd opens tcp/2222 for three seconds.
fn fwknopd(lab: &Lab) -> Running {
    let [key, hmac] = [1, 2].map(|n: u8| format!("{n}").repeat(42) + "0=");
    lab.write(
        "access.conf",
        format!(
            "SOURCE ANY\nOPEN_PORTS tcp/2222\nFW_ACCESS_TIMEOUT 3\nKEY_BASE64 {key}\nHMAC_KEY_BASE64 {hmac}\n"
        ),
    );
    lab.write("fwknopd.conf", "PCAP_INTF eth0;\n");
    lab.write(
        "fwknoprc",
        format!("[default]\n[lab]\nSPA_SERVER 10.77.0.1\nACCESS tcp/2222\nKEY_BASE64 {key}\nHMAC_KEY_BASE64 {hmac}\nUSE_HMAC Y\n"),
    );
    lab.sh(
        SERVER,
        "mkdir -p /run/lab/fwknop; chmod 600 /run/lab/access.conf /run/lab/fwknopd.conf /run/lab/fwknoprc",
    );
    lab.write("fwknopd.log", "");
    let mut command = lab.command(SERVER, "sh");
    let files = "-i eth0 -c /run/lab/fwknopd.conf -a /run/lab/access.conf -p /run/lab/fwknop/pid -d /run/lab/fwknop/digests -r /run/lab/fwknop";
    command.args(["-c", &format!("exec fwknopd -f {files} >/run/lab/fwknopd.log 2>&1")]);
    let running = lab.start(command);
    eventually("fwknopd listens", 10 * SECOND, || lab.read("fwknopd.log").contains("main event loop"));
    running
}

/// knockd opens tcp/3333 for three seconds.
fn knockd(lab: &Lab) -> Running {
    let rule = "INPUT -s %IP% -p tcp --dport 3333 -j ACCEPT";
    lab.write(
        "knockd.conf",
        format!(
            "[options]\n\tlogfile = /run/lab/knockd.log\n[lab]\n\tsequence = 7000,8000,9000\n\tseq_timeout = 5\n\ttcpflags = syn\n\
             \tstart_command = /usr/sbin/iptables -w -I {rule}\n\tcmd_timeout = 3\n\tstop_command = /usr/sbin/iptables -w -D {rule}\n"
        ),
    );
    let mut command = lab.command(SERVER, "knockd");
    command.args(["-i", "eth0", "-c", "/run/lab/knockd.conf"]);
    let running = lab.start(command);
    eventually("knockd listens", 10 * SECOND, || {
        lab.path("knockd.log").exists() && lab.read("knockd.log").contains("listening on")
    });
    running
}

/// The bus that firewalld talks on, for nobody but the laboratory.
const BUS: &str = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"
 \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">
<busconfig><type>system</type><listen>unix:path=/run/lab/bus</listen><auth>EXTERNAL</auth><policy context=\"default\">
<allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow send_destination=\"*\"/>
<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>
<allow receive_type=\"signal\"/></policy></busconfig>
";

/// The real firewalld with its own files, in its nftables way; its zone lets ssh in and forwards.
fn firewalld(lab: &Lab) -> [Running; 2] {
    lab.write("bus.conf", BUS);
    let mut command = lab.command(SERVER, "dbus-daemon");
    command
        .args(["--config-file=/run/lab/bus.conf", "--nofork", "--nopidfile"])
        .stderr(std::process::Stdio::null());
    let bus = lab.start(command);
    eventually("the bus is there", 10 * SECOND, || lab.path("bus").exists());
    lab.outside("cp -r /etc/firewalld /run/lab/firewalld");
    let firewalld = firewalld_starts(lab);
    for words in [
        "--permanent --zone=public --add-interface=eth0",
        "--permanent --zone=trusted --add-interface=box0",
        "--permanent --zone=trusted --add-interface=eth1",
        "--permanent --new-policy in",
        "--permanent --policy in --add-ingress-zone public",
        "--permanent --policy in --add-egress-zone trusted",
        "--permanent --policy in --set-target ACCEPT",
        "--reload",
    ] {
        let (done, said) = firewall_cmd(lab, words);
        assert!(done, "{words}: {said}");
    }
    [bus, firewalld]
}

fn firewalld_starts(lab: &Lab) -> Running {
    let mut command = lab.command(SERVER, "sh");
    let arguments = "--nofork --nopid --system-config /run/lab/firewalld --log-target console";
    let bus = "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab/bus";
    command.args(["-c", &format!("{bus} exec firewalld {arguments} >/run/lab/firewalld.log 2>&1")]);
    let firewalld = lab.start(command);
    eventually("firewalld runs", 20 * SECOND, || firewall_cmd(lab, "--state").0);
    firewalld
}

fn firewall_cmd(lab: &Lab, words: &str) -> (bool, String) {
    let script = format!("DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab/bus firewall-cmd {words}");
    let done = lab.run(SERVER, "sh", &["-c", &script]);
    (done.status == Some(0), done.text())
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
