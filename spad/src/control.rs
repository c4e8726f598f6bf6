//! The control channel between starter and monitor: one byte a message, and each end can send only its own.
//!
//! The byte holds a kind (two high bits) and the number of the worker it is about (six low bits). The number
//! says which worker is meant even when messages and deaths cross each other.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::socketpair::{ChannelError, Received, Seqpacket};

/// Names one worker among those alive. The numbers come round after 64 workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerNumber(u8);

impl WorkerNumber {
    const MASK: u8 = 0b0011_1111;

    /// The number of the worker started after this one.
    pub fn next(self) -> Self {
        Self((self.0 + 1) & Self::MASK)
    }
}

impl fmt::Display for WorkerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the monitor tells the starter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This worker took over; one that served before it is about to be retired.
    Serving(WorkerNumber),
    /// This worker's channel was closed because another took over: it has 5 seconds to end by itself.
    Retired(WorkerNumber),
    /// This new worker was turned away and its channel closed; the old one, if any, goes on.
    Refused(WorkerNumber),
    /// The host's surroundings changed: start a new worker beside the old.
    Renew,
    /// The operator asks for a reload, as by SIGHUP: the next worker is the one by which it is judged.
    Reload,
    /// The configuration allows receipts: start a sender, in the place of any other.
    Sender,
    /// The answer to [`Started::Question`].
    Alive {
        /// The worker that serves has said something since the last such answer; or there is none.
        worker: bool,
    },
}

impl Notice {
    const SERVING: u8 = 0b00 << 6;
    const RETIRED: u8 = 0b01 << 6;
    const REFUSED: u8 = 0b10 << 6;
    const RENEW: u8 = 0b11 << 6;
    const RELOAD: u8 = Self::RENEW | 1;
    const SENDER: u8 = Self::RENEW | 2;
    const ALIVE: u8 = Self::RENEW | 3;
    const ALONE: u8 = Self::RENEW | 4;

    fn encode(self) -> [u8; 1] {
        [match self {
            Self::Serving(worker) => Self::SERVING | worker.0,
            Self::Retired(worker) => Self::RETIRED | worker.0,
            Self::Refused(worker) => Self::REFUSED | worker.0,
            Self::Renew => Self::RENEW,
            Self::Reload => Self::RELOAD,
            Self::Sender => Self::SENDER,
            Self::Alive { worker: true } => Self::ALIVE,
            Self::Alive { worker: false } => Self::ALONE,
        }]
    }

    fn decode([byte]: [u8; 1]) -> Result<Self, ChannelError> {
        let worker = WorkerNumber(byte & WorkerNumber::MASK);
        match byte & !WorkerNumber::MASK {
            Self::SERVING => Ok(Self::Serving(worker)),
            Self::RETIRED => Ok(Self::Retired(worker)),
            Self::REFUSED => Ok(Self::Refused(worker)),
            _ if byte == Self::RENEW => Ok(Self::Renew),
            _ if byte == Self::RELOAD => Ok(Self::Reload),
            _ if byte == Self::SENDER => Ok(Self::Sender),
            _ if byte == Self::ALIVE => Ok(Self::Alive { worker: true }),
            _ if byte == Self::ALONE => Ok(Self::Alive { worker: false }),
            _ => Err(ChannelError::Protocol),
        }
    }
}

/// What the starter tells the monitor: a worker was started.
#[derive(Debug)]
pub struct NewWorker {
    /// Its number, to be used in every notice about it.
    pub number: WorkerNumber,
    /// It was started because of [`Notice::Reload`].
    pub asked: bool,
    /// The monitor's end of its channel.
    pub channel: Seqpacket,
    /// spad.toml, open for reading, from its first byte.
    pub config: OwnedFd,
}

impl NewWorker {
    const ASKED: u8 = 0b10 << 6;
}

/// What the starter hands the monitor, or asks.
#[derive(Debug)]
pub enum Started {
    /// A worker.
    Worker(NewWorker),
    /// The monitor's end of a new sender's channel.
    Sender(Seqpacket),
    /// Nothing: answer with [`Notice::Alive`].
    Question,
}

impl Started {
    /// The bytes that name no worker.
    const SENDER: u8 = 0b01 << 6;
    const QUESTION: u8 = Self::SENDER | 1;
}

/// The starter's end.
#[derive(Debug)]
pub struct StarterEnd(Seqpacket);

/// The monitor's end.
#[derive(Debug)]
pub struct MonitorEnd(Seqpacket);

/// Makes both ends; the second is for the monitor's standard input.
///
/// # Errors
/// No descriptor left.
pub fn pair() -> io::Result<(StarterEnd, OwnedFd)> {
    let (starter, monitor) = Seqpacket::pair()?;
    Ok((StarterEnd(starter), monitor.into_descriptor()))
}

impl StarterEnd {
    /// Hands a new worker over. Both descriptors are copied; the caller drops its own.
    ///
    /// # Errors
    /// The monitor is gone or reads nothing. The worker then sees the end of its channel.
    pub fn announce(&self, worker: &NewWorker) -> Result<(), ChannelError> {
        let asked = if worker.asked { NewWorker::ASKED } else { 0 };
        self.0.send_with(&[worker.number.0 | asked], &[worker.channel.as_fd(), worker.config.as_fd()])
    }

