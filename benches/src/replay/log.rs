//! A log as it is held in memory: 32 bytes for each request, and each different request once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::{Grain, Line};
use super::message::{Message, keys, message_of};
use super::{json, w3c};
use crate::threshold::Names;

/// Most requests that are held: 320 MB, and half as much again while they are sorted.
pub const MOST_REQUESTS: usize = 10_000_000;
/// Most bytes of different requests.
const MOST_TEXT: usize = 256 * 1024 * 1024;
/// A line that is longer is none.
const MOST_LINE: u64 = 64 * 1024;
/// Most bytes of a body that are made up.
const MOST_BODY: u64 = 1 << 30;
/// Broken lines that are named.
const NAMED: usize = 5;
/// Methods that are counted by name.
const MOST_METHODS: usize = 20;
/// Methods that change nothing which an upload of a client does not change too.
const HARMLESS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PROPFIND", "CCM_POST", "POST", "BITS_POST"];
const SECOND_US: u64 = 1_000_000;

/// Which requests are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// `GET`, `HEAD`, `OPTIONS`, `PROPFIND`, `CCM_POST`, `POST` and `BITS_POST`; the others are counted.
    Harmless,
    /// All but `CONNECT`.
    All,
}

/// How a log is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Which of its requests are sent again.
    pub methods: Methods,
    /// Only the first so many of them, 1 to [`MOST_REQUESTS`].
    pub limit: usize,
    /// The part of the lines that may be broken, 0 to 1.
    pub max_broken: f64,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its file.
    pub file: PathBuf,
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What the lines of a log were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines, but for empty ones and those that begin with `#`.
    pub lines: u64,
    /// Lines that cannot be read; those that begin with `#` too.
    pub broken: u64,
    /// The first of them.
    pub named: Vec<Broken>,
    /// Requests that are not sent again, by method.
    pub skipped: BTreeMap<String, u64>,
    /// Requests that were over before one that stands earlier in the log.
    pub unsorted: u64,
}

impl Counts {
    /// In sentences, why what is sent may not be what was asked.
    pub(super) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.broken > 0 {
            let first = self.named.first().map_or(String::new(), |first| {
                format!(" The first is line {} of {}: {}.", first.line, first.file.display(), first.why)
            });
            let (broken, lines) = (self.broken, self.lines.max(self.broken));
            doubts.push(format!("{broken} of {lines} lines of the log cannot be read, and were not sent.{first}"));
        }
        if !self.skipped.is_empty() {
            let methods: Vec<_> = self.skipped.iter().map(|(method, count)| format!("{method} {count}")).collect();
            doubts.push(format!(
                "Requests of the log that may change something were not sent, for want of --all-methods: {}.",
                methods.join(", ")
            ));
        }
        doubts
    }
}

/// One request, as it is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// When it is due, in microseconds since the log begins. While it is read: when it was over, since 1970.
    pub(super) at_us: u64,
    /// Its place among the shapes.
    pub(super) shape: u32,
    /// Its place among the clients.
    pub(super) client: u32,
    /// Bytes of its body.
    pub(super) body: u32,
    /// Bytes from the start of a file, if it asked for a range; 0 otherwise.
    pub(super) range: u32,
    took_us: u32,
    /// What the log has; 0 if it has none.
    pub(super) status: u16,
    grain: Grain,
}

/// What is the same in many requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) method: Box<str>,
    pub(super) target: Box<str>,
    pub(super) host: Option<Box<str>>,
    pub(super) agent: Option<Box<str>>,
    pub(super) message: Message,
}

/// A log that was read.
#[derive(Debug)]
pub struct Log {
    /// In the order in which they are due.
    pub(super) requests: Vec<Request>,
    pub(super) shapes: Vec<Shape>,
    pub(super) clients: Vec<IpAddr>,
    counts: Counts,
    began: SystemTime,
    length: Duration,
}

impl Log {
    /// What its requests are, each kind once, in order.
    pub(super) fn messages(&self) -> Vec<Message> {
        let messages: BTreeSet<Message> = self.shapes.iter().map(|shape| shape.message).collect();
        messages.into_iter().collect()
    }

