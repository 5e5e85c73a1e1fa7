//! Small pieces that pages share: states, times, numbers, lists.

use maud::{Markup, html};

use super::Topic;
use super::filter::{Paging, address};
pub(super) use super::numbers::{byte_rate, bytes, none, rate, took, whole};
use crate::control::certificates::date;
use crate::status::{ChangeStatus, EndpointStatus, FailureStatus};
use crate::text::span;

/// How an endpoint stands: told by a word and a shape, and by colour besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Down,
    Ejected,
    Degraded,
    Unproven,
    Up,
}

impl State {
    /// The worst first.
    pub(super) const ALL: [Self; 5] = [Self::Down, Self::Ejected, Self::Degraded, Self::Unproven, Self::Up];

    pub(super) fn of(endpoint: &EndpointStatus) -> Self {
        match Self::named(&endpoint.health) {
            Self::Down => Self::Down,
            Self::Ejected | Self::Degraded | Self::Unproven | Self::Up if endpoint.ejected => Self::Ejected,
            other => other,
        }
    }

    /// By its word; every other word is none that is well.
    pub(super) fn named(word: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.word() == word).unwrap_or(Self::Unproven)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Degraded => "degraded",
            Self::Unproven => "unproven",
            Self::Up => "up",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Down => "■",
            Self::Ejected => "◆",
            Self::Degraded => "▲",
            Self::Unproven => "○",
            Self::Up => "●",
        }
    }
}

/// A state as all pages show it.
pub(super) fn badge(state: State) -> Markup {
    marked(state, state.word())
}

/// The state of an endpoint, and what people have decided about it.
pub(super) fn health(endpoint: &EndpointStatus) -> Markup {
    let steered = match endpoint.steered.as_str() {
        "drain" => "drained",
        other => other,
    };
    html! {
        (badge(State::of(endpoint)))
        @if !steered.is_empty() { " " span.steered { span aria-hidden="true" { "‖" } " " (steered) } }
    }
}

/// The colour and shape of a state, with another word.
pub(super) fn marked(state: State, word: &str) -> Markup {
    html! { span class={ "state " (state.word()) } { span aria-hidden="true" { (state.shape()) } " " (word) } }
}

/// How long ago something was.
pub(super) fn ago(now: f64, at: f64) -> Markup {
    let text = date(at as i64);
    html! { time datetime=(text) title=(moment(at)) { (span(now - at)) " ago" } }
}

/// A moment as people read it, in UTC.
pub(super) fn moment(at: f64) -> String {
    date(at as i64).replace('T', " ").replace('Z', " UTC")
}

/// How long something has been so.
pub(super) fn lasting(now: f64, since: Option<f64>) -> Markup {
    html! { @if let Some(since) = since { time datetime=(date(since as i64)) title=(moment(since)) { (span(now - since)) } } @else { (none()) } }
}

/// The last probes, the newest on the right: high and light when it passed, low and heavy when it did not.
pub(super) fn history(marks: &str) -> Markup {
    const LAST: usize = 20;
    let marks: Vec<char> = marks.chars().collect();
    let marks = &marks[marks.len().saturating_sub(LAST)..];
    let empty = LAST - marks.len();
    let bars = |wanted: char, top: usize, high: usize| {
        let places = marks.iter().enumerate().filter(|(_, mark)| **mark == wanted);
        places.map(|(place, _)| format!("M{} {top}h3v{high}h-3z", (place + empty) * 4)).collect::<String>()
    };
    let count = |wanted: char| marks.iter().filter(|mark| **mark == wanted).count();
    let label =
        format!("last {} probes: {} passed, {} degraded, {} failed", marks.len(), count('.'), count('d'), count('x'));
    html! {
        svg.history viewBox="0 0 80 12" width="80" height="12" role="img" aria-label=(label) {
            path.up d=(bars('.', 8, 4)) {}
            path.degraded d=(bars('d', 4, 8)) {}
            path.down d=(bars('x', 0, 12)) {}
        }
    }
}

