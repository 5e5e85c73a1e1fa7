//! The configuration: from the text of `rolegate.toml` to values that have been checked one by one.
//!
//! 1. [`Source::read`] reads the file, [`parse`] makes a [`types::Config`] of it and reports every mistake of syntax,
//!    type and name at once.
//! 2. [`effective_role`] and [`on_site_system`] merge what is written about a role into its preset;
//!    [`parse_boundary`] reads a boundary.
//! 3. The compiler (`control::compile`) looks names up across sections and builds the routing table.
//!
//! Every step adds what it finds to the same [`Problems`], which shows them with their lines. A problem of step 1 can
//! make something missing in step 2 and 3, so "is missing" is only worth saying when step 1 found no error.

use std::io::Read;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::encoding::utf8;

mod boundary;
mod parse;
mod problem;
mod role;
mod series;
pub mod types;
mod units;

pub use boundary::{BoundaryError, Family, parse_boundary};
pub use parse::parse;
pub use problem::{Problem, Problems, Record, Severity, nearest};
pub use role::{check_time, count, effective_role, on_site_system, path_covers, role_key, weight};
pub(super) use role::{fallback::CLOCKS, fields, text};
pub use series::SeriesLimit;
pub use types::{
    AccessLog, Admin, AffinityTable, BoundaryEntry, BoundaryGroup, CertificateEntry, Config, ContentTable,
    DefaultBoundaryGroup, Dns, FallbackTable, GroupEntry, GroupSiteSystem, Listener, ListenerTls, Neighbor, OneOfSites,
    PassiveOverrides, ProbeOverrides, ProxySettings, RetryOverrides, RoleEntry, RoleOnSiteSystem, RoleOverrides, Site,
    SiteSystem, StatusRange, TablePlaces, TimeoutOverrides, Tls,
};
pub use units::{DurationOrOff, FallbackTime, HumanDuration, HumanSize};

/// 100,000 boundaries are about 4 MB.
const LARGEST: u64 = 16 << 20;

/// The text of a configuration and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as it was given.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Why a configuration file cannot be read.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum SourceError {
    /// The operating system refuses.
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    /// A directory, a device or the like.
    #[error("the configuration {} is not a file", path.display())]
    NotAFile { path: PathBuf },
    /// Larger than any configuration.
    #[error("the configuration {} is larger than 16 MiB: is this the right file?", path.display())]
    TooLarge { path: PathBuf },
    /// Not text.
    #[error("the configuration {} is not UTF-8 text: line {line} has other bytes; save it as UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: usize },
    /// Text of an editor on Windows, and broken.
    #[error("the configuration {} is broken UTF-16; save it as UTF-8", path.display())]
    BrokenUtf16 { path: PathBuf },
}

impl Source {
    /// Reads a file, as something that is there to be read again.
    ///
    /// # Errors
    /// It is no file, or not text.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let about = std::fs::metadata(path).map_err(|cause| SourceError::unreadable(path, cause))?;
        // Asked before opening: opening a pipe would wait for somebody to write.
        if !about.is_file() {
            return Err(SourceError::NotAFile { path: path.to_owned() });
        }
        Self::open(path)
    }

    /// Reads a file, a pipe or standard input (`-` or `/dev/stdin`), once.
    ///
    /// # Errors
    /// It cannot be read, or is not text.
    pub fn read_once(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        // Opening it anew would fail for a socket.
        if path == Path::new("-") || path == Path::new("/dev/stdin") {
            return Self::take(path, std::io::stdin());
        }
        match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => Err(SourceError::NotAFile { path: path.to_owned() }),
            Ok(_) => Self::open(path),
            Err(cause) => Err(SourceError::unreadable(path, cause)),
        }
    }

    fn open(path: &Path) -> Result<Self, SourceError> {
        let file = std::fs::File::open(path).map_err(|cause| SourceError::unreadable(path, cause))?;
        Self::take(path, file)
    }

    fn take(path: &Path, from: impl Read) -> Result<Self, SourceError> {
        let mut bytes = Vec::new();
        from.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|cause| SourceError::unreadable(path, cause))?;
        if bytes.len() as u64 > LARGEST {
            return Err(SourceError::TooLarge { path: path.to_owned() });
        }
        let bytes = utf8(bytes).map_err(|_| SourceError::BrokenUtf16 { path: path.to_owned() })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name: path.display().to_string(), text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(SourceError::NotUtf8 { path: path.to_owned(), line })
            }
        }
    }
}

impl SourceError {
    fn unreadable(path: &Path, cause: std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), cause }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_or_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.toml");
        let fails = |what: &str| {
            let error = Source::read(&path).unwrap_err().to_string();
            assert!(error.contains("rolegate.toml") && error.contains(what), "{error}");
        };
        fails("cannot read");
        std::fs::create_dir(&path).unwrap();
        fails("is not a file");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
        fails("line 2");
        std::fs::write(&path, vec![b' '; LARGEST as usize + 1]).unwrap();
        fails("16 MiB");
        std::fs::write(&path, b"\xff\xfe[\0s").unwrap();
        fails("broken UTF-16");
        for written in [&b"\xef\xbb\xbf[site]\n"[..], b"\xff\xfe[\0s\0i\0t\0e\0]\0\n\0"] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(Source::read(&path).unwrap().text, "[site]\n");
            assert_eq!(Source::read_once(&path).unwrap().text, "[site]\n");
        }
        std::fs::write(&path, "[site]\n").unwrap();
        let source = Source::read(&path).unwrap();
        assert_eq!((source.text.as_str(), source.name.as_str()), ("[site]\n", path.to_str().unwrap()));
    }
}
