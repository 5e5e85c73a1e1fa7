//! What becomes of a run: text, files, comparisons, and the exit status.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use rolegate_bench::fleet::Scenario;
use rolegate_bench::record::Run;
use rolegate_bench::threshold::{self, Names};
use rolegate_bench::{report, say};

use crate::files::{Files, write_page};
use crate::flags::{Annotations, Judge};
use crate::read_run;

/// Nothing was answered as it should be.
const NOTHING: u8 = 1;
/// Thresholds were not met, or could not be judged.
const MISSED: u8 = 3;

/// Prints a run and writes the files that were asked for.
pub(crate) fn tell(run: &Run, files: &Files, annotations: Annotations) -> anyhow::Result<ExitCode> {
    say::out(report::text(run));
    if run.series.is_empty() && run.timeline.iter().all(|interval| interval.under_way == 0) {
        say::err("note: nothing was due in this time: more clients, a longer duration or a larger speedup would do");
    }
    annotate(run, annotations);
    files.write(run)?;
    Ok(ExitCode::from(status(run)))
}

pub(crate) fn annotate(run: &Run, annotations: Annotations) {
    let told = report::annotations(run);
    if annotations == Annotations::Printed && !told.is_empty() {
        say::out(told.trim_end());
    }
}

/// A run that was ended early may have nothing to show.
pub(crate) fn status(run: &Run) -> u8 {
    let done: u64 = run.series.iter().map(|series| series.done).sum();
    if done == 0 && !run.interrupted {
        return NOTHING;
    }
    if run.thresholds.iter().any(|judged| judged.outcome.is_failure()) { MISSED } else { 0 }
}

pub(crate) fn compare(files: &[PathBuf], html: Option<&Path>) -> anyhow::Result<ExitCode> {
    let runs = files.iter().map(|file| read_run(file)).collect::<anyhow::Result<Vec<_>>>()?;
    say::out(report::compare_text(&runs));
    if let Some(to) = html {
        page(&runs, to)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reports a run. Thresholds that are given take the place of those that it was judged by.
pub(crate) fn report(file: &Path, html: Option<&Path>, judge: &Judge) -> anyhow::Result<ExitCode> {
    let mut run = read_run(file)?;
    let thresholds = judge.thresholds(&names(&run))?;
    let files = Files::of_judge(judge)?;
    if !thresholds.is_empty() {
        run.thresholds = threshold::judge(&thresholds, &run);
    }
    match html {
        Some(to) => page(std::slice::from_ref(&run), to)?,
        None => say::out(report::text(&run)),
    }
    annotate(&run, judge.annotations());
    files.write(&run)?;
    let missed = run.thresholds.iter().any(|judged| judged.outcome.is_failure());
    Ok(if missed { ExitCode::from(MISSED) } else { ExitCode::SUCCESS })
}

/// What there is in a run, and what there could have been, as far as its scenario says.
fn names(run: &Run) -> Names {
    let measured = Names::of_run(run);
    match Scenario::parse(&run.scenario) {
        // Plain load without paths asked for what was measured.
        Ok(scenario) => measured.and(scenario.kind.names(None)),
        // Another version wrote it.
        Err(_) => measured,
    }
}

fn page(runs: &[Run], to: &Path) -> anyhow::Result<()> {
    write_page(runs, to).with_context(|| format!("{} cannot be written", to.display()))?;
    say::out(format_args!("written: {}", to.display()));
    Ok(())
}
