//! When a door opens, as a client sees it: it sends one SYN after the other until one is answered with SYN and ACK.
//!
//! The packets are made by hand, so that looking costs little next to what is looked at; the kernel of the client host
//! answers the connection that it does not know of with a reset, and nothing stays behind on either side. The time
//! between two looks is how exact the measurement is.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, recv, socket_with};

use crate::arena::DOOR;
use crate::wire::{Packet, Sender, syn};

/// Between two looks at one door.
const PAUSE: Duration = Duration::from_micros(40);
/// Before the first look. Nobody opens a door sooner, and the daemon would have to wait for the processor of the one who
/// looks.
const FIRST: Duration = Duration::from_micros(100);
/// SYN and ACK, and no other flag.
const ACCEPTED: u8 = 0x12;

/// Looks at the door from the host of the thread that makes it.
#[derive(Debug)]
pub struct Doors {
    sender: Sender,
    answers: OwnedFd,
}

impl Doors {
    /// # Panics
    /// Without the privilege for raw sockets.
    #[must_use]
    pub fn new() -> Self {
        let (family, kind) = (AddressFamily::INET, SocketType::RAW);
        let answers =
            socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::TCP)).expect("a raw socket");
        Self { sender: Sender::new(), answers }
    }

    /// Whether the door is open for this client now.
    #[must_use]
    pub fn is_open(&self, client: Ipv4Addr) -> bool {
        self.sender.send(&[look(client)]);
        self.answer(Duration::from_millis(1)) == Some(client)
    }

    /// When the first connection was accepted; `None` if none was up to `end`.
    #[must_use]
    pub fn first_open(&self, client: Ipv4Addr, end: Instant) -> Option<Instant> {
        let _ = self.answer(FIRST);
        loop {
            self.sender.send(&[look(client)]);
            let answer = self.answer(PAUSE);
            let now = Instant::now();
            if answer == Some(client) {
                return Some(now);
            }
            if now >= end {
                return None;
            }
        }
    }

    /// When each of many doors was first seen open: one SYN to each that is still shut, round after round, until `end`
    /// or until none was found for so long.
    #[must_use]
    pub fn sweep(&self, clients: &[Ipv4Addr], end: Instant, over: Duration) -> HashMap<Ipv4Addr, Instant> {
        let mut seen = HashMap::new();
        let mut news = Instant::now();
        while seen.len() < clients.len() && Instant::now() < end && news.elapsed() < over {
            let shut: Vec<Packet> = clients
                .iter()
                .filter(|client| !seen.contains_key(*client))
                .map(|client| look(*client))
                .collect();
            for batch in shut.chunks(64) {
                self.sender.send(batch);
                while let Some(client) = self.answer(Duration::ZERO) {
                    news = Instant::now();
                    seen.entry(client).or_insert(news);
                }
            }
            // The daemon needs the processor more than the one who looks.
            std::thread::sleep(Duration::from_micros(500));
        }
        seen
    }

    /// Whose door was just found open.
    fn answer(&self, within: Duration) -> Option<Ipv4Addr> {
        let end = Instant::now() + within;
        let mut packet = [0; 128];
        loop {
            while let Ok((length, _)) = recv(&self.answers, &mut packet[..], RecvFlags::DONTWAIT) {
                let from_door = length >= 34 && packet[12..16] == DOOR.ip().octets();
                if from_door && packet[20..22] == DOOR.port().to_be_bytes() && packet[33] == ACCEPTED {
                    return Some(Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]));
                }
            }
            let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok()?;
            if poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], Some(&left)) != Ok(1) {
                return None;
            }
        }
    }
}

impl Default for Doors {
    fn default() -> Self {
        Self::new()
    }
}

fn look(client: Ipv4Addr) -> Packet {
    syn(SocketAddrV4::new(client, rand::random_range(20_000..60_000)), DOOR)
}