    /// What thresholds can be about.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::of(&keys(&self.messages()))
    }

    /// Reads a log from its files, the oldest first.
    ///
    /// # Errors
    /// A file cannot be read, too many lines are broken, nothing can be sent, or it is too large: says so, with what to do, a
    /// line for each broken one that is named.
    pub fn read(files: &[PathBuf], reading: Reading) -> Result<Self, String> {
        let mut reader = Reader::new(reading);
        for file in files {
            let name = || file.display();
            let open = File::open(file).map_err(|error| format!("{} cannot be read: {error}", name()))?;
            let read = reader.file(file, BufReader::with_capacity(256 * 1024, open));
            read.map_err(|error| format!("{} cannot be read: {error}", name()))??;
        }
        reader.end()
    }

    /// What its lines were.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many requests there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none. There always are some.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many clients sent them.
    #[must_use]
    pub const fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The second in which the first was due.
    #[must_use]
    pub const fn began(&self) -> SystemTime {
        self.began
    }

    /// From then to the end of the second in which the last was due.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }
}

/// What was read so far.
struct Reader {
    reading: Reading,
    requests: Vec<Request>,
    shapes: Vec<Shape>,
    places: HashMap<String, u32>,
    clients: HashMap<IpAddr, u32>,
    text: usize,
    last_us: u64,
    counts: Counts,
}

impl Reader {
    fn new(reading: Reading) -> Self {
        Self {
            reading,
            requests: Vec::new(),
            shapes: Vec::new(),
            places: HashMap::new(),
            clients: HashMap::new(),
            text: 0,
            last_us: 0,
            counts: Counts::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.requests.len() >= self.reading.limit
    }

    /// Reads a file; the inner error is about what is in it.
    fn file(&mut self, file: &Path, mut from: impl BufRead) -> io::Result<Result<(), String>> {
        let (mut columns, mut bytes, mut number) = (w3c::Columns::default(), Vec::new(), 0);
        while !self.is_full() {
            bytes.clear();
            if (&mut from).take(MOST_LINE).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            number += 1;
            let is_long = bytes.len() as u64 == MOST_LINE && !bytes.ends_with(b"\n");
            let read = if is_long {
                skip_line(&mut from)?;
                Err("it is longer than 64 KiB".to_owned())
            } else {
                self.line(&bytes, number, &mut columns)
            };
            if let Err(why) = read {
                self.counts.broken += 1;
                if self.counts.named.len() < NAMED {
                    self.counts.named.push(Broken { file: file.to_owned(), line: number, why });
                }
            }
            if self.requests.len() > MOST_REQUESTS || self.text > MOST_TEXT {
                return Ok(Err(format!(
                    "{} has more than {MOST_REQUESTS} requests, or more different ones than 256 MiB hold: take --limit, or \
                     a part of the log",
                    file.display()
                )));
            }
        }
        Ok(Ok(()))
    }

    fn line(&mut self, bytes: &[u8], number: u64, columns: &mut w3c::Columns) -> Result<(), String> {
        let text = std::str::from_utf8(bytes);
        let text = text.map(|text| if number == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim());
        if text == Ok("") {
            return Ok(());
        }
        if let Ok(text) = text
            && text.starts_with('#')
        {
            return columns.directive(text);
        }
        self.counts.lines += 1;
        let text = text.map_err(|_| "it is no UTF-8")?;
        if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err("it has bytes that no text has".to_owned());
        }
        let line = if text.starts_with('{') { json::line(text) } else { columns.line(text) };
        match line? {
            Some(line) => self.request(&line),
            None => Ok(()),
        }
    }

