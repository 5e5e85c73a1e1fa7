//! Downloads as BITS does them: listing, size, ranges; a cut is continued, a changed file begun again.

use std::collections::HashSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::exchange::{Ask, Line};
use super::ranges::{Copied, End, FileCopy, Validators, content_length, fetch};
use super::subject::Subject;
use super::{Answer, Client, ClientError, Step};
use crate::content::{ContentFile, Package, hex};
use crate::site::file_target;

/// Of a file above this the hash that was distributed is not computed, which would take seconds: each of its bytes has been
/// compared when it came.
const MOST_HASHED: u64 = 64 * 1024 * 1024;

/// How one pass over a file ended.
enum Pass {
    Done(Copied),
    Changed { was: String, is: String },
}

/// The targets that a listing names, without scheme and host.
fn hrefs(listing: &str) -> HashSet<&str> {
    let texts = listing.split('<').filter_map(|tag| tag.split_once('>'));
    let addresses = texts.filter_map(|(_, text)| text.split_once("://"));
    addresses.filter_map(|(_, rest)| rest.find('/').map(|slash| &rest[slash..])).collect()
}

/// What the answer to a `HEAD` says of a file.
fn size_of(ask: &Ask, target: &str, file: &ContentFile, answer: &Answer) -> Result<Validators, ClientError> {
    if !answer.status.is_success() {
        return Err(ask.status_error(answer));
    }
    let size = content_length(&answer.headers);
    let size = size.ok_or_else(|| ClientError::Protocol(format!("{target} has no size")))?;
    if size == 0 && file.size() > 0 {
        // No range will be asked for that could be wrong.
        return Err(ClientError::Content { file: target.to_owned(), offset: 0 });
    }
    Ok(Validators::new(&answer.headers, size))
}

/// That what was fetched is the file.
fn is_whole(target: &str, file: &ContentFile, copied: &Copied) -> Result<(), ClientError> {
    let target = target.to_owned();
    if file.size() > MOST_HASHED {
        let end = (copied.bytes != file.size()).then_some(copied.bytes);
        return copied.wrong.or(end).map_or(Ok(()), |offset| Err(ClientError::Content { file: target, offset }));
    }
    if copied.sha256 == file.hash() {
        return Ok(());
    }
    let (expected, found) = (hex(&file.hash()), hex(&copied.sha256));
    Err(ClientError::Hash { file: target, expected, found })
}

impl Client {
    /// Downloads every file of a package and compares it with what was distributed.
    ///
    /// # Errors
    /// A file could not be had, or is not the one that was distributed.
    pub async fn download(&mut self, package: &Package) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let target = self.access.content(&format!("/SMS_DP_SMSPKG$/{}", package.id()));
        let ask = Ask::extension("PROPFIND", &target).about(Subject::ContentListing).header("depth", "1");
        let listing = |answer: Answer| {
            if answer.status != StatusCode::MULTI_STATUS {
                return Err(ask.status_error(&answer));
            }
            let listing = String::from_utf8_lossy(&answer.body);
            let listed = hrefs(&listing);
            let mut lacking = package.files().iter();
            match lacking.find(|file| !listed.contains(file_target(package.id(), file.name()).as_str())) {
                None => Ok(()),
                Some(file) => {
                    Err(ClientError::Protocol(format!("the listing of {} lacks {}", package.id(), file.name())))
                }
            }
        };
        self.line.patient(&ask, self.patience, &mut step, listing).await?;
        for file in package.files() {
            let target = self.access.content(&file_target(package.id(), file.name()));
            self.file(&target, file, &mut step).await?;
        }
        Ok(step)
    }

    async fn file(&mut self, target: &str, file: &ContentFile, step: &mut Step) -> Result<(), ClientError> {
        let mut restarts = 0;
        loop {
            match self.pass(target, file, step).await? {
                Pass::Done(copied) => return is_whole(target, file, &copied),
                Pass::Changed { was, is } if restarts == self.restarts => {
                    return Err(ClientError::Changed { file: target.to_owned(), restarts, was, is });
                }
                Pass::Changed { .. } => restarts += 1,
            }
            step.restarted += 1;
        }
    }

    async fn pass(&mut self, target: &str, file: &ContentFile, step: &mut Step) -> Result<Pass, ClientError> {
        let ask = Ask::new(Method::HEAD, target).about(Subject::ContentSize);
        let validators =
            self.line.patient(&ask, self.patience, step, |answer| size_of(&ask, target, file, &answer)).await?;
        let copy = Arc::new(FileCopy::new(target, validators, file.pieces(0, u64::MAX), self.patience));
        let changed = self.copy(&copy, step).await?;
        let copied = copy.finish();
        Ok(match changed {
            None => Pass::Done(copied),
            Some(is) => {
                step.discarded += copied.bytes;
                Pass::Changed { was: copy.expected().to_string(), is }
            }
        })
    }

    /// Fetches all ranges of a file, several at a time; says what is there now if it is another file.
    async fn copy(&mut self, copy: &Arc<FileCopy>, step: &mut Step) -> Result<Option<String>, ClientError> {
        let stride = copy.stride(self.ranges, self.concurrency);
        let (stop, stopped) = watch::channel(false);
        let mut fetching = JoinSet::new();
        let mut from = 0;
        let mut changed = None;
        loop {
            while changed.is_none()
                && fetching.len() < self.concurrency
                && let Some(to) = copy.range_from(from, stride)
            {
                fetching.spawn(fetch(self.take_line(), Arc::clone(copy), from..to, stopped.clone()));
                from = to;
            }
            let Some(fetched) = fetching.join_next().await else {
                return Ok(changed);
            };
            let fetched = fetched.map_err(|error| ClientError::Protocol(format!("a download ended: {error}")))?;
            step.merge(fetched.step);
            self.keep_line(fetched.line);
            match fetched.end {
                Ok(End::Whole | End::Stopped) => {}
                Ok(End::Changed(found)) => {
                    changed.get_or_insert(found);
                    stop.send_replace(true);
                }
                // What goes wrong with a file that is begun again anyway is of no interest.
                Err(_) if changed.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_line(&mut self) -> Line {
        Line::new(self.line.way.clone(), self.line.open.take().or_else(|| self.spare.pop()))
    }

    fn keep_line(&mut self, line: Line) {
        if let Some(open) = line.open {
            if self.line.open.is_none() {
                self.line.open = Some(open);
            } else {
                self.spare.push(open);
            }
        }
    }
}
