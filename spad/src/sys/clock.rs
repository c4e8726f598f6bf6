//! Two questions to the kernel's clocks: how long has this machine been up, and is its wall clock right?

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::time::ClockId;

/// Time since boot, time asleep included. It never steps, whatever happens to the wall clock.
pub fn boottime() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Boottime);
    // Both fields of this clock are never negative; should they be, the machine has just started.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// Whether the kernel calls its wall clock synchronised, that is: a time service disciplines it.
///
/// Asked through the C library's `adjtimex` (modes 0: read only, no privilege needed).
///
/// # Errors
/// What the kernel answers. `adjtimex` with modes 0 has no documented error besides a bad address.
pub fn synchronised() -> io::Result<bool> {
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `state` is valid for writes of a `timex`; all its bytes are zero, which is a valid `timex` with
    // `modes` 0, so that the call only reads the clock; it keeps no pointer.
    let (status, state) = unsafe { (libc::adjtimex(state.as_mut_ptr()), state.assume_init()) };
    if status == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(status != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boottime_is_not_less_than_the_monotonic_clock() {
        let monotonic = rustix::time::clock_gettime(ClockId::Monotonic);
        assert!(boottime() >= Duration::from_secs(monotonic.tv_sec.unsigned_abs()));
    }

    #[test]
    fn asking_whether_the_clock_is_synchronised_needs_no_privilege() {
        synchronised().expect("adjtimex with modes 0 only reads");
    }
}
