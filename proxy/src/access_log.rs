//! Writes the access log, on a thread of its own: a line for each request and each tunnel.
//!
//! The writer follows the configuration that is served: where the log is, its format and its fields change with a reload.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use metrics::Counter;

use crate::data::thread::access_log::{Record, Records, Sink, queue};
use crate::model::access_log::{LogFormat, LogSettings};
use crate::model::snapshot::{Snapshot, Snapshots};

mod combined;
mod escape;
mod json;
mod lines;
mod outlet;
mod parts;
mod values;
mod w3c;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use lines::Lines;
use outlet::{Outlet, Put};

/// How long a line may wait in the writer's buffer when nothing follows it.
const FLUSH: Duration = Duration::from_millis(200);
/// What a new log may be used for: its owner alone reads it.
const MODE: u32 = 0o600;
/// Standard output.
const STDOUT: &str = "-";

/// Asks the writer to open its file again.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// Asks. It is done a moment later.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        // A read that changes nothing costs no other core anything.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// What the writer is started with.
#[derive(Debug)]
pub struct Start {
    /// Where the configuration is that says how lines are written.
    pub snapshots: Arc<Snapshots>,
    /// Records that may wait.
    pub buffer: usize,
    /// Counts lines that could not be written.
    pub lost: Counter,
    /// By this it is asked to open its file again.
    pub reopen: Reopen,
}

/// Opens the log and starts its writer, which ends when the last sink is gone; `alive` is dropped with it.
///
/// # Errors
/// The file cannot be opened.
pub fn start(start: Start, alive: impl Send + 'static) -> io::Result<(Sink, JoinHandle<()>)> {
    let snapshot = start.snapshots.current();
    let settings = snapshot.site.access_log.clone().ok_or(io::ErrorKind::NotFound)?;
    let out = open(&settings.path)?;
    let (sink, records) = queue(start.buffer);
    let writer = Writer {
        out: Outlet::new(out, start.lost),
        snapshots: start.snapshots,
        reopen: start.reopen,
        header_due: settings.format == LogFormat::W3c,
        settings,
        snapshot,
        lines: Lines::default(),
    };
    let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        let _alive = alive;
        writer.run(&records);
    })?;
    Ok((sink, thread))
}

fn open(path: &str) -> io::Result<File> {
    if path == STDOUT {
        // Not by way of `io::stdout`, which has a buffer of its own.
        return Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    }
    let mut options = OpenOptions::new();
    match std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        // Opened for writing alone, a pipe makes the process wait until it has a reader, and fails when that goes.
        true => options.read(true).write(true),
        false => options.create(true).append(true).mode(MODE),
    };
    options.open(path)
}

/// Whether [`start`] could open the log. Makes no file, and changes none.
///
/// # Errors
/// Why it could not.
pub fn can_open(path: &str) -> io::Result<()> {
    if path == STDOUT { Ok(()) } else { can_append(Path::new(path)) }
}

fn can_append(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.file_type().is_socket() => Err(io::Error::other("it is a socket")),
        // Opening a pipe would wait for its reader, and end what that reads when it is closed again.
        Ok(_) => allowed(path, Access::Write),
        Err(error) if error.kind() == io::ErrorKind::NotFound => can_create(path),
        Err(error) => Err(error),
    }
}

fn can_create(path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let Some(folder) = path.parent() else { return Err(io::ErrorKind::NotFound.into()) };
    // A link that leads nowhere: the file is made where it leads to. Links in a circle are another error than `NotFound`.
    if let Ok(target) = std::fs::read_link(path) {
        return can_append(&folder.join(target));
    }
    allowed(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }, Access::Create)
}

/// What a process would do with a file or a folder.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// Write to a file.
    Write,
    /// Make a file in a folder.
    Create,
}

#[cfg(target_os = "linux")]
fn allowed(path: &Path, access: Access) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, AtFlags};
    use nix::unistd::{AccessFlags, faccessat};
    let flags = match access {
        Access::Write => AccessFlags::W_OK,
        Access::Create => AccessFlags::W_OK | AccessFlags::X_OK,
    };
    Ok(faccessat(AT_FDCWD, path, flags, AtFlags::AT_EACCESS)?)
}

/// Only whether it is there.
#[cfg(not(target_os = "linux"))]
fn allowed(path: &Path, _: Access) -> io::Result<()> {
    std::fs::metadata(path).map(drop)
}

/// The thread that writes.
struct Writer {
    out: Outlet<File>,
    snapshots: Arc<Snapshots>,
    reopen: Reopen,
    snapshot: Arc<Snapshot>,
    /// As the log is written now.
    settings: Arc<LogSettings>,
    lines: Lines,
    /// The lines that follow need a new header.
    header_due: bool,
}

impl Writer {
    fn run(mut self, records: &Records) {
        loop {
            match records.next(FLUSH) {
                Ok(record) => {
                    self.follow();
                    self.write(&record);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.follow();
                    self.out.flush();
                }
                Err(RecvTimeoutError::Disconnected) => return self.out.end(),
            }
        }
    }

    fn write(&mut self, record: &Record) {
        if self.header_due {
            let header = self.lines.header(&self.settings, record.at);
            self.header_due = self.out.put(header) == Put::Lost;
        }
        // What is secret today is so for all lines.
        if let Some(line) = self.lines.line(record, &self.settings, &self.snapshot.site.mask) {
            self.out.put(line);
        }
    }

    /// Does what a reload, or a signal, has asked for.
    fn follow(&mut self) {
        if let Some(newer) = self.snapshots.newer_than(&self.snapshot) {
            self.snapshot = newer;
            // Without a log there are no records, and it may come back.
            if let Some(next) = self.snapshot.site.access_log.clone()
                && next != self.settings
            {
                self.change(&next);
            }
        }
        if self.reopen.take() && &*self.settings.path != STDOUT {
            let settings = Arc::clone(&self.settings);
            if self.moves_to(&settings.path) {
                tracing::info!(path = &*settings.path, "the access log was opened again");
            }
        }
    }

    fn change(&mut self, next: &Arc<LogSettings>) {
        let other_lines = next.format != self.settings.format || next.fields != self.settings.fields;
        let mut settings = LogSettings::clone(next);
        let moved = next.path != self.settings.path && self.moves_to(&next.path);
        if moved {
            tracing::info!(path = &*next.path, "the access log is written here from now on");
        } else {
            // One that could not be opened is tried again when the configuration changes again.
            settings.path.clone_from(&self.settings.path);
        }
        self.settings = Arc::new(settings);
        self.header_due = self.settings.format == LogFormat::W3c && (moved || other_lines || self.header_due);
    }

    /// Goes on in the file with this name, unless it cannot be opened.
    fn moves_to(&mut self, path: &str) -> bool {
        match open(path) {
            Ok(file) => {
                self.out.replace(file);
                self.header_due = self.settings.format == LogFormat::W3c;
                true
            }
            Err(error) => {
                tracing::error!(path, %error, "the access log cannot be opened: it goes on in the file that is open");
                false
            }
        }
    }
}
