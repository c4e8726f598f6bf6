//! A monitor and a worker that do as the words in the configuration file say.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use spad::control::{MonitorEnd, Notice, Started, WorkerNumber};
use spad::exit::ExitStatus;
use spad::role::Role;
use spad::sandbox::{Descriptors, seal_monitor, seal_worker};
use spad::socketpair::{Received, Seqpacket};
use spad::surroundings::{Routes, Watcher};
use tracing::{error, info};

struct Known {
    number: WorkerNumber,
    channel: Seqpacket,
    config: String,
}

pub(crate) fn monitor() -> ExitStatus {
    let control = MonitorEnd::from(Role::Monitor.enter().unwrap());
    let (_routes, _watcher) = (Routes::open().unwrap(), Watcher::new().unwrap());
    match seal_monitor(control.as_fd(), None) {
        Ok(report) => info!("monitor {report}"),
        Err(error) => {
            error!("{error}");
            return ExitStatus::from(&error);
        }
    }
    let mut workers: Vec<Known> = Vec::new();
    let mut retire: Option<(Instant, Known)> = None;
    loop {
        let timeout = retire.as_ref().map(|_| Timespec { tv_sec: 0, tv_nsec: 20_000_000 });
        let mut fds: Vec<_> = workers.iter().map(|w| PollFd::new(&w.channel, PollFlags::IN)).collect();
        fds.push(PollFd::new(&control, PollFlags::IN));
        rustix::event::poll(&mut fds, timeout.as_ref()).unwrap();
        match control.receive().unwrap() {
            Received::Closed => return ExitStatus::Done,
            Received::Nothing => {}
            Received::Message(Started::Sender(_)) => unreachable!("nobody asked for one"),
            Received::Message(Started::Question) => control.notify(Notice::Alive { worker: true }).unwrap(),
            Received::Message(Started::Worker(new)) => {
                let mut config = String::new();
                File::from(new.config).read_to_string(&mut config).unwrap();
                if config.contains("let go") {
                    drop(control);
                    info!("monitor lets go");
                    rustix::event::poll(&mut [], None).unwrap();
                    return ExitStatus::Failure;
                }
                if config.contains("firewall") {
                    return ExitStatus::Firewall;
                }
                workers.push(Known { number: new.number, channel: new.channel, config });
            }
        }
        if retire.as_ref().is_some_and(|(at, _)| *at <= Instant::now()) {
            let (_, old) = retire.take().unwrap();
            control.notify(Notice::Retired(old.number)).unwrap();
        }
        let mut at = 0;
        while at < workers.len() {
            match workers[at].channel.receive::<1>().unwrap() {
                Received::Nothing => at += 1,
                Received::Closed => {
                    let gone = workers.remove(at);
                    control.notify(Notice::Refused(gone.number)).unwrap();
                }
                Received::Message(_) if workers[at].config.contains("refuse") => {
                    let refused = workers.remove(at);
                    control.notify(Notice::Refused(refused.number)).unwrap();
                }
                Received::Message(_) => {
                    let new = workers.remove(at);
                    control.notify(Notice::Serving(new.number)).unwrap();
                    if let Some(old) = workers.pop() {
                        let wait = if new.config.contains("slow") { 3000 } else { 0 };
                        retire = Some((Instant::now() + Duration::from_millis(wait), old));
                    }
                    workers.insert(0, new);
                    at = 1;
                }
            }
        }
    }
}

pub(crate) fn worker(config: &str, state: &str) -> ExitStatus {
    let channel = Role::Worker.enter().unwrap();
    let config = fs::read_to_string(config).unwrap();
    info!("worker reads {}", config.trim());
    if config.contains("exit 3") {
        return ExitStatus::Configuration;
    }
    if config.contains("crash early") {
        std::process::abort();
    }
    let open = |name| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(format!("{state}/{name}"))
    };
    let files = ["journal.a", "journal.b", "mark"].map(|name| open(name).unwrap());
    let writable = [files[0].as_fd(), files[1].as_fd(), files[2].as_fd()];
    match seal_worker(Descriptors { captures: &[], channel: channel.as_fd(), writable: &writable }) {
        Ok(report) => info!("worker {report}"),
        Err(error) => {
            error!("{error}");
            return ExitStatus::from(&error);
        }
    }
    channel.send(b"R").unwrap();
    if config.contains("crash late") {
        std::process::abort();
    }
    loop {
        rustix::event::poll(&mut [PollFd::new(&channel, PollFlags::IN)], None).unwrap();
        if channel.receive::<1>().unwrap() == Received::Closed {
            break;
        }
    }
    if config.contains("stubborn") {
        rustix::event::poll(&mut [], None).unwrap();
    }
    info!("worker ends");
    ExitStatus::Done
}
