//! One run.

use maud::{Markup, html};

use super::timeline::Percentile;
use super::{LINES, ROWS, Width, bar, drawing, facts, footer, left_out, notice, scenario, tile, timeline};
use crate::record::{Interval, Latencies, Outcome, Run};
use crate::report::chart::{Across, Chart, ERRORS, Line};
use crate::report::figures::{
    By, PERCENTILES, Total, Unit, by_count, curve, doubts, dropped, latency_text, machine, not_in_figures, per_second,
};
use crate::report::format::{bytes, count, latency, length, moment, number, percent, percentile, rate};
use crate::report::parts;
use crate::report::thresholds::{lines, tally};

pub(super) fn body(run: &Run) -> Markup {
    let total = Total::of(run);
    html! {
        (head(run))
        (notice("Doubts about these figures", &doubts(run)))
        (thresholds(run))
        (tiles(run, &total))
        @if let Some(left) = dropped(run) { p.note { (left) } }
        (generator(run))
        (of_parts(run))
        (over_time(run))
        (percentiles(run, &total))
        @for by in By::ALL { (parts(run, by)) }
        (errors(&total))
        (scenario(run))
        (footer())
    }
}

fn head(run: &Run) -> Markup {
    let speedup = if run.speedup == 1.0 { String::new() } else { format!("{} times", number(run.speedup)) };
    html! {
        header {
            p.kicker { "Load run" }
            h1 { (if run.label.is_empty() { &run.name } else { &run.label }) }
            @if !run.label.is_empty() { p.subtitle { (run.name) } }
            (facts(&[
                ("Target", run.target.clone()),
                ("Began", moment(run.started_unix_ms)),
                ("Measured", length(run.measured_s)),
                ("Clients", count(run.clients)),
                ("Speed of their schedules", speedup),
                ("Load from", machine(&run.machine)),
            ]))
        }
    }
}

