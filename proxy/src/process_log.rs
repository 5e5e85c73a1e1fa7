//! The log of the process, on standard error.
//!
//! A thread that serves or decides hands a line over and goes on. Another one writes. While the reader is slow or gone, or the
//! disk is full, lines are lost: they are counted, and the next line that can be written is preceded by their number.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

mod lines;

use lines::Breaks;

/// What a level without a target is for. Not for libraries: they write a line for what a peer sends, and a peer may send it
/// without end.
const OURS: [&str; 2] = ["rolegate", "rolegate_health"];
/// How much is logged when `RUST_LOG` does not say it.
const LEVEL: &str = "info";
/// Bytes of lines that wait to be written.
const WAITING: usize = 4 << 20;
/// What a line costs besides its bytes, so that many short ones are bounded too.
const EACH: usize = 256;
/// Bytes of one line: the errors of a configuration are one.
const LONGEST: usize = 64 << 10;
/// What stands for the rest of a longer one.
const CUT: &[u8] = b" ... (cut)\n";

/// See [`panicked`].
static PANICKED: OnceLock<String> = OnceLock::new();

/// What the names of data threads begin with.
const DATA: &str = "data-";
/// Panics of data threads, of which the first [`TOLD`] are told of.
static OF_CONNECTIONS: AtomicU64 = AtomicU64::new(0);
/// A client that knows how to cause one could cause very many.
const TOLD: u64 = 100;

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Text, for people.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// The log of the process. Dropping it writes what waits, but does not wait for ever.
#[derive(Debug)]
pub struct ProcessLog {
    tally: Arc<Tally>,
    _writer: WorkerGuard,
}

/// Bytes that wait, and lines that were lost.
#[derive(Debug, Default)]
struct Tally {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

impl ProcessLog {
    /// Sends the log of all threads to standard error.
    pub fn start(shape: Shape) -> Self {
        let terminal = io::stderr().is_terminal();
        let (lines, log) = to(io::stderr(), Breaks::of(shape, terminal));
        let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.trim().is_empty());
        let filter = EnvFilter::try_new(directives(asked.as_deref().unwrap_or(LEVEL)));
        let filter = filter.unwrap_or_else(|_| EnvFilter::new(directives(LEVEL)));
        let text = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(lines)
            .log_internal_errors(false);
        match shape {
            Shape::Text => text.with_ansi(terminal).init(),
            Shape::Json => {
                text.json().flatten_event(true).with_current_span(false).with_span_list(false).with_ansi(false).init();
            }
        }
        log
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.tally.lost.load(Relaxed)
    }
}

/// Panics go to the log, which never waits for its reader, and are remembered.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        if thread.starts_with(DATA) {
            if OF_CONNECTIONS.fetch_add(1, Relaxed) >= TOLD {
                return;
            }
        } else {
            // The first one is the cause.
            let _ = PANICKED.set(thread.to_owned());
        }
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread, "a fault of rolegate's own: {panic}\n{backtrace}");
    }));
}

/// The thread that panicked first, since [`log_panics`]. The runtime catches a panic of a task, but what the task did (a probe, a
/// name) is done by no other, and what it has changed may be half changed. Data threads are left out: a task of theirs is one client's
/// connection, which ends with it, and one client must not take service from all; what all of a data thread relies on is watched by
/// [`crate::data::run`].
pub fn panicked() -> Option<&'static str> {
    PANICKED.get().map(String::as_str)
}

/// Directives in which a level alone is that of our own lines: `debug,h2=warn` is `rolegate=debug,rolegate_health=debug,h2=warn`.
fn directives(asked: &str) -> String {
    let of_ours = |level: &str| OURS.map(|name| format!("{name}={level}")).join(",");
    let directive = |text: &str| if text.parse::<LevelFilter>().is_ok() { of_ours(text) } else { text.to_owned() };
    asked.split(',').map(|text| directive(text.trim())).collect::<Vec<_>>().join(",")
}

fn to(out: impl Write + Send + 'static, breaks: Breaks) -> (Lines, ProcessLog) {
    let tally = Arc::new(Tally::default());
    let outlet = Outlet { out, tally: Arc::clone(&tally), told: 0, torn: false };
    // The bound in bytes is reached first.
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING / EACH + 1).thread_name("log");
    let (queue, writer) = builder.finish(outlet);
    (Lines { queue, tally: Arc::clone(&tally), breaks }, ProcessLog { tally, _writer: writer })
}

/// Where threads put their lines.
#[derive(Clone, Debug)]
struct Lines {
    queue: NonBlocking,
    tally: Arc<Tally>,
    breaks: Breaks,
}

