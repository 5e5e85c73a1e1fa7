//! Which content a request to a distribution point is about, and what the answer says about it.
//!
//! A 404 says that this server lacks this content, not that the server is ill. But not every 404 says even that: a file
//! that the package never had, a folder `bin` or an `.mdb` file that IIS filters (both answer 404) say nothing about the
//! package. So a verdict about the whole content comes from the list of its folder (`PROPFIND`), and one about a file is kept for
//! that file. A folder that `GET` does not find is like a file: IIS may show none.

use http::{Method, StatusCode};

use super::live::Verdict;

/// Longer names are no content ids: they are served and nothing is learned of them.
const LONGEST_ID: usize = 128;

/// The content in the path of a request to a distribution point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentPath<'a> {
    /// The folder below the virtual directory, as it was written: `ABC00012`, `Content_<GUID>.1`.
    pub id: &'a str,
    /// Path of the folder with its virtual directory. What one virtual directory lacks says nothing about another: they
    /// hold different things, or are there for clients of another kind.
    pub folder: &'a str,
    /// What the path names below the folder, and the query.
    below: (&'a str, &'a str),
}

/// What of a content a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The folder itself.
    Folder,
    /// A file or folder in it.
    File,
    /// A file that the request filtering of IIS hides unless it was told not to.
    Filtered,
    /// The signature of the content, `ABC00012.1.tar`, which is in another virtual directory.
    Signature,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Something about the whole content.
    Content(Verdict),
    /// This file is here, and that says nothing about the content.
    FileHere,
    /// This file is not here; the content may be. A second question to the folder would tell.
    NoFile,
    /// This file is not here, and that says nothing about the content.
    NoSuchFile,
    /// The server does not answer `PROPFIND`: the WebDAV role has taken the method away.
    NoListing,
    /// Nothing: access, ranges, conditions, errors.
    Nothing,
}

impl<'a> ContentPath<'a> {
    /// Reads the path behind the prefix of its route, and the query: the file of a download stands in the query, behind
    /// `sccm?/`. `None` when the path names no content.
    pub fn read(path: &'a str, prefix_length: usize, query: Option<&'a str>) -> Option<Self> {
        let rest = path.get(prefix_length..)?.strip_prefix('/')?;
        let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
        // That is how a client asks for multicast.
        if id.is_empty()
            || id.eq_ignore_ascii_case(".sms_mcs")
            || id.len() > LONGEST_ID
            || id.eq_ignore_ascii_case("datalib")
        {
            return None;
        }
        let folder = path.get(..prefix_length + 1 + id.len())?;
        Some(Self { id, folder, below: (below, query.unwrap_or_default()) })
    }

    /// What of the content is named. Read letter by letter, so it is asked only when something is missing.
    pub fn part(&self) -> Part {
        let (below, query) = self.below;
        if below.is_empty() && query.is_empty() {
            if ends_with(self.id, ".tar") { Part::Signature } else { Part::Folder }
        } else if hidden(below) || hidden(query) {
            Part::Filtered
        } else {
            Part::File
        }
    }

    /// The id without its version: what rendezvous hashing keeps together, a package with its signature.
    pub fn stem(&self) -> &'a str {
        self.id.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(self.id)
    }

    /// What an answer says.
    pub fn said(&self, method: &Method, status: StatusCode) -> Said {
        match status.as_u16() {
            200 | 206 | 207 | 304 if ends_with(self.id, ".tar") => Said::FileHere,
            200 | 206 | 207 | 304 => Said::Content(Verdict::Has),
            404 => match self.part() {
                Part::Folder if method.as_str() == "PROPFIND" => Said::Content(Verdict::Lacks),
                // IIS shows no folder unless it was told to.
                Part::Folder | Part::File => Said::NoFile,
                Part::Filtered | Part::Signature => Said::NoSuchFile,
            },
            405 if method.as_str() == "PROPFIND" => Said::NoListing,
            _ => Said::Nothing,
        }
    }
}

/// Whether IIS hides a path by default: the segment `bin`, or a database of Access.
fn hidden(path: &str) -> bool {
    ends_with(path, ".mdb") || path.split(['/', '\\']).any(|segment| segment.eq_ignore_ascii_case("bin"))
}

