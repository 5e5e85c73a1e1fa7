//! No browser can be made to read here, or to change something, by a page from elsewhere.
//!
//! A page whose name leads to this address (DNS rebinding) asks under its own name, so names that are not ours are refused
//! (`Host`). A page of another origin says so (`Origin`, `Sec-Fetch-Site`), and is refused too. What is no browser sends neither.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use super::answer::{Answer, failed, text};
use super::authority;
use super::desk::Desk;
use super::peer::Peer;

/// Where a browser says that a request comes from (Fetch Metadata Request Headers).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How it was made.
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// What it is for.
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It names another host.
    Host,
    /// A page from elsewhere has made it.
    Origin,
}

/// The layer before all addresses.
pub(super) async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Answer {
    match refusal(&desk, &request) {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

fn refusal(desk: &Desk, request: &Request) -> Option<Answer> {
    let snapshot = desk.admin.handles.snapshots.current();
    let rules = &snapshot.site.admin;
    match check(request, &rules.host_names) {
        Ok(()) => {
            let Some(peer) = request.extensions().get() else { return Some(failed()) };
            let may = authority::may_ask(rules, request.headers(), peer, request.uri().path());
            may.err().map(authority::Refusal::answer)
        }
        Err(Refusal::Host) => Some(text(
            StatusCode::MISDIRECTED_REQUEST,
            "this is not a name of the admin listener: ask by its address or as localhost, or add the name to \
             [admin] host_names\n",
        )),
        Err(Refusal::Origin) => Some(text(
            StatusCode::FORBIDDEN,
            "a page from elsewhere has sent this: the admin listener answers its own pages, and programs\n",
        )),
    }
}

fn check(request: &Request, names: &[Box<str>]) -> Result<(), Refusal> {
    if let Some(Peer::Unix { .. }) = request.extensions().get() {
        return Ok(());
    }
    let headers = request.headers();
    let fields = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    if !fields.chain(target).all(|host| is_ours(host, names)) {
        return Err(Refusal::Host);
    }
    if is_foreign(request.method(), headers) { Err(Refusal::Origin) } else { Ok(()) }
}

/// Whether a host is this machine's by its address, a loopback name, or one that was configured. An address cannot be led elsewhere.
fn is_ours(host: &str, names: &[Box<str>]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.split(']').next().unwrap_or_default();
            return address.parse::<Ipv6Addr>().is_ok();
        }
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || names.iter().any(|known| **known == *name)
}

/// Whether a browser says that a page from elsewhere has made the request. Following a link is not that.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let word = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(origin) = word(&header::ORIGIN) {
        let own = word(&header::HOST).unwrap_or_default();
        let same = origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(own));
        if !same {
            return true;
        }
    }
    let elsewhere = word(&SITE).is_some_and(|site| site != "same-origin" && site != "none");
    let follows = word(&MODE) == Some("navigate") && word(&DESTINATION) == Some("document");
    elsewhere && !(follows && matches!(*method, Method::GET | Method::HEAD))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asked(method: &str, fields: &[(&str, &str)]) -> Result<(), Refusal> {
        let request = Request::builder().method(method).uri("/status");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(&request.body(Body::empty()).unwrap(), &[Box::from("rolegate.contoso.com")])
    }

    #[test]
    fn only_names_of_ours_are_answered() {
        for host in [
            "127.0.0.1:9180",
            "10.0.0.5",
            "[::1]:9180",
            "[fe80::1]",
            "localhost",
            "LocalHost:9180",
            "a.localhost:1",
            "rolegate.contoso.com",
            "RoleGate.Contoso.com.:9180",
        ] {
            assert_eq!(asked("GET", &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test:9180", "contoso.com", "", "[evil]", "x:y:z"]
        {
            assert_eq!(asked("GET", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(asked("GET", &[]), Ok(()), "a browser always says it");
        assert_eq!(asked("GET", &[("host", "localhost"), ("host", "evil.test")]), Err(Refusal::Host));
        let request = Request::builder().uri("http://evil.test/status").header("host", "localhost");
        assert_eq!(check(&request.body(Body::empty()).unwrap(), &[]), Err(Refusal::Host));
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let host = ("host", "localhost:9180");
        let own = ("origin", "http://localhost:9180");
        let elsewhere = ("sec-fetch-site", "cross-site");
        for (method, fields, expected) in [
            ("POST", &[host, own][..], Ok(())),
            ("POST", &[host, own, ("sec-fetch-site", "same-origin")], Ok(())),
            ("GET", &[host, ("sec-fetch-site", "none")], Ok(())),
            ("GET", &[host, elsewhere, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], Ok(())),
            (
                "GET",
                &[host, elsewhere, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                Err(Refusal::Origin),
            ),
            (
                "POST",
                &[host, elsewhere, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
                Err(Refusal::Origin),
            ),
            ("GET", &[host, elsewhere, ("sec-fetch-mode", "no-cors")], Err(Refusal::Origin)),
            ("GET", &[host, ("sec-fetch-site", "same-site")], Err(Refusal::Origin)),
            ("POST", &[host, ("origin", "null")], Err(Refusal::Origin)),
            ("POST", &[host, ("origin", "http://localhost:8080")], Err(Refusal::Origin)),
            ("GET", &[host, ("origin", "https://evil.test")], Err(Refusal::Origin)),
        ] {
            assert_eq!(asked(method, fields), expected, "{method} {fields:?}");
        }
    }
}
