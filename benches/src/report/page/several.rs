//! Several runs side by side. The first one is the base.

use maud::{Markup, html};

use super::{LINES, ROWS, Width, doubts, drawing, footer, left_out, notice, scenario, swatch, timeline};
use crate::record::{Interval, Run};
use crate::report::chart::{Across, Chart, Line};
use crate::report::comparison::Side;
use crate::report::figures::{By, Total, Unit, curve, machine};
use crate::report::format::{count, length, moment, percent, ratio};
use crate::report::rows::{Row, differences, names, rows, rows_by};

pub(super) fn body(runs: &[Run]) -> Markup {
    let names = names(runs);
    let base = names.first().map_or("", String::as_str);
    let doubts = runs
        .iter()
        .zip(&names)
        .flat_map(|(run, name)| doubts(run).into_iter().map(move |doubt| format!("{name}: {doubt}")));
    html! {
        header {
            p.kicker { "Load runs compared" }
            h1 { (names.join(", ")) }
            p.subtitle { "Every ratio is to " strong { (base) } ". Figures within 1 % count as even." }
        }
        (notice("The runs differ in more than their target", &differences(runs)))
        (notice("Doubts about these figures", &doubts.collect::<Vec<_>>()))
        (list(runs, &names))
        (table("Figures", &rows(runs), &names))
        (charts(runs, &names))
        (table("By message type", &rows_by(By::Message, runs), &names))
        (table("By role", &rows_by(By::Role, runs), &names))
        (table("By boundary group", &rows_by(By::Group, runs), &names))
        @for run in runs { (scenario(run)) }
        (footer())
    }
}

fn list(runs: &[Run], names: &[String]) -> Markup {
    let heads =
        ["scenario", "target", "began", "measured", "clients", "requests", "errors", "not waited for", "load from"];
    html! {
        section {
            h2 { "Runs" }
            div.scroll {
                table.words {
                    thead { tr { th { "run" } @for head in heads { th { (head) } } } }
                    tbody {
                        @for (colour, (run, name)) in runs.iter().zip(names).enumerate() {
                            @let total = Total::of(run);
                            tr {
                                th scope="row" { (swatch(colour)) " " (name) @if colour == 0 { " (base)" } }
                                td { (run.name) }
                                td { (run.target) }
                                td { (moment(run.started_unix_ms)) }
                                td { (length(run.measured_s)) }
                                td { (count(run.clients)) }
                                td { (count(total.requests())) }
                                td.bad[total.failed() > 0] { (count(total.failed())) " (" (percent(total.failed_part())) ")" }
                                td { (count(run.dropped)) }
                                td { (machine(&run.machine)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(title: &str, rows: &[Row], names: &[String]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section {
                h2 { (title) }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th {}
                                @for (colour, name) in names.iter().enumerate() {
                                    th { (swatch(colour)) " " (name) @if colour == 0 { " (base)" } }
                                }
                                th { "best" }
                            }
                        }
                        tbody { @for row in rows.iter().take(ROWS) { (compared(row, names)) } }
                    }
                }
                (left_out(ROWS, rows.len(), "rows"))
            }
        }
    }
}

fn compared(row: &Row, names: &[String]) -> Markup {
    let best = if row.is_even() { Vec::new() } else { row.best() };
    html! {
        tr {
            th scope="row" { (row.title) }
            @for (run, figure) in row.figures.iter().enumerate() {
                td.best[best.contains(&run)] {
                    (figure.map_or_else(|| "–".to_owned(), |figure| row.unit.text(figure)))
                    @if run > 0 { (against_base(row, run)) }
                }
            }
            td.winner { (row.winner(names)) }
        }
    }
}

/// A ratio to the base and what it means.
fn against_base(row: &Row, run: usize) -> Markup {
    let Some(against) = row.ratio(run) else { return html! {} };
    let (class, word) = match row.better.side(against) {
        Side::Own => ("bad", "worse"),
        Side::Neither => ("even", "even"),
        Side::Other => ("good", "better"),
    };
    html! { small class={ "ratio " (class) } { (ratio(against)) " " (word) } }
}

fn charts(runs: &[Run], names: &[String]) -> Markup {
    let over_time = |title: &str, unit, line: &dyn Fn(&str, usize, &[Interval]) -> Line| {
        let shown = runs.iter().zip(names).take(LINES).enumerate();
        let lines = shown.map(|(colour, (run, name))| line(name, colour, &timeline::thinned(run))).collect();
        drawing(&Chart { title: title.to_owned(), across: Across::Time, unit, lines }, Width::Half, "")
    };
    let failed = runs.iter().flat_map(|run| &run.timeline).any(|one| one.errors > 0);
    let curves = runs.iter().zip(names).take(LINES).enumerate().map(|(colour, (run, name))| Line {
        name: name.clone(),
        colour,
        points: curve(&Total::of(run).latency),
        filled: false,
    });
    let percentiles = Chart {
        title: "Latency by percentile".to_owned(),
        across: Across::Nines,
        unit: Unit::Latency,
        lines: curves.collect(),
    };
    html! {
        section {
            h2 { "Side by side" }
            @if runs.len() > LINES { p.note { "The drawings show the first " (LINES) " runs." } }
            (drawing(&percentiles, Width::Full, ""))
            div.charts {
                (over_time("Good answers a second", Unit::Rate, &|name, colour, all| {
                    timeline::rate(name, colour, all, |one| one.done)
                }))
                @if failed {
                    (over_time("Errors a second", Unit::Rate, &|name, colour, all| {
                        timeline::rate(name, colour, all, |one| one.errors)
                    }))
                }
                (over_time("p50 latency", Unit::Latency, &|name, colour, all| {
                    timeline::latency(name, colour, all, |one| one.p50_us)
                }))
                (over_time("p99 latency", Unit::Latency, &|name, colour, all| {
                    timeline::latency(name, colour, all, |one| one.p99_us)
                }))
            }
        }
    }
}
