//! Puts the parts of a load that several machines made together again.
//!
//! Counts and histograms add up, second by second too, so that percentiles are those of all requests together and never a
//! mean. What cannot add up is said of each part: what its generator needed, and its doubts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Contribution, FORMAT, Generator, Interval, Latencies, Machine, Packed, Part, RoleInterval, Run, Series};

/// Parts that begin no further apart than this, in milliseconds, have the same seconds.
const TOGETHER_MS: u64 = 1000;

/// What is done about parts that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They are a reason not to merge the others.
    Refused,
    /// They are a doubt.
    Doubted,
}

/// A run that is a part, and the name of its file.
struct Piece<'a> {
    file: &'a str,
    part: Part,
    run: &'a Run,
}

/// Makes one run of the parts of one load, each with the name of its file.
///
/// # Errors
/// They are not the parts of one load: all reasons, a sentence each.
pub fn merge(files: &[(String, Run)], missing: Missing) -> Result<Run, Vec<String>> {
    let mut wrong = Vec::new();
    let mut pieces = Vec::new();
    for (file, run) in files {
        match run.part {
            Some(part) => pieces.push(Piece { file, part, run }),
            None if !run.parts.is_empty() => {
                wrong.push(format!("{file} was merged already: give the files of its parts instead"));
            }
            None => wrong.push(format!(
                "{file} is no part of a load, because it was made without --part: fleet repeats takes whole runs"
            )),
        }
    }
    pieces.sort_by_key(|piece| piece.part.number);
    let Some(first) = pieces.first() else {
        wrong.push("there is no part to merge: give the files that fleet run --part has written".to_owned());
        return Err(wrong);
    };
    pieces.iter().skip(1).for_each(|piece| differences(first, piece, &mut wrong));
    for pair in pieces.windows(2).filter(|pair| pair[0].part.number == pair[1].part.number) {
        wrong.push(format!("{} and {} are both part {}: leave one out", pair[0].file, pair[1].file, pair[0].part));
    }
    let mut doubts = Vec::new();
    let there = |number: &u32| pieces.iter().any(|piece| piece.part.number == *number);
    for number in (1..=first.part.of).filter(|number| !there(number)) {
        let part = Part { number, ..first.part };
        match missing {
            Missing::Refused => wrong.push(format!("part {part} is missing: give its file, or take --partial")),
            Missing::Doubted => doubts.push(format!("Part {part} is missing: this is not the whole load.")),
        }
    }
    let timeline = match timeline(&pieces, &mut doubts) {
        Ok(timeline) => timeline,
        Err(reasons) => {
            wrong.extend(reasons);
            Vec::new()
        }
    };
    if wrong.is_empty() { Ok(whole(first, &pieces, timeline, doubts)) } else { Err(wrong) }
}

/// Why the two are not of one load.
fn differences(first: &Piece<'_>, other: &Piece<'_>, wrong: &mut Vec<String>) {
    let (a, b) = (first.run, other.run);
    let seed = |run: &Run| run.seed.map_or_else(|| "none".to_owned(), |seed| seed.to_string());
    let aspects = [
        ("scenario", a.name.clone(), b.name.clone()),
        ("target", a.target.clone(), b.target.clone()),
        ("speedup", a.speedup.to_string(), b.speedup.to_string()),
        ("seed", seed(a), seed(b)),
        ("duration in seconds", a.planned_s.to_string(), b.planned_s.to_string()),
        ("number of parts", first.part.of.to_string(), other.part.of.to_string()),
        ("number of clients in all parts", first.part.clients.to_string(), other.part.clients.to_string()),
    ];
    for (what, its, own) in aspects.iter().filter(|(_, its, own)| its != own) {
        wrong.push(format!("{} has another {what} than {}: {own} instead of {its}", other.file, first.file));
    }
    let agreed = match (first.part.agreed_unix_ms, other.part.agreed_unix_ms) {
        // Said as `+30s`, it is a little later for each part.
        (Some(its), Some(own)) => its.abs_diff(own) <= TOGETHER_MS,
        (its, own) => its == own,
    };
    if !agreed {
        let [its, own] = [first.part, other.part].map(start);
        wrong.push(format!("{} has another agreed start than {}: {own} instead of {its}", other.file, first.file));
    }
    if a.name == b.name && a.scenario != b.scenario {
        wrong.push(format!(
            "the scenarios of {} and {} have the same name, but not the same text",
            other.file, first.file
        ));
    }
}

