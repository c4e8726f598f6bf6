//! Frames from the network, by libpcap: no socket is bound, no port ever shows.

use std::io;
use std::num::{NonZeroU16, NonZeroU32};
use std::os::fd::{AsFd, BorrowedFd};

use pcap::{Active, Capture, Direction, Linktype};
use spa_core::crypto::header::HeaderKey;
use spa_core::frame::Link;
use spa_core::scheme::native;
use spa_core::stranger;
use tracing::debug;

use crate::sys::filter;

/// Bytes kept of a frame: the longest datagram and every header before it (cooked 20, two tags 8, IPv4 60, UDP 8).
const SNAPLEN: i32 = 1400;
/// The ring: some 2700 frames, which at 480 000 a second is 5 ms.
const RING: i32 = 4 * 1024 * 1024;
/// Frames taken at once, so that other descriptors have their turn during a flood.
pub const BATCH: usize = 256;
const UDP_HEADER: usize = 8;
/// Cooked frames that say by which interface they came in; the link of `any`, from libpcap 1.10 on.
const LINUX_SLL2: Linktype = Linktype(276);

/// One interface that is listened on.
pub struct Listener {
    name: String,
    link: Link,
    /// Index of the interface; `None` for `any`.
    interface: Option<NonZeroU32>,
    capture: Capture<Active>,
    /// The kernel turns strangers away.
    filtered: bool,
    /// Frames lost so far, at the last question.
    lost: u32,
}

/// Why an interface cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Not permitted: for the whole daemon, not for this interface.
    #[error("capturing on {0} is not permitted; spad needs CAP_NET_RAW (run it as root, or by its unit)")]
    NotPermitted(String),
    /// Missing, down, or of a kind that cannot be read.
    #[error("{0}: {1}")]
    Unavailable(String, String),
}

impl Listener {
    /// Opens a capture that sees datagrams of the right length to `port`, with a check word of one of these keys if the
    /// kernel can look at it, and nothing else.
    ///
    /// - `interface`: index of the one of that name.
    pub fn open(
        name: &str,
        interface: Option<NonZeroU32>,
        port: NonZeroU16,
        keys: &[HeaderKey],
    ) -> Result<Self, CaptureError> {
        let fail = |error: pcap::Error| {
            let text = error.to_string();
            if text.contains("permission") || text.contains("not permitted") {
                CaptureError::NotPermitted(name.to_owned())
            } else {
                CaptureError::Unavailable(name.to_owned(), text)
            }
        };
        let inactive = Capture::from_device(name).map_err(fail)?;
        let mut capture = inactive
            .promisc(false)
            .snaplen(SNAPLEN)
            .buffer_size(RING)
            // The kernel wakes us at once; under flood it is the worker that lets frames gather.
            .immediate_mode(true)
            .open()
            .and_then(Capture::setnonblock)
            .map_err(fail)?;
        if name == "any" {
            // An older libpcap cannot: then nobody knows whose link a link-local address is of, and it is refused.
            let _ = capture.set_datalink(LINUX_SLL2);
        }
        capture.filter(&expression(port), true).map_err(fail)?;
        capture.direction(Direction::In).map_err(fail)?;
        let dlt = capture.get_datalink().0;
        let link = Link::from_dlt(dlt).ok_or_else(|| {
            CaptureError::Unavailable(name.to_owned(), format!("its link type {dlt} is not known"))
        })?;
        let filtered = turn_strangers_away(capture.as_fd(), link, port, keys);
        match &filtered {
            Ok(()) => debug!("{name}: the kernel turns strangers away"),
            Err(why) => debug!("{name}: strangers wake the worker: {why}"),
        }
        let filtered = filtered.is_ok();
        Ok(Self { name: name.to_owned(), link, interface, capture, filtered, lost: 0 })
    }

    /// Name of the interface.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether strangers do not wake whoever listens.
    pub const fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// Gives each waiting frame to `take`, up to a batch, and says how many there were.
    ///
    /// # Errors
    /// The interface went away.
    pub fn receive(
        &mut self,
        mut take: impl FnMut(Link, Option<NonZeroU32>, &[u8]),
    ) -> Result<usize, pcap::Error> {
        let (link, interface) = (self.link, self.interface);
        match self.capture.dispatch(Some(BATCH), |packet| take(link, interface, packet.data)) {
            Ok(frames) => Ok(frames),
            Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// How many frames found no room in the ring since the last question. One that is gone lost none.
    pub fn lost(&mut self) -> u32 {
        let so_far = self.capture.stats().map_or(self.lost, |stats| stats.dropped);
        so_far.wrapping_sub(std::mem::replace(&mut self.lost, so_far))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

/// Has the kernel look at the check word too. Where it cannot, libpcap's filter stays, and the worker looks.
fn turn_strangers_away(
    capture: BorrowedFd<'_>,
    link: Link,
    port: NonZeroU16,
    keys: &[HeaderKey],
) -> io::Result<()> {
    let program = stranger::program(link, port, keys, SNAPLEN.cast_unsigned());
    let program = program.ok_or(io::ErrorKind::Unsupported)?;
    filter::attach(capture, program.instructions())
}

/// By port and length, as libpcap compiles it for this link. The UDP length of an IPv6 packet is at an offset of its own,
/// as nothing stands between the headers.
fn expression(port: NonZeroU16) -> String {
    let (least, most) = (native::MIN + UDP_HEADER, native::MAX + UDP_HEADER);
    format!(
        "(ip and udp dst port {port} and udp[4:2] >= {least} and udp[4:2] <= {most}) or \
         (ip6 and udp dst port {port} and ip6[44:2] >= {least} and ip6[44:2] <= {most})"
    )
}
