//! Texts with a syntax of their own: methods, paths, hosts, request targets.

use toml::Spanned;

use crate::control::config::problem::{Problems, quoted};

/// What is wrong, and what to do.
pub(super) type Refusal = (String, String);

/// Checks every text of a list and keeps the good ones.
pub(super) fn each(
    list: &[Spanned<String>],
    check: fn(&str) -> Result<String, Refusal>,
    problems: &mut Problems,
) -> Vec<String> {
    list.iter().filter_map(|text| one(text, check, problems)).collect()
}

/// Checks one text.
pub(super) fn one(
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
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(token) {
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
pub(super) fn path(text: &str) -> Result<String, Refusal> {
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
pub(super) fn host(text: &str) -> Result<String, Refusal> {
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

fn shown(text: &str) -> String {
    text.escape_debug().take(60).collect()
}
