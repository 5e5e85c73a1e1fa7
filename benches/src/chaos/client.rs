//! Clients: they behave well or badly, and believe nothing of what comes back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::config::may_serve_hq;
use super::content::Content;
use super::ledger::{Ledger, Outcome};
use super::wire::{Head, Reader, Wire};
use crate::client::Connector;

/// A request ends in this time: rolegate gives it ten seconds, a process that stands still and a busy machine the rest.
const PATIENCE: Duration = Duration::from_secs(25);
const PIECE: usize = 16 * 1024;
/// The words of RFC 9209 with which rolegate may answer in such a site.
const EXPECTED: [&str; 9] = [
    "destination_unavailable",
    "connection_limit_reached",
    "proxy_internal_error",
    "connection_refused",
    "connection_timeout",
    "destination_ip_unroutable",
    "connection_terminated",
    "http_response_timeout",
    "http_protocol_error",
];

/// What a client is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Asks on one connection, again and again.
    Steady,
    /// The same over TLS, with many new connections.
    Secure,
    /// Sends messages, with a length or in chunks.
    Poster,
    /// Sends several requests before it reads an answer.
    Pipeliner,
    /// Signs its connections in.
    SignedIn,
    /// Breaks off anywhere.
    Breaker,
    /// Reads slowly.
    SlowReader,
    /// Sends slowly.
    SlowSender,
}

impl Kind {
    /// The kind of the client of this number.
    pub(super) const fn of(number: usize) -> Self {
        match number % 16 {
            0..=4 => Self::Steady,
            5 | 6 => Self::Secure,
            7 | 8 => Self::Poster,
            9 => Self::Pipeliner,
            10 | 11 => Self::SignedIn,
            12 | 13 => Self::Breaker,
            14 => Self::SlowReader,
            _ => Self::SlowSender,
        }
    }

    /// Whether all of its requests are answered when nothing is wrong.
    pub(super) const fn is_well_behaved(self) -> bool {
        !matches!(self, Self::Breaker | Self::SlowReader | Self::SlowSender)
    }
}

/// Where clients connect to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) connector: Connector,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    kind: Kind,
    number: usize,
    dice: fastrand::Rng,
    ledger: Arc<Ledger>,
    target: Target,
    stop: watch::Receiver<bool>,
    /// What became of its last request.
    last: Option<Outcome>,
}

/// A request that is under way.
#[derive(Debug)]
struct Ask {
    id: u64,
    is_content: bool,
    head: String,
    body: Vec<u8>,
    chunked: bool,
    user: String,
    /// Begun when every request has to be served.
    calm: bool,
}

/// Whether the connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Kept,
    Over,
}

type Connection = Reader<Box<dyn Wire>>;

impl Client {
    pub(super) fn new(number: usize, ledger: &Arc<Ledger>, target: &Target, stop: watch::Receiver<bool>) -> Self {
        let dice = fastrand::Rng::with_seed(ledger.seed.wrapping_add(1 + number as u64));
        Self {
            kind: Kind::of(number),
            number,
            dice,
            ledger: Arc::clone(ledger),
            target: target.clone(),
            stop,
            last: None,
        }
    }

