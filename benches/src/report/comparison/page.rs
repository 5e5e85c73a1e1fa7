//! A comparison as a page.

use std::io::{self, Write};

use maud::{Markup, html};

use super::words::{self, HOW_TO_READ, OPEN};
use super::{Comparison, Outcome, Place, Proxy, ROLEGATE, Spread, Work};
use crate::report::figures::machine;
use crate::report::format::{moment, number};
use crate::report::page::{facts, notice, shell, tile};

/// Writes one HTML page that needs no other file.
///
/// # Errors
///
/// When `to` cannot be written.
pub fn write_comparison_html(comparison: &Comparison, to: &mut dyn Write) -> io::Result<()> {
    let body = html! {
        (head(comparison))
        (notice("What makes the figures weak", &words::doubts(comparison)))
        (tiles(comparison))
        (summary(comparison))
        section {
            h2 { "Work by work" }
            div.charts { @for work in &comparison.works { (card(comparison, work)) } }
        }
        footer { "Written by rolegate-bench." }
    };
    to.write_all(shell("rolegate among other proxies", &body).into_string().as_bytes())
}

fn head(comparison: &Comparison) -> Markup {
    let rounds = comparison.works.iter().flat_map(|work| &work.figures).map(|figures| figures.rounds.len()).max();
    html! {
        header {
            p.kicker { "Proxies compared" }
            h1 { "rolegate among other proxies" }
            (facts(&[
                ("Machine", machine(&comparison.machine)),
                ("Began", moment(comparison.started_unix_ms)),
                ("Rounds", rounds.unwrap_or(0).to_string()),
            ]))
            @for fact in &comparison.sitting { p.note { (fact) } }
            ul.proxies {
                @for proxy in &comparison.proxies {
                    li class=(class(&proxy.name)) { b { (words::proxy(proxy)) } @if !proxy.note.is_empty() { " – " (proxy.note) } @if let Some(build) = words::build(proxy) { " – " (build) } }
                }
            }
        }
    }
}

fn tiles(comparison: &Comparison) -> Markup {
    let tally = comparison.tally();
    let losses = words::losses(comparison);
    let of_all = format!("of {} works", comparison.works.len());
    let of_decided = format!("of {} decided", tally.decided());
    let open = if tally.open > 0 { format!("{} without a peer", tally.open) } else { of_all.clone() };
    html! {
        section.tiles aria-label="Summary" {
            (tile("rolegate wins", &tally.wins.to_string(), &of_decided, "good"))
            (tile("even", &tally.even.to_string(), "within 1 %", ""))
            (tile("undecided", &tally.undecided.to_string(), &open, ""))
            (tile("rolegate loses", &tally.losses.to_string(), &of_decided, if tally.losses > 0 { "bad" } else { "" }))
        }
        @if !losses.is_empty() {
            section.losses {
                h2 { "Where rolegate loses" }
                ul { @for loss in losses { li { (loss) } } }
            }
        }
    }
}

fn summary(comparison: &Comparison) -> Markup {
    html! {
        section {
            h2 { "All works" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "work" }
                            th { "against the best peer" }
                            @for proxy in &comparison.proxies { th { (proxy.name) } }
                        }
                    }
                    tbody { @for work in &comparison.works { (summary_row(comparison, work)) } }
                }
            }
            p.note { (HOW_TO_READ) }
        }
    }
}

fn summary_row(comparison: &Comparison, work: &Work) -> Markup {
    let best = best(work);
    html! {
        tr {
            th scope="row" { (work.title) small.ratio.even { (work.unit) ", " (words::better(work)) } }
            td { (badge(work)) }
            @for Proxy { name, .. } in &comparison.proxies {
                td.best[best.as_deref() == Some(name.as_str())] {
                    (words::figure(work, name))
                    @if name != ROLEGATE { (against(work, name)) }
                }
            }
        }
    }
}

/// The best of rolegate and its peers, if there is one.
fn best(work: &Work) -> Option<String> {
    let verdict = work.verdict()?;
    match verdict.outcome {
        Outcome::Win => Some(ROLEGATE.to_owned()),
        Outcome::Loss => Some(verdict.peer),
        Outcome::Even | Outcome::Undecided(_) => None,
    }
}

/// A ratio to rolegate, coloured by what it means for rolegate; the floor's and the control's mean nothing.
fn against(work: &Work, proxy: &str) -> Markup {
    let Some(ratio) = work.ratio(proxy) else { return html! {} };
    let class = match (Place::of(proxy), work.against(proxy)) {
        (Place::Floor | Place::Control | Place::Subject, _) => "even",
        (Place::Peer | Place::Before, Some(Outcome::Win)) => "good",
        (Place::Peer | Place::Before, Some(Outcome::Loss)) => "bad",
        (Place::Peer | Place::Before, Some(Outcome::Even | Outcome::Undecided(_)) | None) => "even",
    };
    html! { small class={ "ratio " (class) } { (words::ratio_range(ratio.median, work.interval(proxy))) } }
}

fn badge(work: &Work) -> Markup {
    let Some(verdict) = work.verdict() else { return html! { span.badge.even { (OPEN) } } };
    let (class, mark, with) = match verdict.outcome {
        Outcome::Win => ("badge good", "▲", "over "),
        Outcome::Even => ("badge even", "=", "with "),
        Outcome::Loss => ("badge bad", "▼", "to "),
        Outcome::Undecided(_) => ("badge even", "?", "against "),
    };
    html! {
        span class=(class) { (mark) " " (verdict.outcome.word()) }
        small.ratio.even {
            (with) (verdict.peer)
            @if let Outcome::Undecided(why) = verdict.outcome { ": " (words::why(why)) }
        }
    }
}

fn card(comparison: &Comparison, work: &Work) -> Markup {
    let spreads = || comparison.proxies.iter().filter_map(|proxy| Some((proxy, work.spread(&proxy.name)?)));
    let longest = spreads().map(|(_, spread)| spread.highest).fold(0.0, f64::max);
    html! {
        article.card {
            div.work-head { h3 { (work.title) } div { (badge(work)) } }
            p.note { (work.unit) ", " (words::better(work)) @if let Some(goal) = &work.goal { " · goal: " (goal) } }
            div.bars {
                @for (proxy, spread) in spreads() {
                    div.who { (proxy.name) }
                    (bar(&spread, longest, class(&proxy.name)))
                    div.value {
                        (number(spread.median))
                        @if proxy.name != ROLEGATE {
                            (against(work, &proxy.name))
                        }
                    }
                }
            }
            @if let Some(busy) = words::busy(work) { p.note { (busy) } }
            @for text in work.doubts.iter().chain(Some(&work.note).filter(|note| !note.is_empty())) {
                p.note { (text) }
            }
        }
    }
}

/// A bar as long as the median, with a line from the lowest to the highest figure.
fn bar(spread: &Spread, longest: f64, class: &str) -> Markup {
    let part = |figure: f64| if longest > 0.0 { (figure / longest).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    let (median, from, to) = (part(spread.median), part(spread.lowest), part(spread.highest));
    let range = format!("{} to {}", number(spread.lowest), number(spread.highest));
    html! {
        div.track title=(range) {
            span class={ "bar " (class) } style=(format!("--part:{median:.1}%")) {}
            span.range style=(format!("--from:{from:.1}%;--to:{to:.1}%")) {}
        }
    }
}

fn class(name: &str) -> &'static str {
    match Place::of(name) {
        Place::Subject => "subject",
        Place::Peer => "peer",
        Place::Floor | Place::Before | Place::Control => "aside",
    }
}
