//! What to send, how fast, and from where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Error;
use super::bounds::{CONNECTIONS, LONGEST_RUN, LONGEST_WAIT, RATES};
use crate::client::Tls;
use crate::record::SeriesKey;

/// More different requests than this have a series for each method only: a series is large.
const MAX_SERIES: usize = 64;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainRequest {
    /// `GET`.
    pub method: String,
    /// `/SMS_MP/.sms_aut?MPLIST`.
    pub target: String,
    /// Further fields. `Host`, `Content-Length` and `Connection` are written unless they are here.
    pub headers: Vec<(String, String)>,
    /// The body, if it is not empty.
    pub body: Bytes,
}

impl PlainRequest {
    /// A `GET` of this target.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self { method: "GET".to_owned(), target: target.to_owned(), ..Self::default() }
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Each connection sends the next request when the last was answered: as many as the target manages.
    Closed {
        /// Connections, and so requests at a time.
        connections: usize,
    },
    /// So many each second, whatever the target does. One that finds all connections busy waits for the first that is
    /// free, and this time is part of its latency.
    Rate {
        /// Requests each second.
        per_second: f64,
        /// Connections.
        connections: usize,
    },
    /// The same at a rate that changes evenly from the end of the warm-up on.
    Ramp {
        /// Requests each second at first, and during the warm-up.
        from: f64,
        /// Requests each second at last.
        to: f64,
        /// Connections.
        connections: usize,
    },
}

impl Mode {
    /// How many connections.
    #[must_use]
    pub const fn connections(self) -> usize {
        match self {
            Self::Closed { connections } | Self::Rate { connections, .. } | Self::Ramp { connections, .. } => {
                connections
            }
        }
    }
}

/// How requests that come at a rate are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spacing {
    /// One after the other, at even distances.
    #[default]
    Even,
    /// As those of very many clients that know nothing of each other. The same seed gives the same times.
    Poisson {
        /// Where the dice begin.
        seed: u64,
    },
}

/// A part of a load, of which others make the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// How many parts come before it, less than `of`.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// When all of them begin; as soon as connections are open, if it is not known or over.
    pub begin: Option<Instant>,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to.
    pub target: SocketAddr,
    /// The `Host`, and the server that is asked for in a TLS handshake.
    pub host: String,
    /// What is sent, one after the other and then from the start again. Not empty.
    pub requests: Vec<PlainRequest>,
    /// When it is sent. In a part of a load the connections are its own, and the rate is that of all.
    pub mode: Mode,
    /// How a rate is spaced.
    pub spacing: Spacing,
    /// Whether connections are used again. If not, each request has one of its own, and opening it is part of its
    /// latency.
    pub keep_alive: bool,
    /// Whether and how connections are secured.
    pub tls: Option<Tls>,
    /// Whether a connection may resume a session of an earlier one; otherwise each handshake is a full one.
    pub resume_tls: bool,
    /// Threads that make load.
    pub threads: usize,
    /// The addresses that connections come from in turn; one that the system chooses if there are none.
    pub sources: Vec<IpAddr>,
    /// How long is measured.
    pub duration: Duration,
    /// How long there is load before that.
    pub warm_up: Duration,
    /// How long a request may take from when it has a connection, and how long one may wait for a connection.
    pub timeout: Duration,
    /// Which part of a load it is; the whole if `None`.
    pub part: Option<Slice>,
}