impl Lines {
    fn put(&mut self, line: &[u8]) {
        let cost = line.len() + EACH;
        if self.tally.waiting.fetch_add(cost, Relaxed) + cost > WAITING {
            self.tally.waiting.fetch_sub(cost, Relaxed);
            self.tally.lost.fetch_add(1, Relaxed);
            return;
        }
        // Neither waits nor fails.
        let _ = self.queue.write(line);
    }
}

impl Write for Lines {
    /// One line: the formatter writes each in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = lines::one(event, self.breaks);
        match line.get(..LONGEST) {
            Some(first) if line.len() > LONGEST => self.put(&[first, CUT].concat()),
            Some(_) | None => self.put(&line),
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Where they come out. It never fails: what it cannot write is lost.
struct Outlet<W> {
    out: W,
    tally: Arc<Tally>,
    /// Lost lines that the reader has been told of.
    told: u64,
    /// The last line was written in part.
    torn: bool,
}

impl<W: Write> Outlet<W> {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_piece(b"\n")?;
            self.torn = false;
        }
        let lost = self.tally.lost.load(Relaxed);
        if lost > self.told {
            let text = format!(
                "{} lines of this log are lost: its reader was behind, or it could not be written\n",
                lost - self.told
            );
            self.write_piece(text.as_bytes())?;
            self.told = lost;
        }
        self.write_piece(line)
    }

    fn write_piece(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let all = rest.len();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn |= rest.len() < all;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Outlet<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tally.waiting.fetch_sub(line.len() + EACH, Relaxed);
        if self.write_line(line).is_err() {
            self.tally.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Each line is written whole. A failure was counted with its line.
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    /// A disk: so many bytes fit, and a gate that the writer waits at.
    #[derive(Clone, Default)]
    struct Disk(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        room: usize,
        written: Vec<u8>,
        shut: bool,
    }

    impl Disk {
        fn with(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().written.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, changed) = &*self.0;
            let (mut state, late) =
                changed.wait_timeout_while(state.lock().unwrap(), Duration::from_secs(15), |state| state.shut).unwrap();
            assert!(!late.timed_out(), "the gate never opened");
            let count = bytes.len().min(state.room - state.written.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_so_when_there_is_room_again() {
        let disk = Disk::default();
        disk.with(|state| state.room = 7);
        let tally = Arc::new(Tally::default());
        let mut outlet = Outlet { out: disk.clone(), tally: Arc::clone(&tally), told: 0, torn: false };
        let mut write = |line: &str| {
            tally.waiting.fetch_add(line.len() + EACH, Relaxed);
            assert_eq!(outlet.write(line.as_bytes()).unwrap(), line.len());
        };
        write("one\n");
        write("second\n");
        write("third\n");
        disk.with(|state| state.room = 1000);
        write("fourth\n");
        write("fifth\n");
        let told = "one\nsec\n2 lines of this log are lost: its reader was behind, or it could not be written\nfourth\nfifth\n";
        assert_eq!(disk.text(), told);
        assert_eq!((tally.lost.load(Relaxed), tally.waiting.load(Relaxed)), (2, 0));
    }

    #[test]
    fn a_reader_that_stands_still_stops_nobody_and_costs_bounded_memory() {
        let disk = Disk::default();
        disk.with(|state| (state.room, state.shut) = (1 << 30, true));
        let (mut lines, log) = to(disk.clone(), Breaks::of(Shape::Text, false));
        let line = [&[b'x'; 1000][..], b"\n"].concat();
        let count = 2 * WAITING / line.len();
        for _ in 0..count {
            lines.write_all(&line).unwrap();
        }
        assert!(log.tally.waiting.load(Relaxed) <= WAITING);
        let lost = usize::try_from(log.lost()).unwrap();
        assert!(lost > count / 2, "{lost} of {count}");
        disk.with(|state| state.shut = false);
        // Dropping it writes what waits.
        drop(log);
        assert_eq!(disk.text().lines().filter(|line| line.starts_with('x')).count(), count - lost);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let disk = Disk::default();
        disk.with(|state| state.room = 1 << 30);
        let (mut lines, log) = to(disk.clone(), Breaks::of(Shape::Text, false));
        lines.write_all(&vec![b'x'; 10 * LONGEST]).unwrap();
        lines.write_all(b"next\n").unwrap();
        drop(log);
        let text = disk.text();
        assert!(text.ends_with("x ... (cut)\nnext\n") && text.len() == LONGEST + CUT.len() + 5, "{}", text.len());
    }

    #[test]
    fn a_level_alone_is_that_of_our_own_lines() {
        assert_eq!(directives("info"), "rolegate=info,rolegate_health=info");
        assert_eq!(directives("WARN, h2=debug"), "rolegate=WARN,rolegate_health=WARN,h2=debug");
        for text in ["info", "debug,hyper", "rolegate::data=trace"] {
            assert!(EnvFilter::try_new(directives(text)).is_ok(), "{text}");
        }
    }
}
