//! Heads of requests, as clients send them.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Uri, Version};

use super::body::{BadFraming, Framing};
use super::fields::Fields;
use super::head::{self, RequestHead};
use super::known::Known;
use super::list::list_elements;
use super::names::Names;

/// Fields that a request usually has at most. More are read too, in a second try.
const USUAL_FIELDS: usize = 64;
/// Most fields of a request.
pub const MAX_FIELDS: usize = 1000;

/// Why a head is none, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// It is not HTTP.
    Head,
    /// It is larger than it may be, or has more than [`MAX_FIELDS`] fields.
    TooLarge,
    /// The target is none of those of RFC 9112, section 3.2, or has a byte that no target has.
    Target,
    /// A major version besides 1.
    Version,
    /// How long its body is cannot be believed.
    Framing(BadFraming),
}

/// A request whose head has come.
#[derive(Debug)]
pub struct Asked {
    /// The head, with its fields as they came.
    pub head: RequestHead,
    /// How its body comes.
    pub framing: Framing,
    /// How the client wants to go on.
    pub manner: Manner,
}

/// What a request says about its connection and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The client speaks HTTP/1.0.
    pub old: bool,
    /// The client may send another request afterwards.
    pub stays: bool,
    /// It is a HEAD: the answer has no body.
    pub head_only: bool,
    /// The answer may have trailers.
    pub trailers: bool,
    /// The client waits for 100 before it sends its body.
    pub expects: bool,
}

/// Where a head begins: some clients send an empty line after a body, which is none of it (RFC 9112, section 2.2). Of what was read, so
/// much was searched before, perhaps the first byte of such a line; gives how much of what is left was.
pub fn skip_blank_lines(read: &mut BytesMut, searched: usize) -> usize {
    if searched > 1 {
        return searched;
    }
    let mut blank = 0;
    loop {
        blank += match &read[blank..] {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            // A bare CR ends no line.
            _ => break,
        };
    }
    read.advance(blank);
    if blank == 0 { searched } else { 0 }
}

/// Whether what there is can still become a head. Asked while its end has not come.
///
/// # Errors
/// [`BadRequest`]: it cannot.
pub fn check_beginning(read: &[u8]) -> Result<(), BadRequest> {
    // A line that is whole is looked at as a parser sees it; before that, the first byte tells HTTP from TLS.
    let line = memchr::memchr(b'\n', read).map_or(&read[..read.len().min(1)], |end| &read[..=end]);
    let mut line = line.to_vec();
    lower_version(&mut line);
    match httparse::Request::new(&mut []).parse(&line) {
        Ok(httparse::Status::Partial) => Ok(()),
        Err(httparse::Error::Version) if has_version(&line) => Err(BadRequest::Version),
        Ok(httparse::Status::Complete(_)) | Err(_) => Err(BadRequest::Head),
    }
}

/// The head of a request, all of it. Values are parts of `bytes`, not copies, and are put into `fields`.
///
/// # Errors
/// [`BadRequest`]; what follows cannot be trusted to be a request.
pub fn parse(mut bytes: BytesMut, fields: Fields, names: &mut Names) -> Result<Asked, BadRequest> {
    lower_version(&mut bytes);
    let bytes = bytes.freeze();
    let mut places = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    let mut many;
    let mut parsed = httparse::Request::new(&mut []);
    let mut lexed = parsed.parse_with_uninit_headers(&bytes, &mut places);
    if lexed == Err(httparse::Error::TooManyHeaders) {
        let lines = head::lines(&bytes);
        // Each takes more memory than it has bytes.
        if lines > MAX_FIELDS {
            return Err(BadRequest::TooLarge);
        }
        many = vec![httparse::EMPTY_HEADER; lines];
        parsed = httparse::Request::new(&mut many);
        lexed = parsed.parse(&bytes);
    }
    match lexed {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::Version) if has_version(&bytes) => return Err(BadRequest::Version),
        Ok(_) | Err(_) => return Err(BadRequest::Head),
    }
    let method = parsed.method.ok_or(BadRequest::Head)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| BadRequest::Head)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let fields = head::collect(&bytes, parsed.headers, fields, names).map_err(|_| BadRequest::Head)?;
    let uri = target(&bytes, parsed.path.ok_or(BadRequest::Head)?, &method).ok_or(BadRequest::Target)?;
    let lengths = fields.has(Known::ContentLength);
    let mut head = RequestHead { method, uri, version, fields };
    let framing = Framing::of_request(&mut head).map_err(BadRequest::Framing)?;
    let mut manner = Manner::of(&head, &framing);
    // One in front of us may have read the other framing (RFC 9112, section 6.1).
    manner.stays &= !(lengths && matches!(framing, Framing::Chunked(_)));
    Ok(Asked { head, framing, manner })
}

