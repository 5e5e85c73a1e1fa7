//! Software update point: enough of WSUS for a scan.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::distribution_point::serve;
use super::reply;
use super::server::Asked;
use super::spec::Spec;
use crate::content::{ContentFile, hex, mix, mix_text};
use crate::message::{element, escape};

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

fn soap(asked: &Asked<'_>) -> Response<SiteBody> {
    let action = asked.header("soapaction").unwrap_or_default().trim_matches('"');
    let action = action.rsplit('/').next().unwrap_or_default();
    let spec = &asked.shared.spec;
    let body = String::from_utf8_lossy(&asked.body.data);
    let content = match action {
        "GetConfig" | "GetConfig2" => "<LastChange>2024-01-01T00:00:00Z</LastChange>\
             <IsRegistrationRequired>false</IsRegistrationRequired>"
            .to_owned(),
        "GetAuthorizationCookie" => {
            format!("<PlugInId>SimpleTargeting</PlugInId><CookieData>{}</CookieData>", cookie(spec))
        }
        "GetCookie" => {
            format!("<Expiration>2034-01-01T00:00:00Z</Expiration><EncryptedData>{}</EncryptedData>", cookie(spec))
        }
        "RegisterComputer" | "ReportEventBatch" => String::new(),
        // Only who made a cookie can read it.
        _ if element(&body, "EncryptedData") != Some(cookie(spec).as_str()) => return fault("InvalidCookie"),
        "SyncUpdates" => {
            let update = "<UpdateInfo><ID>1</ID><IsLeaf>true</IsLeaf></UpdateInfo>";
            format!(
                "<NewUpdates>{}</NewUpdates><Truncated>false</Truncated>",
                update.repeat(spec.sync_bytes / update.len())
            )
        }
        "GetExtendedUpdateInfo" => "<Updates/>".to_owned(),
        _ => return fault("InvalidParameters"),
    };
    let content = envelope(&format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>"));
    let mut response = reply::xml(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    response
}
