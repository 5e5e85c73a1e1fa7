//! A response on its way to a client that speaks HTTP/1.1.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{StatusCode, Version};
use http_body::{Body, Frame};

use crate::data::downstream::channel::Channel;
use crate::data::path::message::ClientResponse;
use crate::data::path::response_body::{PendingTunnel, ResponseBody};
use crate::data::path::session::{Late, Session};
use crate::data::transport::outgoing::{Chunking, SMALL};
use crate::data::transport::splice::{MOST, Pipe};
use crate::data::transport::stream::Transport;
use crate::wire::head::{ResponseHead, Spelling, Writing};
use crate::wire::known::Known;
use crate::wire::request::Manner;
use crate::wire::trailers::may_be_trailer;

/// How the body of a response ends for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// There is none.
    None,
    /// After as many bytes as the head says.
    AtLength,
    /// With the last chunk.
    AtLastChunk,
    /// With the connection.
    AtClose,
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Another request may come.
    Stays,
    /// It ends.
    Closes,
}

/// What became of a response.
#[derive(Debug)]
pub enum Written {
    /// The client has got all of it, as far as we know.
    Whole,
    /// As [`Self::Whole`], and both sides leave HTTP.
    Switched(Box<PendingTunnel>),
    /// It ended before its end.
    Cut(Ends),
    /// The client does not take it.
    SlowReader(Ends),
    /// The exchange has taken all the time that it has.
    TooLong(Ends),
    /// The client has gone.
    Gone,
}

/// A response on its way.
#[derive(Debug)]
pub struct Responding<'a> {
    channel: &'a Channel,
    session: &'a Session,
    body: ResponseBody,
    ends: Ends,
    source: Source,
    trailers: Trailers,
    /// Bytes that are next, and not in our memory.
    pipe: Option<Pipe>,
    /// There was no pipe for the next piece.
    copies: bool,
}

/// Whether there is more of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// There may be.
    Open,
    /// No.
    Over,
    /// No, and there should be.
    Cut,
}

/// What comes after the last chunk.
#[derive(Debug)]
enum Trailers {
    /// The client takes none.
    Unwanted,
    /// What has come so far.
    Wanted(HeaderMap),
}

/// What can be done next.
enum Step {
    /// Something.
    More,
    /// Nothing.
    Done(Written),
}

impl<'a> Responding<'a> {
    /// Begins a response: its head waits to be written. `after`: what becomes of the connection, if the response allows it; what
    /// will.
    pub fn begin(
        channel: &'a Channel,
        session: &'a Session,
        response: ClientResponse,
        manner: Manner,
        after: After,
    ) -> (Self, After) {
        let ClientResponse { head, body, carried: _ } = response;
        let ends = ends(&head, &body, manner);
        let after = if ends == Ends::AtClose { After::Closes } else { after };
        let spelling = session.limits().spelling;
        let written = write_head(&head, &body, (ends, after), manner, spelling);
        session.worker.recycle(head.fields);
        let chunking = if ends == Ends::AtLastChunk { Chunking::On } else { Chunking::Off };
        let mut line = channel.line();
        line.answer();
        session.interims.take().into_iter().for_each(|interim| line.put_interim(interim, spelling));
        line.outgoing.append(written, chunking);
        drop(line);
        let trailers = if manner.trailers { Trailers::Wanted(HeaderMap::new()) } else { Trailers::Unwanted };
        (Self { channel, session, body, ends, source: Source::Open, trailers, pipe: None, copies: false }, after)
    }

