//! The ranges of one file, which may arrive at the same time and in any order.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::exchange::{Ask, Line, Patience};
use super::subject::Subject;
use super::{ClientError, Step};
use crate::content::{Hash, Pieces};
use crate::record::Failure;

/// No more of a file than this waits in memory for what comes before it.
const MAX_AHEAD: u64 = 256 * 1024 * 1024;
const MAX_RESUMES: u32 = 1000;
const MAX_BARREN: u32 = 3;

/// What BITS compares before it believes that two answers are about the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    size: u64,
    etag: Option<String>,
    modified: Option<String>,
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-length")?.parse().ok()
}

impl Validators {
    pub(super) fn new(headers: &HeaderMap, size: u64) -> Self {
        Self { size, etag: text(headers, "etag"), modified: text(headers, "last-modified") }
    }
}

impl fmt::Display for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (etag, modified) = (self.etag.as_deref(), self.modified.as_deref());
        write!(f, "{} bytes, {} of {}", self.size, etag.unwrap_or("no ETag"), modified.unwrap_or("no date"))
    }
}

/// Reads `bytes 0-99/1000`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let value = text(headers, "content-range")?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// What has arrived of a file: hashed up to a place, and pieces beyond it.
#[derive(Default)]
struct Assembly {
    hasher: Sha256,
    hashed: u64,
    ahead: BTreeMap<u64, Bytes>,
    bytes: u64,
    /// The first piece that was found to be another than was distributed.
    wrong: Option<u64>,
}

impl Assembly {
    fn put(&mut self, offset: u64, data: Bytes) {
        self.bytes += data.len() as u64;
        self.ahead.insert(offset, data);
        while let Some(first) = self.ahead.first_entry().filter(|first| *first.key() == self.hashed) {
            let data = first.remove();
            self.hashed += data.len() as u64;
            self.hasher.update(&data);
        }
    }
}

/// What there was of a file when its last range ended.
pub(super) struct Copied {
    pub(super) sha256: Hash,
    pub(super) bytes: u64,
    /// Where other bytes came than were distributed, if any did.
    pub(super) wrong: Option<u64>,
}

/// One file while it is fetched, as all its ranges see it.
pub(super) struct FileCopy {
    target: String,
    expected: Validators,
    /// What was distributed.
    distributed: Pieces,
    patience: Patience,
    assembly: Mutex<Assembly>,
}

impl FileCopy {
    pub(super) fn new(target: &str, expected: Validators, distributed: Pieces, patience: Patience) -> Self {
        Self { target: target.to_owned(), expected, distributed, patience, assembly: Mutex::default() }
    }

    /// Whether these bytes are what was distributed at this place of a file of this size. It remembers that others were not.
    fn is_right(&self, offset: u64, data: &[u8]) -> bool {
        let is_right = self.expected.size == self.distributed.remaining() && self.distributed.is_at(offset, data);
        if !is_right {
            self.assembly().wrong.get_or_insert(offset);
        }
        is_right
    }

    pub(super) const fn expected(&self) -> &Validators {
        &self.expected
    }

    /// How long a range is. When several are fetched at a time, all of them must find room in memory.
    pub(super) fn stride(&self, ranges: u32, concurrency: usize) -> u64 {
        let stride = self.expected.size.div_ceil(u64::from(ranges)).max(1);
        if concurrency > 1 { stride.min(MAX_AHEAD / (2 * concurrency as u64)) } else { stride }
    }

    /// Where the range that begins at `from` ends; `None` at the end of the file, and while there is no room for more.
    pub(super) fn range_from(&self, from: u64, stride: u64) -> Option<u64> {
        let to = (from + stride).min(self.expected.size);
        let hashed = self.assembly().hashed;
        (from < to && (from == hashed || to <= hashed + MAX_AHEAD)).then_some(to)
    }

    pub(super) fn finish(&self) -> Copied {
        let assembly = std::mem::take(&mut *self.assembly());
        Copied { sha256: assembly.hasher.finalize().into(), bytes: assembly.bytes, wrong: assembly.wrong }
    }

