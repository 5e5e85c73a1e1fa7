//! Lines of rolegate's access log: a JSON object each.

use std::borrow::Cow;

use serde::Deserialize;

use super::line::{Grain, Line};

/// What matters of one. The document about operations has all fields.
#[derive(Deserialize)]
struct Object<'l> {
    ts: &'l str,
    client: &'l str,
    /// Only of what is no request: a tunnel.
    kind: Option<&'l str>,
    #[serde(default)]
    method: Option<Cow<'l, str>>,
    #[serde(default)]
    target: Option<Cow<'l, str>>,
    host: Option<Cow<'l, str>>,
    user_agent: Option<Cow<'l, str>>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    bytes_up: u64,
    #[serde(default)]
    bytes_down: u64,
    #[serde(default)]
    total_us: u64,
}

/// The request of a line, unless it is about a tunnel.
pub(super) fn line(line: &str) -> Result<Option<Line<'_>>, String> {
    let object: Object<'_> =
        serde_json::from_str(line).map_err(|error| format!("it is no line of an access log: {error}"))?;
    let over = humantime::parse_rfc3339(object.ts).map_err(|_| format!("'{}' is no date and time", object.ts))?;
    if object.kind.is_some() {
        return Ok(None);
    }
    let lacks = |what| format!("it is no line of an access log: missing field `{what}`");
    let method = object.method.ok_or_else(|| lacks("method"))?;
    let target = object.target.ok_or_else(|| lacks("target"))?;
    let status = object.status.ok_or_else(|| lacks("status"))?;
    let (host, target) = origin_form(target, object.host);
    Ok(Some(Line {
        over,
        grain: Grain::Exact,
        took_us: object.total_us,
        client: object.client,
        method,
        target,
        host,
        agent: object.user_agent,
        status: Some(status),
        body: object.bytes_up,
        received: Some(object.bytes_down),
    }))
}

/// Of an address with a host, as HTTP/2 has them, the host and the path.
fn origin_form<'l>(target: Cow<'l, str>, host: Option<Cow<'l, str>>) -> (Option<Cow<'l, str>>, Cow<'l, str>) {
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return (host, target);
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (host.or_else(|| Some(Cow::Owned(authority.to_owned()))), Cow::Owned(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_host_is_taken_apart() {
        for (target, host, path) in [
            ("https://mp1:443/a?b", Some("mp1:443"), "/a?b"),
            ("http://mp1", Some("mp1"), "/"),
            ("http://mp1?b", Some("mp1"), "/?b"),
            ("/a?c=http://x/", None, "/a?c=http://x/"),
            ("*", None, "*"),
        ] {
            let (its, rest) = origin_form(target.into(), None);
            assert_eq!((its.as_deref(), &*rest), (host, path), "{target}");
        }
    }
}
