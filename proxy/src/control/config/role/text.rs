//! Texts with a syntax of their own: methods, paths, hosts, request targets.

use toml::Spanned;

use crate::control::config::problem::{Problems, quoted};
use crate::model::field_set::FieldSet;

/// Longer names in a path are no content ids for the request path either.
const LONGEST_ID: usize = 128;
/// Fields that frame a request, say where it goes, or what the client may do there.
const NEEDED: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "range",
    "authorization",
    "bits-packet-type",
    "user-agent",
];
/// Fields that every request gets from us.
const OURS: [&str; 6] = ["via", "cdn-loop", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// What is wrong, and what to do.
pub(in crate::control) type Refusal = (String, String);

/// Checks every text of a list and keeps the good ones.
pub(in crate::control) fn each(
    list: &[Spanned<String>],
    check: fn(&str) -> Result<String, Refusal>,
    problems: &mut Problems,
) -> Vec<String> {
    list.iter().filter_map(|text| one(text, check, problems)).collect()
}

/// Checks one text.
pub(in crate::control) fn one(
    text: &Spanned<String>,
    check: fn(&str) -> Result<String, Refusal>,
    problems: &mut Problems,
) -> Option<String> {
    match check(text.get_ref()) {
        Ok(text) => Some(text),
        Err((message, help)) => {
            problems.error(text.span(), message, help);
            None
        }
    }
}

/// A method is a token (RFC 9110, section 5.6.2), and its case counts.
pub(super) fn method(text: &str) -> Result<String, Refusal> {
    if !is_token(text) {
        return Err((
            format!("{} is not a method", quoted(text)),
            "write one such as \"GET\" or \"CCM_POST\"".to_owned(),
        ));
    }
    let upper = text.to_ascii_uppercase();
    if upper == text {
        return Ok(upper);
    }
    Err((format!("{} is not a method: their case counts", quoted(text)), format!("write {upper:?}")))
}

/// A path prefix. It ends between two segments, so the `/` at its end says nothing.
pub(in crate::control) fn path(text: &str) -> Result<String, Refusal> {
    if !text.starts_with('/') {
        return Err((
            format!("the path {} does not start with /", quoted(text)),
            format!("write \"/{}\"", shown(text)),
        ));
    }
    if let Some(at) = text.find(['?', '#']) {
        let help = format!("write only the path: \"{}\"", shown(&text[..at]));
        return Err((format!("{} is more than a path", quoted(text)), help));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err((
            format!("the path {} has a character that cannot be in a request", quoted(text)),
            "write other characters as in the request: %20 for a space".to_owned(),
        ));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// A request target, sent byte for byte.
pub(super) fn target(text: &str) -> Result<String, Refusal> {
    if !text.starts_with('/') {
        return Err((
            format!("the request target {} does not start with /", quoted(text)),
            format!("write \"/{}\"", shown(text)),
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err((
            format!("the request target {} has a character that cannot be in a request", quoted(text)),
            "write other characters as %20 for a space".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

/// A host without its port.
pub(in crate::control) fn host(text: &str) -> Result<String, Refusal> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or("");
    let address = bare.trim_start_matches('[').split(']').next().unwrap_or("").parse::<std::net::Ipv6Addr>();
    let name = match (&address, bare.rsplit_once(':')) {
        (Ok(address), _) => format!("[{address}]"),
        (Err(_), Some((name, _))) => name.to_ascii_lowercase(),
        (Err(_), None) => bare.to_ascii_lowercase(),
    };
    let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || address.is_err() && !name.bytes().all(label) {
        return Err((
            format!("{} is not a host name", quoted(text)),
            "write one such as \"mp.contoso.com\", without * and without a port".to_owned(),
        ));
    }
    if address.is_err() && name != text.to_ascii_lowercase() || address.is_ok() && text.contains("]:") {
        return Err((format!("{} is more than a host name", quoted(text)), format!("write only {name:?}")));
    }
    Ok(name)
}

/// A `Host` field: with a port, if it must be.
pub(super) fn authority(text: &str) -> Result<String, Refusal> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return Ok(text.to_owned());
    }
    Err((format!("{} is not a host", quoted(text)), "write one such as \"mp.contoso.com\"".to_owned()))
}

/// The name of a field, a token. Its case does not count.
pub(in crate::control) fn field(text: &str) -> Result<String, Refusal> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let help = "write one such as \"CCMClientID\", without a colon";
    Err((format!("{} is not the name of a header field", quoted(text)), help.to_owned()))
}

/// The name of a field that a client may not send, or a beginning of names.
pub(super) fn stripped_field(text: &str) -> Result<String, Refusal> {
    let stem = text.strip_suffix('*').unwrap_or(text);
    if !is_token(stem) || stem.contains('*') {
        let help = "write a name such as \"X-Real-IP\", or how names begin, such as \"X-SSL-*\"";
        return Err((format!("{} is not the name of a header field", quoted(text)), help.to_owned()));
    }
    let set = FieldSet::new([text]);
    if let Some(needed) = NEEDED.iter().find(|needed| set.contains(needed)) {
        let message = format!("without `{needed}` no request could be forwarded as it came");
        return Err((message, format!("take {} out", quoted(text))));
    }
    if let Some(ours) = OURS.iter().find(|ours| set.contains(ours)) {
        let message =
            format!("`{ours}` is taken from clients that are not in trusted_proxies in any case, and written anew");
        return Err((message, format!("take {} out", quoted(text))));
    }
    Ok(text.to_owned())
}

/// A protocol that a connection may be switched to.
pub(super) fn upgrade(text: &str) -> Result<String, Refusal> {
    let name = text.split('/').next().unwrap_or_default();
    if !text.split('/').all(is_token) || text.split('/').count() > 2 {
        let help = "write one such as \"websocket\"";
        return Err((format!("{} is not a protocol", quoted(text)), help.to_owned()));
    }
    if ["h2c", "h2", "http", "tls"].iter().any(|http| name.eq_ignore_ascii_case(http)) {
        let message =
            format!("after an upgrade to {} requests would pass none of the rules of a request", quoted(text));
        return Err((message, "take it out".to_owned()));
    }
    Ok(text.to_ascii_lowercase())
}

/// The id of a package or content, as it stands in the path.
pub(in crate::control) fn content_id(text: &str) -> Result<String, Refusal> {
    if (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return Ok(text.to_owned());
    }
    let help = format!("write it as in the path of a request, such as \"P0100003\": up to {LONGEST_ID} characters");
    Err((format!("{} is not the id of a content", quoted(text)), help))
}

/// The beginning of a `User-Agent`.
pub(in crate::control) fn user_agent(text: &str) -> Result<String, Refusal> {
    if !text.is_empty() && text == text.trim() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(text.to_owned());
    }
    let help = "write how it begins, such as \"SMS CCM 5.0 TS\"";
    Err((format!("no User-Agent begins with {}", quoted(text)), help.to_owned()))
}

fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

fn shown(text: &str) -> String {
    text.escape_debug().take(60).collect()
}
