//! One request on one connection.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::access::wants_token;
use super::observe::{Begun, Counted, Exchange, Observer};
use super::subject::Subject;
use super::{Answer, Client, ClientError, Connector, Step, is_transient};
use crate::dial::dial;
use crate::record::Failure;

/// No answer is kept beyond this.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How long it is waited for what a connection says that has ended.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A connection.
pub(super) struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Ends with what went wrong with the connection.
    driver: JoinHandle<Option<hyper::Error>>,
    counted: Option<Counted>,
}

impl Open {
    /// What became of a request that has no head of an answer.
    async fn unanswered(&mut self, ask: &Ask, error: &hyper::Error) -> ClientError {
        if error.is_parse() {
            return ClientError::Protocol(format!("{} {}: no answer of HTTP: {error}", ask.method, ask.target));
        }
        if let Some(how) = Failure::within(error) {
            return ask.cut(0, how, error);
        }
        // It may have ended before the request was its.
        match tokio::time::timeout(AT_ONCE, &mut self.driver).await {
            Ok(Ok(Some(why))) => ask.cut(0, Failure::within(&why).unwrap_or(Failure::Closed), &why),
            _ => ask.cut(0, Failure::Closed, error),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Where a client is, and whom it asks for what.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) source: IpAddr,
    pub(super) proxy: SocketAddr,
    pub(super) host: String,
    pub(super) timeout: Duration,
    pub(super) tls: Option<Connector>,
    /// What is shown where a token is wanted.
    pub(super) token: Option<HeaderValue>,
    pub(super) observer: Option<Observer>,
}

/// How often a request is repeated that nobody could answer, and how long after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) times: u32,
    pub(super) pause: Duration,
}

/// One keep-alive connection, which is opened when it is needed.
pub(super) struct Line {
    pub(super) way: Way,
    pub(super) open: Option<Open>,
    /// The request that has an answer and no outcome yet.
    under_way: Option<UnderWay>,
}

/// A request whose answer has begun, and whose outcome has not been said yet.
struct UnderWay {
    began: Instant,
    status: StatusCode,
    /// When the last byte of its answer was there, if it was.
    whole: Option<Instant>,
    received: u64,
}

/// A request before it is sent.
pub(super) struct Ask {
    method: Method,
    target: String,
    pub(super) headers: HeaderMap,
    body: Bytes,
    subject: Option<Subject>,
}

