//! Runs that belong together: parts of a load that several machines make, and repeats.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use rolegate_bench::fleet::Scenario;
use rolegate_bench::load::Watch;
use rolegate_bench::record::{Missing, Part, Run};
use rolegate_bench::{record, report, say, threshold};
use tokio::runtime::Runtime;

use crate::files::Files;
use crate::flags::{Judge, Out, Several};
use crate::{metrics, outcome, read_run, screen, signals};

/// How long before the agreed time plain load opens its connections.
pub(crate) const OPENING: Duration = Duration::from_secs(2);

/// Reads `2026-03-01T08:00:00Z`, the same with an offset such as `+01:00`, or `+30s` from now.
fn parse_at(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let form = "expected a time such as 2026-03-01T08:00:00Z, or +30s from now";
    let wrong = || format!("'{text}' is no time; {form}");
    if let Some(after) = text.strip_prefix('+') {
        let after = humantime::parse_duration(after).map_err(|_| wrong())?;
        return now.checked_add(after).ok_or_else(wrong);
    }
    let at = instant(text).ok_or_else(wrong)?;
    let over = now.duration_since(at).unwrap_or_default();
    if over.is_zero() { Ok(at) } else { Err(format!("{text} is over; name a time that is to come on every machine")) }
}

/// An instant of RFC 3339.
fn instant(text: &str) -> Option<SystemTime> {
    let split = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at));
    let Some((local, offset)) = split.filter(|(_, offset)| offset.starts_with(['+', '-'])) else {
        return humantime::parse_rfc3339(text).ok();
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let at = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|number| text.len() == 2 && *number <= most);
    let off = Duration::from_secs(60 * (60 * number(hours, 23)? + number(minutes, 59)?));
    if offset.starts_with('+') { at.checked_sub(off) } else { at.checked_add(off) }
}

/// The part that the flags ask for, of so many clients or connections.
pub(crate) fn part(flags: &Several, all: u32, what: &str) -> anyhow::Result<Option<Part>> {
    let Some(part) = flags.part else { return Ok(None) };
    let mut wrong = Vec::new();
    if all < part.of {
        wrong.push(format!("--part: {all} {what} cannot be shared by {} parts: each needs one", part.of));
    }
    let at = flags.at.as_deref().map(|at| parse_at(at, SystemTime::now())).transpose();
    let at = at.unwrap_or_else(|error| {
        wrong.push(format!("--at: {error}"));
        None
    });
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let unix_ms = |at: SystemTime| {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    };
    Ok(Some(Part { clients: u64::from(all), agreed_unix_ms: at.map(unix_ms), ..part }))
}

/// Waits for the agreed start, but for the last `lead` of it.
pub(crate) fn wait(part: Option<Part>, lead: Duration) -> anyhow::Result<()> {
    let Some(ms) = part.and_then(|part| part.agreed_unix_ms) else { return Ok(()) };
    let at = UNIX_EPOCH + Duration::from_millis(ms);
    let Ok(left) = at.duration_since(SystemTime::now()) else {
        bail!("--at: the time was over before this part could begin: agree on a later one, or take --no-check");
    };
    let shown = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    say::err(format_args!(
        "waiting for {} until {}",
        humantime::format_duration(shown),
        humantime::format_rfc3339_millis(at)
    ));
    std::thread::sleep(left.saturating_sub(lead));
    Ok(())
}

/// How a run is told of: what becomes of its thresholds, and where its figures are meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) judge: &'a Judge,
    pub(crate) metrics: Option<SocketAddr>,
}

/// How often something is run, and whether its dice are always the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeats<'a> {
    pub(crate) flags: &'a Several,
    /// The seed of every repeat, if it was given.
    pub(crate) seed: Option<u64>,
    pub(crate) shown: Shown<'a>,
}

