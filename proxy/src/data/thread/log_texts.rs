//! What a request says of itself and the access log will say too: copied when the request comes, into memory that is used again
//! for the next one.

use std::cell::RefCell;
use std::time::Duration;

use http::{Method, Uri};

use crate::model::access_log::{LogField, LogFields};
use crate::wire::fields::Fields;
use crate::wire::known::Known;

/// Texts of a client, in the order in which they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Text {
    /// The target, as it was sent.
    Target,
    /// `Host`.
    Host,
    /// `User-Agent`.
    UserAgent,
    /// `Referer`.
    Referer,
    /// `CCMClientID`: the number that Configuration Manager has given the client.
    ClientId,
    /// `traceparent` (W3C Trace Context).
    TraceParent,
    /// The number of the request, of a trusted proxy or ours.
    RequestId,
    /// The server name in the client's `ClientHello`.
    ServerName,
}

/// How many there are.
const TEXTS: usize = Text::ServerName as usize + 1;

/// Texts that are fields of a request, and the fields of the log that show them.
const FIELDS: [(LogField, Known); 5] = [
    (LogField::Host, Known::Host),
    (LogField::UserAgent, Known::UserAgent),
    (LogField::Referer, Known::Referer),
    (LogField::ClientId, Known::CcmClientId),
    (LogField::TraceId, Known::TraceParent),
];

/// Texts of one request in one piece of memory. One that is not there is empty.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: [u32; TEXTS],
}

impl Texts {
    /// One of them, unless it is not there.
    pub fn get(&self, text: Text) -> Option<&[u8]> {
        let place = text as usize;
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        let text = self.bytes.get(begin as usize..self.ends[place] as usize)?;
        (!text.is_empty()).then_some(text)
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Begins anew with what these fields of the log want of a request.
    pub fn fill(&mut self, wanted: LogFields, target: &Uri, fields: &Fields, own: &Own<'_>) {
        self.bytes.clear();
        let values = FIELDS.map(|(field, known)| fields.get(known).filter(|_| wanted.has(field)));
        let own = [
            own.request_id.filter(|_| wanted.has(LogField::RequestId)),
            own.server_name.map(str::as_bytes).filter(|_| wanted.has(LogField::ServerName)),
        ];
        let values = || values.iter().chain(&own).map(|value| value.unwrap_or_default());
        let path = target.path_and_query().filter(|_| target.scheme().is_none());
        // Most targets are a part of what came; the others are joined.
        let joined = if path.is_none() { target.to_string() } else { String::new() };
        let target = path.map_or(joined.as_str(), |path| path.as_str()).as_bytes();
        self.bytes.reserve_exact(target.len() + values().map(<[u8]>::len).sum::<usize>());
        self.bytes.extend_from_slice(target);
        self.ends[0] = self.end();
        for (place, value) in values().enumerate() {
            self.bytes.extend_from_slice(value);
            self.ends[place + 1] = self.end();
        }
    }

    /// Texts of a connection that is no request: its server name alone.
    pub fn of_name(name: &str) -> Self {
        let mut ends = [0; TEXTS];
        ends[Text::ServerName as usize] = u32::try_from(name.len()).unwrap_or_default();
        Self { bytes: name.into(), ends }
    }

    /// Heads have far less than 4 GiB.
    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

/// What is known of a request besides its head.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its number.
    pub request_id: Option<&'a [u8]>,
    /// The server name that its client asked for in its handshake.
    pub server_name: Option<&'a str>,
}

/// What the log needs of a request until it ends.
#[derive(Debug)]
pub struct Line {
    /// Its method.
    pub method: Method,
    /// What it says of itself.
    pub texts: Texts,
    /// From its head to the response's head.
    pub first_byte: Option<Duration>,
    /// Why it is logged.
    pub drawn: Drawn,
}

/// Whether a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// It is.
    Yes,
    /// Only if it ends with an error.
    IfError,
}

/// Lines of requests that are over, for those that come.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "boxes come and go: what is in them is not moved")]
pub struct SpareLines(RefCell<Vec<Box<Line>>>);

/// Lines that are kept by a data thread.
const SPARE: usize = 64;
/// One with more bytes of memory is not kept.
const LARGEST: usize = 4096;

impl SpareLines {
    /// A line, with the memory of another if there is one.
    pub fn take(&self, method: &Method, drawn: Drawn) -> Box<Line> {
        let method = method.clone();
        let Some(mut line) = self.0.borrow_mut().pop() else {
            return Box::new(Line { method, texts: Texts::default(), first_byte: None, drawn });
        };
        (line.method, line.first_byte, line.drawn) = (method, None, drawn);
        line
    }

    /// Keeps the memory of one that is not needed any more.
    pub fn put(&self, line: Box<Line>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < SPARE && line.texts.bytes() <= LARGEST {
            kept.push(line);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_request_and_of_no_other() {
        let mut texts = Texts::default();
        let fields = Fields::of(&[("host", "mp1"), ("user-agent", "ccm"), ("referer", "x"), ("ccmclientid", "GUID:1")]);
        let own = Own { request_id: Some(b"42"), server_name: Some("mp1.lab.test") };
        texts.fill(LogFields::of(LogField::ALL), &Uri::from_static("/a?b"), &fields, &own);
        let all = [
            Text::Target,
            Text::Host,
            Text::UserAgent,
            Text::Referer,
            Text::ClientId,
            Text::TraceParent,
            Text::RequestId,
            Text::ServerName,
        ];
        let shown = |texts: &Texts| {
            all.map(|text| texts.get(text).map(|text| String::from_utf8(text.into()).unwrap()))
                .map(Option::unwrap_or_default)
        };
        assert_eq!(shown(&texts), ["/a?b", "mp1", "ccm", "x", "GUID:1", "", "42", "mp1.lab.test"]);
        // Others want less, and nothing is left of what was there.
        texts.fill(LogFields::of(&[LogField::Referer]), &Uri::from_static("http://h/c"), &fields, &own);
        assert_eq!(shown(&texts), ["http://h/c", "", "", "x", "", "", "", ""]);
        assert_eq!(shown(&Texts::of_name("n")), ["", "", "", "", "", "", "", "n"]);
    }

    #[test]
    fn memory_is_used_again() {
        let spare = SpareLines::default();
        let mut line = spare.take(&Method::GET, Drawn::IfError);
        let fields = Fields::of(&[("host", "mp1")]);
        let own = Own { request_id: None, server_name: None };
        line.texts.fill(LogFields::of(LogField::ALL), &Uri::from_static("/a?b"), &fields, &own);
        spare.put(line);
        let again = allocation_counter::measure(|| {
            let mut line = spare.take(&Method::GET, Drawn::IfError);
            line.texts.fill(LogFields::of(LogField::ALL), &Uri::from_static("/c?d"), &fields, &own);
            spare.put(line);
        });
        assert_eq!(again.count_total, 0);
    }
}