    /// Hands a sender's channel over.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn announce_sender(&self, channel: &Seqpacket) -> Result<(), ChannelError> {
        self.0.send_with(&[Started::SENDER], &[channel.as_fd()])
    }

    /// Asks whether the monitor lives.
    ///
    /// # Errors
    /// It reads nothing, which is an answer too.
    pub fn ask_whether_alive(&self) -> Result<(), ChannelError> {
        self.0.send(&[Started::QUESTION])
    }

    /// The next notice, if one waits.
    ///
    /// # Errors
    /// [`ChannelError::Protocol`]: not one of ours.
    pub fn receive(&self) -> Result<Received<Notice>, ChannelError> {
        Ok(match self.0.receive()? {
            Received::Message(byte) => Received::Message(Notice::decode(byte)?),
            Received::Nothing => Received::Nothing,
            Received::Closed => Received::Closed,
        })
    }
}

impl MonitorEnd {
    /// Sends one notice.
    ///
    /// # Errors
    /// The starter is gone, or it does not keep up.
    pub fn notify(&self, notice: Notice) -> Result<(), ChannelError> {
        self.0.send(&notice.encode())
    }

    /// What was started next, if anything waits. [`Received::Closed`] means: stop.
    ///
    /// # Errors
    /// [`ChannelError::Protocol`]: not one of ours.
    pub fn receive(&self) -> Result<Received<Started>, ChannelError> {
        let ([byte], descriptors) = match self.0.receive_with()? {
            Received::Message(message) => message,
            Received::Nothing => return Ok(Received::Nothing),
            Received::Closed => return Ok(Received::Closed),
        };
        if byte == Started::SENDER {
            let [channel] = exactly(descriptors)?;
            return Ok(Received::Message(Started::Sender(channel.into())));
        }
        if byte == Started::QUESTION {
            let [] = exactly(descriptors)?;
            return Ok(Received::Message(Started::Question));
        }
        let (number, asked) = (byte & !NewWorker::ASKED, byte & NewWorker::ASKED != 0);
        if number > WorkerNumber::MASK {
            return Err(ChannelError::Protocol);
        }
        let [channel, config] = exactly(descriptors)?;
        let worker = NewWorker { number: WorkerNumber(number), asked, channel: channel.into(), config };
        Ok(Received::Message(Started::Worker(worker)))
    }
}

/// As many descriptors as belong to the message.
fn exactly<const N: usize>(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; N], ChannelError> {
    descriptors.try_into().map_err(|_| ChannelError::Protocol)
}

impl From<Seqpacket> for MonitorEnd {
    /// For the socket that the monitor was started with.
    fn from(socket: Seqpacket) -> Self {
        Self(socket)
    }
}

impl AsFd for StarterEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for MonitorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_notice_or_none() {
        for byte in 0..=u8::MAX {
            match Notice::decode([byte]) {
                Ok(notice) => assert_eq!(notice.encode(), [byte]),
                Err(_) => {
                    assert!(byte > Notice::ALONE, "{byte:#x}: only these name no worker")
                }
            }
        }
    }

    #[test]
    fn numbers_come_round_after_64() {
        let mut number = WorkerNumber::default();
        for _ in 0..64 {
            number = number.next();
        }
        assert_eq!(number, WorkerNumber::default());
    }

    #[test]
    fn a_worker_is_announced_and_answered_for() {
        let (starter, monitor) = pair().unwrap();
        let monitor = MonitorEnd::from(Seqpacket::from(monitor));
        let (channel, worker) = Seqpacket::pair().unwrap();
        let number = WorkerNumber(7);
        let config = std::fs::File::open("/dev/null").unwrap().into();
        starter.announce(&NewWorker { number, asked: true, channel, config }).unwrap();
        worker.send(b"ready").unwrap();
        let Received::Message(Started::Worker(new)) = monitor.receive().unwrap() else {
            panic!("a worker was announced")
        };
        assert_eq!((new.number, new.asked), (number, true));
        assert_eq!(new.channel.receive().unwrap(), Received::Message(*b"ready"));
        monitor.notify(Notice::Serving(new.number)).unwrap();
        assert_eq!(starter.receive().unwrap(), Received::Message(Notice::Serving(number)));
        drop(starter);
        assert!(matches!(monitor.receive().unwrap(), Received::Closed));
    }

    #[test]
    fn a_sender_is_handed_over_with_its_channel_and_nothing_else() {
        let (starter, monitor) = pair().unwrap();
        let monitor = MonitorEnd::from(Seqpacket::from(monitor));
        let (channel, sender) = Seqpacket::pair().unwrap();
        starter.announce_sender(&channel).unwrap();
        let Received::Message(Started::Sender(new)) = monitor.receive().unwrap() else {
            panic!("a sender was announced")
        };
        new.send(b"letter").unwrap();
        assert_eq!(sender.receive().unwrap(), Received::Message(*b"letter"));
        starter.0.send_with(&[Started::SENDER], &[channel.as_fd(), channel.as_fd()]).unwrap();
        assert!(matches!(monitor.receive(), Err(ChannelError::Protocol)));
        starter.0.send_with(&[7], &[channel.as_fd()]).unwrap();
        assert!(matches!(monitor.receive(), Err(ChannelError::Protocol)));
    }

    #[test]
    fn a_question_is_answered_by_whoever_lives() {
        let (starter, monitor) = pair().unwrap();
        let monitor = MonitorEnd::from(Seqpacket::from(monitor));
        starter.ask_whether_alive().unwrap();
        assert!(matches!(monitor.receive(), Ok(Received::Message(Started::Question))));
        for worker in [true, false] {
            monitor.notify(Notice::Alive { worker }).unwrap();
            assert_eq!(starter.receive().unwrap(), Received::Message(Notice::Alive { worker }));
        }
        starter.0.send_with(&[Started::QUESTION], &[starter.as_fd()]).unwrap();
        assert!(matches!(monitor.receive(), Err(ChannelError::Protocol)));
    }
}
