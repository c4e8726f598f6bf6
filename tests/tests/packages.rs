//! The Debian packages, installed into a copy of this machine's root: they guard nothing, spad starts from them as its
//! unit would start it, a knock opens, and nothing is left of the guard when they are removed.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use lab::{A, B, Done, Host, Lab, SERVER, SSH, repository, skip};

/// Where the copy is: changes to it go to memory, and vanish with the laboratory.
const ROOT: &str = "/run/lab/root";

/// What `packaging/build.sh deb` made.
fn packages() -> Option<Vec<PathBuf>> {
    let folder = repository().join("target/packages");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    found.sort();
    (found.len() == 2).then_some(found)
}

struct Machine<'l> {
    lab: &'l Lab,
}

impl<'l> Machine<'l> {
    /// The root of this machine, without its /etc/spad and the like, over which everything is written in memory.
    fn new(lab: &'l Lab) -> Self {
        lab.outside(&format!(
            "mkdir -p /run/lab/over {ROOT}; mount -t tmpfs lab /run/lab/over; mkdir /run/lab/over/up /run/lab/over/work
             mount -t overlay -o lowerdir=/,upperdir=/run/lab/over/up,workdir=/run/lab/over/work lab {ROOT}
             mount -t proc proc {ROOT}/proc; mount --rbind /dev {ROOT}/dev; mount -t tmpfs lab {ROOT}/run
             mount -t tmpfs lab {ROOT}/tmp; rm -rf {ROOT}/etc/spad {ROOT}/var/lib/spad {ROOT}/root/.config/spa
             mkdir -p {ROOT}/run/packages"
        ));
        Self { lab }
    }

    fn run(&self, host: Host, script: &str) -> Done {
        self.lab.run(
            host,
            "chroot",
            &[ROOT, "env", "-u", "XDG_CONFIG_HOME", "HOME=/root", "sh", "-e", "-c", script],
        )
    }

    fn sh(&self, host: Host, script: &str) -> String {
        let done = self.run(host, script);
        assert_eq!(done.status, Some(0), "{script}:\n{}", done.text());
        done.out
    }

    /// Starts what `ExecStart` of the unit says, with the user, the capabilities and the folders that the unit gives it.
    fn start_unit(&self) -> lab::Running {
        let unit = self.sh(SERVER, "cat /usr/lib/systemd/system/spad.service");
        // The first line of that name: none of these has two.
        let one = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
            unit.lines().find_map(value).unwrap_or_default()
        };
        let capabilities = |name: &str| {
            let words = one(name).to_lowercase().replace("cap_", "+");
            format!("-all {words}").trim().replace(' ', ",")
        };
        assert_eq!(one("NoNewPrivileges"), "yes");
        assert_eq!((one("StateDirectory").as_str(), one("RuntimeDirectory").as_str()), ("spad", "spad"));
        let user = Some(one("User")).filter(|user| !user.is_empty());
        let whose = user.as_deref().unwrap_or("root");
        self.sh(
            SERVER,
            &format!("for d in /var/lib/spad /run/spad; do mkdir -p -m 700 $d; chown -R {whose}: $d; done"),
        );
        let mut words = vec!["setpriv".to_owned(), "--no-new-privs".to_owned()];
        if let Some(user) = &user {
            words.extend([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".to_owned()]);
            let ambient = capabilities("AmbientCapabilities");
            words.extend([format!("--inh-caps={ambient}"), format!("--ambient-caps={ambient}")]);
        }
        words.push(format!("--bounding-set={}", capabilities("CapabilityBoundingSet")));
        words.push(one("ExecStart"));
        let mut command = self.lab.command(SERVER, "chroot");
        // The laboratory's kernel clock is not synchronised: see Config.
        command.args([ROOT, "sh", "-c"]).arg(format!("exec {}", words.join(" ")));
        let log = fs::File::create(self.lab.path("unit.log")).expect("the laboratory has room");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.lab.start(command)
    }
}

#[test]
fn the_debian_packages_guard_nothing_open_for_a_knock_and_leave_no_table_behind() {
    let Some(lab) = Lab::new() else { return };
    if lab.is_unprivileged() {
        return skip("packages are installed by root");
    }
    let Some(packages) = packages() else {
        return skip("there are no packages: sh packaging/build.sh deb debug");
    };
    let machine = Machine::new(&lab);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    for package in &packages {
        let name = package.file_name().expect("a file").to_string_lossy().into_owned();
        fs::copy(package, lab.path(&format!("root/run/packages/{name}"))).expect("there is room");
    }

    // Installing: all files and the user are there, nothing runs and nothing is guarded.
    machine.sh(SERVER, "dpkg --no-triggers --install /run/packages/*.deb 2>&1");
    assert!(machine.sh(SERVER, "getent passwd spad").starts_with("spad:"));
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "");
    lab.opens(A, SSH);
    let without_keys = machine.run(SERVER, "spad check");
    assert_eq!(without_keys.status, Some(3), "{}", without_keys.text());
    assert!(without_keys.text().contains("spa-keygen NAME"), "{}", without_keys.text());
    for page in ["man8/spad.8", "man5/spad.toml.5", "man1/spa-keygen.1", "man1/spa-client.1"] {
        machine.sh(SERVER, &format!("zcat /usr/share/man/{page}.gz | grep -Eq '^.(TH|Dd) '"));
    }