    fn assembly(&self) -> MutexGuard<'_, Assembly> {
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self, what: &str) -> ClientError {
        ClientError::Protocol(format!("{}: {what}", self.target))
    }
}

/// How a range ended that did not fail. What changed says what is there now.
pub(super) enum End {
    Whole,
    Changed(String),
    Stopped,
}

/// A range that is over, with the connection that it came on.
pub(super) struct Fetched {
    pub(super) line: Line,
    pub(super) step: Step,
    pub(super) end: Result<End, ClientError>,
}

/// Fetches one range, until it is whole or somebody says stop.
pub(super) async fn fetch(
    mut line: Line,
    copy: Arc<FileCopy>,
    range: Range<u64>,
    mut stop: watch::Receiver<bool>,
) -> Fetched {
    let mut step = Step::default();
    let end = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Ok(End::Stopped),
        end = fetch_whole(&mut line, &copy, range, &mut step) => end,
    };
    if !matches!(end, Ok(End::Whole) | Err(ClientError::Status { .. })) {
        // Somewhere in an answer whose rest nobody reads.
        line.open = None;
    }
    line.forget();
    Fetched { line, step, end }
}

async fn fetch_whole(
    line: &mut Line,
    copy: &FileCopy,
    mut range: Range<u64>,
    step: &mut Step,
) -> Result<End, ClientError> {
    let (mut resumes, mut barren, mut retries) = (0, 0, 0);
    while !range.is_empty() {
        let before = range.start;
        let part = fetch_part(line, copy, &mut range, step).await;
        let went_on = range.start > before;
        retries = if went_on { 0 } else { retries };
        match part {
            Ok(Part::Whole) => {}
            Ok(Part::Changed(found)) => return Ok(End::Changed(found)),
            Ok(Part::Cut(error)) => {
                resumes += 1;
                barren = if went_on { 0 } else { barren + 1 };
                if resumes > MAX_RESUMES || barren > MAX_BARREN {
                    return Err(error);
                }
                step.resumed += 1;
            }
            Err(error) if error.is_transient() && retries < copy.patience.times => {
                retries += 1;
                step.retried += 1;
                tokio::time::sleep(copy.patience.pause).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(End::Whole)
}

/// How one ranged request ended.
enum Part {
    Whole,
    Cut(ClientError),
    Changed(String),
}

/// What the head of an answer to a request for a range says.
enum Begins {
    /// What was asked for.
    Right,
    /// The file is another one now.
    Changed(String),
    /// It makes no sense.
    Wrong(String),
    /// There is none, and the status says why.
    Status,
}

fn begins(copy: &FileCopy, asked: (u64, u64), status: StatusCode, headers: &HeaderMap) -> Begins {
    match status {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
            return Begins::Changed(format!("what is answered {status}"));
        }
        StatusCode::OK => return Begins::Wrong("a range was answered with the whole".to_owned()),
        _ => return Begins::Status,
    }
    let Some((first, last, size)) = content_range(headers) else {
        return Begins::Wrong("206 without a readable Content-Range".to_owned());
    };
    let found = Validators::new(headers, size);
    if found != copy.expected {
        return Begins::Changed(found.to_string());
    }
    if (first, last) != asked {
        return Begins::Wrong(format!("asked for {}-{} and got {first}-{last}", asked.0, asked.1));
    }
    Begins::Right
}

/// Sends one request for what is missing of a range, and takes off its front what arrives.
async fn fetch_part(
    line: &mut Line,
    copy: &FileCopy,
    range: &mut Range<u64>,
    step: &mut Step,
) -> Result<Part, ClientError> {
    let (first, last) = (range.start, range.end - 1);
    let mut ask = Ask::get(&copy.target).about(Subject::ContentRange).header("range", &format!("bytes={first}-{last}"));
    if let Some(modified) = copy.expected.modified.as_ref().filter(|_| first > 0) {
        ask = ask.header("if-unmodified-since", modified);
    }
    let (head, mut body) = line.send(&ask, step).await?.into_parts();
    match begins(copy, (first, last), head.status, &head.headers) {
        Begins::Right => {}
        Begins::Changed(found) => {
            let other = if head.status.is_success() {
                copy.wrong("it is another file now")
            } else {
                ask.status_of(head.status, &head.headers)
            };
            line.settle(&ask, Err(&other));
            return Ok(Part::Changed(found));
        }
        Begins::Wrong(what) => {
            let error = copy.wrong(&what);
            line.settle(&ask, Err(&error));
            return Err(error);
        }
        Begins::Status => {
            // Read to its end, so that the connection serves for the next request.
            let error = ask.status_error(&line.rest(&ask, head, body, step).await?);
            line.settle(&ask, Err(&error));
            return Err(error);
        }
    }
    // What is first found to be wrong makes the whole answer a wrong one. All of it is taken all the same, as BITS takes it,
    // which knows only in the end.
    let mut other: Option<ClientError> = None;
    loop {
        match line.piece(&ask, &mut body, range.start - first).await {
            Ok(Some(data)) => {
                let len = data.len() as u64;
                if len > range.end - range.start {
                    let error = copy.wrong("more bytes than the range has");
                    line.settle(&ask, Err(&error));
                    return Err(error);
                }
                if other.is_none() && !copy.is_right(range.start, &data) {
                    other = Some(ClientError::Content { file: copy.target.clone(), offset: range.start });
                }
                step.bytes += len;
                copy.assembly().put(range.start, data);
                range.start += len;
            }
            Ok(None) if range.is_empty() => {
                line.settle(&ask, other.as_ref().map_or(Ok(()), Err));
                return Ok(Part::Whole);
            }
            Ok(None) => {
                line.open = None;
                let error =
                    ask.cut(range.start - first, Failure::Short, &std::io::Error::other("the body ended early"));
                line.settle(&ask, Err(&error));
                return Ok(Part::Cut(error));
            }
            Err(error @ ClientError::Cut { .. }) => return Ok(Part::Cut(error)),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn copy(size: u64) -> FileCopy {
        let patience = Patience { times: 0, pause: std::time::Duration::ZERO };
        let distributed = crate::content::ContentFile::new("C", "f", size).pieces(0, size);
        FileCopy::new("/f", Validators::new(&HeaderMap::new(), size), distributed, patience)
    }

    #[test]
    fn pieces_are_hashed_in_their_order_whatever_order_they_come_in() {
        let copy = copy(10);
        for (offset, data) in [(7, "hij"), (2, "cde"), (5, "fg"), (0, "ab")] {
            assert_eq!(copy.assembly().hashed, 0);
            copy.assembly().put(offset, Bytes::from_static(data.as_bytes()));
        }
        assert_eq!(copy.assembly().hashed, 10);
        assert!(copy.assembly().ahead.is_empty());
        let copied = copy.finish();
        assert_eq!((copied.sha256, copied.bytes), (Sha256::digest(b"abcdefghij").into(), 10));
    }

    #[test]
    fn ranges_wait_for_room_when_several_are_fetched() {
        let copy = copy(1024 * MIB);
        assert_eq!(copy.stride(4, 1), 256 * MIB, "what comes in order needs no room");
        assert_eq!(copy.stride(1000, 4), 1024 * MIB / 1000 + 1);
        let stride = copy.stride(4, 4);
        assert_eq!(stride, 32 * MIB);
        assert_eq!(copy.range_from(224 * MIB, stride), Some(256 * MIB));
        assert_eq!(copy.range_from(256 * MIB, stride), None);
        copy.assembly().hashed = 256 * MIB;
        assert_eq!(copy.range_from(256 * MIB, 1024 * MIB), Some(1024 * MIB), "the next one may be of any size");
        assert_eq!(copy.range_from(1024 * MIB, stride), None);
    }
}