impl Ask {
    pub(super) fn new(method: Method, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: HeaderMap::new(), body: Bytes::new(), subject: None }
    }

    pub(super) fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    /// A request with a method that HTTP itself does not have.
    pub(super) fn extension(method: &str, target: &str) -> Self {
        Self::new(Method::from_bytes(method.as_bytes()).expect("the callers' methods are tokens"), target)
    }

    /// Says what it is about.
    pub(super) const fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        // A value that cannot be sent is left out, and the server will say what is missing.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// The same request with nothing in it.
    pub(super) fn without_body(&self) -> Self {
        let (method, target, headers) = (self.method.clone(), self.target.clone(), self.headers.clone());
        Self { method, target, headers, body: Bytes::new(), subject: self.subject }
    }

    /// As an observer is told of it.
    fn begun(&self, began: Instant) -> Begun<'_> {
        Begun { method: &self.method, target: &self.target, subject: self.subject, began }
    }

    fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "PROPFIND")
    }

    fn request(&self, way: &Way) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = way.host.as_str();
        let wrong = |what: &str| ClientError::Protocol(format!("'{what}' cannot be sent"));
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.parse::<Uri>().map_err(|_| wrong(&self.target))?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| wrong(host))?);
        headers.insert(USER_AGENT, HeaderValue::from_static("SMS CCM 5.0"));
        if !self.only_reads() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        if let Some(token) = way.token.as_ref().filter(|_| wants_token(&self.target)) {
            headers.insert(AUTHORIZATION, token.clone());
        }
        headers.extend(self.headers.clone());
        Ok(request)
    }

    pub(super) fn status_error(&self, answer: &Answer) -> ClientError {
        self.status_of(answer.status, &answer.headers)
    }

    pub(super) fn status_of(&self, status: http::StatusCode, headers: &HeaderMap) -> ClientError {
        let served_by = headers.get("x-site-system").and_then(|name| name.to_str().ok()).map(str::to_owned);
        ClientError::Status { method: self.method.to_string(), target: self.target.clone(), status, served_by }
    }

    pub(super) fn cut(&self, received: u64, how: Failure, why: &(dyn Error + 'static)) -> ClientError {
        let (method, target) = (self.method.to_string(), self.target.clone());
        let all: Vec<_> = std::iter::successors(Some(why), |why| (*why).source()).map(ToString::to_string).collect();
        ClientError::Cut { method, target, received, how, why: all.join(": ") }
    }

    fn timeout(&self, after: Duration) -> ClientError {
        ClientError::Timeout { method: self.method.to_string(), target: self.target.clone(), after }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> io::Result<Open> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // How the connection ends is seen by the request that it ends under, if there is one already.
    let driver = tokio::spawn(async move { connection.await.err() });
    Ok(Open { sender, driver, counted: None })
}

impl Line {
    pub(super) const fn new(way: Way, open: Option<Open>) -> Self {
        Self { way, open, under_way: None }
    }

    async fn handshake(&self) -> io::Result<Open> {
        let stream = dial(self.way.source, self.way.proxy).await?;
        let mut open = match &self.way.tls {
            None => speak(stream).await?,
            Some(tls) => speak(tls.secure(stream, &self.way.host, self.way.proxy.ip()).await?).await?,
        };
        open.counted = self.way.observer.as_ref().map(Observer::opened);
        Ok(open)
    }

    /// Says that this request is over.
    fn over(&self, ask: &Ask, one: &UnderWay, outcome: Result<StatusCode, &ClientError>) {
        let Some(observer) = &self.way.observer else { return };
        let (begun, sent, received) = (ask.begun(one.began), ask.body.len() as u64, one.received);
        observer.ended(&Exchange { begun, sent, received, ended: one.whole.unwrap_or_else(Instant::now), outcome });
    }

    /// Says what became of the request under way: its one outcome. The sender of a request says it once its answer has been
    /// looked at; what fails on the way has said it already, and then this says nothing.
    pub(super) fn settle(&mut self, ask: &Ask, verdict: Result<(), &ClientError>) {
        if let Some(one) = self.under_way.take() {
            self.over(ask, &one, verdict.map(|()| one.status));
        }
    }

    /// The answer to the request under way is of no interest any more.
    pub(super) fn forget(&mut self) {
        if let Some((one, observer)) = self.under_way.take().zip(self.way.observer.as_ref()) {
            observer.forgotten(one.began);
        }
    }

    async fn opened(&self) -> Result<Open, ClientError> {
        let opened = tokio::time::timeout(self.way.timeout, self.handshake()).await;
        opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|source| ClientError::Connect {
            from: self.way.source,
            to: self.way.proxy,
            source,
        })
    }

    /// Sends a request and returns the head of its answer.
    pub(super) async fn send(&mut self, ask: &Ask, step: &mut Step) -> Result<Response<Incoming>, ClientError> {
        let began = Instant::now();
        self.forget();
        if let Some(observer) = &self.way.observer {
            observer.begun(&ask.begun(began));
        }
        let answered = self.answered(ask, step).await;
        let status = answered.as_ref().map_or(StatusCode::OK, Response::status);
        self.under_way = Some(UnderWay { began, status, whole: None, received: 0 });
        if let Err(error) = &answered {
            self.settle(ask, Err(error));
        }
        answered
    }

    async fn answered(&mut self, ask: &Ask, step: &mut Step) -> Result<Response<Incoming>, ClientError> {
        loop {
            let mut kept = true;
            let mut open = self.open.take();
            if let Some(idle) = &mut open
                && idle.sender.ready().await.is_err()
            {
                open = None;
            }
            let mut open = match open {
                Some(open) => open,
                None => {
                    kept = false;
                    self.opened().await?
                }
            };
            let request = ask.request(&self.way)?;
            step.requests = step.requests.saturating_add(1);
            match tokio::time::timeout(self.way.timeout, open.sender.try_send_request(request)).await {
                Ok(Ok(response)) => {
                    self.open = Some(open);
                    step.served(response.headers());
                    return Ok(response);
                }
                // Only a kept connection can have ended before this request came, so that a second round is the last.
                Ok(Err(error)) if kept && error.message().is_some() => {}
                Ok(Err(error)) if kept && ask.only_reads() && !error.error().is_parse() => {
                    step.reopened += 1;
                }
                Ok(Err(error)) => return Err(open.unanswered(ask, error.error()).await),
                Err(_) => return Err(ask.timeout(self.way.timeout)),
            }
        }
    }

    /// The next piece of a body; `None` at its end, where the request waits to be settled. On an error the connection is
    /// gone, and that is its outcome.
    pub(super) async fn piece(
        &mut self,
        ask: &Ask,
        body: &mut Incoming,
        received: u64,
    ) -> Result<Option<Bytes>, ClientError> {
        loop {
            let error = match tokio::time::timeout(self.way.timeout, body.frame()).await {
                Ok(None) => {
                    if let Some(one) = &mut self.under_way {
                        (one.whole, one.received) = (Some(Instant::now()), received);
                    }
                    return Ok(None);
                }
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => continue,
                },
                Ok(Some(Err(error))) => {
                    let how = match Failure::within(&error) {
                        Some(Failure::Closed) | None => Failure::Short,
                        Some(how) => how,
                    };
                    ask.cut(received, how, &error)
                }
                Err(_) => ask.timeout(self.way.timeout),
            };
            self.open = None;
            if let Some(one) = &mut self.under_way {
                one.received = received;
            }
            self.settle(ask, Err(&error));
            return Err(error);
        }
    }

    /// Sends a request and returns its whole answer, which is yet to be settled.
    async fn answer(&mut self, ask: &Ask, step: &mut Step) -> Result<Answer, ClientError> {
        let (head, body) = self.send(ask, step).await?.into_parts();
        self.rest(ask, head, body, step).await
    }

    /// Says what `judge` thinks of a whole answer, and settles the request with it.
    fn judge<T>(
        &mut self,
        ask: &Ask,
        answer: Answer,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let verdict = judge(answer);
        self.settle(ask, verdict.as_ref().map(drop));
        verdict
    }

    /// Sends a request and returns what `judge` makes of its whole answer. What it refuses was no good answer.
    pub(super) async fn judged<T>(
        &mut self,
        ask: &Ask,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let answer = self.answer(ask, step).await?;
        self.judge(ask, answer, judge)
    }

    /// Sends a request and returns its whole answer, of which every one will do.
    pub(super) async fn whole(&mut self, ask: &Ask, step: &mut Step) -> Result<Answer, ClientError> {
        self.judged(ask, step, Ok).await
    }

    /// Reads the body of an answer to its end, where the request waits to be settled.
    pub(super) async fn rest(
        &mut self,
        ask: &Ask,
        head: Parts,
        mut body: Incoming,
        step: &mut Step,
    ) -> Result<Answer, ClientError> {
        let mut kept = BytesMut::new();
        while let Some(data) = self.piece(ask, &mut body, kept.len() as u64).await? {
            step.bytes += data.len() as u64;
            if kept.len() + data.len() > MAX_ANSWER {
                self.open = None;
                let error = ClientError::Protocol(format!("{}: the answer is larger than {MAX_ANSWER}", ask.target));
                self.settle(ask, Err(&error));
                return Err(error);
            }
            kept.extend_from_slice(&data);
        }
        Ok(Answer { status: head.status, headers: head.headers, body: kept.freeze() })
    }

    /// As [`Line::judged`], and anything but 2xx is an error.
    pub(super) async fn good<T>(
        &mut self,
        ask: &Ask,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let success =
            |answer: Answer| if answer.status.is_success() { judge(answer) } else { Err(ask.status_error(&answer)) };
        self.judged(ask, step, success).await
    }

    /// As [`Line::judged`], and again a while later when no server could answer.
    pub(super) async fn patient<T>(
        &mut self,
        ask: &Ask,
        patience: Patience,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut left = patience.times;
        loop {
            let ended = self.answer(ask, step).await;
            let transient = match &ended {
                Ok(answer) => is_transient(answer.status),
                Err(error) => error.is_transient(),
            };
            if !transient || left == 0 {
                return self.judge(ask, ended?, judge);
            }
            self.settle(ask, Ok(()));
            left -= 1;
            step.retried += 1;
            tokio::time::sleep(patience.pause).await;
        }
    }
}

impl Client {
    /// As [`Line::whole`], on the client's first connection.
    pub(super) async fn whole(&mut self, ask: &Ask, step: &mut Step) -> Result<Answer, ClientError> {
        self.line.whole(ask, step).await
    }

    /// As [`Line::good`], on the client's first connection.
    pub(super) async fn good<T>(
        &mut self,
        ask: &Ask,
        step: &mut Step,
        judge: impl FnOnce(Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.line.good(ask, step, judge).await
    }
}
