//! Packets from whatever address, one by one or as a flood from one core.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags,
    SocketType, eth, ipproto, recv, sendmmsg, socket_with,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::arena::NetworkNamespace;

/// Packets in one system call.
const BATCH: usize = 64;

/// An IPv4 packet, complete but for what the kernel fills in.
#[derive(Clone, Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    to: Ipv4Addr,
}

/// A UDP datagram.
#[must_use]
pub fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Packet {
    let length = u16::try_from(8 + payload.len()).expect("a datagram");
    let mut bytes = ip(from, to, 17, length);
    for field in [from.port(), to.port(), length, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    Packet { bytes, to: *to.ip() }
}

/// The first packet of a TCP connection.
#[must_use]
pub fn syn(from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    let mut tcp = Vec::with_capacity(20);
    tcp.extend_from_slice(&from.port().to_be_bytes());
    tcp.extend_from_slice(&to.port().to_be_bytes());
    tcp.extend_from_slice(&rand::random::<u32>().to_be_bytes());
    // No acknowledgement; 5 words of header; SYN; window; checksum and urgent pointer to come.
    tcp.extend_from_slice(&[0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&from.ip().octets()[..], &to.ip().octets(), &[0, 6, 0, 20], &tcp].concat();
    let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = ip(from, to, 6, 20);
    bytes.extend_from_slice(&tcp);
    Packet { bytes, to: *to.ip() }
}

fn ip(from: SocketAddrV4, to: SocketAddrV4, protocol: u8, length: u16) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend_from_slice(&(20 + length).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend_from_slice(&from.ip().octets());
    bytes.extend_from_slice(&to.ip().octets());
    bytes
}

/// Sends ready-made packets from the network namespace of the thread that makes it.
#[derive(Debug)]
pub struct Sender(OwnedFd);

impl Sender {
    /// # Panics
    /// Without the privilege for raw sockets.
    #[must_use]
    pub fn new() -> Self {
        let (family, kind) = (AddressFamily::INET, SocketType::RAW);
        let socket =
            socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::RAW)).expect("a raw socket");
        Self(socket)
    }

    /// Sends these, in their order.
    ///
    /// # Panics
    /// When the network is not there.
    pub fn send(&self, packets: &[Packet]) {
        let mut rest = packets;
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(BATCH)];
            let slices: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|p| [IoSlice::new(&p.bytes)]).collect();
            let mut control: Vec<SendAncillaryBuffer<'_, '_, '_>> =
                batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let addresses: Vec<SocketAddrAny> =
                batch.iter().map(|packet| SocketAddrV4::new(packet.to, 0).into()).collect();
            let mut messages: Vec<MMsgHdr<'_>> = slices
                .iter()
                .zip(&mut control)
                .zip(&addresses)
                .map(|((slice, control), to)| MMsgHdr::new_with_addr(to, slice, control))
                .collect();
            match sendmmsg(&self.0, &mut messages, SendFlags::empty()) {
                Ok(sent) => rest = &rest[sent..],
                // The queue of the interface is full: the packet is not lost, it was not sent.
                Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => panic!("sending: {error}"),
            }
        }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

/// Packets without end, from a thread of its own on the first core.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Duration)>,
}

impl Flood {
    /// Begins to send these over and over; as fast as it goes, or so many a second.
    #[must_use]
    pub fn begin(from: &NetworkNamespace, packets: Vec<Packet>, per_second: Option<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (from, stopped) = (from.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            from.enter();
            let mut core = CpuSet::new();
            core.set(0);
            sched_setaffinity(None, &core).expect("there is a first core");
            let sender = Sender::new();
            let (start, mut sent) = (Instant::now(), 0_u64);
            // At low rates one packet at a time, as strangers would send them.
            let batch = per_second.map_or(BATCH, |rate| (rate as usize / 5000).clamp(1, BATCH));
            for batch in packets.chunks(batch).cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                sender.send(batch);
                sent += batch.len() as u64;
                if let Some(rate) = per_second {
                    wait_until(start + Duration::from_secs_f64(sent as f64 / f64::from(rate)));
                }
            }
            (sent, start.elapsed())
        });
        Self { stop, thread }
    }

    /// Ends it; how many were sent, and in what time.
    ///
    /// # Panics
    /// When it could not be sent.
    pub fn end(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the flood was sent")
    }
}

/// Sends at an even rate, sleeping in between where there is time for it.
pub fn wait_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if left > Duration::from_micros(300) {
            std::thread::sleep(left - Duration::from_micros(200));
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Bytes that nobody knows the meaning of.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes[..]);
    bytes
}

/// Sees packets of this host as they go out.
#[derive(Debug)]
pub struct Wiretap {
    socket: OwnedFd,
    to: Ipv4Addr,
}

impl Wiretap {
    /// Looks for packets to that address.
    ///
    /// # Panics
    /// Without the privilege for it.
    #[must_use]
    pub fn open(to: Ipv4Addr) -> Self {
        let (family, kind) = (AddressFamily::PACKET, SocketType::DGRAM);
        let socket =
            socket_with(family, kind, SocketFlags::CLOEXEC, Some(eth::ALL)).expect("a packet socket");
        Self { socket, to }
    }

    /// When the first one came by.
    #[must_use]
    pub fn first(&self, within: Duration) -> Option<Instant> {
        let end = Instant::now() + within;
        let mut packet = [0; 64];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(left).ok()?;
            if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&wait)) != Ok(1) {
                return None;
            }
            let seen = Instant::now();
            let length =
                recv(&self.socket, &mut packet[..], RecvFlags::DONTWAIT).map_or(0, |(length, _)| length);
            if length >= 20 && packet[16..20] == self.to.octets() {
                return Some(seen);
            }
        }
    }
}

impl Packet {
    /// From the IP header on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a UDP packet carries.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[28..]
    }
}
