//! Writes the access log: one JSON object per line, on a thread of its own.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use serde::Serialize;

use crate::data::access_log::{Record, Sink};

/// How long a line may wait in the writer's buffer when nothing follows it.
const FLUSH: Duration = Duration::from_millis(200);

/// One line: `ts` is RFC 3339 in UTC, other times are microseconds.
#[derive(Debug, Serialize)]
struct Line<'a> {
    ts: String,
    snapshot: u64,
    listener: &'a str,
    peer: String,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    http: &'static str,
    method: &'a str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    boundary_groups: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site_system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
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

/// Opens the log and starts its writer, which ends when the last sink is gone.
///
/// # Errors
/// The file cannot be opened.
pub fn start(path: &str, buffer: usize) -> io::Result<(Sink, JoinHandle<()>)> {
    let out: Box<dyn Write + Send> = if path == "-" {
        Box::new(io::stdout())
    } else {
        Box::new(OpenOptions::new().create(true).append(true).open(path)?)
    };
    let (sink, records) = bounded(buffer.max(1));
    let writer = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&records, out))?;
    Ok((sink, writer))
}

fn write(records: &Receiver<Record>, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    let mut failed = false;
    loop {
        let result = match records.recv_timeout(FLUSH) {
            Ok(record) => line(&mut out, &record),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => out.flush(),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                let _ = out.flush();
                return;
            }
        };
        match result {
            Ok(()) => failed = false,
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "the access log cannot be written");
            }
            Err(_) => {}
        }
    }
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let role = record.role.map(|role| record.snapshot.cluster(role).topology.role.name.as_str());
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let line = Line {
        ts: humantime::format_rfc3339_micros(record.at).to_string(),
        snapshot: record.snapshot.version,
        listener: &record.snapshot.site.listeners[usize::from(record.listener)].name,
        peer: record.peer.to_string(),
        client: record.client.to_string(),
        tls: record.tls,
        http: if record.http2 { "2" } else { "1.1" },
        method: record.method.as_str(),
        target: record.target.to_string(),
        host: record.host.as_ref().and_then(|host| host.to_str().ok()),
        role,
        boundary_groups: record.groups,
        tier: record.tier.map(crate::model::cluster::TierKind::as_str),
        site_system: record.site_system.as_deref(),
        endpoint: record.endpoint.map(|endpoint| endpoint.to_string()),
        attempts: record.attempts,
        status: record.status.as_u16(),
        error: record.error.map(crate::error::Error::reason),
        bytes_up: record.received,
        bytes_down: record.sent,
        first_byte_us: record.first_byte.map(micros),
        total_us: micros(record.total),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