impl Repeats<'_> {
    fn times(&self) -> u32 {
        self.flags.repeat.unwrap_or(1)
    }

    /// The seed of a repeat, from 0, where the scenario has this one.
    pub(crate) fn seed(&self, repeat: u32, seed: u64) -> u64 {
        if self.seed.is_some() { seed } else { seed.saturating_add(u64::from(repeat)) }
    }

    /// What each of them is to write.
    pub(crate) fn files(&self, out: &Out, name: &str, label: &str) -> anyhow::Result<Vec<Files>> {
        if self.flags.repeat.is_none() {
            return Ok(vec![Files::check(out, self.shown.judge, name, label)?]);
        }
        let judge = Judge::default();
        (1..=self.times()).map(|number| Files::check(out, &judge, name, &format!("{label}-{number}"))).collect()
    }

    /// Runs it as often as it should be while a signal may end it early, and writes and tells what it comes to.
    pub(crate) fn run<E: Into<anyhow::Error>>(
        &self,
        runtime: &Runtime,
        total: Duration,
        files: &[Files],
        run: impl Fn(u32, &Watch) -> Result<Run, E>,
    ) -> anyhow::Result<ExitCode> {
        if let (None, [files]) = (self.flags.repeat, files) {
            return alone(runtime, total, files, self.shown, |watch| run(0, watch));
        }
        let stop = Arc::new(AtomicBool::new(false));
        signals::heed(runtime, Arc::clone(&stop))?;
        let mut runs = Vec::new();
        for (number, files) in (0..).zip(files) {
            say::err(format_args!("run {} of {}", number + 1, self.times()));
            let done = once(&Once { stop: &stop, total, exposed: None }, |watch| run(number, watch))?;
            outcome::annotate(&done, self.shown.judge.annotations());
            files.write(&done)?;
            runs.push(done);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        say::out(report::repeats_text(&runs));
        // Nothing answered is worse than a threshold that was missed.
        let worst = runs.iter().map(outcome::status).min_by_key(|status| if *status == 0 { u8::MAX } else { *status });
        Ok(ExitCode::from(worst.unwrap_or_default()))
    }
}

/// Runs something while a signal may end it early, and writes and tells what it comes to.
pub(crate) fn alone<E: Into<anyhow::Error>>(
    runtime: &Runtime,
    total: Duration,
    files: &Files,
    shown: Shown<'_>,
    run: impl FnOnce(&Watch) -> Result<Run, E>,
) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    signals::heed(runtime, Arc::clone(&stop))?;
    let exposed = shown.metrics.map(|address| (address, runtime));
    let run = once(&Once { stop: &stop, total, exposed }, run);
    // From now on the first signal ends the process.
    stop.store(true, Ordering::Relaxed);
    outcome::tell(&run?, files, shown.judge.annotations())
}

/// What a run has around it.
struct Once<'a> {
    stop: &'a Arc<AtomicBool>,
    total: Duration,
    /// Where its figures can be read meanwhile.
    exposed: Option<(SocketAddr, &'a Runtime)>,
}

/// Runs it once and shows how it goes.
fn once<E: Into<anyhow::Error>>(once: &Once<'_>, run: impl FnOnce(&Watch) -> Result<Run, E>) -> anyhow::Result<Run> {
    let Once { stop, total, exposed } = *once;
    let (watch, seconds) = Watch::new();
    let mut watch = Watch { stop: Arc::clone(stop), ..watch };
    if let Some((address, runtime)) = exposed {
        metrics::expose(address, &mut watch, runtime)?;
    }
    let shown = std::thread::spawn(move || screen::show(&seconds, total));
    let run = run(&watch).map_err(Into::into);
    drop(watch);
    // What was drawn is of no interest any more.
    let _ = shown.join();
    run
}

/// Makes one run of the parts of a load. What cannot be read and what cannot be merged is told together.
pub(crate) fn merge(files: &[PathBuf], missing: Missing, out: &Out) -> anyhow::Result<ExitCode> {
    let (runs, mut wrong) = read_all(files);
    // A file that cannot be read may be the part that is missing.
    let missing = if wrong.is_empty() { missing } else { Missing::Doubted };
    let merged = match record::merge(&runs, missing) {
        Ok(whole) => Some(whole),
        Err(reasons) => {
            wrong.extend(reasons.into_iter().filter(|_| !runs.is_empty()));
            None
        }
    };
    let Some(mut whole) = merged.filter(|_| wrong.is_empty()) else { bail!("{}", wrong.join("\n")) };
    if let Some(label) = &out.label {
        whole.label.clone_from(label);
    }
    // What has to hold of the whole did not have to hold of a part.
    if let Ok(scenario) = Scenario::parse(&whole.scenario) {
        whole.thresholds = threshold::judge(&scenario.thresholds, &whole);
    }
    let judge = Judge::default();
    let files = Files::check(out, &judge, &whole.name, &whole.label)?;
    outcome::tell(&whole, &files, judge.annotations())
}

