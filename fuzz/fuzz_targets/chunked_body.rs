//! Bodies: the same content whatever the pieces they come in, and that of a reader that is written from the grammar alone.
#![no_main]

use bytes::BytesMut;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rolegate::wire::body::Framing;
use rolegate::wire::head::{self, MAX_TRAILERS};
use rolegate::wire::names::Names;
use rolegate_fuzz::{Body, Ended, asked, body, pieces, shared};

/// Most bytes of the line with a chunk's size.
const MAX_SIZE_LINE: usize = 4 * 1024;

// The first byte says how the others are cut, and is a length.
fuzz_target!(|input: &[u8]| {
    let Some((&how, sent)) = input.split_first() else { return };
    let cut = pieces(how, sent);
    let expected = reference(sent);
    for framing in [of_request, of_response] {
        let whole = body(framing("Transfer-Encoding: chunked"), &[sent]);
        assert_eq!(body(framing("Transfer-Encoding: chunked"), &cut), whole, "in pieces and at once");
        compare(&whole, &expected);
    }
    for framing in [of_request, of_response] {
        let length = usize::from(how);
        let read = body(framing(&format!("Content-Length: {length}")), &cut);
        assert_eq!(read.data, sent[..length.min(sent.len())]);
        assert_eq!(read.ended == Ended::Over, sent.len() >= length);
        assert_eq!(read.left, sent.len().saturating_sub(length));
    }
    assert_eq!(body(of_response("A: b"), &cut).data, sent);
});

fn of_request(field: &str) -> Framing {
    let head = format!("POST / HTTP/1.1\r\n{field}\r\n\r\n");
    asked(BytesMut::from(&head[..])).expect("a request").framing
}

fn of_response(field: &str) -> Framing {
    let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
    let parsed = head::parse(&shared(head.as_bytes()), rolegate::wire::fields::Fields::default(), &mut Names::default());
    Framing::of(&mut parsed.expect("a response"), false).expect("a framing")
}

fn compare(ours: &Body, expected: &Body) {
    match (ours.ended, expected.ended) {
        // It need not be known at the first wrong byte.
        (Ended::Cut, Ended::Broken) => assert_eq!(ours.data, expected.data),
        _ => assert_eq!(ours, expected),
    }
}

/// RFC 9112, section 7.1, byte by byte. More than there: blanks before the end of a size line, and trailer lines that end with
/// LF alone (section 2.2).
fn reference(sent: &[u8]) -> Body {
    let mut body = Body { data: Vec::new(), trailers: Vec::new(), ended: Ended::Cut, left: 0 };
    let mut rest = sent;
    loop {
        let (line, size) = match size_line(rest) {
            Ok(read) => read,
            Err(ended) => return Body { ended, ..body },
        };
        rest = &rest[line..];
        if size == 0 {
            break;
        }
        let there = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
        body.data.extend_from_slice(&rest[..there]);
        rest = &rest[there..];
        match rest {
            [] | [b'\r'] => return body,
            [b'\r', b'\n', ..] => rest = &rest[2..],
            _ => return Body { ended: Ended::Broken, ..body },
        }
    }
    match trailer_section(rest) {
        Ok((length, trailers)) => Body { trailers, ended: Ended::Over, left: rest.len() - length, ..body },
        Err(ended) => Body { ended, ..body },
    }
}

/// The length of the line, and the size that it says.
fn size_line(rest: &[u8]) -> Result<(usize, u64), Ended> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 16 || (digits == 0 && !rest.is_empty()) {
        return Err(Ended::Broken);
    }
    let blanks = rest[digits..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let after = &rest[digits + blanks..];
    let extension = match after.first() {
        Some(b';') => after.iter().take_while(|byte| !matches!(byte, b'\r' | b'\n')).count(),
        _ => 0,
    };
    let line = digits + blanks + extension + 2;
    match &after[extension..] {
        [] | [b'\r'] if line - 2 + after[extension..].len() < MAX_SIZE_LINE => Err(Ended::Cut),
        [b'\r', b'\n', ..] if line <= MAX_SIZE_LINE => {
            let text = std::str::from_utf8(&rest[..digits]).expect("digits are text");
            Ok((line, u64::from_str_radix(text, 16).expect("no more than 16 digits")))
        }
        _ => Err(Ended::Broken),
    }
}

type Fields = Vec<(HeaderName, HeaderValue)>;

/// The length of the section, and its fields.
fn trailer_section(rest: &[u8]) -> Result<(usize, Fields), Ended> {
    let mut fields = HeaderMap::new();
    let mut length = 0;
    loop {
        let line = rest[length..].split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        length += line.len();
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(if rest.len() < MAX_TRAILERS { Ended::Cut } else { Ended::Broken });
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if length > MAX_TRAILERS {
            return Err(Ended::Broken);
        }
        if line.is_empty() {
            return Ok((length, fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect()));
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(Ended::Broken)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| Ended::Broken)?;
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let value = &line[colon + 1..];
        let value = &value[value.iter().take_while(blank).count()..];
        let value = &value[..value.len() - value.iter().rev().take_while(blank).count()];
        fields.append(name, HeaderValue::from_bytes(value).map_err(|_| Ended::Broken)?);
    }
}
