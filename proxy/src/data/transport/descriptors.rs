//! Descriptors that data threads leave to others: to probes, names, files and the admin interface. The system gives the lowest
//! number that is free, so a socket with a high number says that nearly all are taken.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The first number that is not for connections to site systems. One for the process, as the descriptors are.
static KEPT_FROM: AtomicI32 = AtomicI32::new(i32::MAX);
/// Too many open files.
const EMFILE: i32 = 24;

/// Keeps the numbers from `first` on for others.
pub fn keep_from(first: u64) {
    KEPT_FROM.store(i32::try_from(first).unwrap_or(i32::MAX), Relaxed);
}

/// A socket for a connection to a site system.
///
/// # Errors
/// Its number is kept for others: there are too many.
pub fn usable<S: AsFd>(socket: S) -> io::Result<S> {
    let kept = socket.as_fd().as_raw_fd() >= KEPT_FROM.load(Relaxed);
    if kept { Err(io::Error::from_raw_os_error(EMFILE)) } else { Ok(socket) }
}
