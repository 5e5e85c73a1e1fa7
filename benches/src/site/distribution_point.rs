//! Distribution point: listings, files in ranges, signatures. Every point has time stamps of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::counters::Kind;
use super::reply;
use super::server::Asked;
use super::spec::Spec;
use crate::content::{ContentFile, Package};
use crate::message::escape;
use crate::mix::{mix, mix_text};

const FOLDER: &str = "SMS_DP_SMSPKG$";
const METHODS: &str = "GET, HEAD, PROPFIND";
const NEWEST: Duration = Duration::from_secs(1_700_000_000);
const MONTH: u64 = 30 * 24 * 3600;
const HOUR: u64 = 3600;

#[derive(Debug)]
struct Stamped {
    redistributed: u32,
    modified: SystemTime,
    header: HeaderValue,
}

impl Stamped {
    fn new(oldest: SystemTime, redistributed: u32) -> Self {
        let modified = oldest + Duration::from_secs(HOUR * u64::from(redistributed));
        let header = HeaderValue::from_str(&httpdate::fmt_http_date(modified)).expect("a date is plain ASCII");
        Self { redistributed, modified, header }
    }
}

/// When the files of one distribution point were written.
#[derive(Debug)]
pub(crate) struct Stamp {
    first: SystemTime,
    salt: u64,
    // Formatting a date costs more than the rest of a small answer.
    now: ArcSwap<Stamped>,
}

impl Stamp {
    pub(crate) fn new(spec: &Spec) -> Self {
        let salt = mix_text(7, &spec.name);
        let offset = spec.validator_offset.unwrap_or(Duration::from_secs(salt % MONTH));
        let first = SystemTime::UNIX_EPOCH + NEWEST.saturating_sub(Duration::from_secs(offset.as_secs()));
        let salt = mix(offset.as_secs());
        Self { first, salt, now: ArcSwap::from_pointee(Stamped::new(first, 0)) }
    }

    fn now(&self, redistributed: u32) -> Arc<Stamped> {
        let now = self.now.load_full();
        if now.redistributed == redistributed {
            return now;
        }
        let now = Arc::new(Stamped::new(self.first, redistributed));
        self.now.store(Arc::clone(&now));
        now
    }

    fn etag(&self, file: &ContentFile, redistributed: u32) -> HeaderValue {
        let tag = mix_text(self.salt ^ u64::from(redistributed) ^ file.size(), file.name());
        HeaderValue::from_str(&format!("\"{tag:016x}:0\"")).expect("digits and quotes are plain ASCII")
    }
}

/// What a Range field asks of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(u64, u64),
    Nothing,
}

/// Reads a single range. Several ranges, and what is no range of bytes, are answered with the whole file.
fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let Some(range) = range.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::Whole;
    };
    if first.is_empty() {
        let Ok(suffix) = last.parse::<u64>() else {
            return Wanted::Whole;
        };
        return if suffix == 0 || size == 0 { Wanted::Nothing } else { part(size.saturating_sub(suffix), size - 1) };
    }
    let Ok(first) = first.parse::<u64>() else {
        return Wanted::Whole;
    };
    let last = if last.is_empty() { Ok(u64::MAX) } else { last.parse::<u64>() };
    match last {
        Ok(last) if last < first => Wanted::Whole,
        Ok(_) if first >= size => Wanted::Nothing,
        Ok(last) => part(first, last.min(size - 1)),
        Err(_) => Wanted::Whole,
    }
}

const fn part(first: u64, last: u64) -> Wanted {
    Wanted::Part(first, last - first + 1)
}

