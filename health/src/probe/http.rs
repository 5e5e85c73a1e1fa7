//! One HTTP question, and a second opinion about a bad answer.
//!
//! A management point answers `MPLIST` from the site database and `MPCERT` without it. When the first fails and the
//! second works, the server is fine and the database is not: taking the server out would help nobody.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use super::TlsProbe;
use super::search::{self, Search};
use super::tcp::{self, Deadline};
use crate::verdict::{Failure, FailureKind, Verdict};

/// The largest response head, and the largest piece of a body in memory, in bytes.
const BUFFER_LIMIT: usize = 64 * 1024;

/// The most of a target that is quoted in a failure, so that the evidence after it still fits. In characters.
const TARGET_QUOTE: usize = 96;

/// The most of an expected text that is quoted, in characters.
const TEXT_QUOTE: usize = 48;

/// An HTTP/1.1 question and the answer that a healthy server gives.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    /// Any method, `CCM_POST` and `PROPFIND` included. It is sent without a body.
    pub method: Method,
    /// Path and query, sent byte for byte: `/SMS_MP/.sms_aut?MPLIST`. It starts with `/` and has no space and no `#`;
    /// otherwise every attempt fails with [`FailureKind::Protocol`].
    pub target: String,
    /// The value of `Host`: `mp1.corp.example` or `mp1.corp.example:8080`.
    pub host: String,
    /// Statuses of a healthy server, as inclusive ranges; an empty list accepts none.
    pub status: Vec<(u16, u16)>,
    /// A text that must be within the first 64 KiB of the body, as these bytes or as UTF-16LE. `None`: the body is not
    /// read.
    pub body_contains: Option<String>,
    /// A target to ask when the first one was answered wrongly or too late. If its status is as expected, the server
    /// is degraded and not down. Where there is one, the first question has three quarters of the deadline.
    pub second_opinion: Option<String>,
    /// The value of `User-Agent`; empty sends none.
    pub user_agent: String,
    /// How to speak TLS; `None` is plain HTTP.
    pub tls: Option<TlsProbe>,
    /// What a connection begins with, before TLS: a PROXY protocol header that names no client, or nothing.
    pub greeting: &'static [u8],
}

/// What a server said that could be asked.
struct Reply {
    status: Option<u16>,
    failure: Option<Failure>,
}

impl HttpProbe {
    pub(super) async fn judge(
        &self,
        address: SocketAddr,
        start: Instant,
        deadline: Duration,
    ) -> (Verdict, Option<u16>) {
        // A question that waits for a dead database uses up all of its time. Some must be left for the second.
        let first = if self.second_opinion.is_some() { deadline / 4 * 3 } else { deadline };
        let text = self.body_contains.as_deref();
        let Reply { status, failure } = match self.ask(&self.target, text, address, Deadline::of(start, first)).await {
            Ok(reply) => reply,
            Err(failure) => return (Verdict::unanswered(failure), None),
        };
        let Some(failure) = failure else {
            return (Verdict::Pass, status);
        };
        let answers = matches!(failure.kind, FailureKind::Status | FailureKind::Body | FailureKind::Timeout);
        let verdict = match &self.second_opinion {
            Some(target) if answers => match self.ask(target, None, address, Deadline::of(start, deadline)).await {
                Ok(Reply { failure: None, .. }) => Verdict::Degraded(failure),
                Err(unasked) if unasked.kind == FailureKind::Local => Verdict::Unknown(unasked),
                Ok(Reply { failure: Some(_), .. }) | Err(_) => Verdict::Fail(failure),
            },
            _ => Verdict::unanswered(failure),
        };
        (verdict, status)
    }

    /// Asks for one target over a connection of its own. An error means that the question could not even be put.
    async fn ask(
        &self,
        target: &str,
        text: Option<&str>,
        address: SocketAddr,
        deadline: Deadline,
    ) -> Result<Reply, Failure> {
        let question = Question { probe: self, target, text, deadline };
        let request = question.request()?;
        let stream = tcp::connect(address, self.greeting, deadline).await?;
        Ok(match &self.tls {
            None => question.put(request, stream).await,
            Some(tls) => question.put(request, tcp::secure(stream, address, tls, deadline).await?).await,
        })
    }

    fn expects(&self, status: u16) -> bool {
        self.status.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }

    fn expected(&self) -> String {
        let range = |(low, high): &(u16, u16)| {
            if low == high { low.to_string() } else { format!("{low}-{high}") }
        };
        self.status.iter().map(range).collect::<Vec<_>>().join(", ")
    }
}

struct Question<'a> {
    probe: &'a HttpProbe,
    target: &'a str,
    text: Option<&'a str>,
    deadline: Deadline,
}

