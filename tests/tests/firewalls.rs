//! The whole daemon on every firewall that it knows. What each of them must do to packets is the conformance suite of
//! `spad/src/firewall/tests`; here is what only processes can show.

use std::fs;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Lab, SERVER, SSH, SSH6, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// `firewall.backend`, and the programs that speak with it.
const IPTABLES: [(&str, &str); 2] = [("iptables-nft", "-nft"), ("iptables-legacy", "-legacy")];

/// What an operator has whose own policy drops.
const DROPPING: &str = "table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport 80 accept
    }
}";

/// Writes spad.toml with these lines for backend and mode.
fn configure(lab: &Lab, lines: &str) {
    let guard = "backend = \"nftables\"\nmode = \"guard\"\n";
    lab.write("etc/spad.toml", Config::default().text().replace(guard, lines));
}

fn load(lab: &Lab, text: &str) {
    lab.write("rules.nft", text);
    lab.sh(SERVER, &format!("nft -f {}", Lab::inside("rules.nft")));
}

/// Capabilities of a process: the bits of CapEff, CapBnd and CapAmb, and whether it can get more.
fn powers(pid: u32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let wanted = ["CapPrm:", "CapEff:", "CapBnd:", "NoNewPrivs:"];
    let fields = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    fields.map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_knock_opens_by_iptables_too() {
    for (backend, infix) in IPTABLES {
        let Some(lab) = Lab::new() else { return };
        configure(&lab, &format!("backend = \"{backend}\"\n"));
        lab.profile_with("laptop", &["--open", "tcp/22", "--window", "3s", "--max-window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let mut old = lab.session(A, SSH);
        assert!(old.lives());
        let mut spad = lab.spad();
        assert!(old.lives(), "{backend}: a session older than the guard");
        lab.stays_shut(A, SSH);
        lab.stays_shut(A, SSH6);
        let knocked = Instant::now();
        lab.knock_with(A, &["-4"]);
        lab.opens(A, SSH);
        lab.stays_shut(A, SSH6);
        lab.knock_with(A, &["-6"]);
        lab.opens(A, SSH6);
        lab.stays_shut(B, SSH);
        let mut session = lab.session(A, SSH);
        lab.shuts(A, SSH, 4 * SECOND);
        assert!(knocked.elapsed() > 2 * SECOND, "{backend}: the window was whole");
        assert!(session.lives(), "{backend}: after its window");

        // Whoever is killed, the doors stay as they are.
        lab.knock_with(A, &["-4", "-w", "30s"]);
        lab.opens(A, SSH);
        spad.kill_role("monitor");
        spad.says_times("serving", 2);
        lab.opens(A, SSH);
        lab.stays_shut(B, SSH);
        eventually("one loader is left", 2 * SECOND, || lab.running("spad-loader").len() == 1);

        // Another manager loads its rules and flushes everything else.
        let empty = ["raw", "mangle"].map(|table| format!("echo '*{table}\nCOMMIT'"));
        for program in ["iptables", "ip6tables"] {
            lab.sh(SERVER, &format!("{{ {}; }} | {program}{infix}-restore", empty.join("; ")));
        }
        let guards = format!("iptables{infix}-save -t mangle; ip6tables{infix}-save -t mangle");
        let took = eventually("both guards are back", SECOND, || {
            lab.sh(SERVER, &guards).matches("-j SPAD-GUARD").count() == 2
        });
        println!("{backend}: repaired {took:?} after the flush");
        spad.says("putting it back");
        lab.stays_shut(B, SSH);
        lab.opens(A, SSH);

        assert_eq!(spad.stop(), Some(0));
        lab.stays_shut(B, SSH);
        assert!(lab.running("spad").is_empty() && lab.running("spad-loader").is_empty());
        lab.spad_command(&["teardown"]).ok();
        lab.opens(B, SSH);
        let left = lab.sh(SERVER, &format!("iptables{infix}-save; ip6tables{infix}-save; ipset list -n"));
        assert!(!left.to_lowercase().contains("spad"), "{backend}: {left}");
    }
}

#[test]
fn the_loader_has_what_iptables_needs_and_no_more() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "backend = \"iptables\"\n");
    lab.profile_with("laptop", &["--open", "tcp/22", "--max-window", "1m"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    let loader = spad.role("loader");
    assert_eq!(loader.len(), 1, "{}", spad.log());
    // CAP_NET_ADMIN and CAP_NET_RAW.
    assert_eq!(powers(loader[0]), ["0000000000003000", "0000000000003000", "0000000000003000", "1"]);
    let monitor = spad.role("monitor");
    assert_eq!(powers(monitor[0])[0], "0000000000001000", "the monitor has CAP_NET_ADMIN only, as ever");

    // Killed, it is missed when rules are to be loaded: then monitor and loader start anew, and load them.
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    spad.kill_role("loader");
    lab.sh(SERVER, "iptables -t mangle -F PREROUTING");
    spad.says("the loader of iptables' rules is gone");
    spad.says_times("serving", 2);
    assert_eq!(spad.role("loader").len(), 1);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
}

#[test]
fn where_nftables_is_used_there_is_no_loader() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "backend = \"auto\"\n");
    lab.profile("laptop");
    let spad = lab.spad();
    spad.says("firewall: table inet spad (this kernel has nf_tables)");
    assert!(lab.running("spad-loader").is_empty());
    assert!(!lab.table().is_empty());
}

#[test]
fn spad_beside_an_operators_chain() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "mode = \"attach\"\nattach = \"inet filter input\"\n");
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let missing = lab.start_spad(&[]);
    missing.says("there is no chain inet filter input to attach to");
    drop(missing);

    load(&lab, DROPPING);
    let before = lab.sh(SERVER, "nft -a list ruleset");
    let mut spad = lab.spad();
    spad.says("firewall: inet filter input (as configured)");
    lab.stays_shut(A, SSH);
    lab.opens(A, "10.77.0.1:80");
    lab.knock(A);
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);
    let mut session = lab.session(A, SSH);
    lab.shuts(A, SSH, 4 * SECOND);
    assert!(session.lives());

    // The operator's manager reloads.
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    load(&lab, &format!("flush ruleset\n{DROPPING}"));
    eventually("the jump is back", SECOND, || {
        lab.sh(SERVER, "nft list chain inet filter input").contains("jump spad")
    });
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);

    // Somebody takes away the jump, and nothing else; then a rule that is none of our business.
    let jump = "nft -a list chain inet filter input | sed -n 's/.*jump spad # handle //p'";
    lab.sh(SERVER, &format!("nft delete rule inet filter input handle $({jump})"));
    spad.says_times("putting it back", 2);
    lab.opens(A, SSH);
    let other = "nft -a list chain inet filter input | sed -n 's/.*dport 80 accept # handle //p'";
    lab.sh(SERVER, &format!("nft delete rule inet filter input handle $({other})"));
    std::thread::sleep(SECOND / 2);
    assert_eq!(spad.lines(&["putting it back"]).len(), 2, "that was the operator's own");

    configure(&lab, "mode = \"guard\"\n");
    spad.reload();
    spad.says("firewall.backend, mode or attach changed");
    lab.opens(A, SSH);

    assert_eq!(spad.stop(), Some(0));
    let guard = lab.start_spad(&[]);
    guard.says("chain spad of table inet filter of an earlier configuration still stands");
    drop(guard);
    lab.spad_command(&["teardown"]).ok();
    load(&lab, &format!("flush ruleset\n{DROPPING}"));
    let after = lab.sh(SERVER, "nft -a list ruleset");
    assert!(!after.contains("spad"));
    assert_eq!(after.lines().count(), before.lines().count());
}

