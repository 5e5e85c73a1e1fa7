//! Pages for a browser: what they have in common.
//!
//! maud escapes every text that comes from a run. No page has a script, and its policy would not let one run.

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{self, Chart, Size};
use super::rows::names;
use crate::record::Run;

mod several;
mod single;
mod timeline;

/// Longer scenarios are cut in a page; the JSON file has them whole.
const SCENARIO_BYTES: usize = 20_000;
/// More rows of a table are left out of a page.
pub(super) const ROWS: usize = 100;
/// More lines of a drawing are left out.
pub(super) const LINES: usize = chart::COLOURS.len();

/// Writes one page that needs no other file: of one run, or of several side by side, the first of which is the base.
///
/// # Errors
///
/// When `to` cannot be written.
pub fn write_html(runs: &[Run], to: &mut dyn Write) -> io::Result<()> {
    let page = match runs {
        [] => shell("No run", &html! { header { h1 { "There is no run to show" } } }),
        [run] => shell(&title(run), &single::body(run)),
        runs => shell(&names(runs).join(" – "), &several::body(runs)),
    };
    to.write_all(page.into_string().as_bytes())
}

fn title(run: &Run) -> String {
    match run.label.as_str() {
        "" => run.name.clone(),
        label => format!("{label}: {}", run.name),
    }
}

/// A whole page.
pub(super) fn shell(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { main { (body) } }
        }
    }
}

/// How wide a drawing is on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Two beside each other, if there is room.
    Half,
    /// The whole page.
    Full,
}

impl Width {
    /// The sizes that a drawing is made in, and the widths of the page that each is for: labels stay readable.
    const fn sizes(self) -> &'static [(&'static str, Size)] {
        const NARROW: Size = Size { width: 350, height: 230 };
        const MEDIUM: Size = Size { width: 560, height: 270 };
        const WIDE: Size = Size { width: 1140, height: 380 };
        match self {
            Self::Half => &[("draw narrow", NARROW), ("draw medium wide", MEDIUM)],
            Self::Full => &[("draw narrow", NARROW), ("draw medium", MEDIUM), ("draw wide", WIDE)],
        }
    }
}

/// A drawing with its heading, legend and a note; nothing if there is nothing to draw.
pub(super) fn drawing(chart: &Chart, width: Width, note: &str) -> Markup {
    if chart.is_empty() {
        return html! {};
    }
    let class = if width == Width::Full { "card full" } else { "card" };
    html! {
        figure class=(class) {
            figcaption {
                h3 { (chart.title) }
                @if chart.lines.len() > 1 { (legend(chart.lines.iter().map(|line| (line.name.as_str(), line.colour)))) }
            }
            @for (class, size) in width.sizes() {
                // Text of the drawing is escaped by plotters.
                div class=(class) role="img" aria-label=(chart.title) { (PreEscaped(chart.svg(*size))) }
            }
            @if !note.is_empty() { p.note { (note) } }
        }
    }
}

/// Which line is which.
pub(super) fn legend<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> Markup {
    html! {
        ul.legend {
            @for (name, colour) in lines { li { (swatch(colour)) (name) } }
        }
    }
}

/// A piece of a line.
pub(super) fn swatch(colour: usize) -> Markup {
    html! {
        svg.swatch viewBox="0 0 26 8" width="26" height="8" aria-hidden="true" {
            line x1="1" y1="4" x2="25" y2="4" stroke=(chart::colour_name(colour)) stroke-width="4" {}
        }
    }
}

/// A large figure with its name.
pub(super) fn tile(name: &str, figure: &str, more: &str, class: &str) -> Markup {
    html! {
        div class={ "tile " (class) } {
            div.name { (name) }
            div.figure { (figure) }
            div.more { (more) }
        }
    }
}

/// Pairs of names and texts; those without text are left out.
pub(super) fn facts(facts: &[(&str, String)]) -> Markup {
    html! {
        dl.facts {
            @for (name, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
                div { dt { (name) } dd { (text) } }
            }
        }
    }
}

/// A notice that cannot be overlooked; nothing without lines.
pub(super) fn notice(heading: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section.notice role="note" {
                h2 { "⚠ " (heading) }
                ul { @for line in lines { li { (line) } } }
            }
        }
    }
}

/// A bar in a table's cell, so long of the longest.
pub(super) fn bar(figure: f64, longest: f64, colour: &str) -> Markup {
    let part = if longest > 0.0 && figure.is_finite() { (figure / longest).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    html! { span class={ "bar " (colour) } style={ "--part:" (format!("{part:.1}")) "%" } {} }
}

/// What did not fit; nothing if all did.
pub(super) fn left_out(shown: usize, all: usize, what: &str) -> Markup {
    html! {
        @if all > shown { p.note { (all - shown) " more " (what) " are in the JSON file." } }
    }
}

fn scenario(run: &Run) -> Markup {
    let cut = cut(&run.scenario, SCENARIO_BYTES);
    html! {
        @if !run.scenario.is_empty() {
            details {
                summary { "Scenario " (run.name) }
                pre { (&run.scenario[..cut]) @if cut < run.scenario.len() { "\n… (the JSON file has the rest)" } }
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            "Latency counts from when a request should have been sent to the last byte of its answer, so a target that \
             stops for a second pays for every request that had to wait. Written by rolegate-bench."
        }
    }
}

/// Where a text is cut so that at most so many bytes are left.
fn cut(text: &str, most: usize) -> usize {
    (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