/// The last failure of a probe.
pub(super) fn failure(now: f64, failure: Option<&FailureStatus>) -> Markup {
    html! { @if let Some(failure) = failure { (ago(now, failure.at)) ": " (failure.cause) } @else { span.none { "none" } } }
}

/// Changes of health, the newest first.
pub(super) fn changes(now: f64, changes: &[ChangeStatus], with_system: bool) -> Markup {
    html! {
        ol.changes {
            @for change in changes {
                li {
                    span.when { (ago(now, change.at)) }
                    " "
                    @if with_system { (system(&change.site_system)) " " span.quiet { (change.role) } " " }
                    span.turn { span.quiet { (change.from) span aria-hidden="true" { " → " } span.hidden { " to " } } (turned(&change.to)) }
                    @if let Some(cause) = &change.cause { span.cause { (cause) } }
                }
            }
        }
    }
}

fn turned(to: &str) -> Markup {
    // Back from live traffic's verdict: whatever probes say of it.
    match State::ALL.into_iter().find(|state| state.word() == to) {
        Some(state) => badge(state),
        None => marked(State::Up, to),
    }
}

/// A site system's name, which leads to its page.
pub(super) fn system(name: &str) -> Markup {
    html! { a href=(address(Topic::SiteSystem, &[("name", name)])) { (name) } }
}

/// A boundary group's name, which leads to its page.
pub(super) fn group(name: &str) -> Markup {
    html! { a href=(address(Topic::BoundaryGroup, &[("name", name)])) { (name) } }
}

/// Some names and how many more there are.
pub(super) fn names(all: &[String], most: usize, one: impl Fn(&str) -> Markup) -> Markup {
    html! {
        @for (place, name) in all.iter().take(most).enumerate() { @if place > 0 { ", " } (one(name)) }
        @if all.len() > most { span.quiet { " and " (all.len() - most) " more" } }
    }
}

/// The way through the pages of a list; `pairs` are what is asked for besides.
pub(super) fn pager(topic: Topic, pairs: &[(&str, &str)], paging: Paging, what: &str) -> Markup {
    let to = |page: usize| {
        let page = page.to_string();
        let mut all = pairs.to_vec();
        all.push(("page", &page));
        address(topic, &all)
    };
    html! {
        @if paging.pages > 1 {
            nav.pager aria-label=(format!("Pages of {what}")) {
                @if paging.page > 1 { a href=(to(paging.page - 1)) rel="prev" { "Previous" } } @else { span.none { "Previous" } }
                span { "Page " (paging.page) " of " (paging.pages) }
                @if paging.page < paging.pages { a href=(to(paging.page + 1)) rel="next" { "Next" } } @else { span.none { "Next" } }
            }
        }
    }
}

/// A table that can be scrolled by itself, also by keyboard.
pub(super) fn table(label: &str, head: &[(&str, Align)], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for (title, align) in head { th scope="col" class=[align.class()] { (title) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Text,
    Number,
}

impl Align {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Number => Some("n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_by_words() {
        let endpoint =
            |health: &str, ejected| EndpointStatus { health: health.to_owned(), ejected, ..EndpointStatus::default() };
        for (health, ejected, expected) in [
            ("up", false, State::Up),
            ("up", true, State::Ejected),
            ("down", true, State::Down),
            ("degraded", false, State::Degraded),
            ("something new", false, State::Unproven),
        ] {
            let state = State::of(&endpoint(health, ejected));
            assert_eq!(state, expected);
            assert!(badge(state).into_string().contains(state.word()));
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(moment(0.0), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn probes_are_drawn_and_told() {
        let drawn = history("..dx").into_string();
        assert!(drawn.contains("last 4 probes: 2 passed, 1 degraded, 1 failed"), "{drawn}");
        assert!(drawn.contains("M76 0h3v12h-3z"), "the newest is on the right: {drawn}");
        assert!(history("").into_string().contains("last 0 probes"));
    }
}
