//! Distribution point: listings, files, signatures.

use std::fmt::Write as _;

use http::{Response, StatusCode};

use super::body::SiteBody;
use super::counters::Kind;
use super::files::{METHODS, serve};
use super::reply;
use super::request::Asked;
use crate::content::{ContentFile, Package};
use crate::message::escape;

const FOLDER: &str = "SMS_DP_SMSPKG$";

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