    fn is_of_hq(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// Goes on until it is told to stop; then the connection closes after the answer.
    pub(super) async fn run(mut self) {
        while !*self.stop.borrow() {
            match self.connect().await {
                Ok(connection) => self.converse(connection).await,
                // The process may stand still, or have no descriptors.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let group = if self.is_of_hq() { 1 } else { 2 };
        let own = Ipv4Addr::new(127, group, (self.number / 250) as u8, (self.number % 250) as u8 + 1);
        let socket = TcpSocket::new_v4()?;
        socket.bind((own, 0).into())?;
        let to = if self.kind == Kind::Secure { self.target.tls } else { self.target.plain };
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = timeout(PATIENCE, socket.connect(to)).await.map_err(late)??;
        stream.set_nodelay(true)?;
        if self.kind != Kind::Secure {
            return Ok(Reader::new(Box::new(stream)));
        }
        let secured = self.target.connector.secure(stream, "listener.lab.test", IpAddr::V4(Ipv4Addr::LOCALHOST));
        match timeout(PATIENCE, secured).await.map_err(late)? {
            Ok(stream) => Ok(Reader::new(Box::new(stream))),
            Err(error) => {
                // Without a descriptor connections close at once; a certificate that is not trusted is another thing.
                if error.to_string().contains("certificate") {
                    self.ledger.violation(format_args!("client {}: {error}", self.number));
                }
                Err(error)
            }
        }
    }

    async fn converse(&mut self, mut connection: Connection) {
        let mut left = if self.kind == Kind::Secure { self.dice.u32(1..8) } else { self.dice.u32(5..60) };
        if self.kind == Kind::SignedIn && self.sign_in(&mut connection).await == After::Over {
            return;
        }
        while left > 0 && !*self.stop.borrow() {
            left -= 1;
            let after = match self.kind {
                Kind::Pipeliner => self.pipeline(&mut connection).await,
                Kind::Breaker => self.break_off(&mut connection).await,
                _ => {
                    let ask = self.ask();
                    self.exchange(&mut connection, &ask).await
                }
            };
            if after == After::Over {
                return;
            }
            sleep(Duration::from_millis(self.dice.u64(2..40))).await;
        }
    }

    /// A new request of the kind that this client makes.
    fn ask(&mut self) -> Ask {
        let id = self.ledger.id();
        let posts = self.kind == Kind::Poster || (self.kind == Kind::SlowSender && self.dice.bool());
        let is_content = !posts && self.kind != Kind::SignedIn && self.dice.bool();
        let length = match (self.kind, self.dice.u8(0..10)) {
            (Kind::SlowReader, _) | (_, 0) => self.dice.usize(100_000..400_000),
            (_, 1..4) => self.dice.usize(1000..20_000),
            _ => self.dice.usize(0..1000),
        };
        // Messages without a body are the ones that could be sent again most easily.
        let len = if self.dice.u8(0..3) == 0 { 0 } else { self.dice.usize(0..40_000) };
        let body = if posts { Content::new(id, "client").take(len) } else { Vec::new() };
        let chunked = posts && self.dice.bool();
        let method = match (posts, self.dice.bool()) {
            (false, _) => "GET",
            (true, false) => "POST",
            (true, true) => "CCM_POST",
        };
        let target = match (posts, is_content) {
            (true, _) => "/ccm_system/request".to_owned(),
            (_, true) => format!("/SMS_DP_SMSPKG$/CHS{:05}/sccm?/file{id}.bin", self.dice.u32(0..100_000)),
            _ => format!("/SMS_MP/.sms_aut?MPKEYINFORMATION{id}"),
        };
        let framing = match (posts, chunked) {
            (false, _) => String::new(),
            (true, false) => format!("Content-Length: {}\r\n", body.len()),
            (true, true) => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: chaos.lab.test\r\nX-Chaos-Id: {id}\r\nX-Chaos-Length: {length}\r\n\
             X-Chaos-Body: {}\r\n{framing}",
            body.len()
        );
        let user = if self.kind == Kind::SignedIn { self.user() } else { "-".to_owned() };
        Ask { id, is_content, head, body, chunked, user, calm: self.ledger.is_calm() && self.kind.is_well_behaved() }
    }

    fn user(&self) -> String {
        format!("user{}", self.number)
    }

    /// Both steps of signing a connection in.
    async fn sign_in(&mut self, connection: &mut Connection) -> After {
        for (step, status) in [("1", 401), ("3", 200)] {
            let mut ask = self.ask();
            ask.head.push_str(&format!("Authorization: NTLM {step}.{}\r\n", self.user()));
            if step == "1" {
                ask.user = "-".to_owned();
            }
            // Anything else is no step, and a client begins anew on another connection.
            let after = self.exchange(connection, &ask).await;
            if after == After::Over || self.last != Some(Outcome::Served(status)) {
                return After::Over;
            }
        }
        After::Kept
    }

    /// One request and its answer.
    async fn exchange(&mut self, connection: &mut Connection, ask: &Ask) -> After {
        let bytes = ask.bytes();
        let both = async {
            // A server may answer before it has everything, and close: what it has said counts.
            let _ = self.send(connection, &bytes).await;
            self.answer(connection, ask).await
        };
        if let Ok(after) = timeout(PATIENCE, both).await {
            return after;
        }
        self.ledger.violation(format_args!("request {} of client {} has no end", ask.id, self.number));
        self.ledger.outcome(Outcome::BrokenOff);
        After::Over
    }

    async fn send(&mut self, connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
        if self.kind != Kind::SlowSender {
            connection.stream.write_all(bytes).await?;
            return connection.stream.flush().await;
        }
        for piece in bytes.chunks((bytes.len() / 8).max(1)) {
            connection.stream.write_all(piece).await?;
            sleep(Duration::from_millis(self.dice.u64(1..60))).await;
        }
        Ok(())
    }

    async fn pipeline(&mut self, connection: &mut Connection) -> After {
        let asks: Vec<_> = (0..self.dice.usize(2..6)).map(|_| self.ask()).collect();
        let all: Vec<u8> = asks.iter().flat_map(Ask::bytes).collect();
        let _ = self.send(connection, &all).await;
        for (at, ask) in asks.iter().enumerate() {
            let after = match timeout(PATIENCE, self.answer(connection, ask)).await {
                Ok(after) => after,
                Err(_) => {
                    self.ledger.violation(format_args!("request {} of a pipeline has no end", ask.id));
                    self.ledger.outcome(Outcome::BrokenOff);
                    After::Over
                }
            };
            if after == After::Over {
                // What was sent after it is never answered.
                (at + 1..asks.len()).for_each(|_| self.ledger.outcome(Outcome::BrokenOff));
                return After::Over;
            }
        }
        After::Kept
    }

    /// Sends a part, or reads a part, and leaves.
    async fn break_off(&mut self, connection: &mut Connection) -> After {
        let ask = self.ask();
        let bytes = ask.bytes();
        if self.dice.bool() {
            let part = self.dice.usize(0..bytes.len());
            let _ = connection.stream.write_all(&bytes[..part]).await;
            sleep(Duration::from_millis(self.dice.u64(0..20))).await;
        } else if connection.stream.write_all(&bytes).await.is_ok() {
            let longest = Duration::from_millis(self.dice.u64(0..60));
            if let Ok(Ok(Some(head))) = timeout(longest, connection.head()).await {
                self.ledger.head(head.status());
                let (mut body, mut left) = (head.response_body(), self.dice.usize(0..20));
                while left > 0 && matches!(timeout(longest, connection.piece(&mut body, 64)).await, Ok(Ok(Some(_)))) {
                    left -= 1;
                }
            }
        }
        self.ledger.outcome(Outcome::BrokenOff);
        After::Over
    }

    /// Reads an answer and says what is wrong with it.
    async fn answer(&mut self, connection: &mut Connection, ask: &Ask) -> After {
        let head = loop {
            match connection.head().await {
                Ok(Some(head)) if head.status() / 100 == 1 => {}
                Ok(Some(head)) => break head,
                Ok(None) | Err(_) => {
                    // A connection that is signed in ends with that of its server, without a word.
                    if self.kind != Kind::SignedIn {
                        let number = self.number;
                        self.ledger.violation(format_args!("request {} of client {number} has no answer", ask.id));
                    }
                    return self.ended(ask, Outcome::Unanswered);
                }
            }
        };
        self.ledger.head(head.status());
        let server = head.get("x-server").map(ToOwned::to_owned);
        match &server {
            None => self.check_own(ask, &head),
            Some(server) => self.check_head(ask, &head, server),
        }
        let mut content = Content::new(ask.id, server.as_deref().unwrap_or_default());
        let (mut body, mut len) = (head.response_body(), 0);
        let whole = loop {
            let most = if self.kind == Kind::SlowReader { 8 * 1024 } else { PIECE };
            match connection.piece(&mut body, most).await {
                Ok(Some(piece)) => {
                    if server.is_some() && !content.matches(&piece) {
                        self.ledger.violation(format_args!("request {}: bytes {len} and on are of no answer", ask.id));
                        return After::Over;
                    }
                    len += piece.len() as u64;
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
            if self.kind == Kind::SlowReader {
                sleep(Duration::from_millis(self.dice.u64(1..40))).await;
            }
        };
        if !whole {
            return self.ended(ask, Outcome::Cut);
        }
        if server.is_some() && head.number("x-length") != Some(len) {
            self.ledger.violation(format_args!("request {}: {len} bytes, and no sign that some are missing", ask.id));
        }
        let outcome = if server.is_some() { Outcome::Served(head.status()) } else { Outcome::Own(head.status()) };
        let after = self.ended(ask, outcome);
        if head.closes() || (connection.has_more() && self.kind != Kind::Pipeliner) {
            if connection.has_more() && !head.closes() {
                self.ledger.violation(format_args!("request {}: something came after its answer", ask.id));
            }
            return After::Over;
        }
        after
    }

    fn ended(&mut self, ask: &Ask, outcome: Outcome) -> After {
        self.last = Some(outcome);
        self.ledger.outcome(outcome);
        let served = matches!(outcome, Outcome::Served(200 | 401));
        if ask.calm && !served && self.ledger.is_calm() {
            self.ledger.violation(format_args!("request {} of client {} in the calm: {outcome}", ask.id, self.number));
        }
        if matches!(outcome, Outcome::Cut | Outcome::Unanswered) { After::Over } else { After::Kept }
    }

    fn check_own(&self, ask: &Ask, head: &Head) {
        let told = head.get("proxy-status").unwrap_or("none");
        let reason = told.strip_prefix("rolegate; error=").and_then(|rest| rest.split(';').next());
        let slow = self.kind == Kind::SlowSender && reason == Some("http_request_error") && head.status() == 408;
        if !slow && !reason.is_some_and(|reason| EXPECTED.contains(&reason)) {
            self.ledger.violation(format_args!(
                "request {} of client {} ({:?}): an answer of no server, {}, Proxy-Status: {told}",
                ask.id, self.number, self.kind, head.first
            ));
        }
    }

    fn check_head(&self, ask: &Ask, head: &Head, server: &str) {
        let (id, user) = (head.number("x-id"), head.get("x-user").unwrap_or("none"));
        if id != Some(ask.id) {
            self.ledger.violation(format_args!("request {} has the answer to {id:?} of {server}", ask.id));
        }
        if user != ask.user && head.status() != 403 {
            self.ledger.violation(format_args!("request {} of {} has an answer to {user}", ask.id, ask.user));
        }
        if ask.is_content && self.is_of_hq() && !may_serve_hq(server) {
            self.ledger.violation(format_args!("request {} of a client of HQ was served by {server}", ask.id));
        }
    }
}

impl Ask {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.head).into_bytes();
        if !self.chunked {
            bytes.extend_from_slice(&self.body);
            return bytes;
        }
        for piece in self.body.chunks(5000) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"));
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}
