//! `[content]`, `[affinity]` and the sizes of what is remembered.

use super::{SpannedName, finite};
use crate::control::config::fields::number;
use crate::control::config::{Config, Problems, text};
use crate::model::live::Capacity;
use crate::model::snapshot::ContentSettings;

const MOST_CLOCKS: u32 = 1 << 24;
const MOST_ENTRIES: u32 = 1 << 26;

pub(super) fn content(config: &Config, problems: &mut Problems) -> ContentSettings {
    let table = &config.content;
    ContentSettings {
        missing_ttl: finite(table.missing_ttl),
        known_ttl: finite(table.known_ttl),
        discover: contents(&table.discover, problems),
        discover_interval: finite(table.discover_interval),
    }
}

pub(super) fn capacity(config: &Config, problems: &mut Problems) -> Capacity {
    let mut sized = |written, key, most| {
        let mut size = 1;
        number(&mut size, Some(written), key, 1..=most, problems);
        size as usize
    };
    Capacity {
        clocks: sized(&config.fallback.max_clocks, "max_clocks", MOST_CLOCKS),
        verdicts: sized(&config.content.max_entries, "max_entries", MOST_ENTRIES),
        affinities: sized(&config.affinity.max_entries, "max_entries", MOST_ENTRIES),
    }
}

/// Ids of contents.
pub(super) fn contents(written: &[SpannedName], problems: &mut Problems) -> Box<[Box<str>]> {
    boxed(text::each(written, text::content_id, problems))
}

pub(super) fn boxed(list: Vec<String>) -> Box<[Box<str>]> {
    list.into_iter().map(String::into_boxed_str).collect()
}
