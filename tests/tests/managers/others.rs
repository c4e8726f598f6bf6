//! The programs of others: their files, and how they are started in a laboratory.

use lab::{Lab, Running, SERVER, eventually};

use crate::SECOND;

/// What `docker run -p 8080:80` leaves in iptables, and Docker's own chains around it.
pub const DOCKER: &str = "*nat
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
pub const DOCKER_ENDS: &str = "for table in nat filter; do
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

/// `ufw` with its own files, in the laboratory only: deny what comes in, but ssh and what spad guards.
pub fn start_ufw(lab: &Lab) {
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

/// fwknopd opens tcp/2222 for three seconds.
pub fn fwknopd(lab: &Lab) -> Running {
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
pub fn knockd(lab: &Lab) -> Running {
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
pub fn firewalld(lab: &Lab) -> [Running; 2] {
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

pub fn firewalld_starts(lab: &Lab) -> Running {
    let mut command = lab.command(SERVER, "sh");
    let arguments = "--nofork --nopid --system-config /run/lab/firewalld --log-target console";
    let bus = "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab/bus";
    command.args(["-c", &format!("{bus} exec firewalld {arguments} >/run/lab/firewalld.log 2>&1")]);
    let firewalld = lab.start(command);
    eventually("firewalld runs", 20 * SECOND, || firewall_cmd(lab, "--state").0);
    firewalld
}

pub fn firewall_cmd(lab: &Lab, words: &str) -> (bool, String) {
    let script = format!("DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/lab/bus firewall-cmd {words}");
    let done = lab.run(SERVER, "sh", &["-c", &script]);
    (done.status == Some(0), done.text())
}
