//! Software update point: enough of WSUS for a scan.

use std::fmt::Write as _;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::files::serve;
use super::policies::MAX_ANSWER;
use super::reply;
use super::request::Asked;
use super::spec::Spec;
use crate::content::{ContentFile, digits, hex};
use crate::message::{element, escape};
use crate::mix::{mix, mix_text};

/// Updates that are new in a round.
const ROUND: u32 = 20;
/// What an update weighs whose details are asked for, in bytes.
const DETAILS: usize = 1024;
/// What is behind the secret in the cookie of a client that has been here before.
const AGAIN: &str = "01";
const FIRST: &str = "00";

const SERVICES: &[&str] = &[
    "client.asmx",
    "SimpleAuth.asmx",
    "ReportingWebService.asmx",
    "ServerSyncWebService.asmx",
    "DssAuthWebService.asmx",
    "WebService.asmx",
];

pub(crate) fn service(asked: &Asked<'_>) -> Response<SiteBody> {
    let page = asked.rest.trim_start_matches('/');
    if page.eq_ignore_ascii_case("wusserverversion.xml") {
        return reply::xml("<?xml version=\"1.0\"?><WusServerVersion>10.0.17763.1</WusServerVersion>");
    }
    if !SERVICES.iter().any(|service| service.eq_ignore_ascii_case(page)) {
        return reply::not_found();
    }
    match asked.method() {
        "GET" | "HEAD" => reply::html(StatusCode::OK, &format!("{} Web Service", escape(page))),
        "POST" => soap(asked),
        _ => reply::method_not_allowed("GET, HEAD, POST"),
    }
}

pub(crate) fn files(asked: &Asked<'_>) -> Response<SiteBody> {
    let path = asked.head.uri.path();
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || !name.contains('.') {
        return reply::not_found();
    }
    serve(asked, &ContentFile::new("WSUS", &path.to_ascii_lowercase(), 4096))
}

/// The secret that cookies are made with: one per update database.
fn cookie(spec: &Spec) -> String {
    let database = spec.update_database.as_ref().unwrap_or(&spec.name);
    let seed = mix_text(0x5757, database);
    (0..4).map(|word| hex(&mix(seed ^ word).to_be_bytes())).collect()
}

fn envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope \
         xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{content}</soap:Body></soap:Envelope>"
    )
}

fn fault(code: &str) -> Response<SiteBody> {
    let fault = format!(
        "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>Fault occurred</faultstring><detail>\
         <ErrorCode>{code}</ErrorCode></detail></soap:Fault>"
    );
    reply::with(StatusCode::INTERNAL_SERVER_ERROR, "text/xml; charset=utf-8", envelope(&fault))
}

/// How many numbers of updates this element of a request has.
fn numbers(body: &str, name: &str) -> u32 {
    let listed = element(body, name).map_or(0, |list| list.matches("<int>").count());
    u32::try_from(listed).unwrap_or(u32::MAX)
}

/// What is new in the next round for a client that knows so many new updates already.
fn news(spec: &Spec, known: u32, rounds: u32) -> String {
    let round = known / ROUND;
    if round >= rounds {
        return "<NewUpdates></NewUpdates><Truncated>false</Truncated>".to_owned();
    }
    let database = spec.update_database.as_ref().unwrap_or(&spec.name);
    let seed = mix_text(u64::from(round), database);
    let size = usize::try_from(spec.sync_sizes.draw(mix(seed)).min(MAX_ANSWER)).unwrap_or_default();
    let each = size / ROUND as usize;
    let mut updates = String::with_capacity(size + size / 4);
    for number in known + 1..=known + ROUND {
        let begun = updates.len();
        write!(updates, "<UpdateInfo><ID>{number}</ID><IsLeaf>true</IsLeaf><Xml>")
            .expect("writing to a string cannot fail");
        updates.push_str(digits(seed ^ u64::from(number), each.saturating_sub(updates.len() - begun)));
        updates.push_str("</Xml></UpdateInfo>");
    }
    format!("<NewUpdates>{updates}</NewUpdates><Truncated>true</Truncated>")
}

/// The answer to a call with a cookie. Only who made a cookie can read it.
fn with_cookie(spec: &Spec, action: &str, body: &str) -> Result<String, &'static str> {
    let secret = cookie(spec);
    let rounds = match element(body, "EncryptedData").and_then(|data| data.strip_prefix(&secret)) {
        Some(FIRST) => spec.scan_rounds.first,
        Some(AGAIN) => spec.scan_rounds.again,
        Some(_) | None => return Err("InvalidCookie"),
    };
    match action {
        "SyncUpdates" => Ok(news(spec, numbers(body, "OtherCachedUpdateIDs"), rounds)),
        "GetExtendedUpdateInfo" => {
            let update = format!("<Update><Xml>{}</Xml></Update>", "0".repeat(DETAILS));
            Ok(format!("<Updates>{}</Updates>", update.repeat(numbers(body, "revisionIDs") as usize)))
        }
        "RegisterComputer" => Ok(String::new()),
        _ => Err("InvalidParameters"),
    }
}

fn soap(asked: &Asked<'_>) -> Response<SiteBody> {
    let action = asked.header("soapaction").unwrap_or_default().trim_matches('"');
    let action = action.rsplit('/').next().unwrap_or_default();
    let spec = &asked.shared.spec;
    let body = String::from_utf8_lossy(&asked.body.data);
    let content = match action {
        "GetConfig" | "GetConfig2" => "<LastChange>2024-01-01T00:00:00Z</LastChange>\
             <IsRegistrationRequired>true</IsRegistrationRequired>"
            .to_owned(),
        "GetAuthorizationCookie" => {
            format!("<PlugInId>SimpleTargeting</PlugInId><CookieData>{}</CookieData>", cookie(spec))
        }
        "GetCookie" => {
            let before = if body.contains("<oldCookie>") { AGAIN } else { FIRST };
            format!(
                "<Expiration>2034-01-01T00:00:00Z</Expiration><EncryptedData>{}{before}</EncryptedData>",
                cookie(spec)
            )
        }
        "ReportEventBatch" => String::new(),
        _ => match with_cookie(spec, action, &body) {
            Ok(content) => content,
            Err(code) => return fault(code),
        },
    };
    let content = envelope(&format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>"));
    let mut response = reply::xml(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    response
}