/// When all parts were to begin, for people.
fn start(part: Part) -> String {
    let text = |ms: u64| {
        // The last that humantime can write: the year 9999.
        let since = Duration::from_millis(ms.min(253_402_300_799_999));
        humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
    };
    part.agreed_unix_ms.map_or_else(|| "none".to_owned(), text)
}

fn whole(first: &Piece<'_>, pieces: &[Piece<'_>], timeline: Vec<Interval>, mut doubts: Vec<String>) -> Run {
    let began = pieces.iter().map(|piece| piece.run.started_unix_ms).min().unwrap_or_default();
    let end_s = |piece: &Piece<'_>| offset(pieces, piece) as f64 + piece.run.measured_s;
    for Piece { part, run, .. } in pieces {
        doubts.extend(run.generator.doubts.iter().map(|doubt| format!("Part {part}: {doubt}")));
        if run.interrupted {
            let (took, planned) = (run.measured_s, run.planned_s);
            doubts.push(format!("Part {part} was ended after {took:.1} of {planned:.1} seconds."));
        }
    }
    Run {
        format: FORMAT,
        name: first.run.name.clone(),
        label: together(pieces, |run| run.label.clone(), " + "),
        started_unix_ms: began,
        target: first.run.target.clone(),
        scenario: first.run.scenario.clone(),
        machine: machine(pieces),
        planned_s: first.run.planned_s,
        measured_s: pieces.iter().map(end_s).fold(0.0, f64::max),
        interrupted: pieces.iter().any(|piece| piece.run.interrupted),
        speedup: first.run.speedup,
        clients: pieces.iter().map(|piece| piece.run.clients).sum(),
        seed: first.run.seed,
        part: None,
        parts: pieces.iter().map(contribution).collect(),
        generator: generator(pieces, doubts),
        dropped: pieces.iter().map(|piece| piece.run.dropped).sum(),
        thresholds: Vec::new(),
        series: series(pieces),
        timeline,
    }
}

