//! Drain, maintenance and weight as people ask for them: names looked up, times read, consequences told.
//!
//! What follows from a wish is told before it is carried out, and it is carried out all the same: whoever asks may have a reason.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::control::director::{Handles, Order};
use crate::control::steering::{Change, Kept, Outcome, Wanted, wall_clock};
use crate::lookup;
use crate::model::cluster::Cluster;
use crate::model::role::Balance;
use crate::model::snapshot::Snapshot;
use crate::model::steering::{Kind, Override, Place, Share, Wish, subject};
use crate::process_log::AUDIT;

pub mod consequences;
pub mod listing;
pub mod when;
pub mod words;

use listing::{OverrideStatus, UnderWay};
use when::Window;

/// How long the control thread and the disk may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest comment, in characters.
const COMMENT: usize = 500;
/// Longest name of the one who asks, in characters.
const NAME: usize = 100;
/// Who asked, when that was not said.
const UNKNOWN: &str = "unknown";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing new goes there.
    Drain,
    /// As before.
    Undrain,
    /// Nothing goes there, from a time or until one.
    Maintenance(Window),
    /// It is over, or is not to be.
    EndMaintenance,
    /// Another share of the traffic: `50`, or `50%` of the configured one.
    Weight(String),
    /// The configured one again.
    ResetWeight,
}

/// Of whom it is asked, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The site system, by its name, or by a host name or address of it.
    pub server: String,
    /// One of its roles; `None`: all of them.
    pub role: Option<String>,
    /// Why, for others to read.
    pub comment: Option<String>,
    /// Who asks.
    pub by: Option<String>,
    /// Where the question came from.
    pub from: String,
}

/// What was done.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Steered {
    /// What holds now.
    pub sentence: String,
    /// Who is left without a server, and whatever else may not be meant.
    pub warnings: Vec<String>,
    /// All overrides of the site system.
    pub overrides: Vec<OverrideStatus>,
    /// What is under way there.
    pub under_way: Vec<UnderWay>,
}

/// A change that was found sensible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// For the Director.
    pub change: Change,
    /// What else follows.
    pub warnings: Vec<String>,
    by: Box<str>,
    from: Box<str>,
}

/// Finds out what is meant, at `now` (seconds since 1970).
///
/// # Errors
/// Every mistake, one sentence each.
pub fn plan(snapshot: &Snapshot, asked: &Asked, command: &Command, now: u64) -> Result<Planned, Vec<String>> {
    let mut mistakes = Vec::new();
    let wish = wish(command, now).map_err(|mistake| mistakes.push(mistake)).ok();
    let system = lookup::steered_system(snapshot, &asked.server).map_err(|mistake| mistakes.push(mistake)).ok();
    let role = match (&system, &asked.role) {
        (Some(system), Some(role)) => {
            lookup::role_of(snapshot, system, role).map(Some).map_err(|mistake| mistakes.push(mistake)).ok()
        }
        (None, Some(role)) => lookup::role(snapshot, role).map(|_| None).map_err(|mistake| mistakes.push(mistake)).ok(),
        (_, None) => Some(None),
    };
    let comment = said(asked.comment.as_deref(), "comment", COMMENT).map_err(|mistake| mistakes.push(mistake)).ok();
    let by = said(asked.by.as_deref(), "by", NAME).map_err(|mistake| mistakes.push(mistake)).ok();
    let (Some(wish), Some(site_system), Some(role), Some(comment), Some(by)) = (wish, system, role, comment, by) else {
        return Err(mistakes);
    };
    let by = by.unwrap_or_else(|| UNKNOWN.into());
    let from: Box<str> = asked.from.as_str().into();
    let change = match wish {
        Asking::For(wish, (begin, end)) => {
            let (by, from) = (by.clone(), from.clone());
            Change::Set(Override { site_system, role, wish, begin, end, since: now, by, from, comment })
        }
        Asking::ToUndo(kind) => Change::Undo(known(snapshot, Place { site_system, role, kind })?),
    };
    let warnings = warnings(snapshot, &change, now);
    Ok(Planned { change, warnings, by, from })
}

/// A wish, or the end of one.
enum Asking {
    For(Wish, (Option<u64>, Option<u64>)),
    ToUndo(Kind),
}

fn wish(command: &Command, now: u64) -> Result<Asking, String> {
    let at_once = (None, None);
    Ok(match command {
        Command::Drain => Asking::For(Wish::Drain, at_once),
        Command::Undrain => Asking::ToUndo(Kind::Drain),
        Command::Maintenance(window) => Asking::For(Wish::Maintenance, window.read(now)?),
        Command::EndMaintenance => Asking::ToUndo(Kind::Maintenance),
        Command::Weight(weight) => Asking::For(Wish::Weight(weight.parse::<Share>()?), at_once),
        Command::ResetWeight => Asking::ToUndo(Kind::Weight),
    })
}

/// Words of a person that others will read in one line.
fn said(text: Option<&str>, what: &str, most: usize) -> Result<Option<Box<str>>, String> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().any(char::is_control) {
        return Err(format!("{what} has a control character in it: write one line of text"));
    }
    if text.chars().count() > most {
        return Err(format!("{what} is longer than {most} characters"));
    }
    Ok(Some(text.into()))
}

