//! Names for what is learned while serving: which contents and which fallback clocks there are.
//!
//! The truth is in [`crate::model::live::Live`], which holds only hashes. The ledger keeps the names that data threads
//! send, a bounded number of them, so that a person can be told. A name that was forgotten is only missing from lists.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::live::{Live, Ticks};
use crate::model::role::Role;

/// Contents whose names are kept. A distribution point takes 10,000 packages.
const CONTENTS: usize = 20_000;
/// Clocks whose names are kept.
const CLOCKS: usize = 10_000;

/// Names of contents and clocks.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By folder, in lower case.
    contents: HashMap<String, Content>,
    clocks: HashMap<u64, ClockName>,
}

/// A content that was asked for.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its id as it was first written.
    pub id: Box<str>,
    /// Path of its folder.
    pub folder: Box<str>,
    /// Its key in [`Live`].
    pub key: u64,
    noted: Ticks,
}

/// What a clock is about.
#[derive(Clone, Debug)]
pub struct ClockName {
    /// The role.
    pub role: Arc<Role>,
    /// Code of the site, for a role of one of several.
    pub site: Option<Arc<str>>,
    /// Boundary groups of its clients; empty for clients of none.
    pub groups: Box<[Box<str>]>,
    /// The content that could not be had.
    pub content: Option<Box<str>>,
    /// When it was started.
    pub noted: Ticks,
}

impl Ledger {
    /// Keeps the name of a content.
    pub fn note_content(&mut self, live: &Live, id: &str, folder: &str, now: Ticks) {
        let lower = folder.to_ascii_lowercase();
        if let Some(known) = self.contents.get_mut(&lower) {
            known.noted = now;
            return;
        }
        make_room(&mut self.contents, CONTENTS, |content| content.noted);
        let key = live.content_key(folder);
        self.contents.insert(lower, Content { id: id.into(), folder: folder.into(), key, noted: now });
    }

    /// Keeps the name of a clock.
    pub fn note_clock(&mut self, key: u64, name: ClockName) {
        self.make_room_for_clock();
        self.clocks.insert(key, name);
    }

    /// Forgets the older half of the names of those clients that have most, when there are too many: nobody can make the names of
    /// others go.
    fn make_room_for_clock(&mut self) {
        if self.clocks.len() < CLOCKS {
            return;
        }
        let mut times: HashMap<(&str, &[Box<str>]), Vec<Ticks>> = HashMap::new();
        for clock in self.clocks.values() {
            times.entry((&clock.role.name, &clock.groups)).or_default().push(clock.noted);
        }
        let Some((whose, mut times)) = times.into_iter().max_by_key(|(_, times)| times.len()) else { return };
        let (role, groups) = (whose.0.to_owned(), whose.1.to_vec());
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let goes = |clock: &ClockName| clock.noted <= median && clock.role.name == role && *clock.groups == *groups;
        self.clocks.retain(|_, clock| !goes(clock));
    }

    /// The contents with this id, in any case: one for each virtual directory that it was asked for in.
    pub fn contents_of(&self, id: &str) -> impl Iterator<Item = &Content> {
        self.contents.values().filter(move |content| content.id.eq_ignore_ascii_case(id))
    }

    /// All contents, in no order.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.contents.values()
    }

    /// All clocks that have been started and not been forgotten, with their keys; some may have ended.
    pub fn clocks(&self) -> impl Iterator<Item = (u64, &ClockName)> {
        self.clocks.iter().map(|(key, name)| (*key, name))
    }

    /// Forgets clocks that do not run.
    pub fn drop_ended(&mut self, live: &Live, now: Ticks, idle: Ticks) {
        self.clocks.retain(|key, _| live.clock(*key, now, idle).is_some());
    }
}

/// Forgets the older half when a map is full: one pass for many insertions.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, most: usize, noted: impl Fn(&V) -> Ticks) {
    if map.len() < most {
        return;
    }
    let mut times: Vec<Ticks> = map.values().map(&noted).collect();
    let (_, median, _) = times.select_nth_unstable(most / 2);
    let median = *median;
    map.retain(|_, value| noted(value) > median);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_any_case_and_bounded() {
        let (live, mut ledger) = (Live::default(), Ledger::default());
        ledger.note_content(&live, "ABC00012", "/SMS_DP_SMSPKG$/ABC00012", 1);
        ledger.note_content(&live, "abc00012", "/sms_dp_smspkg$/abc00012", 2);
        assert_eq!(ledger.contents().count(), 1);
        ledger.note_content(&live, "abc00012", "/x/abc00012", 2);
        assert_eq!(ledger.contents_of("Abc00012").count(), 2, "another virtual directory");
        for id in 0..100_000 {
            ledger.note_content(&live, &format!("X{id}"), &format!("/x/X{id}"), 10 + id);
        }
        assert!(ledger.contents().count() <= CONTENTS);
        assert_eq!((ledger.contents_of("X99999").count(), ledger.contents_of("ABC00012").count()), (1, 0));
        // All noted at the same moment: room is made all the same.
        for id in 0..50_000 {
            ledger.note_content(&live, &format!("Y{id}"), &format!("/x/Y{id}"), 200_000);
        }
        assert!(ledger.contents().count() <= CONTENTS);
    }

    #[test]
    fn names_of_clocks_make_room_among_their_own() {
        let (role, mut ledger) = (Arc::new(crate::model::presets::plain()), Ledger::default());
        let groups = |name: &str| Box::from([Box::from(name)]);
        let name = |groups, noted| ClockName { role: Arc::clone(&role), site: None, groups, content: None, noted };
        (0..50).for_each(|key| ledger.note_clock(key, name(groups("quiet"), 1)));
        for key in 100..100_000 {
            ledger.note_clock(key, name(groups("loud"), 2 + key as Ticks));
        }
        let of = |name: &str| ledger.clocks().filter(|(_, clock)| *clock.groups[0] == *name).count();
        assert_eq!(of("quiet"), 50);
        assert!(of("loud") > 1000 && ledger.clocks().count() <= CLOCKS);
    }

    #[test]
    fn ended_clocks_are_dropped() {
        let (live, mut ledger) = (Live::default(), Ledger::default());
        let role = Arc::new(crate::model::presets::plain());
        for key in [7 << 16, 8 << 16] {
            live.start_clock(key, crate::model::live::Owner::NONE, 1, 100);
            let (role, groups) = (Arc::clone(&role), Box::default());
            ledger.note_clock(key, ClockName { role, site: None, groups, content: None, noted: 1 });
        }
        live.clear_clock(7 << 16);
        ledger.drop_ended(&live, 2, 100);
        assert_eq!(ledger.clocks().map(|(key, _)| key).collect::<Vec<_>>(), [8 << 16]);
    }
}
