//! The JSON files of runs and comparisons.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::comparison::{self, Comparison, Told};
use crate::record::{self, Run};

/// Why a file is not a run, or not a comparison.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read {}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not JSON.
    #[error("{} is not JSON: give the file that a run has written with --json", file.display())]
    NotJson {
        /// Which.
        file: PathBuf,
        /// Where it stops to be JSON.
        source: serde_json::Error,
    },
    /// Another version of this program wrote it.
    #[error(
        "{} has format {found}, but this program reads format {expected}: measure again, or use the version that wrote it",
        file.display()
    )]
    Format {
        /// Which.
        file: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        expected: u32,
    },
    /// It is JSON, but something else.
    #[error("{} is JSON, but not {expected}: give the file that was written for one", file.display())]
    NotOurs {
        /// Which.
        file: PathBuf,
        /// What it should be: `a run`.
        expected: &'static str,
        /// What is missing.
        source: serde_json::Error,
    },
}

/// Writes a run's file.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_json(run: &Run, to: &Path) -> io::Result<()> {
    write(run, to)
}

/// Reads a run's file.
///
/// # Errors
///
/// When it is not a run that this version wrote. The error says what to do.
pub fn read(file: &Path) -> Result<Run, ReadError> {
    read_as(file, record::FORMAT, "a run")
}

/// Writes a comparison's file, with its verdicts.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_comparison_json(comparison: &Comparison, to: &Path) -> io::Result<()> {
    write(&Told::new(comparison), to)
}

/// Reads a comparison's file.
///
/// # Errors
///
/// When it is not a comparison that this version wrote. The error says what to do.
pub fn read_comparison(file: &Path) -> Result<Comparison, ReadError> {
    read_as(file, comparison::FORMAT, "a comparison of proxies")
}

fn write(value: &impl Serialize, to: &Path) -> io::Result<()> {
    replace(to, |mut out| {
        serde_json::to_writer_pretty(&mut out, value)?;
        out.write_all(b"\n")
    })
}

/// Writes a file that is there whole or not at all: when the disk is full, what was there before stays. What is no file, such as
/// a pipe, is written to as it is.
///
/// # Errors
///
/// When it cannot be written.
pub fn replace(to: &Path, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    if std::fs::metadata(to).is_ok_and(|known| !known.is_file()) {
        let mut out = BufWriter::new(File::options().write(true).open(to)?);
        write(&mut out)?;
        return out.flush();
    }
    // What a link leads to is replaced, and not the link.
    let to = std::fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let usual = Permissions::from_mode(0o666);
    let mut out = BufWriter::new(tempfile::Builder::new().permissions(usual).tempfile_in(folder)?);
    write(&mut out)?;
    out.into_inner()?.persist(&to)?;
    Ok(())
}

/// Tries whether files can be written to a folder, which is made if need be. Nothing is left of that.
///
/// # Errors
///
/// They cannot.
pub fn try_folder(folder: &Path) -> io::Result<()> {
    // The innermost first.
    let missing: Vec<_> = folder.ancestors().take_while(|at| !at.as_os_str().is_empty() && !at.exists()).collect();
    let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder).map(drop));
    for made in missing {
        // One in which something has come meanwhile stays.
        let _ = std::fs::remove_dir(made);
    }
    tried
}

fn read_as<T: DeserializeOwned>(file: &Path, expected: u32, what: &'static str) -> Result<T, ReadError> {
    let path = || file.to_owned();
    let bytes = std::fs::read(file).map_err(|source| ReadError::Io { file: path(), source })?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|source| ReadError::NotJson { file: path(), source })?;
    // Before the rest: what another format has in it is unknown.
    let found = value.get("format").and_then(Value::as_u64);
    if let Some(found) = found.filter(|&found| found != u64::from(expected)) {
        return Err(ReadError::Format { file: path(), found, expected });
    }
    T::deserialize(value).map_err(|source| ReadError::NotOurs { file: path(), expected: what, source })
}