impl Question<'_> {
    /// How the question is called in a failure.
    fn name(&self) -> String {
        let target: String = self.target.chars().take(TARGET_QUOTE).collect();
        let dots = if target.len() < self.target.len() { "..." } else { "" };
        format!("{} {target}{dots}", self.probe.method)
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Failure> {
        let wrong =
            |what: &str| Failure::new(FailureKind::Protocol, format!("{} cannot be asked: {what}", self.name()));
        let target = PathAndQuery::try_from(self.target).map_err(|error| wrong(&error.to_string()))?;
        // The parser drops what follows a `#` and adds a missing path.
        if target.as_str() != self.target || !self.target.starts_with('/') {
            return Err(wrong("the target must start with / and have no #"));
        }
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.probe.method.clone();
        *request.uri_mut() = Uri::from(target);
        let headers = request.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| wrong(&error.to_string()));
        headers.insert(HOST, value(&self.probe.host)?);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if !self.probe.user_agent.is_empty() {
            headers.insert(USER_AGENT, value(&self.probe.user_agent)?);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if !matches!(self.probe.method, Method::GET | Method::HEAD) {
            // IIS answers 411 to a method that may have a body when nothing says that there is none.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }

    /// Puts the question over an open connection.
    async fn put<T>(&self, request: Request<Empty<Bytes>>, stream: T) -> Reply
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut status = None;
        let talk = self.talk(request, stream, &mut status);
        let failure = match timeout_at(self.deadline.end, talk).await {
            Ok(Ok(None)) => None,
            Ok(Ok(Some(failure))) => Some(failure),
            Ok(Err(error)) => Some(Failure::new(kind_of(&error), format!("{}: {}", self.name(), causes(&error)))),
            Err(_elapsed) => Some(self.deadline.missed(&self.name())),
        };
        Reply { status, failure }
    }

    async fn talk<T>(
        &self,
        request: Request<Empty<Bytes>>,
        stream: T,
        status: &mut Option<u16>,
    ) -> Result<Option<Failure>, hyper::Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(BUFFER_LIMIT).handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            *status = Some(response.status().as_u16());
            self.judge(response).await
        };
        drive(answer, connection).await
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<Option<Failure>, hyper::Error> {
        let status = response.status().as_u16();
        let expected = self.probe.expects(status);
        let mut body = response.into_body();
        let Some(text) = self.text else {
            return Ok((!expected).then(|| self.wrong_status(status, None)));
        };
        if !expected {
            return Ok(Some(self.wrong_status(status, self.first_piece(&mut body).await.as_deref())));
        }
        let mut search = Search::new(text);
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data()
                && !search.push(&piece)
            {
                break;
            }
        }
        Ok((!search.found()).then(|| self.wrong_body(status, text, search.quote())))
    }

    /// The start of a body that comes with a wrong status. It is only evidence, so it may take a quarter of the time
    /// that is left, and its errors are of no interest.
    async fn first_piece(&self, body: &mut Incoming) -> Option<String> {
        let patience = self.deadline.end.saturating_duration_since(Instant::now()) / 4;
        let frame = timeout(patience, body.frame()).await.ok()??.ok()?;
        search::quote(frame.data_ref()?)
    }

    fn wrong_status(&self, status: u16, quote: Option<&str>) -> Failure {
        let quote = quote.map(|quote| format!(": {quote}")).unwrap_or_default();
        let expected = self.probe.expected();
        Failure::new(FailureKind::Status, format!("{} answered {status}, expected {expected}{quote}", self.name()))
    }

    fn wrong_body(&self, status: u16, text: &str, quote: Option<String>) -> Failure {
        let quote = quote.map_or_else(|| " an empty body".to_owned(), |quote| format!(": {quote}"));
        let text: String = text.chars().take(TEXT_QUOTE).collect();
        Failure::new(FailureKind::Body, format!("{} answered {status} without {text:?}, but{quote}", self.name()))
    }
}

/// Runs a connection just as long as someone waits for its answer. Nothing outlives this call, so an attempt that is
/// dropped leaves no task behind.
async fn drive<T>(
    answer: impl Future<Output = Result<T, hyper::Error>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<T, hyper::Error> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // How the connection ended reaches the answer too, or the answer is already on its way.
        _ended = connection => answer.await,
    }
}

fn kind_of(error: &hyper::Error) -> FailureKind {
    // Hyper wraps: a request is canceled because something else happened. The innermost error is what happened.
    let mut root = error;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return tcp::kind_of(io);
        }
        root = inner.downcast_ref().unwrap_or(root);
        cause = inner.source();
    }
    if root.is_incomplete_message() || root.is_canceled() || root.is_closed() {
        FailureKind::Reset
    } else {
        FailureKind::Protocol
    }
}

/// An error with the errors that caused it, in one line.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
