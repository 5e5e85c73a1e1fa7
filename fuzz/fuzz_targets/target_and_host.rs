//! Targets, hosts and paths: what is accepted has no byte that another reader would end it at.
#![no_main]

use bytes::BytesMut;
use http::uri::Authority;
use libfuzzer_sys::fuzz_target;
use rolegate::model::path::has_dot_segment;
use rolegate::wire::known::Known;
use rolegate::wire::host::is_host;
use rolegate_fuzz::asked;

fuzz_target!(|sent: &[u8]| {
    host(sent);
    target(sent);
    if let Ok(path) = std::str::from_utf8(sent) {
        assert_eq!(has_dot_segment(path), has_dots(path.as_bytes()), "{path:?}");
    }
});

fn host(sent: &[u8]) {
    if !is_host(sent) {
        return;
    }
    let text = std::str::from_utf8(sent).expect("a host is ASCII");
    assert!(!text.contains(|c: char| !c.is_ascii_graphic() || "/\\?#@,\"<>{}|^`".contains(c)), "{text}");
    let name = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').expect("a bracket for each").1,
        None => text.trim_start_matches(|c| c != ':'),
    };
    assert!(name.is_empty() || name.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit())));
    if let Ok(authority) = text.parse::<Authority>() {
        assert_eq!(authority.as_str(), text);
        assert!(text.len() < 2 || !authority.host().is_empty());
    }
    let head = format!("GET http://{text}/a HTTP/1.1\r\nHost: {text}\r\n\r\n");
    // One that a parser of URIs does not know is refused.
    if let Ok(asked) = asked(BytesMut::from(&head[..])) {
        assert_eq!(asked.head.uri.authority().map(Authority::as_str), Some(text));
        assert_eq!(asked.head.uri.path(), "/a");
        assert_eq!(asked.head.fields.get(Known::Host), Some(text.as_ref()));
    }
}

fn target(sent: &[u8]) {
    for method in ["GET", "OPTIONS"] {
        let head = [method.as_bytes(), b" ", sent, b" HTTP/1.1\r\n\r\n"].concat();
        let Ok(asked) = asked(BytesMut::from(&head[..])) else { continue };
        // The first line may have ended before, with fields behind it.
        if !asked.head.fields.is_empty() || sent.contains(&b'\n') {
            continue;
        }
        let uri = &asked.head.uri;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        assert!(!target.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control() || c == '#'), "{target:?}");
        assert!(target.starts_with(['/', '?']) || target == "*", "{target:?}");
        if uri.scheme().is_none() {
            assert_eq!(target.as_bytes(), sent, "a path is forwarded as it came");
        } else {
            let authority = uri.authority().expect("an absolute target has a host").as_str();
            let rest = target.trim_start_matches(['*', '/']);
            let whole = String::from_utf8_lossy(sent);
            assert!(whole.contains(authority) && whole.ends_with(rest), "{uri}");
        }
    }
}

/// As [`has_dot_segment`]: everything is decoded first, then cut into segments.
fn has_dots(path: &[u8]) -> bool {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let wide = matches!(rest, [b'%', b'u' | b'U', ..]);
        let (skip, length) = if wide { (2, 6) } else { (1, 3) };
        let digits = rest.get(skip..length).filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match text.and_then(|text| u32::from_str_radix(text, 16).ok()) {
            Some(code) => {
                decoded.push(u8::try_from(code).unwrap_or(b'x'));
                rest = &rest[length..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    segments.any(|segment| segment.contains(&b'.') && segment.iter().all(|byte| matches!(byte, b'.' | b' ')))
}