    // The default configuration is in order as soon as there are keys, and still guards nothing.
    let made = machine.sh(SERVER, "spa-keygen laptop --server 10.77.0.1 --open tcp/22 2>&1");
    let client =
        made.split_whitespace().find(|word| word.ends_with("laptop.spa.toml")).expect("it says where");
    machine.sh(SERVER, "spad check");
    // The daemon's keys are the daemon's, and what it may open at most is root's.
    let owners =
        "stat -c %U /etc/spad/site.toml /etc/spad/profiles/laptop.toml /var/lib/spad /etc/spad/spad.toml";
    assert_eq!(machine.sh(SERVER, owners), "spad\nspad\nspad\nroot\n");
    // Then what its comments say to do.
    machine.sh(
        SERVER,
        "sed -i 's|^protect = .*|protect = [\"tcp/22\"]|; s|\"default-route\"|\"eth0\"|' /etc/spad/spad.toml
         printf '[freshness]\\nclock = \"trusted\"\\n' >>/etc/spad/spad.toml; spad check",
    );
    let mut unit = machine.start_unit();
    lab::eventually("the unit's program serves", std::time::Duration::from_secs(20), || {
        lab.read("unit.log").contains("serving")
    });
    lab.stays_shut(A, SSH);
    machine.sh(A, &format!("mkdir -p -m 700 /root/.config/spa /root/.config/spa/profiles; cp -p {client} /root/.config/spa/profiles/"));
    machine.sh(A, "spa-client --wait");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);

    // As the units for the audit and the metrics run, they reach the socket with no capability.
    for unit in ["audit", "metrics"] {
        let text = machine.sh(SERVER, &format!("cat /usr/lib/systemd/system/spad-{unit}.service"));
        assert!(text.contains("\nUser=spad\n") && text.contains("\nCapabilityBoundingSet=\n"), "{text}");
    }
    let as_spad =
        "setpriv --reuid=spad --regid=spad --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all";
    let said = machine.sh(SERVER, &format!("{as_spad} spad metrics"));
    assert!(said.contains("\nspad_doors_open 1\n"), "{said}");
    let said = machine.run(SERVER, &format!("timeout 2 {as_spad} spad audit --file /dev/null"));
    assert!(said.status == Some(124) && said.text().contains("hearing spad from event"), "{}", said.text());

    // An upgrade leaves the configuration alone; a removal with the daemon running is refused, as it would come back.
    machine.sh(SERVER, "dpkg --no-triggers --install --force-confdef /run/packages/spad_*.deb 2>&1");
    assert!(machine.sh(SERVER, "cat /etc/spad/spad.toml").contains("protect = [\"tcp/22\"]"));
    let refused = machine.run(SERVER, "dpkg --no-triggers --remove spad");
    assert_ne!(refused.status, Some(0), "{}", refused.text());
    assert!(refused.text().contains("another spad runs"), "{}", refused.text());
    unit.signal(rustix::process::Signal::TERM);
    assert!(unit.wait(std::time::Duration::from_secs(10)).success());
    lab.stays_shut(B, SSH);

    machine.sh(SERVER, "dpkg --no-triggers --remove spad 2>&1");
    assert_eq!(lab.sh(SERVER, "nft list ruleset"), "", "no table is left");
    lab.opens(B, SSH);
    machine.sh(SERVER, "test -e /etc/spad/site.toml; dpkg --no-triggers --purge spad spa-client 2>&1; test ! -e /etc/spad; test ! -e /var/lib/spad");
    let left = machine.sh(SERVER, "find /usr/sbin /usr/bin /usr/lib/systemd /usr/share/man /usr/share/doc -name 'spa*' | grep -v spawn || true");
    assert!(!left.contains("spad") && !left.contains("spa-"), "{left}");
}

#[test]
fn the_packages_hold_what_make_install_installs() {
    let Some(packages) = packages() else {
        return skip("there are no packages: sh packaging/build.sh deb debug");
    };
    let mut held = String::new();
    for package in packages {
        let listed =
            std::process::Command::new("dpkg-deb").arg("-c").arg(package).output().expect("dpkg-deb");
        held += &String::from_utf8_lossy(&listed.stdout);
    }
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("there is one");
    let install = makefile.split("\ninstall:").nth(1).and_then(|rest| rest.split("\nuninstall:").next());
    let mut checked = 0;
    for line in install.expect("there is such a target").lines().filter(|line| line.contains("$(DESTDIR)")) {
        for word in line.split_whitespace().filter(|word| word.starts_with("$(DESTDIR)")) {
            let name = word.rsplit('/').next().expect("a path");
            // Not folders, nor whole kinds of files, which the first test looks at.
            let is_file = name.contains('.') || name.contains("$$name") || line.contains("install -m 755");
            for program in ["spad", "spa-client", "spa-keygen"].iter().filter(|_| is_file) {
                let name = name.replace("$$name", program);
                checked += 1;
                assert!(held.contains(&format!("/{name}")), "{name} is in no package:\n{held}");
            }
        }
    }
    assert!(checked >= 25, "{makefile}");
}