impl Plan {
    /// For ten seconds, 64 connections that ask for `/` from one thread.
    #[must_use]
    pub fn new(target: SocketAddr, host: &str) -> Self {
        Self {
            target,
            host: host.to_owned(),
            requests: vec![PlainRequest::get("/")],
            mode: Mode::Closed { connections: 64 },
            spacing: Spacing::Even,
            keep_alive: true,
            tls: None,
            resume_tls: true,
            threads: 1,
            sources: Vec::new(),
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            timeout: Duration::from_secs(30),
            part: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let rates = match self.mode {
            Mode::Closed { .. } => [1.0, 1.0],
            Mode::Rate { per_second, .. } => [per_second, per_second],
            Mode::Ramp { from, to, .. } => [from, to],
        };
        let ends = |rate: &f64| (0.0..=*RATES.end()).contains(rate);
        if !rates.iter().all(ends) || rates.iter().all(|rate| *rate <= 0.0) {
            return Err(Error::Plan("a rate is a number of requests each second, at most 10000000, and not only 0"));
        }
        if self.mode.connections() > *CONNECTIONS.end() as usize {
            return Err(Error::Plan("there are at most 1000000 connections"));
        }
        if self.total() > LONGEST_RUN {
            return Err(Error::Plan("the warm-up and the duration take at most 4 days together"));
        }
        if self.timeout > LONGEST_WAIT {
            return Err(Error::Plan("the timeout is at most 365 days"));
        }
        if self.mode.connections() == 0 || self.threads == 0 {
            return Err(Error::Plan("there has to be a connection and a thread"));
        }
        if self.duration.is_zero() || self.timeout.is_zero() {
            return Err(Error::Plan("the duration and the timeout have to be longer than nothing"));
        }
        if self.sources.iter().any(|source| source.is_ipv4() != self.target.is_ipv4()) {
            return Err(Error::Plan("the addresses of the clients and of the target are of different kinds"));
        }
        if self.part.is_some_and(|part| part.number >= part.of) {
            return Err(Error::Plan("the number of a part is less than that of all parts"));
        }
        if self.requests.is_empty() {
            return Err(Error::Plan("there is no request"));
        }
        Ok(())
    }

    /// The number of a thread among those of all parts, and how many these are: they take turns.
    pub(super) fn turn(&self, number: usize, threads: usize) -> (usize, usize) {
        self.part.map_or((number, threads), |part| (part.number + part.of * number, part.of * threads))
    }

    /// From the first request to the last, if nothing ends it before.
    pub(super) const fn total(&self) -> Duration {
        self.warm_up.saturating_add(self.duration)
    }
}

/// A request as it goes out.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    /// The place of its series.
    pub(super) series: usize,
    /// Bytes of the body.
    pub(super) body: u64,
    /// Its answer has no body, whatever it says.
    pub(super) head: bool,
}

fn full(method: &str, target: &str) -> String {
    format!("{method} {target}")
}

/// The message types of these requests, given by method and target: each one's own, unless they are too many.
pub(crate) fn message_types<'a>(requests: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<String> {
    let different: BTreeSet<_> = requests.clone().collect();
    let name = |(method, target): (&str, &str)| match different.len() {
        ..=MAX_SERIES => full(method, target),
        _ => format!("{method} (many targets)"),
    };
    requests.map(name).collect()
}

/// The requests of a plan as they go out, and what their series are about.
pub(super) fn prepare(plan: &Plan) -> Result<(Vec<Prepared>, Vec<SeriesKey>), Error> {
    let names = message_types(plan.requests.iter().map(|request| (request.method.as_str(), request.target.as_str())));
    let mut places: BTreeMap<String, usize> = names.iter().map(|name| (name.clone(), 0)).collect();
    for (place, (_, its)) in places.iter_mut().enumerate() {
        *its = place;
    }
    let prepared = plan.requests.iter().zip(&names).map(|(request, name)| {
        let bytes = write(request, plan).ok_or_else(|| Error::Request(full(&request.method, &request.target)))?;
        let series = places.get(name).copied().unwrap_or_default();
        Ok(Prepared { bytes, series, body: request.body.len() as u64, head: request.method == "HEAD" })
    });
    let prepared = prepared.collect::<Result<Vec<_>, Error>>()?;
    let key = |message| SeriesKey { message, ..SeriesKey::default() };
    Ok((prepared, places.into_keys().map(key).collect()))
}

