//! The file in which overrides survive a restart: JSON with a version, for its owner alone, put in place of the old one as a whole.
//!
//! A file that cannot be read never keeps the proxy from serving: it is put aside and said so, loudly.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::steering::{Override, Share, Steering, Wish};

/// Of the file's format.
const VERSION: u32 = 1;
/// The name of the file in a folder that systemd gives.
const NAME: &str = "steering.json";
/// Where systemd says which folder keeps the state of a service.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// A larger file is none of ours.
const LARGEST: u64 = 32 << 20;

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
struct Contents {
    version: u32,
    overrides: Vec<Written>,
}

/// An override as it is written, here and in answers. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Written {
    /// The site system.
    pub site_system: String,
    /// One of its roles; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// `drain`, `maintenance` or `weight`.
    pub kind: String,
    /// For a weight: a number from 1 to 1000, or a percentage of the configured one such as `50%`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight: Option<String>,
    /// When it begins; absent: it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub begin: Option<u64>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<u64>,
    /// When it was asked for.
    pub since: u64,
    /// Who asked, as they said themselves.
    pub by: String,
    /// Where that came from.
    pub from: String,
    /// Why, as they wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<String>,
}

impl From<&Override> for Written {
    fn from(own: &Override) -> Self {
        let weight = match own.wish {
            Wish::Weight(share) => Some(share.to_string()),
            Wish::Drain | Wish::Maintenance => None,
        };
        Self {
            site_system: own.site_system.to_string(),
            role: own.role.as_ref().map(ToString::to_string),
            kind: own.wish.kind().as_str().to_owned(),
            weight,
            begin: own.begin,
            end: own.end,
            since: own.since,
            by: own.by.to_string(),
            from: own.from.to_string(),
            comment: own.comment.as_ref().map(ToString::to_string),
        }
    }
}

impl Written {
    fn read(self) -> Result<Override, String> {
        let wish = match (self.kind.as_str(), &self.weight) {
            ("drain", None) => Wish::Drain,
            ("maintenance", None) => Wish::Maintenance,
            ("weight", Some(weight)) => Wish::Weight(weight.parse::<Share>()?),
            (kind, _) => return Err(format!("{kind:?} of {:?} is no override", self.site_system)),
        };
        Ok(Override {
            site_system: Arc::from(self.site_system),
            role: self.role.map(Arc::from),
            wish,
            begin: self.begin,
            end: self.end,
            since: self.since,
            by: self.by.into(),
            from: self.from.into(),
            comment: self.comment.map(Into::into),
        })
    }
}

/// A time as texts say it.
pub fn date(seconds: u64) -> String {
    // Until the year 9999.
    let at = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The file that is configured, or one in the folder that systemd gives the service (`StateDirectory=`).
pub fn place(configured: Option<&str>) -> Option<PathBuf> {
    match configured {
        Some(path) => Some(PathBuf::from(path)),
        None => in_folder(&std::env::var(STATE_DIRECTORY).ok()?),
    }
}

/// In the first of the folders.
fn in_folder(folders: &str) -> Option<PathBuf> {
    let first = folders.split(':').next().filter(|first| !first.is_empty())?;
    Some(Path::new(first).join(NAME))
}

/// What the file says. One that is broken is put aside, and nothing is decided then.
pub(super) fn load(path: &Path) -> Steering {
    let broken = match read(path) {
        Ok(steering) => return steering,
        Err(Unread::Missing) => return Steering::default(),
        Err(Unread::Because(why)) => why,
    };
    let aside = beside(path, "broken");
    let renamed = std::fs::rename(path, &aside);
    let path = path.display();
    match renamed {
        Ok(()) => tracing::error!(
            %path, broken, aside = %aside.display(),
            "the state file cannot be used and is put aside: DRAIN AND MAINTENANCE FROM BEFORE THE START DO NOT HOLD"
        ),
        Err(error) => tracing::error!(
            %path, broken, %error,
            "the state file cannot be used, nor put aside: DRAIN AND MAINTENANCE FROM BEFORE THE START DO NOT HOLD"
        ),
    }
    Steering::default()
}

/// Why there is nothing to go on with.
enum Unread {
    Missing,
    Because(String),
}

fn read(path: &Path) -> Result<Steering, Unread> {
    let because = |error: &dyn std::fmt::Display| Unread::Because(error.to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unread::Missing),
        Err(error) => return Err(because(&error)),
    };
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| because(&error))?;
    let contents: Contents = serde_json::from_str(&text).map_err(|error| because(&error))?;
    if contents.version != VERSION {
        return Err(Unread::Because(format!(
            "it is of version {}, and this rolegate reads {VERSION}",
            contents.version
        )));
    }
    let mut steering = Steering::default();
    for written in contents.overrides {
        steering.set(written.read().map_err(Unread::Because)?);
    }
    Ok(steering)
}

/// Puts a new file in the place of the old one. At no moment is there half a file.
pub(super) fn write(path: &Path, steering: &Steering) -> io::Result<()> {
    let contents = Contents { version: VERSION, overrides: steering.all().map(Written::from).collect() };
    let mut text = serde_json::to_string_pretty(&contents)?;
    text.push('\n');
    let new = beside(path, "new");
    let written = fill(&new, text.as_bytes()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // It may not even be there.
        let _ = std::fs::remove_file(&new);
        return written;
    }
    // The name has to survive a loss of power too.
    File::open(folder(path))?.sync_all()
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What an earlier process has left is not written to: it may be someone else's by now.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a file at this path could be written, without leaving a trace.
pub fn can_write(path: &Path) -> io::Result<()> {
    let probe = beside(path, "check");
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe);
    match made {
        Ok(_) => std::fs::remove_file(&probe),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(end);
    path.with_file_name(name)
}

#[cfg(test)]
#[path = "state_file_tests.rs"]
mod tests;
