//! A machine of its own on the server's place in the network: the root folder of this machine, over which everything is
//! written in memory, and, once it is booted, a systemd that knows no other processes than its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Done, Running, children, run};
use crate::waiting::comes_true;
use crate::{Host, Lab};

/// The folder of control groups of version 2, if root may make some here.
fn control_groups() -> Option<&'static Path> {
    let unified = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let found = unified.into_iter().find(|path| path.join("cgroup.procs").exists())?;
    let probe = found.join(format!("spad-lab-probe-{}", std::process::id()));
    (fs::create_dir(&probe).is_ok() && fs::remove_dir(&probe).is_ok()).then_some(found)
}

/// Its root folder.
#[derive(Debug)]
pub struct Machine<'l> {
    lab: &'l Lab,
}

impl<'l> Machine<'l> {
    /// Where its root is.
    pub const ROOT: &'static str = "/run/lab/root";

    /// A copy of this machine's, without its /etc/spad and the like.
    pub fn new(lab: &'l Lab) -> Self {
        lab.outside(&format!(
            "mkdir -p /run/lab/over {ROOT}; mount -t tmpfs lab /run/lab/over; mkdir /run/lab/over/up /run/lab/over/work
             mount -t overlay -o lowerdir=/,upperdir=/run/lab/over/up,workdir=/run/lab/over/work lab {ROOT}
             mount -t proc proc {ROOT}/proc; mount --rbind /dev {ROOT}/dev; mount -t tmpfs lab {ROOT}/run
             mount -t tmpfs lab {ROOT}/tmp; rm -rf {ROOT}/etc/spad {ROOT}/var/lib/spad {ROOT}/root/.config/spa
             mkdir -p {ROOT}/run/packages",
            ROOT = Self::ROOT
        ));
        Self { lab }
    }

    /// Runs a few words of shell in it, on any host.
    #[must_use]
    pub fn run(&self, host: Host, script: &str) -> Done {
        let words = [Self::ROOT, "env", "-u", "XDG_CONFIG_HOME", "HOME=/root", "sh", "-e", "-c", script];
        self.lab.run(host, "chroot", &words)
    }

    /// The same, which must succeed; gives the output.
    pub fn sh(&self, host: Host, script: &str) -> String {
        let done = self.run(host, script);
        assert_eq!(done.status, Some(0), "{script}:\n{}", done.text());
        done.out
    }

    /// Boots it on this host, with the units that are enabled in it and systemd's own, of which none talks to hardware or to people.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn boot(&self, host: Host) -> Booted<'l> {
        match self.try_boot(host) {
            Ok(booted) => booted,
            Err(why) => panic!("{why}"),
        }
    }

    /// The same where it may be this machine's fault if it does not come up.
    ///
    /// # Errors
    /// How far it came.
    pub fn try_boot(&self, host: Host) -> Result<Booted<'l>, String> {
        Booted::new(self.lab, host)
    }
}

/// A machine that runs; dropping this is as if its plug were pulled.
#[derive(Debug)]
pub struct Booted<'l> {
    lab: &'l Lab,
    /// `unshare`, whose child systemd is.
    outer: Option<Running>,
    systemd: u32,
    /// Below which systemd makes its control groups.
    group: PathBuf,
}

impl<'l> Booted<'l> {
    fn new(lab: &'l Lab, host: Host) -> Result<Self, String> {
        // Own control groups: those of the host, if it has any, are another systemd's.
        let groups = control_groups().ok_or("no control groups of version 2 can be made")?;
        let group = groups.join(format!("spad-lab-{}", lab.anchor()));
        fs::create_dir_all(&group).map_err(|error| error.to_string())?;
        lab.write("boot", boot_script());
        let mut command = lab.command(host, "sh");
        // In its group first, which is then the root of all that it sees.
        let script = format!(
            "unshare --mount --propagation private sh -ec \"mount -t cgroup2 lab /mnt; echo $$ >/mnt/spad-lab-{}/cgroup.procs\"
             exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child sh {}",
            lab.anchor(),
            Lab::inside("boot")
        );
        let console = fs::File::create(lab.path("console")).expect("the laboratory has room");
        command.args(["-ec", &script]).stdin(Stdio::null());
        command.stdout(console.try_clone().expect("descriptors are left")).stderr(console);
        let outer = lab.start(command);
        let mut booted = Self { lab, outer: Some(outer), systemd: 0, group };
        let is_there = comes_true(Duration::from_secs(20), || {
            let outer = booted.outer.as_ref().map_or(0, Running::pid);
            booted.systemd = children(outer).first().copied().unwrap_or_default();
            fs::read_to_string(format!("/proc/{}/comm", booted.systemd)).is_ok_and(|name| name == "systemd\n")
        });
        let state = "systemctl is-system-running --wait || true";
        let is_up = is_there
            && comes_true(Duration::from_secs(60), || {
                ["running", "degraded"].contains(&booted.run(state).out.trim())
            });
        if is_up { Ok(booted) } else { Err(format!("systemd does not come up: {}", lab.read("console"))) }
    }

    /// Runs a few words of shell beside its services.
    #[must_use]
    pub fn run(&self, script: &str) -> Done {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", "nsenter", "--target"]).arg(self.systemd.to_string());
        command.args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd=/", "--"]);
        command.args(["env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]);
        command.args(["sh", "-e", "-c", script]);
        run(command)
    }

    /// The same, which must succeed; gives the output.
    pub fn sh(&self, script: &str) -> String {
        let done = self.run(script);
        assert_eq!(done.status, Some(0), "{script}:\n{}{}", done.text(), self.lab.read("console"));
        done.out
    }

    /// What `systemctl show` says of a unit's property.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.sh(&format!("systemctl show --value -p {name} {unit}")).trim().to_owned()
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        // The end of its process 1 is that of all others, and is over when it can be waited for.
        crate::process::signal(self.systemd, Signal::KILL);
        if let Some(mut outer) = self.outer.take() {
            outer.wait(Duration::from_secs(20));
        }
        // What is left of its control groups is empty.
        let _ = Command::new("find")
            .arg(&self.group)
            .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
            .stderr(Stdio::null())
            .status();
    }
}

/// Mounts what systemd expects of a container, and becomes it.
fn boot_script() -> String {
    format!(
        r#"set -e
mount --make-rprivate /
r={ROOT}
umount -R $r/proc $r/dev; umount $r/run $r/tmp
mount -t proc proc $r/proc
mount -t sysfs sysfs $r/sys 2>/dev/null || mount --rbind /sys $r/sys
mount -t tmpfs -o mode=755 lab $r/run
mount -t tmpfs lab $r/tmp
mount -t cgroup2 lab $r/sys/fs/cgroup
mount -t tmpfs -o mode=755 lab $r/dev
for name in null zero full random urandom tty; do : >$r/dev/$name; mount --bind /dev/$name $r/dev/$name; done
mkdir $r/dev/pts $r/dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts $r/dev/pts
ln -s pts/ptmx $r/dev/ptmx
ln -s /proc/self/fd $r/dev/fd
: >$r/dev/console
rm -f $r/etc/fstab
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot $r /lib/systemd/systemd --system --show-status=0
"#,
        ROOT = Machine::ROOT
    )
}
