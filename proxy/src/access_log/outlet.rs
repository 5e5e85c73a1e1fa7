//! Lines on their way into a file that may be full. A line is written whole or not at all: what is left of one is kept until there
//! is room for it. What does not fit meanwhile is lost, counted and told of.

use std::io::{self, Write};
use std::time::Duration;

use metrics::Counter;
use tokio::time::Instant;

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;
/// Bytes that are kept while nothing can be written. A line that is longer is kept alone.
const KEPT: usize = 4 * PIECE;
/// How soon a failure is told of again.
const QUIET: Duration = Duration::from_secs(60);
/// How soon writing is tried again after a failure.
const AGAIN: Duration = Duration::from_millis(200);

/// Where lines come out.
pub(super) struct Outlet<W> {
    out: W,
    /// Lines that are not written, and how much of the first one is.
    pending: Vec<u8>,
    written: usize,
    /// What is pending begins in the middle of a line.
    torn: bool,
    lost: Counter,
    failing: Option<Failing>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is written, sooner or later.
    Taken,
    /// There was no room for it. It is counted.
    Lost,
}

/// Since when nothing can be written.
struct Failing {
    again: Instant,
    tell: Instant,
    lost: u64,
}

impl<W: Write> Outlet<W> {
    pub(super) fn new(out: W, lost: Counter) -> Self {
        Self { out, pending: Vec::with_capacity(PIECE), written: 0, torn: false, lost, failing: None }
    }

    /// Takes a line, and writes it sooner or later.
    pub(super) fn put(&mut self, line: &[u8]) -> Put {
        if self.kept() + line.len() > PIECE {
            self.flush();
        }
        if self.kept() > 0 && self.kept() + line.len() > KEPT {
            self.lose(1);
            return Put::Lost;
        }
        self.pending.extend_from_slice(line);
        Put::Taken
    }

    /// Goes on in another file. What is pending is written to the old one if that takes it, and to the new one if not; the rest of
    /// a line of which the old one has a part is lost.
    pub(super) fn replace(&mut self, out: W) {
        if let Err(error) = self.write() {
            self.failed(&error);
        }
        if self.torn {
            let rest = self.pending.iter().position(|byte| *byte == b'\n').map_or(self.pending.len(), |at| at + 1);
            self.pending.drain(..rest);
            self.torn = false;
            self.lose(1);
        }
        self.out = out;
        if let Some(failing) = &mut self.failing {
            failing.again = Instant::now();
        }
    }

    fn kept(&self) -> usize {
        self.pending.len() - self.written
    }