/// The override that is to be undone, if there is one.
fn known(snapshot: &Snapshot, place: Place) -> Result<Place, Vec<String>> {
    if snapshot.steering.at(&place).is_some() {
        return Ok(place);
    }
    let (system, is) = (&place.site_system, place.kind.adjective());
    let others = snapshot.steering.of_system(system).iter().filter(|own| own.wish.kind() == place.kind);
    let others: Vec<String> = others.map(Override::subject).collect();
    let what = subject(system, place.role.as_deref());
    let there_is = match others.as_slice() {
        [] => String::new(),
        others => format!(", but {} is: name that", others.join(" and ")),
    };
    Err(vec![match place.kind {
        Kind::Weight => format!("{what} has no other weight than the configured one{there_is}"),
        Kind::Drain | Kind::Maintenance => format!("{what} is not {is}{there_is}"),
    }])
}

fn warnings(snapshot: &Snapshot, change: &Change, now: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    match change {
        Change::Set(new) if new.wish.kind() == Kind::Weight => warnings.extend(of_weight(snapshot, new)),
        Change::Set(new) => warnings.extend(consequences::left_without(snapshot, new)),
        Change::Undo(place) => {
            let others = snapshot.steering.of_system(&place.site_system).iter();
            let about = |own: &&Override| {
                let same_role = place.role.is_none() || own.role.is_none() || own.role == place.role;
                let takes_out = own.wish.kind() != Kind::Weight && place.kind != Kind::Weight;
                let other = (own.wish.kind(), &own.role) != (place.kind, &place.role);
                other && same_role && takes_out && own.holds(now)
            };
            warnings.extend(others.filter(about).map(|own| {
                let is = own.wish.kind().adjective();
                format!("{} is still {is}: {}", own.subject(), words::whose(own))
            }));
        }
    }
    warnings
}

/// Roles whose clients have their data at one server.
fn of_weight(snapshot: &Snapshot, new: &Override) -> Vec<String> {
    let device =
        consequences::clusters_of(snapshot, new).filter(|cluster| cluster.topology.role.balance == Balance::Device);
    let text = |cluster: &Arc<Cluster>| {
        let role = &cluster.topology.role.name;
        format!("the weight does not count for {role}: enrolled devices would lose the server that they keep")
    };
    device.map(text).collect()
}

/// Has the Director do it, and says what holds then.
///
/// # Errors
/// Why it was not done, one sentence each.
pub async fn carry_out(handles: &Handles, planned: Planned) -> Result<Steered, Vec<String>> {
    let (reply, answer) = oneshot::channel();
    let Planned { change, mut warnings, by, from } = planned;
    let wanted = Wanted { change: change.clone(), reply };
    let ordered = async {
        handles.orders.send(Order::Steer(wanted)).await.ok()?;
        answer.await.ok()
    };
    let outcome = match tokio::time::timeout(PATIENCE, ordered).await {
        Ok(Some(outcome)) => outcome.map_err(|why| vec![why])?,
        Ok(None) => return Err(vec!["the proxy is shutting down".to_owned()]),
        Err(_) => return Err(vec!["the control thread does not answer: look at `rolegate status` later".to_owned()]),
    };
    log(&change, &outcome, (&by, &from), &warnings);
    let snapshot = handles.snapshots.current();
    let (system, role) = match &change {
        Change::Set(new) => (&new.site_system, &new.role),
        Change::Undo(place) => (&place.site_system, &place.role),
    };
    let listed = listing::of(&snapshot, Some(system), role.as_deref());
    warnings.extend(kept(&outcome.kept));
    let sentence = words::done(&change, &outcome, listed.in_flight());
    Ok(Steered { sentence, warnings, overrides: listed.overrides, under_way: listed.under_way })
}

/// As [`plan`] and [`carry_out`] one after the other.
///
/// # Errors
/// Every mistake, or why it was not done, one sentence each.
pub async fn steer(handles: &Handles, asked: &Asked, command: &Command) -> Result<Steered, Vec<String>> {
    let planned = plan(&handles.snapshots.current(), asked, command, wall_clock())?;
    carry_out(handles, planned).await
}

fn kept(kept: &Kept) -> Option<String> {
    match kept {
        Kept::Saved => None,
        Kept::NoFile => {
            Some("this does not survive a restart: [proxy] state_file names a file that keeps it".to_owned())
        }
        Kept::Failed(why) => Some(format!("this would not survive a restart now, and is tried again: {why}")),
    }
}

/// Who has done what, from where.
fn log(change: &Change, outcome: &Outcome, (by, from): (&str, &str), warnings: &[String]) {
    let before = outcome.before.as_ref().map(words::describe).unwrap_or_default();
    match change {
        Change::Set(new) => {
            let (what, subject, comment) = (words::describe(new), new.subject(), new.comment.as_deref().unwrap_or(""));
            tracing::warn!(target: AUDIT, audit = "steer", by, from, subject, what, comment, before, "a site system is steered");
        }
        Change::Undo(place) => {
            let (what, subject) = (place.kind.as_str(), subject(&place.site_system, place.role.as_deref()));
            tracing::warn!(target: AUDIT, audit = "steer", by, from, subject, what, before, "an override is undone");
        }
    }
    for warning in warnings {
        tracing::warn!(target: AUDIT, audit = "steer", by, from, "{warning}");
    }
}

/// Why an endpoint was taken out, for explanations.
pub fn why_taken_out(snapshot: &Snapshot, system: &str, role: &str) -> Option<String> {
    snapshot.steering.taken_out(system, role, snapshot.steered_at).map(words::describe)
}
