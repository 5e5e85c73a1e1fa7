//! Lines of an IIS log: W3C extended, whatever columns it has, in whatever order.

use std::borrow::Cow;

use super::line::{Grain, Line};

/// What a column has, of those that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Date,
    Time,
    /// How long it took, in milliseconds.
    Taken,
    Method,
    Stem,
    Query,
    Client,
    Agent,
    Host,
    Status,
    /// Bytes that the client sent, its head too.
    ClientBytes,
    /// Bytes that the server sent, its head too.
    ServerBytes,
    Other,
}

/// What the lines before have said.
#[derive(Debug, Default)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// Of `#Date`, for lines that have only a time.
    date: Option<String>,
}

/// The values of a line, as they stand there; `-` is none.
#[derive(Debug, Default)]
struct Values<'l> {
    date: Option<&'l str>,
    time: Option<&'l str>,
    taken: Option<&'l str>,
    method: Option<&'l str>,
    stem: Option<&'l str>,
    query: Option<&'l str>,
    client: Option<&'l str>,
    agent: Option<&'l str>,
    host: Option<&'l str>,
    status: Option<&'l str>,
    client_bytes: Option<&'l str>,
    server_bytes: Option<&'l str>,
}

/// Methods that have a body: of the others, what the client sent is a head.
const WITH_BODY: [&str; 5] = ["POST", "CCM_POST", "BITS_POST", "PUT", "PATCH"];

impl Column {
    fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "date" => Self::Date,
            "time" => Self::Time,
            "time-taken" => Self::Taken,
            "cs-method" => Self::Method,
            "cs-uri-stem" => Self::Stem,
            "cs-uri-query" => Self::Query,
            "c-ip" => Self::Client,
            "cs(user-agent)" => Self::Agent,
            "cs-host" | "cs(host)" => Self::Host,
            "sc-status" => Self::Status,
            "cs-bytes" => Self::ClientBytes,
            "sc-bytes" => Self::ServerBytes,
            _ => Self::Other,
        }
    }
}

impl Values<'_> {
    /// Whether there is neither a question nor an answer: rolegate writes such lines for tunnels.
    fn is_no_request(&self) -> bool {
        self.method.is_none() && self.stem.is_none() && self.status.is_none()
    }
}

impl Columns {
    /// Reads a line that begins with `#`.
    pub(super) fn directive(&mut self, line: &str) -> Result<(), String> {
        if let Some(names) = line.strip_prefix("#Fields:") {
            self.columns = names.split_ascii_whitespace().map(Column::of).collect();
            let lacking: Vec<_> = [
                (Column::Time, "time"),
                (Column::Method, "cs-method"),
                (Column::Stem, "cs-uri-stem"),
                (Column::Client, "c-ip"),
            ]
            .into_iter()
            .filter(|(column, _)| !self.columns.contains(column))
            .map(|(_, name)| name)
            .collect();
            if !lacking.is_empty() {
                self.columns.clear();
                return Err(format!("#Fields lacks {}: log these too", lacking.join(", ")));
            }
        } else if let Some(date) = line.strip_prefix("#Date:") {
            self.date = date.split_ascii_whitespace().next().map(str::to_owned);
        }
        Ok(())
    }

    /// Reads a line of values: its request, unless it is about a connection without one.
    pub(super) fn line<'l>(&self, line: &'l str) -> Result<Option<Line<'l>>, String> {
        if self.columns.is_empty() {
            return Err("there is no #Fields line before it that can be used".to_owned());
        }
        let values = self.values(line)?;
        if self.columns.contains(&Column::Status) && values.is_no_request() {
            return Ok(None);
        }
        let date = values.date.or(self.date.as_deref()).ok_or("it has no date, and no #Date line is before it")?;
        let time = values.time.ok_or("it has no time")?;
        let over = humantime::parse_rfc3339(&format!("{date}T{time}Z"));
        let over = over.map_err(|_| format!("'{date} {time}' is no date and time"))?;
        let method = values.method.ok_or("it has no method")?;
        let stem = values.stem.ok_or("it has no path")?;
        let sent = number(values.client_bytes, "cs-bytes")?.filter(|_| WITH_BODY.contains(&method));
        Ok(Some(Line {
            over,
            grain: if time.contains('.') { Grain::Exact } else { Grain::Second },
            took_us: number::<u64>(values.taken, "time-taken")?.unwrap_or_default().saturating_mul(1000),
            client: values.client.ok_or("it has no client address")?,
            method: Cow::Borrowed(method),
            target: target(stem, values.query),
            host: values.host.map(Cow::Borrowed),
            agent: values.agent.map(|agent| Cow::Owned(agent.replace('+', " "))),
            status: number(values.status, "sc-status")?,
            body: sent.unwrap_or_default(),
            received: number(values.server_bytes, "sc-bytes")?,
        }))
    }

    fn values<'l>(&self, line: &'l str) -> Result<Values<'l>, String> {
        let mut values = Values::default();
        let (mut columns, mut count) = (self.columns.iter(), 0);
        for value in line.split_ascii_whitespace() {
            count += 1;
            let Some(column) = columns.next() else { continue };
            let place = match column {
                Column::Date => &mut values.date,
                Column::Time => &mut values.time,
                Column::Taken => &mut values.taken,
                Column::Method => &mut values.method,
                Column::Stem => &mut values.stem,
                Column::Query => &mut values.query,
                Column::Client => &mut values.client,
                Column::Agent => &mut values.agent,
                Column::Host => &mut values.host,
                Column::Status => &mut values.status,
                Column::ClientBytes => &mut values.client_bytes,
                Column::ServerBytes => &mut values.server_bytes,
                Column::Other => continue,
            };
            *place = Some(value).filter(|value| *value != "-");
        }
        let expected = self.columns.len();
        if count == expected { Ok(values) } else { Err(format!("it has {count} values, and #Fields names {expected}")) }
    }
}

fn number<T: std::str::FromStr>(text: Option<&str>, name: &str) -> Result<Option<T>, String> {
    text.map(|text| text.parse().map_err(|_| format!("'{text}' is no {name}"))).transpose()
}

/// What was asked for. IIS writes paths with their escapes undone, so that some have to be made again.
fn target<'l>(stem: &'l str, query: Option<&'l str>) -> Cow<'l, str> {
    let in_stem = |byte: u8| byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'?' | b'"' | b'<' | b'>');
    let in_query = |byte: u8| byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'"' | b'<' | b'>');
    match query {
        None if !stem.bytes().any(in_stem) => Cow::Borrowed(stem),
        None => Cow::Owned(escaped(stem, in_stem)),
        Some(query) => Cow::Owned(format!("{}?{}", escaped(stem, in_stem), escaped(query, in_query))),
    }
}

fn escaped(text: &str, is_escaped: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_escaped(byte) {
            true => out.push_str(&format!("%{byte:02X}")),
            false => out.push(char::from(byte)),
        }
    }
    out
}