    /// Writes what there is, unless that has just failed.
    pub(super) fn flush(&mut self) {
        if self.failing.as_ref().is_some_and(|failing| Instant::now() < failing.again) {
            return;
        }
        match self.write() {
            Ok(()) => self.healed(),
            Err(error) => self.failed(&error),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.kept() > 0 {
            match self.out.write(&self.pending[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.written = 0;
        self.torn = false;
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        // The place of what was written is needed for what comes.
        let written = std::mem::take(&mut self.written);
        if written > 0 {
            self.torn = self.pending[written - 1] != b'\n';
        }
        self.pending.drain(..written);
        let now = Instant::now();
        let failing = self.failing.get_or_insert(Failing { again: now, tell: now, lost: 0 });
        failing.again = now + AGAIN;
        if now >= failing.tell {
            failing.tell = now + QUIET;
            tracing::error!(%error, lost = failing.lost, "the access log cannot be written");
        }
    }

    fn healed(&mut self) {
        if let Some(Failing { lost, .. }) = self.failing.take() {
            tracing::info!(lost, "the access log is written again");
        }
    }

    fn lose(&mut self, lines: u64) {
        self.lost.increment(lines);
        if let Some(failing) = &mut self.failing {
            failing.lost += lines;
        }
    }

    /// Writes what there is, or gives it up.
    pub(super) fn end(mut self) {
        if let Err(error) = self.write() {
            let lines = self.pending[self.written..].iter().filter(|byte| **byte == b'\n').count();
            self.lose(lines as u64);
            tracing::error!(%error, lost = lines, "the last lines of the access log cannot be written");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    /// A disk with room for some bytes.
    #[derive(Clone, Default)]
    struct Disk(Rc<RefCell<(usize, Vec<u8>)>>);

    impl Disk {
        fn make_room(&self, bytes: usize) {
            self.0.borrow_mut().0 += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().1.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, written) = &mut *self.0.borrow_mut();
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= count;
            written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Log {
        disk: Disk,
        lost: Arc<AtomicU64>,
        outlet: Outlet<Disk>,
    }

    impl Log {
        fn new() -> Self {
            let (disk, lost) = (Disk::default(), Arc::<AtomicU64>::default());
            Self { outlet: Outlet::new(disk.clone(), Counter::from_arc(Arc::clone(&lost))), disk, lost }
        }

        /// Puts lines with these numbers.
        fn put(&mut self, numbers: std::ops::Range<u64>) {
            numbers.for_each(|number| _ = self.outlet.put(format!("{number:0>99}\n").as_bytes()));
        }

        async fn flush(&mut self) {
            tokio::time::advance(AGAIN).await;
            self.outlet.flush();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_tears_no_line_and_what_does_not_fit_is_counted() {
        let mut log = Log::new();
        log.disk.make_room(250);
        log.put(0..10_000);
        log.flush().await;
        assert_eq!(log.disk.text().len(), 250, "it ends in the middle of the third line");
        assert!(log.outlet.pending.len() <= KEPT, "{}", log.outlet.pending.len());
        let lost = log.lost.load(Relaxed);
        assert!(lost > 5000, "{lost}");
        log.disk.make_room(1 << 30);
        log.flush().await;
        log.put(10_000..10_003);
        log.outlet.end();
        let text = log.disk.text();
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(text.lines().all(|line| line.len() == 99) && numbers.is_sorted(), "no line is torn");
        assert_eq!(numbers.len() as u64 + lost, 10_003, "every line is written or counted");
        assert_eq!((numbers[2], numbers[numbers.len() - 1]), (2, 10_002));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_of_again_and_ends() {
        let mut log = Log::new();
        log.put(0..1);
        log.flush().await;
        let told = |log: &Log| log.outlet.failing.as_ref().map(|failing| failing.tell);
        let first = told(&log).unwrap();
        log.flush().await;
        assert_eq!(told(&log), Some(first), "it is not said with every line");
        tokio::time::advance(QUIET).await;
        log.flush().await;
        assert!(told(&log).unwrap() > first, "it is said again");
        log.disk.make_room(1000);
        log.flush().await;
        assert_eq!((told(&log), log.disk.text().len()), (None, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_longer_than_everything_is_written_whole() {
        let mut log = Log::new();
        let long = [vec![b'x'; 10 * KEPT], b"\n".to_vec()].concat();
        log.put(0..1);
        log.outlet.put(&long);
        assert_eq!(log.lost.load(Relaxed), 1, "there is no room for it beside the line that is kept");
        log.disk.make_room(1 << 30);
        log.flush().await;
        log.outlet.put(&long);
        log.put(1..2);
        log.outlet.end();
        assert_eq!(log.disk.text().len(), long.len() + 200);
    }

    #[tokio::test(start_paused = true)]
    async fn in_another_file_no_line_is_torn() {
        let mut log = Log::new();
        log.disk.make_room(150);
        log.put(0..4);
        log.flush().await;
        let next = Disk::default();
        next.make_room(1 << 30);
        log.outlet.replace(next.clone());
        log.put(4..5);
        log.outlet.end();
        assert_eq!(log.disk.text().len(), 150, "the first line, and half of the second");
        assert_eq!(log.lost.load(Relaxed), 1, "the second");
        let numbers: Vec<u64> = next.text().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, [2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_pending_goes_to_the_file_that_it_was_meant_for() {
        let mut log = Log::new();
        log.disk.make_room(1000);
        log.put(0..2);
        let next = Disk::default();
        next.make_room(1000);
        log.outlet.replace(next.clone());
        log.put(2..3);
        log.outlet.end();
        assert_eq!((log.disk.text().len(), next.text().len(), log.lost.load(Relaxed)), (200, 100, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_written_at_the_end_is_counted() {
        let mut log = Log::new();
        log.disk.make_room(150);
        log.put(0..4);
        log.outlet.end();
        assert_eq!(log.lost.load(Relaxed), 3, "one is written, and one in part");
    }
}
