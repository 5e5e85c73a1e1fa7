//! Downloads as BITS does them: listing, size, ranges; a cut is continued, a changed file begun again.

use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::exchange::Ask;
use super::{Client, ClientError, Step};
use crate::content::{ContentFile, Package, hex};
use crate::site::file_target;

const MAX_RESTARTS: u32 = 5;
const MAX_RESUMES: u32 = 1000;
const MAX_BARREN: u32 = 3;

/// What BITS compares before it believes that two answers are about the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Validators {
    size: u64,
    etag: Option<String>,
    modified: Option<String>,
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Validators {
    fn new(headers: &HeaderMap, size: u64) -> Self {
        Self { size, etag: text(headers, "etag"), modified: text(headers, "last-modified") }
    }
}

/// Reads `bytes 0-99/1000`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let value = text(headers, "content-range")?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// How one pass over a file ended.
enum Pass {
    Done([u8; 32]),
    Changed,
}

/// How one ranged request ended.
enum Part {
    Got(u64),
    Cut(u64, ClientError),
    Changed,
}

impl Client {
    /// Downloads every file of a package and compares it with what was distributed.
    ///
    /// # Errors
    /// A file could not be had, or is not the one that was distributed.
    pub async fn download(&mut self, package: &Package) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let ask = Ask::extension("PROPFIND", &format!("/SMS_DP_SMSPKG$/{}", package.id())).header("depth", "1");
        let answer = self.whole(&ask, &mut step).await?;
        if answer.status != StatusCode::MULTI_STATUS {
            return Err(ask.status_error(&answer));
        }
        let listing = String::from_utf8_lossy(&answer.body);
        for file in package.files() {
            let target = file_target(package.id(), file.name());
            if !listing.contains(&format!("{target}<")) {
                return Err(ClientError::Protocol(format!("the listing of {} lacks {}", package.id(), file.name())));
            }
            self.file(&target, file, &mut step).await?;
        }
        Ok(step)
    }

    async fn file(&mut self, target: &str, file: &ContentFile, step: &mut Step) -> Result<(), ClientError> {
        for _ in 0..=MAX_RESTARTS {
            match self.pass(target, step).await? {
                Pass::Done(found) if found == file.hash() => return Ok(()),
                Pass::Done(found) => {
                    let (expected, found) = (hex(&file.hash()), hex(&found));
                    return Err(ClientError::Hash { file: target.to_owned(), expected, found });
                }
                Pass::Changed => step.restarted += 1,
            }
        }
        Err(ClientError::Protocol(format!("{target} was another file every time, {MAX_RESTARTS} times over")))
    }

    async fn pass(&mut self, target: &str, step: &mut Step) -> Result<Pass, ClientError> {
        let ask = Ask::new(Method::HEAD, target);
        let answer = self.good(&ask, step).await?;
        let size = text(&answer.headers, "content-length").and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| ClientError::Protocol(format!("{target} has no size")))?;
        let validators = Validators::new(&answer.headers, size);
        let stride = size.div_ceil(u64::from(self.ranges)).max(1);
        let mut hasher = Sha256::new();
        let (mut offset, mut resumes, mut barren) = (0, 0, 0);
        while offset < size {
            let end = ((offset / stride + 1) * stride).min(size);
            match self.part(target, &validators, offset, end, &mut hasher, step).await? {
                Part::Changed => return Ok(Pass::Changed),
                Part::Got(received) => offset += received,
                Part::Cut(received, error) => {
                    offset += received;
                    resumes += 1;
                    barren = if received == 0 { barren + 1 } else { 0 };
                    if resumes > MAX_RESUMES || barren > MAX_BARREN {
                        return Err(error);
                    }
                    step.resumed += 1;
                }
            }
        }
        Ok(Pass::Done(hasher.finalize().into()))
    }

    async fn part(
        &mut self,
        target: &str,
        expected: &Validators,
        offset: u64,
        end: u64,
        hasher: &mut Sha256,
        step: &mut Step,
    ) -> Result<Part, ClientError> {
        let mut ask = Ask::get(target).header("range", &format!("bytes={offset}-{}", end - 1));
        if let Some(modified) = expected.modified.as_ref().filter(|_| offset > 0) {
            ask = ask.header("if-unmodified-since", modified);
        }
        let (head, mut body) = self.send(&ask, step).await?.into_parts();
        match head.status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Part::Changed),
            StatusCode::OK => {
                return Err(ClientError::Protocol(format!("{target}: a range was answered with the whole")));
            }
            status => return Err(ask.status_of(status, &head.headers)),
        }
        let Some((first, last, size)) = content_range(&head.headers) else {
            return Err(ClientError::Protocol(format!("{target}: 206 without a readable Content-Range")));
        };
        if Validators::new(&head.headers, size) != *expected {
            self.disconnect();
            return Ok(Part::Changed);
        }
        if (first, last) != (offset, end - 1) {
            return Err(ClientError::Protocol(format!(
                "{target}: asked for {offset}-{} and got {first}-{last}",
                end - 1
            )));
        }
        let wanted = end - offset;
        let mut received = 0;
        loop {
            match self.piece(&ask, &mut body, received).await {
                Ok(Some(data)) => {
                    received += data.len() as u64;
                    if received > wanted {
                        return Err(ClientError::Protocol(format!("{target}: more bytes than the range has")));
                    }
                    step.bytes += data.len() as u64;
                    hasher.update(&data);
                }
                Ok(None) if received == wanted => return Ok(Part::Got(received)),
                Ok(None) => {
                    self.disconnect();
                    return Ok(Part::Cut(received, ask.cut(received, &"the body ended early")));
                }
                Err(error @ ClientError::Cut { .. }) => return Ok(Part::Cut(received, error)),
                Err(error) => return Err(error),
            }
        }
    }
}
