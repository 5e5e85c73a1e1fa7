//! Table versions: which configurations were served, what they changed, and which were rejected.

use std::sync::{Arc, Mutex, PoisonError};

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::{self, State};
use super::{Made, Shown};
use crate::control::director::View;
use crate::control::versions::{Outcome, Version};

/// One configuration that was tried.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct VersionStatus {
    /// When; seconds since 1970.
    pub at: f64,
    /// The generation that was served afterwards.
    pub generation: u64,
    /// `started`, `taken` or `rejected`.
    pub outcome: String,
    /// What it changed, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errors: Option<String>,
    /// How many times in a row it was tried, when it was rejected.
    #[serde(default)]
    pub times: u32,
}

/// Those that are kept, the newest first.
pub(super) fn all(view: &Arc<Mutex<View>>) -> Vec<VersionStatus> {
    view.lock().unwrap_or_else(PoisonError::into_inner).versions.iter().map(status).collect()
}

fn status(version: &Version) -> VersionStatus {
    let own = VersionStatus {
        at: crate::status::seconds(version.at),
        generation: version.generation,
        times: 1,
        ..VersionStatus::default()
    };
    match &version.outcome {
        Outcome::Started => VersionStatus { outcome: "started".to_owned(), ..own },
        Outcome::Taken(changes) => VersionStatus { outcome: "taken".to_owned(), changes: changes.clone(), ..own },
        Outcome::Rejected { errors, times } => {
            VersionStatus { outcome: "rejected".to_owned(), errors: Some(errors.clone()), times: *times, ..own }
        }
    }
}

pub(super) fn page(shown: &Shown, versions: &[VersionStatus]) -> Made {
    let status = &shown.status;
    let live = html! {
        p.lead { "Configuration " b { (status.generation) } " is served, as table version " b { (status.snapshot) } ", published " (parts::ago(shown.now, status.published)) ". Health and names make new table versions too; here are the configurations." }
        ol.versions { @for version in versions { (entry(shown, version)) } }
    };
    Made::live("Table versions", html! {}, live)
}

fn entry(shown: &Shown, version: &VersionStatus) -> Markup {
    html! {
        li data-key=(format!("{} {}", version.outcome, version.at as u64)) {
            h2 {
                @match version.errors { Some(_) => { (parts::marked(State::Down, "rejected")) } None => { (parts::marked(State::Up, &format!("configuration {}", version.generation))) } }
                " " span.when { (parts::ago(shown.now, version.at)) @if version.times > 1 { ", tried " (version.times) " times" } }
            }
            @if let Some(errors) = &version.errors {
                p { "Configuration " (version.generation) " went on serving." }
                pre tabindex="0" role="region" aria-label=(format!("Errors of {}", parts::moment(version.at))) { (errors) }
            } @else if version.outcome == "started" { p { "The process started with it." } }
            @else if version.changes.is_empty() { p { "It says the same as the one before." } }
            @else { ul { @for change in &version.changes { li { (change) } } } }
        }
    }
}
