//! What contradicts itself in a scenario, although each key is fine by itself.

use std::ops::Range;
use std::time::Duration;

use super::activity::Activity;
use super::fields::Notes;
use super::scenario::{Fleet, Storm};

/// Where the keys of a storm are in the text.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// What it is called in messages.
    pub(super) called: String,
    pub(super) at: Range<usize>,
    pub(super) groups: Range<usize>,
    pub(super) activities: Range<usize>,
}

/// When the run is over, in the time of its clients; `None` if the scenario is wrong about that.
pub(super) fn end(fleet: &Fleet, notes: &Notes<'_>) -> Option<Duration> {
    notes.mistakes.is_empty().then(|| fleet.total().mul_f64(fleet.speedup))
}

/// Notes what a storm or the start says that cannot be. One in which nobody takes part may say anything: it is off.
pub(super) fn event(fleet: &Fleet, event: &Storm, places: &Places, end: Option<Duration>, notes: &mut Notes<'_>) {
    if event.share <= 0.0 {
        return;
    }
    if let Some(end) = end {
        in_time(event, places, end, notes);
    }
    for (place, activity) in event.activities.iter().enumerate() {
        if event.activities[..place].contains(activity) {
            notes.at(&places.activities, format!("'{activity}' is named twice: a client does it once"));
        }
        if fleet.habits[activity.index()].share <= 0.0 {
            notes.at(
                &places.activities,
                format!(
                    "nobody does '{activity}': activities.{activity}.share is 0; leave it out here, or give it a share"
                ),
            );
        }
    }
    let empty = |name: &&String| fleet.groups.iter().any(|group| group.name == **name && group.share <= 0.0);
    for name in event.groups.iter().filter(empty) {
        notes.at(&places.groups, format!("nobody is in the group '{name}': its share is 0; leave it out here"));
    }
}

/// That everything begins before the run is over.
fn in_time(event: &Storm, places: &Places, end: Duration, notes: &mut Notes<'_>) {
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

/// Notes that nobody ever does anything.
pub(super) fn whole(fleet: &Fleet, notes: &mut Notes<'_>) {
    let notifies = fleet.notification.share > 0.0;
    if fleet.notification.needed && !notifies {
        notes.whole("notification.needed is true and notification.share is 0: nobody would hold a connection");
    }
    if !notifies && !does_anything(fleet) {
        notes.whole(
            "nobody ever does anything: give an activity a period and a share, a storm activities, or notification a share",
        );
    }
}

/// Whether anybody ever does anything but to hold a connection for notification.
pub(super) fn does_anything(fleet: &Fleet) -> bool {
    Activity::ALL.into_iter().any(|activity| fleet.does(activity))
}