/// A higher minor version is the highest that is known (RFC 9110, section 2.5).
fn lower_version(head: &mut [u8]) {
    let Some(end) = memchr::memchr(b'\n', head) else { return };
    let line = head[..end].trim_ascii_end().len();
    if let Some([b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9']) =
        line.checked_sub(9).and_then(|begin| head.get_mut(begin..line))
    {
        *minor = b'1';
    }
}

/// Whether the first line ends as one of HTTP does.
fn has_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    // A blank in the target would end it sooner.
    let three = line.iter().filter(|&&byte| byte == b' ').count() == 2;
    three && matches!(line, [.., b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// The forms of RFC 9112, section 3.2, but for that of `CONNECT`, whose target is an authority and goes nowhere here.
fn target(bytes: &Bytes, target: &str, method: &Method) -> Option<Uri> {
    // A parser of URIs would cut it off and say nothing.
    if target.contains('#') {
        return None;
    }
    let whole = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).ok()?;
    match target.as_bytes() {
        [b'/', ..] | b"*" => Some(whole),
        _ if *method == Method::CONNECT => Some(whole),
        // The whole server is asked, by way of a forward proxy (RFC 9112, section 3.2.4).
        _ if whole.scheme().is_some() && *method == Method::OPTIONS && is_without_path(target) => {
            let mut parts = whole.into_parts();
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("*"));
            Uri::from_parts(parts).ok()
        }
        _ => whole.scheme().is_some().then_some(whole),
    }
}

fn is_without_path(absolute: &str) -> bool {
    absolute.split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?']))
}

impl Manner {
    fn of(head: &RequestHead, framing: &Framing) -> Self {
        let old = head.version < Version::HTTP_11;
        let says = |token| has_token(&head.fields, Known::Connection, token);
        let whole = matches!(framing, Framing::Over);
        Self {
            old,
            stays: if old { says("keep-alive") && !says("close") } else { !says("close") },
            head_only: head.method == Method::HEAD,
            trailers: !old && has_token(&head.fields, Known::Te, "trailers"),
            expects: !old && !whole && has_token(&head.fields, Known::Expect, "100-continue"),
        }
    }
}

fn has_token(fields: &Fields, name: Known, token: &str) -> bool {
    // Nearly no request has any of these fields.
    let says = |line| list_elements(line).any(|element| element.eq_ignore_ascii_case(token.as_bytes()));
    fields.all(name).any(says)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(head: &str) -> Result<Asked, BadRequest> {
        parse(BytesMut::from(head), Fields::default(), &mut Names::default())
    }

    fn manner(head: &str) -> Manner {
        asked(head).unwrap().manner
    }

    #[test]
    fn targets() {
        for (line, uri) in [
            ("GET /a?b HTTP/1.1", Some("/a?b")),
            ("GET /%zz/\"{}|^\\` HTTP/1.1", None),
            ("GET /a\"{}|^\\ HTTP/1.1", Some("/a\"{}|^\\")),
            ("GET http://h:80/a HTTP/1.1", Some("http://h:80/a")),
            ("GET * HTTP/1.1", Some("*")),
            ("OPTIONS http://h HTTP/1.1", Some("http://h*")),
            ("OPTIONS http://h/ HTTP/1.1", Some("http://h/")),
            ("CONNECT h:443 HTTP/1.1", Some("h:443")),
            ("GET h:443 HTTP/1.1", None),
            ("GET h HTTP/1.1", None),
            ("GET ?a HTTP/1.1", None),
            ("GET /a#b HTTP/1.1", None),
            ("GET # HTTP/1.1", None),
            ("GET /<a> HTTP/1.1", None),
        ] {
            let parsed = asked(&format!("{line}\r\n\r\n"));
            match uri {
                Some(uri) => assert_eq!(
                    parsed.unwrap().head.uri.path_and_query().map(|p| p.as_str().to_owned()),
                    Some(uri.strip_prefix("http://h:80").or(uri.strip_prefix("http://h")).unwrap_or(uri).to_owned())
                        .filter(|u| u != "h:443"),
                    "{line}"
                ),
                None => assert_eq!(parsed.unwrap_err(), BadRequest::Target, "{line}"),
            }
        }
    }

    #[test]
    fn versions() {
        assert_eq!(asked("GET / HTTP/1.0\r\n\r\n").unwrap().head.version, Version::HTTP_10);
        for minor in 1..10 {
            let parsed = asked(&format!("GET / HTTP/1.{minor}\r\n\r\n")).unwrap();
            assert_eq!(parsed.head.version, Version::HTTP_11);
            assert_eq!(check_beginning(format!("GET / HTTP/1.{minor}\r\n").as_bytes()), Ok(()));
        }
        for major in ["0.9", "2.0", "3.1"] {
            assert_eq!(asked(&format!("GET / HTTP/{major}\r\n\r\n")).unwrap_err(), BadRequest::Version, "{major}");
            let beginning = format!("GET / HTTP/{major}\r\n");
            assert_eq!(check_beginning(beginning.as_bytes()), Err(BadRequest::Version), "{major}");
        }
        assert_eq!(asked("PROXY TCP4 10.1.2.3 1 2\r\n\r\n").unwrap_err(), BadRequest::Head);
    }

    #[test]
    fn what_cannot_become_a_head_is_known_early() {
        for good in ["", "G", "GET / HT", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHos", "CCM_POST /a HTTP/1.0\n"] {
            assert_eq!(check_beginning(good.as_bytes()), Ok(()), "{good:?}");
        }
        for bad in ["\x16\x03", " GET", "SSH-2.0-x\r\n", "GET /\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n"] {
            assert_eq!(check_beginning(bad.as_bytes()), Err(BadRequest::Head), "{bad:?}");
        }
    }

    #[test]
    fn blank_lines_are_no_part_of_a_head() {
        for (read, left) in
            [("\r\n\n\r\nGET", "GET"), ("GET\r\n", "GET\r\n"), ("\r", "\r"), ("\r\rGET", "\r\rGET"), ("", "")]
        {
            let mut bytes = BytesMut::from(read);
            assert_eq!(skip_blank_lines(&mut bytes, 0), 0);
            assert_eq!(bytes, left, "{read:?}");
        }
        for (read, searched, left) in
            [("\r\nGET", 1, "GET"), ("\rGET", 1, "\rGET"), ("G\r\n", 1, "G\r\n"), ("\r\nGET", 2, "\r\nGET")]
        {
            let mut bytes = BytesMut::from(read);
            let now = skip_blank_lines(&mut bytes, searched);
            assert_eq!((&bytes[..], now), (left.as_bytes(), if left == "GET" { 0 } else { searched }), "{read:?}");
        }
        assert_eq!(check_beginning(b"\r"), Ok(()));
        assert_eq!(check_beginning(b"\rG"), Ok(()), "the first byte alone is looked at before the line has come");
        assert_eq!(asked("\rGET / HTTP/1.1\r\n\r\n").unwrap_err(), BadRequest::Head);
        assert!(asked("\r\nGET / HTTP/1.1\r\n\r\n").is_ok(), "one that came in two pieces is skipped by the lexer");
    }

    #[test]
    fn more_fields_than_usual() {
        let with = |count: usize| {
            let fields: String = (0..count).map(|number| format!("x-{number}: a\r\n")).collect();
            asked(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).map(|asked| asked.head.fields.len())
        };
        // The first line and the empty one are lines too.
        assert_eq!(with(MAX_FIELDS - 2), Ok(MAX_FIELDS - 2));
        assert_eq!(with(MAX_FIELDS), Err(BadRequest::TooLarge));
        assert_eq!(with(30_000), Err(BadRequest::TooLarge));
        let same = "a:\n".repeat(30_000);
        assert_eq!(asked(&format!("GET / HTTP/1.1\n{same}\n")).unwrap_err(), BadRequest::TooLarge);
    }

    #[test]
    fn how_it_goes_on() {
        assert!(manner("GET / HTTP/1.1\r\n\r\n").stays);
        assert!(!manner("GET / HTTP/1.1\r\nConnection: a\r\nConnection: Close\r\n\r\n").stays);
        assert!(!manner("GET / HTTP/1.0\r\n\r\n").stays);
        assert!(manner("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").stays);
        assert!(manner("HEAD / HTTP/1.1\r\nTE: gzip, trailers\r\n\r\n").trailers);
        let upload = "POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: ";
        assert!(manner(&format!("{upload}1\r\n\r\n")).expects);
        assert!(!manner(&format!("{upload}0\r\n\r\n")).expects, "there is nothing to wait for");
    }

    #[test]
    fn framings() {
        use BadFraming::{Broken, UnknownCoding};
        let framing = |fields: &str| asked(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert!(matches!(framing("A: b").unwrap().framing, Framing::Over));
        assert!(matches!(framing("Content-Length: 5\r\nContent-Length: 5").unwrap().framing, Framing::Length(5)));
        assert!(matches!(framing("Transfer-Encoding: , Chunked").unwrap().framing, Framing::Chunked(_)));
        let two = framing("Transfer-Encoding: chunked\r\nContent-Length: 5").unwrap();
        assert!(matches!(two.framing, Framing::Chunked(_)) && !two.manner.stays);
        assert_eq!(two.head.fields.get(Known::ContentLength), None);
        for (fields, expected) in [
            ("Transfer-Encoding: gzip, chunked", UnknownCoding),
            ("Transfer-Encoding: identity", UnknownCoding),
            ("Transfer-Encoding: chunked;q=1", UnknownCoding),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", UnknownCoding),
            ("Transfer-Encoding: chunked, chunked", Broken),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Broken),
            ("Transfer-Encoding:", Broken),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding:", Broken),
            ("Content-Length: 5\r\nContent-Length: 6", Broken),
            ("Content-Length: +5", Broken),
            ("Content-Length:", Broken),
        ] {
            assert_eq!(framing(fields).unwrap_err(), BadRequest::Framing(expected), "{fields}");
        }
        let old = asked("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), BadRequest::Framing(Broken));
    }
}