fn thresholds(run: &Run) -> Markup {
    html! {
        @if let Some(tally) = tally(run) {
            section {
                h2 { "Thresholds: " (tally) }
                div.scroll {
                    table {
                        thead { tr { th { "threshold" } th { "measured" } th { "samples" } th { "outcome" } } }
                        tbody {
                            @for line in lines(run) {
                                tr {
                                    th scope="row" { (line.threshold) }
                                    td { (line.value) @if line.outcome == Outcome::NotJudged { " (" (line.found) ")" } }
                                    td { (line.samples) }
                                    td.bad[line.outcome.is_failure()].good[!line.outcome.is_failure()] { (line.outcome.word()) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tiles(run: &Run, total: &Total) -> Markup {
    let bad = if total.failed() > 0 { "bad" } else { "good" };
    let none = if total.failed() == 0 { "none failed".to_owned() } else { percent(total.failed_part()) };
    let none = format!("{none} of {}", count(total.requests()));
    let of = |what: &str| format!("{what}, of {} good", count(total.latency.count()));
    html! {
        section.tiles aria-label="Summary" {
            (tile("Requests", &count(total.requests()), &format!("{} received", bytes(total.received)), ""))
            (tile("Answered", &rate(total.rate(run)), &format!("{} good answers", count(total.done)), ""))
            (tile("Errors", &count(total.failed()), &none, bad))
            (tile("p50", &total.latency_text(50.0), &of("half were faster"), ""))
            (tile("p99", &total.latency_text(99.0), &of("one in 100 was slower"), ""))
            (tile("p99.9", &total.latency_text(99.9), &of(&format!("slowest {}", total.latency_text(100.0))), ""))
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn generator(run: &Run) -> Markup {
    let generator = &run.generator;
    let kept_up = if generator.doubts.is_empty() { "The generator kept up: " } else { "The generator: " };
    html! {
        p.generator {
            (kept_up)
            "of the requests that found a free connection, 99 % were sent at most " (latency(generator.late_p99_us as f64))
            " late, all at most " (latency(generator.late_max_us as f64)) ". It used "
            (number(per_second(1, run.measured_s) * generator.cpu_s)) " of " (run.machine.cores) " cores with "
            (generator.threads) " threads, and had at most " (count(generator.open_max)) " connections open."
        }
    }
}

/// Which part it is, or which ones it was merged of.
fn of_parts(run: &Run) -> Markup {
    html! {
        @if let Some(which) = parts::which(run) { p.note { (which) } }
        @if !run.parts.is_empty() {
            section {
                h2 { "Parts" }
                @for part in &run.parts { p.note { (parts::whence(part)) } }
                table {
                    thead { tr { @for head in parts::HEADS { th { (head) } } } }
                    tbody { @for part in &run.parts { tr { @for cell in parts::row(part) { td { (cell) } } } } }
                }
            }
        }
    }
}

fn over_time(run: &Run) -> Markup {
    let note = timeline::note(run);
    let chart = |title: &str, unit, lines| Chart { title: title.to_owned(), across: Across::Time, unit, lines };
    let answers = Line { filled: true, ..timeline::rate("good answers", 0, run, |one| one.done) };
    let mut failures = timeline::rate("errors", ERRORS, run, |one| one.errors);
    failures.filled = true;
    if run.timeline.iter().all(|one| one.errors == 0) {
        failures.points.clear();
    }
    let latencies = vec![
        timeline::latency("p50", 0, run, |one| percentile_of(one, 50.0, one.p50_us)),
        timeline::latency("p99", 1, run, |one| percentile_of(one, 99.0, one.p99_us)),
        timeline::latency("p99.9", 3, run, |one| percentile_of(one, 99.9, one.p999_us)),
        timeline::latency("slowest", 4, run, |one| percentile_of(one, 100.0, one.max_us)),
    ];
    let open = timeline::level("connections", 0, run, |one| one.open);
    let under_way = timeline::level("requests", 0, run, |one| one.under_way);
    html! {
        @if !run.timeline.is_empty() {
            section {
                h2 { "Over time" }
                div.charts {
                    (drawing(&chart("Good answers a second", Unit::Rate, vec![answers]), Width::Half, &note))
                    (drawing(&chart("Latency", Unit::Latency, latencies), Width::Half, &note))
                    (drawing(&chart("Errors a second", Unit::Rate, vec![failures]), Width::Half, &note))
                    (drawing(&chart("p99 latency by role", Unit::Latency, roles(run)), Width::Half, &note))
                    (drawing(&chart("Requests under way", Unit::Count, vec![under_way]), Width::Half, &note))
                    (drawing(&chart("Connections open", Unit::Count, vec![open]), Width::Half, &note))
                }
            }
        }
    }
}

const fn percentile_of(one: &Interval, percent: f64, us: u64) -> Percentile {
    Percentile { percent, us, of: one.done }
}

/// A line for each role, if there are several.
fn roles(run: &Run) -> Vec<Line> {
    let mut names: Vec<&String> = run.timeline.iter().flat_map(|one| one.roles.keys()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return Vec::new();
    }
    let line = |(colour, name): (usize, &&String)| {
        timeline::latency(name, colour, run, |one| {
            let (us, of) = one.roles.get(*name).map_or((0, 0), |role| (role.p99_us, role.done));
            Percentile { percent: 99.0, us, of }
        })
    };
    names.iter().take(LINES).enumerate().map(line).collect()
}

fn percentiles(run: &Run, total: &Total) -> Markup {
    let parts = By::Message.parts_worth_showing(run);
    let shown = parts.iter().filter(|(_, part)| part.latency.count() > 0);
    let line = |(colour, (name, part)): (usize, &(String, Total))| Line {
        name: name.clone(),
        colour,
        points: curve(&part.latency),
        filled: false,
    };
    let lines: Vec<_> = shown.take(LINES).enumerate().map(line).collect();
    let title = "Latency by percentile".to_owned();
    let note = if parts.len() > LINES { "The message types with the most requests." } else { "" };
    let row = |what: &str, latencies: &Latencies| {
        html! {
            tr {
                th scope="row" { (what) }
                td { (count(latencies.count())) }
                @for p in PERCENTILES { td { (latency_text(latencies, p)) } }
            }
        }
    };
    html! {
        @if total.latency.count() > 0 {
            section {
                h2 { "Latency" }
                (drawing(&Chart { title, across: Across::Nines, unit: Unit::Latency, lines }, Width::Full, note))
                div.scroll {
                    table {
                        thead { tr { th { "latency" } th { "good answers" } @for p in PERCENTILES { th { (percentile(p)) } } } }
                        tbody {
                            (row("from when they should have been sent", &total.latency))
                            (row("from when they were sent", &total.service))
                        }
                    }
                }
                @if total.failed() > 0 { p.note { (not_in_figures(total)) } }
            }
        }
    }
}

fn parts(run: &Run, by: By) -> Markup {
    let parts = by.parts_worth_showing(run);
    let longest = parts.iter().filter_map(|(_, total)| total.known(99.0)).fold(0.0, f64::max);
    let heads = ["requests", "errors", "good answers", "rate"];
    html! {
        @if !parts.is_empty() {
            section {
                h2 { "By " (by.title()) }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th { (by.title()) }
                                @for head in heads { th { (head) } }
                                @for p in PERCENTILES { th { (percentile(p)) } }
                                th.wide-bar { "p99 side by side" }
                            }
                        }
                        tbody { @for (name, total) in parts.iter().take(ROWS) { (part(run, name, total, longest)) } }
                    }
                }
                (left_out(ROWS, parts.len(), "rows"))
            }
        }
    }
}

fn part(run: &Run, name: &str, total: &Total, longest: f64) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td { (count(total.requests())) }
            td.bad[total.failed() > 0] { (count(total.failed())) }
            td { (count(total.done)) }
            td { (rate(total.rate(run))) }
            @for p in PERCENTILES { td { (total.latency_text(p)) } }
            td.wide-bar { @if let Some(p99) = total.known(99.0) { (bar(p99, longest, "")) } }
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn errors(total: &Total) -> Markup {
    let errors = by_count(total);
    let most = errors.first().map_or(0, |(_, count)| *count);
    html! {
        @if !errors.is_empty() {
            section {
                h2 { "Errors" }
                div.scroll {
                    table {
                        thead { tr { th { "kind" } th { "requests" } th { "of all" } th.wide-bar {} } }
                        tbody {
                            @for (kind, times) in errors.iter().take(ROWS) {
                                tr {
                                    th scope="row" { (kind) }
                                    td { (count(*times)) }
                                    td { (percent(*times as f64 / total.requests().max(1) as f64)) }
                                    td.wide-bar { (bar(*times as f64, most as f64, "red")) }
                                }
                            }
                        }
                    }
                }
                (left_out(ROWS, errors.len(), "kinds"))
            }
        }
    }
}