fn ends_with(text: &str, end: &str) -> bool {
    let (text, end) = (text.as_bytes(), end.as_bytes());
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// Whether a request continues in the middle of a file: its first range of bytes starts behind the first byte, or cannot be
/// read, in which case moving it would be a gamble. Ranges of other units are not of BITS.
pub fn continues(range: Option<&[u8]>) -> bool {
    let Some(range) = range else { return false };
    let range = range.trim_ascii();
    match range.get(..6) {
        Some(unit) if unit.eq_ignore_ascii_case(b"bytes=") => {
            let first = range[6..].split(|&byte| byte == b'-').next().unwrap_or_default();
            first.trim_ascii().iter().any(|&byte| byte != b'0') || first.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let prefix = "/SMS_DP_SMSPKG$".len();
        for (path, query, expected) in [
            ("/SMS_DP_SMSPKG$/ABC00012", None, Some(("ABC00012", "ABC00012", Part::Folder))),
            ("/SMS_DP_SMSPKG$/ABC00012/", None, Some(("ABC00012", "ABC00012", Part::Folder))),
            ("/SMS_DP_SMSPKG$/ABC00012/sub/file.msi", None, Some(("ABC00012", "ABC00012", Part::File))),
            ("/SMS_DP_SMSPKG$/ABC00012/bin/x.dll", None, Some(("ABC00012", "ABC00012", Part::Filtered))),
            ("/SMS_DP_SMSPKG$/ABC00012/sccm", Some("/a/Data.MDB"), Some(("ABC00012", "ABC00012", Part::Filtered))),
            ("/SMS_DP_SMSPKG$/ABC00012/sccm", Some("/robin/x"), Some(("ABC00012", "ABC00012", Part::File))),
            ("/SMS_DP_SMSPKG$/Content_1b.1/sccm", Some("/a.msi"), Some(("Content_1b.1", "Content_1b", Part::File))),
            ("/SMS_DP_SMSSIG$/ABC00012.1.tar", None, Some(("ABC00012.1.tar", "ABC00012", Part::Signature))),
            ("/SMS_DP_SMSPKG$/.x", None, Some((".x", ".x", Part::Folder))),
            ("/SMS_DP_SMSPKG$/DataLib", None, None),
            ("/SMS_DP_SMSPKG$/", None, None),
            ("/SMS_DP_SMSPKG$", None, None),
            ("/SMS_DP_SMSPKG$//x", None, None),
            ("", None, None),
        ] {
            let found = ContentPath::read(path, prefix, query);
            assert_eq!(found.map(|path| (path.id, path.stem(), path.part())), expected, "{path}");
            assert!(found.is_none_or(|found| path.starts_with(found.folder) && found.folder.ends_with(found.id)));
        }
        let long = format!("/SMS_DP_SMSPKG$/{}", "x".repeat(LONGEST_ID + 1));
        assert_eq!(ContentPath::read(&long, prefix, None), None);
    }

    #[test]
    fn answers() {
        let propfind = Method::from_bytes(b"PROPFIND").unwrap();
        let has = Said::Content(Verdict::Has);
        for (part, method, status, expected) in [
            (Part::Folder, &propfind, 207, has),
            (Part::Folder, &propfind, 404, Said::Content(Verdict::Lacks)),
            (Part::Folder, &propfind, 405, Said::NoListing),
            (Part::Folder, &Method::GET, 404, Said::NoFile),
            (Part::Folder, &Method::HEAD, 404, Said::NoFile),
            (Part::Folder, &Method::GET, 200, has),
            (Part::Folder, &Method::GET, 405, Said::Nothing),
            (Part::File, &Method::GET, 206, has),
            (Part::File, &Method::HEAD, 200, has),
            (Part::File, &Method::GET, 404, Said::NoFile),
            (Part::Filtered, &Method::GET, 404, Said::NoSuchFile),
            (Part::Signature, &Method::GET, 200, Said::FileHere),
            (Part::Signature, &Method::GET, 404, Said::NoSuchFile),
            (Part::File, &Method::GET, 401, Said::Nothing),
            (Part::Folder, &propfind, 403, Said::Nothing),
            (Part::File, &Method::GET, 416, Said::Nothing),
            (Part::File, &Method::GET, 412, Said::Nothing),
            (Part::File, &Method::GET, 500, Said::Nothing),
        ] {
            let path = match part {
                Part::Folder => "/x/ABC00012",
                Part::File => "/x/ABC00012/setup.msi",
                Part::Filtered => "/x/ABC00012/bin/setup.msi",
                Part::Signature => "/x/ABC00012.1.tar",
            };
            let path = ContentPath::read(path, 2, None).unwrap();
            assert_eq!(path.part(), part);
            assert_eq!(
                path.said(method, StatusCode::from_u16(status).unwrap()),
                expected,
                "{part:?} {method} {status}"
            );
        }
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            (None, false),
            (Some("bytes=0-99"), false),
            (Some("bytes=000-"), false),
            (Some("Bytes= 0-"), false),
            (Some("bytes=100-199"), true),
            (Some("bytes=-5"), true),
            (Some("bytes=x-"), true),
            (Some("bytes="), true),
            (Some("items=5-9"), false),
            (Some(""), false),
        ] {
            assert_eq!(continues(range.map(str::as_bytes)), expected, "{range:?}");
        }
    }
}