/// Reports runs of one scenario as one sample.
pub(crate) fn repeats(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let (runs, wrong) = read_all(files);
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let runs: Vec<_> = runs.into_iter().map(|(_, run)| run).collect();
    say::out(report::repeats_text(&runs));
    Ok(ExitCode::SUCCESS)
}

/// Runs by the names of their files, and why others cannot be read.
fn read_all(files: &[PathBuf]) -> (Vec<(String, Run)>, Vec<String>) {
    let (mut runs, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        match read_run(file) {
            Ok(run) => runs.push((file.display().to_string(), run)),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    (runs, wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_agreed_start_is_an_instant_that_is_to_come() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(1_772_352_000);
        assert_eq!(parse_at("+90s", now).unwrap(), at(1_772_352_090));
        for text in ["2026-03-01T08:00:01Z", "2026-03-01T09:30:01+01:30", "2026-03-01T03:00:01-05:00"] {
            assert_eq!(parse_at(text, now).unwrap(), at(1_772_352_001), "{text}");
        }
        assert!(parse_at("2026-03-01T07:59:59Z", now).unwrap_err().contains("is over"));
        for text in ["soon", "", "+", "+1", "2026-03-01", "2026-03-01T08:00:01", "2026-03-01T08:00:01+1:00", "12:00"] {
            assert!(parse_at(text, now).unwrap_err().contains("is no time; expected"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_part_is_told_at_once() {
        let at = |text: &str| Some(text.to_owned());
        let flags = |at| Several { part: "2/5".parse().ok(), at, repeat: None };
        let told = part(&flags(at("2000-01-01T00:00:00Z")), 4, "connections").unwrap_err().to_string();
        assert!(told.contains("4 connections cannot be shared by 5 parts") && told.contains("--at: "), "{told}");
        let agreed = part(&flags(at("+1h")), 5, "clients").unwrap().unwrap();
        assert!(agreed.agreed_unix_ms.is_some_and(|ms| ms > 1_700_000_000_000) && agreed.clients == 5);
        assert_eq!(part(&Several { part: None, at: None, repeat: Some(3) }, 1, "clients").unwrap(), None);
        let over = Part { agreed_unix_ms: Some(1), ..agreed };
        assert!(wait(Some(over), Duration::ZERO).unwrap_err().to_string().contains("was over before"));
    }

    #[test]
    fn what_cannot_be_read_and_what_cannot_be_merged_is_told_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let whole = "{\"format\":1,\"name\":\"a\",\"label\":\"\",\"started_unix_ms\":0,\"target\":\"\",\"scenario\":\"\",\
                     \"machine\":{\"processor\":\"\",\"cores\":0,\"system\":\"\"},\"planned_s\":1,\"measured_s\":1,\
                     \"interrupted\":false,\"speedup\":1,\"clients\":1,\"generator\":{\"threads\":1,\"cpu_s\":0,\
                     \"late_p99_us\":0,\"late_max_us\":0,\"open_max\":0,\"doubts\":[]},\"series\":[],\"timeline\":[]}";
        let files = [file("whole.json", whole), file("no.json", "no"), folder.path().join("nowhere.json")];
        let out = Out { label: None, out: None, json: None, html: None };
        let told = merge(&files, Missing::Refused, &out).unwrap_err().to_string();
        for reason in
            ["whole.json is no part of a load", "no.json is not JSON", "cannot read", "there is no part to merge"]
        {
            assert!(told.contains(reason), "{reason}: {told}");
        }
        // A file of before has no part, and is one run of a sample.
        assert!(repeats(&files[..1]).is_ok() && repeats(&files).is_err());
    }

    #[test]
    fn repeats_have_a_seed_and_a_file_each() {
        let folder = tempfile::tempdir().unwrap();
        let flags = Several { part: None, at: None, repeat: Some(3) };
        let out = Out { label: None, out: Some(folder.path().to_owned()), json: None, html: None };
        let judge = Judge::default();
        let repeats = Repeats { flags: &flags, seed: None, shown: Shown { judge: &judge, metrics: None } };
        assert_eq!([0, 1, 2].map(|repeat| repeats.seed(repeat, 7)), [7, 8, 9]);
        assert_eq!(Repeats { seed: Some(7), ..repeats }.seed(2, 7), 7, "it was given");
        let files = format!("{:?}", repeats.files(&out, "steady", "site").unwrap());
        assert!(files.contains("steady-site-1.json") && files.contains("steady-site-3.html"), "{files}");
    }
}
