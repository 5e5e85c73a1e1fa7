//! Writes the access log: one JSON object per line, on a thread of its own.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use arrayvec::{ArrayString, ArrayVec};
use crossbeam_channel::RecvTimeoutError;
use metrics::Counter;
use serde::Serialize;

use crate::data::thread::access_log::{Record, Records, Sink, queue};
use crate::wire::address::{ip_text, socket_text};

mod outlet;

use outlet::Outlet;

/// Longest time of a line, in bytes.
const LONGEST_TIME: usize = 40;

/// Names of boundary groups in a line; `boundary_groups` says how many there are.
const MOST_GROUPS: usize = 4;

/// How long a line may wait in the writer's buffer when nothing follows it.
const FLUSH: Duration = Duration::from_millis(200);

/// One line: `ts` is RFC 3339 in UTC, other times are microseconds.
#[derive(Debug, Serialize)]
struct Line<'a> {
    ts: &'a str,
    snapshot: u64,
    listener: &'a str,
    peer: &'a str,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    http: &'static str,
    method: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    boundary_groups: u16,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    boundary_group_names: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site_system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    attempts: u32,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    bytes_up: u64,
    bytes_down: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_us: Option<u64>,
    total_us: u64,
}

/// Opens the log and starts its writer, which ends when the last sink is gone; `alive` is dropped with it. `lost` counts lines
/// that could not be written.
///
/// # Errors
/// The file cannot be opened.
pub fn start(
    path: &str,
    buffer: usize,
    lost: Counter,
    alive: impl Send + 'static,
) -> io::Result<(Sink, JoinHandle<()>)> {
    // Not by way of `io::stdout`, which has a buffer of its own.
    let out = if path == "-" { File::from(io::stdout().as_fd().try_clone_to_owned()?) } else { open(path)? };
    let (sink, records) = queue(buffer);
    let writer = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        let _alive = alive;
        write(&records, Outlet::new(out, lost));
    })?;
    Ok((sink, writer))
}

fn open(path: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        // Opened for writing alone, a pipe makes the process wait until it has a reader, and fails when that goes.
        true => options.read(true).write(true),
        false => options.create(true).append(true),
    };
    options.open(path)
}

/// Whether [`start`] could open the log. Makes no file, and changes none.
///
/// # Errors
/// Why it could not.
pub fn can_open(path: &str) -> io::Result<()> {
    if path == "-" { Ok(()) } else { can_append(Path::new(path)) }
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

fn write(records: &Records, mut out: Outlet<impl Write>) {
    let mut lines = Lines::default();
    loop {
        match records.next(FLUSH) {
            Ok(record) => out.put(lines.write(&record)),
            Err(RecvTimeoutError::Timeout) => out.flush(),
            Err(RecvTimeoutError::Disconnected) => return out.end(),
        }
    }
}

/// The client's groups, in the order of the configuration. They are looked up here, and not on the data thread.
fn group_names(record: &Record) -> ArrayVec<&str, MOST_GROUPS> {
    let site = &record.snapshot.site;
    let groups = if record.groups == 0 { &[] } else { site.boundaries.groups_of(record.client) };
    groups.iter().take(MOST_GROUPS).map(|group| site.group_names[usize::from(group.0)].as_str()).collect()
}

/// Makes lines, each in the memory of the one before.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    /// The last second, as it is written.
    second: Option<(u64, String)>,
}

impl Lines {
    fn write(&mut self, record: &Record) -> &[u8] {
        let at = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second.as_ref().is_none_or(|(second, _)| *second != at.as_secs()) {
            let text = humantime::format_rfc3339_seconds(record.at).to_string();
            self.second = Some((at.as_secs(), text));
        }
        let second = self.second.as_ref().map_or("", |(_, text)| text.trim_end_matches('Z'));
        let mut ts = ArrayString::<LONGEST_TIME>::new();
        // It fits: what is written are digits, and a year of no more than five.
        let _ = write!(ts, "{second}.{:06}Z", at.subsec_micros());
        let topology = record.role.map(|role| &record.snapshot.cluster(role).topology);
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let endpoint = record.endpoint.map(socket_text);
        let line = Line {
            ts: &ts,
            snapshot: record.snapshot.version,
            listener: record.snapshot.site.listener(record.listener).map_or("", |listener| &listener.name),
            peer: &socket_text(record.peer),
            client: &ip_text(record.client),
            tls: record.tls,
            http: if record.http2 { "2" } else { "1.1" },
            method: record.method.as_str(),
            target: &record.target,
            host: record.host.as_deref(),
            role: topology.map(|topology| topology.role.name.as_str()),
            site: topology.and_then(|topology| topology.site.as_deref()),
            boundary_groups: record.groups,
            boundary_group_names: &group_names(record),
            tier: record.tier.map(crate::model::tier::TierKind::as_str),
            site_system: record.site_system.as_deref(),
            endpoint: endpoint.as_deref(),
            attempts: record.attempts,
            status: record.status.as_u16(),
            error: record.error.map(crate::error::Error::reason),
            bytes_up: record.received,
            bytes_down: record.sent,
            first_byte_us: record.first_byte.map(micros),
            total_us: micros(record.total),
        };
        self.line.clear();
        // Into memory, and of what JSON can say.
        let _ = serde_json::to_writer(&mut self.line, &line);
        self.line.push(b'\n');
        &self.line
    }
}
