//! The message types of a fleet, and what thresholds of a scenario can be about.

use super::sources::Group;
use crate::client::Subject;
use crate::load;
use crate::record::SeriesKey;
use crate::threshold::Names;

/// The series of a run: each message type, group by group.
pub(super) fn keys(groups: &[Group]) -> Vec<SeriesKey> {
    let names = || groups.iter().map(|group| group.name.clone());
    let key = |subject: Subject, group| SeriesKey {
        message: subject.name().to_owned(),
        role: subject.role().to_owned(),
        group,
    };
    Subject::ALL.iter().flat_map(|subject| names().map(|group| key(*subject, group))).collect()
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
