//! Whether somebody at the terminal presses Enter: a session that hangs never does.

use std::io::{self, IsTerminal};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};

/// Standard input, as long as something can come from it.
pub(super) struct Prompt {
    open: bool,
}

pub(super) enum Answer {
    Yes,
    Nothing,
}

impl Prompt {
    /// What was typed before the question is no answer to it.
    pub(super) fn new() -> Self {
        let input = io::stdin();
        if input.is_terminal() {
            let _ = tcflush(&input, QueueSelector::IFlush);
        }
        Self { open: true }
    }

    /// Waits at most this long. The end of the input is no answer: `spad confirm` may still give one.
    pub(super) fn wait(&mut self, time: Duration) -> Answer {
        let input = io::stdin();
        if !self.open {
            std::thread::sleep(time);
            return Answer::Nothing;
        }
        let timeout = Timespec::try_from(time).ok();
        if !poll(&mut [PollFd::new(&input, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0) {
            return Answer::Nothing;
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&input, &mut bytes) {
            Ok(length @ 1..) if bytes[..length].contains(&b'\n') => return Answer::Yes,
            Ok(1..) => {}
            Ok(0) | Err(_) => self.open = false,
        }
        Answer::Nothing
    }
}