/// What is the same in all of them, or what there is, one after the other.
fn together(pieces: &[Piece<'_>], of: impl Fn(&Run) -> String, between: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in pieces.iter().map(|piece| of(piece.run)) {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all.join(between)
}

fn machine(pieces: &[Piece<'_>]) -> Machine {
    let first = &pieces[0].run.machine;
    if pieces.iter().all(|piece| piece.run.machine == *first) {
        return first.clone();
    }
    Machine { processor: "several machines".to_owned(), cores: 0, system: String::new() }
}

/// Times of the processor and connections add up; of what is late, the worst part is the bound for all.
fn generator(pieces: &[Piece<'_>], doubts: Vec<String>) -> Generator {
    let all = || pieces.iter().map(|piece| &piece.run.generator);
    Generator {
        threads: all().map(|one| one.threads).sum(),
        cpu_s: all().map(|one| one.cpu_s).sum(),
        late_p99_us: all().map(|one| one.late_p99_us).max().unwrap_or_default(),
        late_max_us: all().map(|one| one.late_max_us).max().unwrap_or_default(),
        open_max: all().map(|one| one.open_max).sum(),
        doubts,
    }
}

fn contribution(piece: &Piece<'_>) -> Contribution {
    let run = piece.run;
    Contribution {
        part: piece.part,
        label: run.label.clone(),
        started_unix_ms: run.started_unix_ms,
        measured_s: run.measured_s,
        clients: run.clients,
        done: run.series.iter().map(|series| series.done).sum(),
        failed: run.series.iter().flat_map(|series| series.errors.values()).sum(),
        machine: run.machine.clone(),
        generator: run.generator.clone(),
    }
}

fn series(pieces: &[Piece<'_>]) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for its in pieces.iter().flat_map(|piece| &piece.run.series) {
        let same =
            |known: &&mut Series| (&known.message, &known.role, &known.group) == (&its.message, &its.role, &its.group);
        match all.iter_mut().find(same) {
            Some(known) => add(known, its),
            None => all.push(its.clone()),
        }
    }
    all
}

fn add(known: &mut Series, its: &Series) {
    known.done += its.done;
    known.received += its.received;
    known.sent += its.sent;
    known.latency.merge(&its.latency);
    known.service.merge(&its.service);
    for (kind, count) in &its.errors {
        *known.errors.entry(kind.clone()).or_default() += count;
    }
}

/// So many seconds later than the first part this one began: none, if all began together.
fn offset(pieces: &[Piece<'_>], piece: &Piece<'_>) -> u32 {
    let starts = || pieces.iter().map(|piece| piece.run.started_unix_ms);
    let (first, last) = (starts().min().unwrap_or_default(), starts().max().unwrap_or_default());
    let its = if last - first <= TOGETHER_MS { 0 } else { piece.run.started_unix_ms - first };
    u32::try_from((its + 500) / 1000).unwrap_or(u32::MAX)
}

/// The seconds of all parts, added up where they are the same.
fn timeline(pieces: &[Piece<'_>], doubts: &mut Vec<String>) -> Result<Vec<Interval>, Vec<String>> {
    let late: Vec<_> = pieces.iter().filter(|piece| offset(pieces, piece) > 0).collect();
    for piece in &late {
        let (part, by) = (piece.part, offset(pieces, piece));
        doubts.push(format!("Part {part} began {by} s after the first one, by the clocks of their machines."));
    }
    let (mut wrong, mut seconds) = (Vec::new(), BTreeMap::<u32, Sum>::new());
    for piece in pieces {
        let mut lacks = false;
        for (place, interval) in (0..).zip(&piece.run.timeline) {
            let second = offset(pieces, piece).saturating_add(place);
            lacks |= seconds.entry(second).or_default().add(interval).is_none();
        }
        if lacks {
            wrong.push(format!("{} lacks the histograms of its seconds: measure again with --part", piece.file));
        }
    }
    if wrong.is_empty() { Ok(seconds.into_iter().map(|(at, sum)| sum.interval(at)).collect()) } else { Err(wrong) }
}

/// The same second of several parts.
#[derive(Default)]
struct Sum {
    interval: Interval,
    latency: Latencies,
    roles: BTreeMap<String, Latencies>,
}

impl Sum {
    /// `None` if it has latencies that are not told.
    fn add(&mut self, its: &Interval) -> Option<()> {
        let all = &mut self.interval;
        all.length_s = all.length_s.max(its.length_s);
        all.done += its.done;
        all.errors += its.errors;
        all.received += its.received;
        all.open += its.open;
        all.under_way += its.under_way;
        self.latency.merge(&unpacked(its.latency.as_ref(), its.done)?);
        for (role, its) in &its.roles {
            let sum = all.roles.entry(role.clone()).or_default();
            sum.done += its.done;
            sum.errors += its.errors;
            let known = self.roles.entry(role.clone()).or_default();
            known.merge(&unpacked(its.latency.as_ref(), its.done)?);
        }
        Some(())
    }

    fn interval(self, at: u32) -> Interval {
        let Self { mut interval, latency, roles } = self;
        let of = |percent| latency.percentile(percent);
        (interval.p50_us, interval.p99_us, interval.p999_us) = (of(50.0), of(99.0), of(99.9));
        (interval.at_s, interval.max_us) = (f64::from(at), of(100.0));
        for (role, latency) in roles {
            let sum: &mut RoleInterval = interval.roles.entry(role).or_default();
            (sum.p50_us, sum.p99_us) = (latency.percentile(50.0), latency.percentile(99.0));
        }
        interval
    }
}

/// The latencies of so many good answers.
fn unpacked(packed: Option<&Packed>, done: u64) -> Option<Latencies> {
    match packed {
        Some(packed) => packed.unpack().ok().filter(|latencies| latencies.count() == done),
        None => (done == 0).then(Latencies::default),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