/// Answers GET and HEAD for a file: whole, in part, or not at all.
pub(crate) fn serve(asked: &Asked<'_>, file: &ContentFile) -> Response<SiteBody> {
    let head = asked.method() == "HEAD";
    if !head && asked.method() != "GET" {
        return reply::method_not_allowed(METHODS);
    }
    let redistributed = asked.shared.faults.times_redistributed();
    let stamped = asked.shared.stamp.now(redistributed);
    let etag = asked.shared.stamp.etag(file, redistributed);
    let changed_since = |text: &str| httpdate::parse_http_date(text).is_ok_and(|date| stamped.modified > date);
    if asked.header("if-unmodified-since").is_some_and(changed_since) {
        return reply::empty(StatusCode::PRECONDITION_FAILED);
    }
    let same = |text: &str| text.as_bytes() == etag.as_bytes() || text.as_bytes() == stamped.header.as_bytes();
    let range = asked.header("range").filter(|_| asked.header("if-range").is_none_or(same));
    let size = file.size();
    let (status, first, len) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part(first, len) => (StatusCode::PARTIAL_CONTENT, first, len),
        Wanted::Nothing => {
            let mut response = reply::empty(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(CONTENT_RANGE, ascii(&format!("bytes */{size}")));
            return response;
        }
    };
    let mut response = Response::new(SiteBody::file(file.pieces(first, if head { 0 } else { len })));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(LAST_MODIFIED, stamped.header.clone());
    headers.insert(ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, ascii(&format!("bytes {first}-{}/{size}", first + len - 1)));
    }
    response
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers and a few signs are plain ASCII")
}

/// `%20` and the like, read once; what is no escape stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| byte == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `text` as it may stand in a request target: everything but letters, digits, `/` and a few signs as `%XX`.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~$(){}/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        encoded
    })
}

/// The target of a file in the form that the client uses: the file is in the query.
pub(crate) fn file_target(content_id: &str, file: &str) -> String {
    format!("/SMS_DP_SMSPKG$/{content_id}/sccm?/{}", encode(file))
}

pub(crate) fn packages(asked: &Asked<'_>) -> (Kind, Response<SiteBody>) {
    let listing = asked.method() == "PROPFIND";
    let kind = if listing { Kind::ContentListing } else { Kind::Content };
    if listing && asked.shared.faults.has_webdav() {
        return (kind, reply::method_not_allowed("OPTIONS, TRACE, GET, HEAD, POST"));
    }
    if !listing && !matches!(asked.method(), "GET" | "HEAD") {
        return (kind, reply::method_not_allowed(METHODS));
    }
    let path = asked.rest.trim_start_matches('/');
    let (id, below) = path.split_once('/').unwrap_or((path, ""));
    if id.is_empty() || id.eq_ignore_ascii_case("datalib") {
        return (kind, if listing { list(asked, None) } else { index(asked) });
    }
    let found = asked.shared.spec.content.package(id);
    let found = found.or_else(|| asked.shared.spec.content.package(&decode(id)));
    let Some(package) = found.filter(|package| !asked.shared.faults.misses(package.id())) else {
        return (kind, reply::not_found());
    };
    if listing {
        return (kind, list(asked, Some(package)));
    }
    let name = if below.eq_ignore_ascii_case("sccm") { asked.query() } else { below };
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return (kind, index(asked));
    }
    let file = package.file(name).or_else(|| package.file(&decode(name)));
    let file = file.filter(|file| !asked.shared.faults.filters_requests() || !is_filtered(file.name()));
    (kind, file.map_or_else(reply::not_found, |file| serve(asked, file)))
}

/// What IIS does not serve unless told otherwise: its hidden folder, and databases.
fn is_filtered(name: &str) -> bool {
    let hidden = name.split(['/', '\\']).any(|segment| segment.eq_ignore_ascii_case("bin"));
    hidden || name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("mdb"))
}

/// The content id that a path below a content folder names.
pub(crate) fn content_id(path: &str) -> Option<&str> {
    let (folder, rest) = path.strip_prefix('/')?.split_once('/')?;
    let start = folder.len().checked_sub(FOLDER.len())?;
    let below = folder.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(FOLDER));
    let id = rest.split('/').next().filter(|id| below && !id.is_empty())?;
    (!id.eq_ignore_ascii_case("datalib")).then_some(id)
}

fn index(asked: &Asked<'_>) -> Response<SiteBody> {
    reply::html(StatusCode::OK, &format!("{} - {}", escape(&asked.shared.spec.name), escape(asked.head.uri.path())))
}