    /// Writes it. Ready when there is nothing more to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Written> {
        loop {
            if let Step::Done(written) = ready!(self.step(cx)) {
                return Poll::Ready(written);
            }
        }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(pipe) = self.pipe.take() {
            return self.drain(cx, pipe);
        }
        self.gather(cx);
        match self.write(cx) {
            Poll::Pending => self.blocked(cx),
            Poll::Ready(Err(_)) => Poll::Ready(Step::Done(Written::Gone)),
            Poll::Ready(Ok(true)) => {
                self.session.bytes_went();
                Poll::Ready(Step::More)
            }
            Poll::Ready(Ok(false)) => self.all_is_written(cx),
        }
    }

    fn all_is_written(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        match self.source {
            Source::Over => Poll::Ready(Step::Done(self.whole())),
            Source::Cut => Poll::Ready(Step::Done(Written::Cut(self.ends))),
            Source::Open => {
                if self.splices() {
                    return self.fill(cx);
                }
                // What comes next is waited for.
                self.poll_gone(cx)
            }
        }
    }

    /// Reads pieces of the body while they are there and small.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while self.source == Source::Open && self.channel.line().outgoing.has_room() && !self.splices() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return };
            match frame {
                Some(Ok(frame)) => self.put(frame),
                Some(Err(_)) => self.source = Source::Cut,
                None => self.end(),
            }
        }
    }

    fn put(&mut self, frame: Frame<Bytes>) {
        self.copies = false;
        match (frame.into_data(), &mut self.trailers) {
            // What comes after a head that has no body is not the client's.
            (Ok(_), _) if self.ends == Ends::None => {}
            (Ok(data), _) => self.channel.line().outgoing.add(data),
            (Err(frame), Trailers::Wanted(trailers)) => {
                trailers.extend(frame.into_trailers().unwrap_or_default());
            }
            (Err(_), Trailers::Unwanted) => {}
        }
    }

    fn end(&mut self) {
        self.source = Source::Over;
        let trailers = match &self.trailers {
            Trailers::Wanted(trailers) => Some(trailers),
            Trailers::Unwanted => None,
        };
        let may = trailers.into_iter().flatten().filter(|(name, _)| may_be_trailer(name));
        self.channel.line().outgoing.end(may);
    }

    /// Writes once. Whether there was something to write.
    fn write(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let line = &mut *self.channel.line();
        let Some(transport) = &mut line.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if line.outgoing.is_written() {
            return line.outgoing.poll_flush(cx, transport).map_ok(|()| false);
        }
        line.outgoing.poll_write(cx, transport).map_ok(|()| true)
    }

    /// The client takes nothing now. It may read only when it has sent all of its request.
    fn blocked(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.body.poll_upload(cx);
        let late = ready!(self.session.poll_late(cx));
        Poll::Ready(Step::Done(match late {
            Late::Client => Written::SlowReader(self.ends),
            Late::Exchange => Written::TooLong(self.ends),
        }))
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Step> {
        self.channel.line().poll_gone(cx, self.session.limits().on_close).map(|()| Step::Done(Written::Gone))
    }

    fn whole(&mut self) -> Written {
        match mem::take(&mut self.body) {
            ResponseBody::Tunnel(pending) => Written::Switched(pending),
            ResponseBody::Empty | ResponseBody::Full(_) | ResponseBody::Stream(_) => Written::Whole,
        }
    }

    /// Whether the next bytes go past our memory.
    fn splices(&mut self) -> bool {
        !self.copies && self.ends == Ends::AtLength && self.body.can_splice() && self.channel.line().is_plain()
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let worker = &self.session.worker;
        let Some(mut pipe) = worker.pipes.take(worker.ticker.now_ms()) else {
            self.copies = true;
            return Poll::Ready(Step::More);
        };
        match self.body.poll_splice(cx, &mut pipe) {
            Poll::Pending => {
                worker.pipes.give_back(pipe);
                return self.poll_gone(cx);
            }
            Poll::Ready(Ok(_)) => self.pipe = Some(pipe),
            Poll::Ready(Err(_)) => self.source = Source::Cut,
        }
        Poll::Ready(Step::More)
    }

    fn drain(&mut self, cx: &mut Context<'_>, mut pipe: Pipe) -> Poll<Step> {
        let drained = match &self.channel.line().transport {
            Some(Transport::Plain(to)) => pipe.poll_drain(cx, to, MOST),
            Some(Transport::Tls(_)) | None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match drained {
            Poll::Pending => {
                self.pipe = Some(pipe);
                return self.blocked(cx);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Step::Done(Written::Gone)),
            Poll::Ready(Ok(_)) => self.session.bytes_went(),
        }
        if pipe.is_empty() {
            self.session.worker.pipes.give_back(pipe);
        } else {
            self.pipe = Some(pipe);
        }
        Poll::Ready(Step::More)
    }
}

fn ends(head: &ResponseHead, body: &ResponseBody, manner: Manner) -> Ends {
    let status = head.status;
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if manner.head_only || bodiless {
        Ends::None
    } else if body.size_hint().exact().is_some() {
        Ends::AtLength
    } else if manner.old {
        Ends::AtClose
    } else {
        Ends::AtLastChunk
    }
}

/// The head as the client gets it (RFC 9112, sections 6.3 and 9.3).
fn write_head(
    head: &ResponseHead,
    body: &ResponseBody,
    (ends, after): (Ends, After),
    manner: Manner,
    spelling: Spelling,
) -> Vec<u8> {
    let version = if manner.old { Version::HTTP_10 } else { Version::HTTP_11 };
    let length = body.size_hint().exact();
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let told = head.fields.has(Known::ContentLength);
    let lengthless = head.status.is_informational() || head.status == StatusCode::NO_CONTENT;
    // What a HEAD or a 304 says about the length is true of another response.
    let keeps_length = told && !lengthless && matches!(ends, Ends::AtLength | Ends::None);
    let dated = head.fields.has(Known::Date) || switched;
    // A small body is written with the head.
    let room = length.filter(|length| *length <= SMALL as u64).map_or(0, |length| length as usize);
    let mut out = Writing::response(head, version, spelling, room);
    for field in head.fields.iter().filter(|field| keeps_length || !field.is(Known::ContentLength)) {
        out.put(field);
    }
    let ours = matches!(body, ResponseBody::Full(_)) && ends == Ends::None && !lengthless;
    if let (Ends::AtLength, false, Some(length)) | (Ends::None, false, Some(length)) = (ends, told, length)
        && (ends == Ends::AtLength || ours)
    {
        out.put_own(Known::ContentLength, length.to_string().as_bytes());
    }
    if ends == Ends::AtLastChunk {
        out.put_own(Known::TransferEncoding, b"chunked");
    }
    #[allow(clippy::disallowed_methods, reason = "`Date` is the wall clock")]
    if !dated {
        out.put_own(Known::Date, httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    match after {
        _ if switched => {}
        After::Closes => out.put_own(Known::Connection, b"close"),
        After::Stays if manner.old => out.put_own(Known::Connection, b"keep-alive"),
        After::Stays => {}
    }
    out.end()
}
