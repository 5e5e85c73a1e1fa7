//! What becomes of a run: text, files, comparisons.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use rolegate_bench::record::Run;
use rolegate_bench::report;

use crate::flags::Out;
use crate::{read_run, screen};

/// Prints a run and writes the files that were asked for. Nothing answered as it should be is a failure.
pub(crate) fn tell(run: &Run, out: &Out) -> anyhow::Result<ExitCode> {
    screen::print(&report::text(run));
    let mut files: Vec<(PathBuf, bool)> = Vec::new();
    if let Some(folder) = &out.out {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let name = format!("{}-{}", run.name, run.label).replace(|c: char| !c.is_alphanumeric() && c != '.', "-");
        files.push((folder.join(format!("{name}.json")), false));
        files.push((folder.join(format!("{name}.html")), true));
    }
    files.extend(out.json.clone().map(|file| (file, false)));
    files.extend(out.html.clone().map(|file| (file, true)));
    for (file, is_page) in files {
        if is_page {
            page(std::slice::from_ref(run), &file)?;
        } else {
            report::write_json(run, &file).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        screen::print(&format!("written: {}", file.display()));
    }
    let done: u64 = run.series.iter().map(|series| series.done).sum();
    if run.series.is_empty() {
        eprintln!("note: nothing was due in this time: more clients, a longer duration or a larger speedup would do");
    }
    Ok(if done > 0 || run.interrupted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(runs: &[Run], to: &Path) -> anyhow::Result<()> {
    let write = || {
        let mut file = BufWriter::new(File::create(to)?);
        report::write_html(runs, &mut file)?;
        file.flush()
    };
    write().with_context(|| format!("{} cannot be written", to.display()))
}

pub(crate) fn compare(files: &[PathBuf], html: Option<&Path>) -> anyhow::Result<ExitCode> {
    let runs = files.iter().map(|file| read_run(file)).collect::<anyhow::Result<Vec<_>>>()?;
    screen::print(&report::compare_text(&runs));
    if let Some(to) = html {
        page(&runs, to)?;
        screen::print(&format!("written: {}", to.display()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn report(file: &Path, html: Option<&Path>) -> anyhow::Result<ExitCode> {
    let run = read_run(file)?;
    match html {
        Some(to) => {
            page(std::slice::from_ref(&run), to)?;
            screen::print(&format!("written: {}", to.display()));
        }
        None => screen::print(&report::text(&run)),
    }
    Ok(ExitCode::SUCCESS)
}