#[test]
fn what_others_put_before_spad_is_noticed_within_a_second() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "mode = \"attach\"\nattach = \"inet filter input\"\n");
    lab.profile_with("laptop", &["--open", "tcp/22", "--max-window", "1m"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    load(&lab, DROPPING);
    let spad = lab.spad();
    lab.knock_with(A, &["-4", "-w", "1m"]);
    let knocked = Instant::now();
    lab.opens(A, SSH);
    let head = || {
        let chain = lab.sh(SERVER, "nft list chain inet filter input");
        chain.lines().nth(3).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(head(), "jump spad");

    lab.sh(SERVER, "nft insert rule inet filter input tcp dport 22 drop");
    let took = eventually("the jump is at the head", SECOND, || head() == "jump spad");
    println!("a drop put before it: first again after {took:?}");
    spad.says("putting it back");
    spad.says("repaired");
    lab.opens(A, SSH);
    lab.stays_shut(B, SSH);

    load(&lab, &format!("flush ruleset\n{DROPPING}"));
    let took = eventually("the jump is back", SECOND, || head() == "jump spad");
    println!("after its manager's reload: back after {took:?}");
    lab.opens(A, SSH);
    let set = lab.sh(SERVER, "nft list set inet filter spad_grants4");
    let left = set.split("expires ").nth(1).and_then(|rest| rest.split('s').next()?.parse::<u64>().ok());
    let expected = 60 - knocked.elapsed().as_secs();
    assert!(left.is_some_and(|left| left <= expected && left + 2 > expected), "{expected} s left: {set}");

    // What is not spad's to repair.
    let drops = "chain inet rival late (priority 10) sees the same packets, and its policy is drop";
    let since = Instant::now();
    load(&lab, "table inet rival {\n chain late {\n type filter hook input priority 10; policy drop;\n }\n}");
    spad.says(drops);
    println!("a chain that drops was noticed after {:?}", since.elapsed());
    assert!(since.elapsed() < 2 * SECOND);
    lab.sh(SERVER, "nft add chain inet filter another; nft add rule inet filter another counter");
    std::thread::sleep(SECOND);
    assert_eq!(spad.lines(&[drops]).len(), 1, "said once");
    lab.sh(SERVER, "nft delete table inet rival");
    spad.says("no longer so: chain inet rival late");
    lab.opens(A, SSH);
}

#[test]
fn what_others_put_before_spad_by_iptables_is_noticed_too() {
    for (backend, infix) in IPTABLES {
        let Some(lab) = Lab::new() else { return };
        let attached = format!("backend = \"{backend}\"\nmode = \"attach\"\nattach = \"filter INPUT\"\n");
        configure(&lab, &attached);
        lab.profile_with("laptop", &["--open", "tcp/22", "--max-window", "1m"]);
        let _service = lab.serve(SERVER, &["tcp/22"]);
        for program in ["iptables", "ip6tables"] {
            let begin = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
            lab.sh(SERVER, &format!("{program}{infix} {begin}; {program}{infix} -P INPUT DROP"));
        }
        let spad = lab.spad();
        lab.knock_with(A, &["-4", "-w", "1m"]);
        lab.opens(A, SSH);
        for program in ["iptables", "ip6tables"] {
            let head = || {
                let rules = lab.sh(SERVER, &format!("{program}{infix} -S INPUT"));
                rules.lines().nth(1).unwrap_or_default().ends_with("-j SPAD")
            };
            let before = spad.lines(&["repaired"]).len();
            lab.sh(SERVER, &format!("{program}{infix} -w -I INPUT -p tcp --dport 22 -j DROP"));
            let took = eventually("the jump is at the head", 4 * SECOND, head);
            println!("{program}{infix}: a drop put before it: first again after {took:?}");
            spad.says_times("repaired", before + 1);
            lab.opens(A, SSH);
            lab.stays_shut(B, SSH);
        }
        std::thread::sleep(2 * SECOND);
        assert_eq!(spad.lines(&["putting it back"]).len(), 2, "{backend}: what is put right is left alone");
        let loader = spad.role("loader")[0];
        let spent = fs::read_to_string(format!("/proc/{loader}/stat")).expect("it runs");
        let spent: Vec<&str> = spent.split_whitespace().collect();
        // Of itself and of the programs that it ran, in ticks of 10 ms.
        println!("{backend}: the loader has used {:?} (user, system, and of its programs)", &spent[13..17]);
    }
}

#[test]
fn a_drop_that_defeats_a_knock_is_said() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "mode = \"attach\"\nattach = \"inet filter input\"\n");
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let rival = "table ip other {\n chain late {\n type filter hook input priority 10; policy drop;\n }\n}";
    load(&lab, &format!("{DROPPING}\n{rival}"));
    let spad = lab.spad();
    spad.says("chain ip other late (priority 10) sees the same packets, and its policy is drop");
    lab.knock(A);
    lab.stays_shut(A, SSH);
    let check = lab.spad_command(&["check"]).ok().out;
    assert!(check.contains("ip other late: its policy is drop and no rule accepts tcp/22"), "{check}");
    assert!(!check.contains("inet filter input: its policy"), "{check}");
}

#[test]
fn check_prints_what_would_be_loaded() {
    let Some(lab) = Lab::new() else { return };
    configure(&lab, "backend = \"iptables-nft\"\n");
    lab.profile("laptop");
    let check = lab.spad_command(&["check"]).ok().out;
    let text = check.split_once("# what would be loaded\n").expect("it says so").1;
    let mut part = String::new();
    for line in text.lines().chain(["#"]) {
        if let Some(program) = line.strip_prefix('#') {
            if let Some((program, rest)) = part.split_once('\n') {
                lab.write("part", rest);
                lab.sh(SERVER, &format!("{program} <{}", Lab::inside("part")));
            }
            part = program.trim().replace("tables-", "tables-nft-") + "\n";
        } else {
            part += &format!("{line}\n");
        }
    }
    lab.stays_shut(A, SSH);
    let by_hand = lab.sh(SERVER, "iptables-nft-save -t mangle | grep ^-A; ipset save | grep ^add | sort");
    assert!(by_hand.contains("spad_tcp 22"), "{by_hand}");
    let _spad = lab.spad();
    let by_spad = lab.sh(SERVER, "iptables-nft-save -t mangle | grep ^-A; ipset save | grep ^add | sort");
    assert_eq!(by_spad, by_hand);
}
