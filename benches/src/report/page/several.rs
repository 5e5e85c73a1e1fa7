//! Several runs side by side. The first one is the base.

use maud::{Markup, html};

use super::timeline::Percentile;
use super::{LINES, ROWS, Width, drawing, footer, left_out, notice, scenario, swatch, timeline};
use crate::record::Run;
use crate::report::chart::{Across, Chart, Line};
use crate::report::comparison::Side;
use crate::report::figures::{By, Total, Unit, curve, doubts, machine};
use crate::report::format::{count, length, moment, percent, ratio};
use crate::report::rows::{Figure, Row, Sample, Standing, differences, how_to_read, names, rows, rows_by, samples};

pub(super) fn body(runs: &[Run]) -> Markup {
    let (names, samples) = (names(runs), samples(runs));
    let base = samples.first().map_or("", |sample| sample.name.as_str());
    let table = |title: &str, rows: &[Row]| table(title, rows, &samples);
    let doubted = runs
        .iter()
        .zip(&names)
        .flat_map(|(run, name)| doubts(run).into_iter().map(move |doubt| format!("{name}: {doubt}")));
    html! {
        header {
            p.kicker { "Load runs compared" }
            h1 { (samples.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>().join(", ")) }
            p.subtitle { (how_to_read(base)) }
        }
        (notice("The runs differ in more than their target", &differences(runs)))
        (notice("Doubts about these figures", &doubted.collect::<Vec<_>>()))
        (list(runs, &names))
        (table("Figures", &rows(runs, &samples)))
        (charts(runs, &names))
        (table("By message type", &rows_by(By::Message, runs, &samples)))
        (table("By role", &rows_by(By::Role, runs, &samples)))
        (table("By boundary group", &rows_by(By::Group, runs, &samples)))
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

fn table(title: &str, rows: &[Row], samples: &[Sample]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section {
                h2 { (title) }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th {}
                                @for (place, Sample { name, runs }) in samples.iter().enumerate() {
                                    th {
                                        @for colour in runs.iter().take(1) { (swatch(*colour)) " " }
                                        (name)
                                        @if runs.len() > 1 { " (" (runs.len()) " runs)" }
                                        @if place == 0 { " (base)" }
                                    }
                                }
                                th { "best" }
                            }
                        }
                        tbody { @for row in rows.iter().take(ROWS) { (compared(row, samples)) } }
                    }
                }
                (left_out(ROWS, rows.len(), "rows"))
            }
        }
    }
}

fn compared(row: &Row, samples: &[Sample]) -> Markup {
    let standing = row.standing();
    html! {
        tr {
            th scope="row" { (row.title) }
            @for (place, figure) in row.figures.iter().enumerate() {
                td.best[standing == Standing::Best(place)] {
                    @match figure {
                        Some(figure) => { (of_sample(row, figure)) }
                        None => { "–" }
                    }
                    @if place > 0 { (against_base(row, place, standing)) }
                }
            }
            td.winner { (row.winner(samples)) }
        }
    }
}

/// A figure, how far its runs go, and of how many it is.
fn of_sample(row: &Row, figure: &Figure) -> Markup {
    let text = |figure: f64| row.unit.text(figure);
    html! {
        (text(figure.spread.median))
        @if figure.spread.count > 1 { small.ratio { (text(figure.spread.lowest)) "–" (text(figure.spread.highest)) } }
        small.ratio.even { "of " (count(figure.of)) }
    }
}

/// A ratio to the base and, if that can be said, what it means.
fn against_base(row: &Row, sample: usize, standing: Standing) -> Markup {
    let Some(against) = row.ratio(sample) else { return html! {} };
    let (class, word) = match (standing, row.better.side(against)) {
        (Standing::Alone | Standing::Doubted | Standing::FewRuns | Standing::Undecided, _) => ("even", ""),
        (Standing::Even | Standing::Best(_), Side::Own) => ("bad", " worse"),
        (Standing::Even | Standing::Best(_), Side::Neither) => ("even", " even"),
        (Standing::Even | Standing::Best(_), Side::Other) => ("good", " better"),
    };
    html! { small class={ "ratio " (class) } { (ratio(against)) (word) } }
}

fn charts(runs: &[Run], names: &[String]) -> Markup {
    let over_time = |title: &str, unit, line: &dyn Fn(&str, usize, &Run) -> Line| {
        let shown = runs.iter().zip(names).take(LINES).enumerate();
        let lines = shown.map(|(colour, (run, name))| line(name, colour, run)).collect();
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
                    timeline::latency(name, colour, all, |one| Percentile { percent: 50.0, us: one.p50_us, of: one.done })
                }))
                (over_time("p99 latency", Unit::Latency, &|name, colour, all| {
                    timeline::latency(name, colour, all, |one| Percentile { percent: 99.0, us: one.p99_us, of: one.done })
                }))
            }
        }
    }
}
