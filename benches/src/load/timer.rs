//! A clock that is precise to microseconds: the timers of the runtime know only whole milliseconds, and a request that is
//! sent a millisecond late is measured a millisecond too long.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Nobody sleeps for less: at a very high rate, setting timers would be all that a thread does.
const GRAIN: Duration = Duration::from_micros(20);

/// A timer of the system.
pub(crate) struct Timer(AsyncFd<Descriptor>);

struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// Of the current runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(deprecated, reason = "what replaces it is unsafe; this descriptor is owned by what is registered")]
        let registered = AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?;
        Ok(Self(registered))
    }

    /// Sleeps for so long, or less if an earlier sleep was given up.
    pub(crate) async fn sleep(&self, duration: Duration) -> io::Result<()> {
        let once = Expiration::OneShot(TimeSpec::from_duration(duration.max(GRAIN)));
        // This also takes back what it has rung for before.
        self.0.get_ref().0.set(once, TimerSetTimeFlags::empty())?;
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