/// `None` if it would not be one request.
fn write(request: &PlainRequest, plan: &Plan) -> Option<Vec<u8>> {
    let method = http::Method::from_bytes(request.method.as_bytes()).ok()?;
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    if !visible(&request.target) || method == http::Method::CONNECT {
        return None;
    }
    let mut text = format!("{method} {} HTTP/1.1\r\n", request.target);
    let has = |name: &str| request.headers.iter().any(|(its, _)| its.eq_ignore_ascii_case(name));
    let mut field = |name: &str, value: &str| {
        http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        http::HeaderValue::from_str(value).ok()?;
        text.push_str(&format!("{name}: {value}\r\n"));
        Some(())
    };
    if !has("host") {
        field("Host", &plan.host)?;
    }
    for (name, value) in &request.headers {
        field(name, value)?;
    }
    let carries = !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    if carries && !has("content-length") && !has("transfer-encoding") {
        field("Content-Length", &request.body.len().to_string())?;
    }
    if !plan.keep_alive && !has("connection") {
        field("Connection", "close")?;
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&request.body);
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new(([127, 0, 0, 1], 1).into(), "mp.lab.test")
    }

    #[test]
    fn a_request_goes_out_as_it_should() {
        let mut post = PlainRequest { method: "CCM_POST".to_owned(), ..PlainRequest::get("/ccm_system/request") };
        post.headers.push(("User-Agent".to_owned(), "ConfigMgr Messaging HTTP Sender".to_owned()));
        post.body = Bytes::from_static(b"abc");
        let plan = Plan { requests: vec![PlainRequest::get("/a"), post], keep_alive: false, ..plan() };
        let (prepared, keys) = prepare(&plan).unwrap();
        let texts: Vec<_> = prepared.iter().map(|one| String::from_utf8_lossy(&one.bytes)).collect();
        assert_eq!(texts[0], "GET /a HTTP/1.1\r\nHost: mp.lab.test\r\nConnection: close\r\n\r\n");
        assert_eq!(
            texts[1],
            "CCM_POST /ccm_system/request HTTP/1.1\r\nHost: mp.lab.test\r\n\
             User-Agent: ConfigMgr Messaging HTTP Sender\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        );
        assert_eq!(keys[prepared[0].series].message, "GET /a");
        assert_eq!((keys[prepared[1].series].message.as_str(), prepared[1].body), ("CCM_POST /ccm_system/request", 3));
    }

    #[test]
    fn many_targets_share_a_series() {
        let requests = (0..65).map(|n| PlainRequest::get(&format!("/{n}"))).collect();
        let (prepared, keys) = prepare(&Plan { requests, ..plan() }).unwrap();
        assert_eq!((prepared.len(), keys.len()), (65, 1));
        assert_eq!(keys[0].message, "GET (many targets)");
    }

    #[test]
    fn what_would_be_two_requests_is_refused() {
        let field = |name: &str, value: &str| PlainRequest {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..PlainRequest::get("/")
        };
        let bad = [PlainRequest::get("/a b"), PlainRequest::get(""), field("A", "b\r\nC: d"), field("A b", "c")];
        for request in bad {
            let plan = Plan { requests: vec![request], ..plan() };
            assert!(matches!(prepare(&plan), Err(Error::Request(_))), "{plan:?}");
        }
    }

    #[test]
    fn a_plan_that_cannot_be_done_is_refused() {
        let closed = |connections| Mode::Closed { connections };
        let rate = |per_second| Mode::Rate { per_second, connections: 1 };
        let bad = [
            Plan { mode: closed(0), ..plan() },
            Plan { mode: rate(0.0), ..plan() },
            Plan { mode: rate(f64::NAN), ..plan() },
            Plan { mode: Mode::Ramp { from: -1.0, to: 5.0, connections: 1 }, ..plan() },
            Plan { requests: Vec::new(), ..plan() },
            Plan { threads: 0, ..plan() },
            Plan { mode: rate(1e12), ..plan() },
            Plan { mode: Mode::Ramp { from: 1.0, to: 1e12, connections: 1 }, ..plan() },
            Plan { mode: closed(1_000_001), ..plan() },
            Plan { duration: Duration::MAX, ..plan() },
            Plan { warm_up: LONGEST_RUN, ..plan() },
            Plan { timeout: Duration::MAX, ..plan() },
            Plan { duration: Duration::ZERO, ..plan() },
            Plan { sources: vec!["::1".parse().unwrap()], ..plan() },
        ];
        for plan in bad {
            assert!(matches!(plan.check(), Err(Error::Plan(_))), "{plan:?}");
        }
        let good = Plan { mode: Mode::Ramp { from: 0.0, to: 5.0, connections: 1 }, ..plan() };
        assert!(good.check().is_ok());
    }
}