fn list(asked: &Asked<'_>, package: Option<&Package>) -> Response<SiteBody> {
    let host = escape(asked.header("host").unwrap_or("localhost"));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><D:multistatus xmlns:D=\"DAV:\">");
    let redistributed = asked.shared.faults.times_redistributed();
    let stamped = asked.shared.stamp.now(redistributed);
    let modified = String::from_utf8_lossy(stamped.header.as_bytes());
    for (package, file) in
        package.into_iter().flat_map(|package| package.files().iter().map(move |file| (package, file)))
    {
        let target = escape(&file_target(package.id(), file.name()));
        write!(
            xml,
            "<D:response><D:href>http://{host}{target}</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop>\
             <D:displayname>{}</D:displayname><D:getcontentlength>{}</D:getcontentlength>\
             <D:getlastmodified>{modified}</D:getlastmodified><D:resourcetype/></D:prop></D:propstat></D:response>",
            escape(file.name()),
            file.size()
        )
        .expect("writing to a string cannot fail");
    }
    xml.push_str("</D:multistatus>");
    reply::with(StatusCode::MULTI_STATUS, "text/xml; charset=\"utf-8\"", xml)
}

pub(crate) fn signatures(asked: &Asked<'_>) -> Response<SiteBody> {
    let name = asked.rest.trim_start_matches('/');
    let package = asked.shared.spec.content.by_signature(name);
    let Some(package) = package.filter(|package| !asked.shared.faults.misses(package.id())) else {
        return reply::not_found();
    };
    let bytes: u64 = package.files().iter().map(ContentFile::size).sum();
    serve(asked, &ContentFile::new(package.id(), name, 10_240 + bytes / 1024))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-3"), 10), Wanted::Part(0, 4));
        assert_eq!(wanted(Some("bytes=4-"), 10), Wanted::Part(4, 6));
        assert_eq!(wanted(Some("bytes=4-999"), 10), Wanted::Part(4, 6));
        assert_eq!(wanted(Some("bytes=-3"), 10), Wanted::Part(7, 3));
        assert_eq!(wanted(Some("bytes=-30"), 10), Wanted::Part(0, 10));
        for nothing in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
            assert_eq!(wanted(Some(nothing), 10), Wanted::Nothing, "{nothing}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        for whole in ["bytes=3-1", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=a-b", "bytes=99999999999999999999-"] {
            assert_eq!(wanted(Some(whole), 10), Wanted::Whole, "{whole}");
        }
    }

    #[test]
    fn names_survive_the_target() {
        for name in ["file 1.bin", "bin/a b.dll", "ConfigMgrTools.msi", "100%.txt", "ä&b?.cab", "%41"] {
            assert_eq!(decode(&encode(name)), name);
        }
        assert_eq!(decode("a%2"), "a%2");
        assert_eq!(decode("%zz%+1"), "%zz%+1");
    }

    #[test]
    fn folders_called_bin_and_databases_are_filtered() {
        for name in ["bin/a.dll", "x/BIN/a", "x\\bin\\a", "a.MDB", "bin"] {
            assert!(is_filtered(name), "{name}");
        }
        for name in ["file 1.bin", "bins/a.dll", "a.mdbx", "mdb", ""] {
            assert!(!is_filtered(name), "{name}");
        }
    }

    #[test]
    fn content_ids_are_found_in_every_content_folder() {
        assert_eq!(content_id("/SMS_DP_SMSPKG$/PKG00001"), Some("PKG00001"));
        assert_eq!(content_id("/ccmtokenauth_sms_dp_smspkg$/PKG00001/sccm"), Some("PKG00001"));
        for none in ["/SMS_DP_SMSPKG$", "/SMS_DP_SMSPKG$/", "/SMS_DP_SMSPKG$/Datalib", "/SMS_MP/.sms_aut", "/ä/x"] {
            assert_eq!(content_id(none), None, "{none}");
        }
    }
}
