//! `make bench`: everything side by side.
//!
//! ```text
//! bench [--quick] [--spad] [--only SUBJECT,…] [--json FILE]
//!                                                      measure, print, write bench.json; --spad: nobody else
//! bench show FILE                                      print a bench.json
//! bench fill FILE PAGE                                 write its tables into a page, between their markers
//! ```
//! Subjects: latency stations burst junk flood memory throughput client load growth.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use benches::arena::Arena;
use benches::report::{self, Report};
use benches::rows::{Bench, burst, client, flood, growth, junk, latency, load, memory, stations, throughput};
use benches::tools::{Contestant, Fwknopd, Knockd, Spad};
use serde_json::{Value, json};

type Subject = (&'static str, fn(&Bench, &mut Report));

const SUBJECTS: [Subject; 10] = [
    ("latency", latency::run),
    ("stations", stations::run),
    ("burst", burst::run),
    ("junk", junk::run),
    ("flood", flood::run),
    ("memory", memory::run),
    ("throughput", throughput::run),
    ("client", client::run),
    ("load", load::run),
    ("growth", growth::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show", file] => show(&read(file)),
        ["fill", file, page] => report::fill(file.as_ref(), page.as_ref()),
        options => return measure(options),
    }
    ExitCode::SUCCESS
}

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn measure(options: &[&str]) -> ExitCode {
    let after =
        |option: &str| options.iter().position(|word| *word == option).and_then(|at| options.get(at + 1));
    let only: Option<Vec<&str>> = after("--only").map(|list| list.split(',').collect());
    let here = std::env::current_exe().expect("this program has a path");
    let programs = here.parent().expect("in a folder").to_owned();
    let target = programs.parent().expect("of cargo's").to_owned();
    let json: PathBuf =
        after("--json").map_or_else(|| target.join("bench.json"), |path| PathBuf::from(*path));
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "bench: needs root: fwknopd and knockd run only so, and hosts of its own are made (network namespaces)"
        );
        return ExitCode::FAILURE;
    }
    let Some(arena) = Arena::new(programs, target.join("bench.work")) else { return ExitCode::FAILURE };
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(Fwknopd::new(&arena, false)),
        Box::new(Fwknopd::new(&arena, true)),
        Box::new(Knockd),
        Box::new(Spad::new(&arena, "spad")),
    ];
    if options.contains(&"--spad") {
        contestants.retain(|contestant| contestant.name() == "spad");
    }
    let bench = Bench { arena, contestants, quick: options.contains(&"--quick") };
    let mut report = Report::default();
    let start = Instant::now();
    for (name, run) in SUBJECTS {
        if only.as_ref().is_none_or(|only| only.contains(&name)) {
            eprintln!("{:>4} s  {name}", start.elapsed().as_secs());
            run(&bench, &mut report);
        }
    }
    let json_report = report.to_json(machine(start.elapsed().as_secs(), options));
    std::fs::write(&json, format!("{json_report:#}\n")).unwrap_or_else(|e| panic!("{}: {e}", json.display()));
    show(&json_report);
    println!("\nwritten to {}", json.display());
    ExitCode::SUCCESS
}

fn show(report: &Value) {
    println!("{}\n", report["machine"]["text"].as_str().unwrap_or_default());
    println!("Each cell: median (p5..p95), and n, how many measurements.\n");
    for table in report::tables(report) {
        println!("## {table}\n\n{}", report::markdown(report, &table));
    }
}

/// What it was measured on.
fn machine(seconds: u64, options: &[&str]) -> Value {
    let first = |program: &str, arguments: &[&str]| -> String {
        let output = Command::new(program).args(arguments).output();
        let text =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or_default().to_owned();
    let versions = [("fwknop-server", ""), ("knockd", "")]
        .map(|(package, _)| format!("{package} {}", first("dpkg-query", &["-W", "-f=${Version}", package])))
        .join(", ");
    let commit = first("git", &["rev-parse", "--short", "HEAD"]);
    let dirty = if first("git", &["status", "--porcelain", "spad", "spa-core", "spa-client"]).is_empty() {
        ""
    } else {
        " with changes"
    };
    let day = first("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let kernel = first("uname", &["-r"]);
    let kernel = kernel.split('-').next().unwrap_or_default();
    let quick = if options.contains(&"--quick") { ", --quick" } else { "" };
    let text = format!(
        "Measured {day} in one run of {seconds} s{quick} at commit {commit}{dirty}: {cores} shared cores ({cpu}), Linux {kernel}, \
         load average at the end {load}; {versions}."
    );
    json!({ "text": text, "day": day, "commit": commit, "cores": cores, "cpu": cpu, "kernel": kernel, "load": load })
}
