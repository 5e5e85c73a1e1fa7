//! The sentences about overrides.

use crate::control::state_file::date;
use crate::control::steering::{Change, Outcome};
use crate::model::steering::{Kind, Override, Wish, subject};
use crate::text::count;

/// What an override is, whose and since when: `drained by anna since 2026-03-01T10:00:00Z: new disks`.
pub fn describe(own: &Override) -> String {
    let what = match own.wish {
        Wish::Drain | Wish::Maintenance => own.wish.kind().adjective().to_owned(),
        Wish::Weight(share) => format!("weight {share}"),
    };
    format!("{what} {}", whose(own))
}

/// Whose it is, since when, until when and why.
pub fn whose(own: &Override) -> String {
    let begin = own.begin.map(|begin| format!(" from {}", date(begin))).unwrap_or_default();
    let end = own.end.map(|end| format!(" until {}", date(end))).unwrap_or_default();
    let comment = own.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
    let (by, since) = (&own.by, date(own.since));
    format!("by {by} since {since}{begin}{end}{comment}")
}

/// What was done. `in_flight`: requests and tunnels that are under way there.
pub(super) fn done(change: &Change, outcome: &Outcome, in_flight: u32) -> String {
    let under_way = match in_flight {
        0 => "nothing is under way there".to_owned(),
        some => format!("under way there: {}", count(usize::try_from(some).unwrap_or(usize::MAX), "request")),
    };
    match change {
        Change::Set(new) => {
            let what = new.subject();
            let before = match &outcome.before {
                Some(before) => format!(" (in the place of: {})", describe(before)),
                None => String::new(),
            };
            let said = match new.wish {
                Wish::Drain => format!("{what} is drained: it gets nothing new; {under_way}"),
                Wish::Maintenance => format!("{what} {}; {under_way}", maintenance(new)),
                Wish::Weight(share) => format!("{what} has the weight {share}"),
            };
            format!("{said}{before}")
        }
        Change::Undo(place) => {
            let what = subject(&place.site_system, place.role.as_deref());
            let said = match (place.kind, &outcome.before) {
                (kind, None) => return format!("{what} is not {}", kind.adjective()),
                (Kind::Drain, Some(_)) => format!("{what} is drained no more"),
                (Kind::Maintenance, Some(_)) => format!("{what} is in maintenance no more"),
                (Kind::Weight, Some(_)) => format!("{what} has its configured weight"),
            };
            let before = outcome.before.as_ref().map(describe).unwrap_or_default();
            format!("{said} (it was {before})")
        }
    }
}

fn maintenance(new: &Override) -> String {
    let until = new.end.map(|end| format!(" until {}", date(end))).unwrap_or_default();
    match new.begin {
        Some(begin) => format!("goes into maintenance at {}{until}", date(begin)),
        None => format!("is in maintenance{until}"),
    }
}