    fn request(&mut self, line: &Line<'_>) -> Result<(), String> {
        let client: IpAddr = line.client.parse().map_err(|_| format!("'{}' is no address of a client", line.client))?;
        let method = &*line.method;
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            return Err(format!("'{method}' is no method"));
        }
        let target = &*line.target;
        let is_visible = target.bytes().all(|byte| byte > b' ' && byte < 0x7f);
        if !is_visible || !target.starts_with('/') && target != "*" {
            return Err(format!("'{target}' is no path"));
        }
        for (what, field) in [("host", &line.host), ("user agent", &line.agent)] {
            if let Some(field) = field.as_deref().filter(|field| http::HeaderValue::from_str(field).is_err()) {
                return Err(format!("'{field}' is no {what}"));
            }
        }
        let since = line.over.duration_since(UNIX_EPOCH).map_err(|_| "it is older than 1970")?;
        let body = u32::try_from(line.body).ok().filter(|body| u64::from(*body) <= MOST_BODY);
        let body = body.ok_or_else(|| format!("its body has {} bytes: more than 1 GiB", line.body))?;
        let at_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let is_sent = self.reading.methods == Methods::All && method != "CONNECT" || HARMLESS.contains(&method);
        if !is_sent {
            let known = self.counts.skipped.len() < MOST_METHODS || self.counts.skipped.contains_key(method);
            *self.counts.skipped.entry(if known { method } else { "others" }.to_owned()).or_default() += 1;
            return Ok(());
        }
        self.counts.unsorted += u64::from(at_us < self.last_us);
        self.last_us = self.last_us.max(at_us);
        let clients = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        let range = line.received.filter(|_| line.status == Some(206) && method == "GET").unwrap_or_default();
        let request = Request {
            at_us,
            shape: self.shape(line),
            client: *self.clients.entry(client).or_insert(clients),
            body,
            range: u32::try_from(range).unwrap_or(u32::MAX),
            took_us: u32::try_from(line.took_us).unwrap_or(u32::MAX),
            status: line.status.unwrap_or_default(),
            grain: line.grain,
        };
        self.requests.push(request);
        Ok(())
    }

    fn shape(&mut self, line: &Line<'_>) -> u32 {
        let [host, agent] = [&line.host, &line.agent].map(|field| field.as_deref().unwrap_or_default());
        // None of them has such an end of a line in it.
        let key = [&line.method, &line.target, host, agent].join("\n");
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        let boxed = |field: &Option<Cow<'_, str>>| field.as_deref().map(Box::from);
        self.shapes.push(Shape {
            method: Box::from(&*line.method),
            target: Box::from(&*line.target),
            host: boxed(&line.host),
            agent: boxed(&line.agent),
            message: message_of(&line.method, &line.target),
        });
        self.text += 2 * key.len() + size_of::<Shape>() + size_of::<String>();
        self.places.insert(key, place);
        place
    }

    fn end(self) -> Result<Log, String> {
        let Self { mut requests, shapes, clients, counts, reading, .. } = self;
        let named =
            || counts.named.iter().map(|Broken { file, line, why }| format!("{}, line {line}: {why}", file.display()));
        let lines = counts.lines.max(counts.broken);
        // Counts of lines are far below what a float counts exactly.
        #[allow(clippy::cast_precision_loss)]
        let part = counts.broken as f64 / lines.max(1) as f64;
        if part > reading.max_broken {
            let (percent, most) = (part * 100.0, reading.max_broken * 100.0);
            let head = format!(
                "{} of {lines} lines cannot be read: {percent:.1} %, and at most {most:.1} % may be (--max-broken). IIS logs \
                 (W3C) and access logs of rolegate are read. The first of them:",
                counts.broken
            );
            return Err(std::iter::once(head).chain(named()).collect::<Vec<_>>().join("\n"));
        }
        if requests.is_empty() {
            return Err("the log has no request that can be sent: it is empty, or --all-methods is missing".to_owned());
        }
        let span = arrange(&mut requests);
        let mut addresses: Vec<_> = clients.into_iter().collect();
        addresses.sort_unstable_by_key(|(_, place)| *place);
        Ok(Log {
            requests,
            shapes,
            clients: addresses.into_iter().map(|(address, _)| address).collect(),
            counts,
            began: UNIX_EPOCH + Duration::from_micros(span.first_us),
            length: Duration::from_micros(span.length_us),
        })
    }
}

/// The whole seconds that some requests are in.
struct Span {
    /// When the first begins, in microseconds since 1970.
    first_us: u64,
    length_us: u64,
}

/// Sorts requests by when they began, counted from the first second of that. Those that were over in the same second, and of
/// which no more is known, are spread evenly over it in the order of the log.
fn arrange(requests: &mut [Request]) -> Span {
    requests.sort_by_key(|request| request.at_us);
    let mut rest = &mut *requests;
    while let Some(first) = rest.first() {
        let (second, is_coarse) = (first.at_us, |request: &&mut Request| request.grain == Grain::Second);
        let same = rest.partition_point(|request| request.at_us == second);
        let (group, after) = std::mem::take(&mut rest).split_at_mut(same);
        let coarse = group.iter().filter(|request| request.grain == Grain::Second).count() as u64;
        for (place, request) in (0..).zip(group.iter_mut().filter(is_coarse)) {
            request.at_us += place * SECOND_US / coarse;
        }
        rest = after;
    }
    for request in &mut *requests {
        request.at_us = request.at_us.saturating_sub(u64::from(request.took_us));
    }
    requests.sort_by_key(|request| request.at_us);
    let first_us = requests.first().map_or(0, |first| first.at_us / SECOND_US * SECOND_US);
    for request in &mut *requests {
        request.at_us -= first_us;
    }
    let length_us = requests.last().map_or(0, |last| (last.at_us / SECOND_US + 1) * SECOND_US);
    Span { first_us, length_us }
}

/// Reads on to the end of the line.
fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let len = end.map_or(buffer.len(), |end| end + 1);
        from.consume(len);
        if end.is_some() {
            return Ok(());
        }
    }
}
