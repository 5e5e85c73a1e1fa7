//! The message types of a fleet, and what thresholds of a scenario can be about.

use super::sources::Group;
use crate::load;
use crate::record::SeriesKey;
use crate::threshold::Names;

/// The message types, each with the role that answers it.
pub(super) const MESSAGES: [(&str, &str); 20] = [
    ("service location", "MP"),
    ("MP certificate", "MP"),
    ("registration", "MP"),
    ("policy request", "MP"),
    ("policy body", "MP"),
    ("state message", "MP"),
    ("heartbeat DDR", "MP"),
    ("inventory upload", "MP"),
    ("hardware inventory", "MP"),
    ("software inventory", "MP"),
    ("content location", "MP"),
    ("scan version", "SUP"),
    ("scan GetConfig", "SUP"),
    ("scan GetCookie", "SUP"),
    ("scan SyncUpdates", "SUP"),
    ("content listing", "DP"),
    ("content size", "DP"),
    ("content range", "DP"),
    (LOGON, "BGB"),
    (PING, "BGB"),
];
pub(super) const LOGON: &str = "notification logon";
pub(super) const PING: &str = "notification ping";

/// The series of a run: each message type, group by group.
pub(super) fn keys(groups: &[Group]) -> Vec<SeriesKey> {
    let names = || groups.iter().map(|group| group.name.clone());
    let key =
        |message: &str, role: &str, group| SeriesKey { message: message.to_owned(), role: role.to_owned(), group };
    MESSAGES.iter().flat_map(|(message, role)| names().map(|group| key(message, role, group))).collect()
}

/// What thresholds of a fleet of these groups can be about.
pub(super) fn names(groups: &[Group]) -> Names {
    Names::of(&keys(groups))
}

/// What thresholds of plain load can be about. Without paths it asks for that of its target.
pub(super) fn plain_names(method: &str, urls: &[String], target: Option<&str>) -> Names {
    let paths: Vec<&str> = match urls {
        [] => target.into_iter().collect(),
        urls => urls.iter().map(String::as_str).collect(),
    };
    if paths.is_empty() {
        return Names::default();
    }
    let messages = load::message_types(paths.iter().map(|path| (method, *path)));
    let keys: Vec<_> = messages.into_iter().map(|message| SeriesKey { message, ..SeriesKey::default() }).collect();
    Names::of(&keys)
}
