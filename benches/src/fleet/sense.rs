//! What contradicts itself in a scenario, although each key is fine by itself.

use std::ops::Range;
use std::time::Duration;

use super::activity::{Activity, Habit};
use super::fields::Notes;
use super::sources::Group;

/// What a storm or the start says, as far as it can contradict the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'s> {
    pub(super) at: Duration,
    pub(super) apart: Duration,
    pub(super) share: f64,
    pub(super) groups: &'s [String],
    pub(super) activities: &'s [Activity],
}

/// What the rest of the scenario says about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest<'s> {
    pub(super) groups: &'s [Group],
    pub(super) habits: &'s [Habit],
    /// When the run is over, in the time of its clients; `None` if the scenario is wrong about that.
    pub(super) end: Option<Duration>,
}

/// Where the keys of a storm are in the text.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// What it is called in messages.
    pub(super) called: String,
    pub(super) at: Range<usize>,
    pub(super) groups: Range<usize>,
    pub(super) activities: Range<usize>,
}

/// Notes what a storm or the start says that cannot be. One in which nobody takes part may say anything: it is off.
pub(super) fn event(event: &Event<'_>, rest: &Rest<'_>, places: &Places, notes: &mut Notes<'_>) {
    if event.share <= 0.0 {
        return;
    }
    if let Some(end) = rest.end {
        in_time(event, places, end, notes);
    }
    for (place, activity) in event.activities.iter().enumerate() {
        if event.activities[..place].contains(activity) {
            notes.at(&places.activities, format!("'{activity}' is named twice: a client does it once"));
        }
        if rest.habits[activity.index()].share <= 0.0 {
            notes.at(
                &places.activities,
                format!(
                    "nobody does '{activity}': activities.{activity}.share is 0; leave it out here, or give it a share"
                ),
            );
        }
    }
    let empty = |name: &&String| rest.groups.iter().any(|group| group.name == **name && group.share <= 0.0);
    for name in event.groups.iter().filter(empty) {
        notes.at(&places.groups, format!("nobody is in the group '{name}': its share is 0; leave it out here"));
    }
}

/// That everything begins before the run is over.
fn in_time(event: &Event<'_>, places: &Places, end: Duration, notes: &mut Notes<'_>) {
    // What is not a whole second of a minute or more is of no interest.
    let shown = if end > Duration::from_secs(60) { Duration::from_secs(end.as_secs()) } else { end };
    let over = format!("the run is over after {} of the clients' time", humantime::format_duration(shown));
    if event.at >= end {
        let at = humantime::format_duration(event.at);
        notes.at(
            &places.at,
            format!("{} begins at {at}, and {over}: begin sooner, run longer, or give it share = 0", places.called),
        );
        return;
    }
    let begins = |place: usize| event.at + event.apart.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
    let late = event.activities.iter().enumerate().map(|(place, activity)| (activity, begins(place)));
    for (activity, begins) in late.filter(|(_, begins)| *begins >= end) {
        let begins = humantime::format_duration(begins);
        notes.at(
            &places.activities,
            format!("'{activity}' is due at {begins} at the soonest, and {over}: shorten apart, or run longer"),
        );
    }
}
