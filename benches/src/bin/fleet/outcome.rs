//! What becomes of a run: text, files, comparisons.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use rolegate_bench::record::Run;
use rolegate_bench::{report, say};

use crate::flags::Out;
use crate::read_run;

/// What is to be written after a run.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<(PathBuf, Kind)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Page,
}

impl Files {
    /// The files that were asked for. All of them can be written, as far as one can know before; what is there is left alone.
    pub(crate) fn check(out: &Out, name: &str, label: &str) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        if let Some(folder) = &out.out {
            std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            let name = format!("{name}-{label}").replace(|c: char| !c.is_alphanumeric() && c != '.', "-");
            files.push((folder.join(format!("{name}.json")), Kind::Json));
            files.push((folder.join(format!("{name}.html")), Kind::Page));
        }
        files.extend(out.json.clone().map(|file| (file, Kind::Json)));
        files.extend(out.html.clone().map(|file| (file, Kind::Page)));
        let mut wrong: Vec<_> = files.iter().filter_map(|(file, _)| cannot(file, try_out(file))).collect();
        for (place, (file, _)) in files.iter().enumerate() {
            if files[..place].iter().any(|(earlier, _)| earlier == file) {
                wrong.push(format!("{} would be written twice: give each its own name", file.display()));
            }
        }
        if wrong.is_empty() { Ok(Self(files)) } else { Err(anyhow!("{}", wrong.join("\n"))) }
    }

    /// Writes all that can be written, and then says what cannot.
    pub(crate) fn write(&self, run: &Run) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for (file, kind) in &self.0 {
            let written = match kind {
                Kind::Json => report::write_json(run, file),
                Kind::Page => write_page(std::slice::from_ref(run), file),
            };
            match cannot(file, written) {
                Some(failure) => wrong.push(failure),
                None => say::out(format_args!("written: {}", file.display())),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(anyhow!("{}", wrong.join("\n"))) }
    }
}

fn cannot(file: &Path, tried: io::Result<()>) -> Option<String> {
    tried.err().map(|error| format!("{} cannot be written: {error}", file.display()))
}

/// Opens a file as if to write it, and leaves no trace.
fn try_out(file: &Path) -> io::Result<()> {
    match File::create_new(file) {
        Ok(_) => std::fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::options().append(true).open(file).map(drop),
        Err(error) => Err(error),
    }
}

/// Prints a run and writes the files that were asked for. Nothing answered as it should be is a failure.
pub(crate) fn tell(run: &Run, files: &Files) -> anyhow::Result<ExitCode> {
    say::out(report::text(run));
    if run.series.is_empty() && run.timeline.iter().all(|interval| interval.under_way == 0) {
        say::err("note: nothing was due in this time: more clients, a longer duration or a larger speedup would do");
    }
    files.write(run)?;
    Ok(if is_good(run) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Something was answered as it should be, or the run was ended before that could be.
pub(crate) fn is_good(run: &Run) -> bool {
    run.interrupted || run.series.iter().any(|series| series.done > 0)
}

fn write_page(runs: &[Run], to: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(to)?);
    report::write_html(runs, &mut file)?;
    file.flush()
}

fn page(runs: &[Run], to: &Path) -> anyhow::Result<()> {
    write_page(runs, to).with_context(|| format!("{} cannot be written", to.display()))
}

pub(crate) fn compare(files: &[PathBuf], html: Option<&Path>) -> anyhow::Result<ExitCode> {
    let runs = files.iter().map(|file| read_run(file)).collect::<anyhow::Result<Vec<_>>>()?;
    say::out(report::compare_text(&runs));
    if let Some(to) = html {
        page(&runs, to)?;
        say::out(format_args!("written: {}", to.display()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn report(file: &Path, html: Option<&Path>) -> anyhow::Result<ExitCode> {
    let run = read_run(file)?;
    match html {
        Some(to) => {
            page(std::slice::from_ref(&run), to)?;
            say::out(format_args!("written: {}", to.display()));
        }
        None => say::out(report::text(&run)),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_before_and_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(folder.path().join(name));
        let out = Out { label: None, out: at("new"), json: at("a.json"), html: at("a.html") };
        let files = Files::check(&out, "steady", "http://a:1").unwrap();
        assert_eq!(files.0.len(), 4);
        assert_eq!(files.0[0].0, folder.path().join("new/steady-http---a-1.json"));
        assert!(!folder.path().join("a.json").exists(), "nothing is left behind");
        std::fs::write(folder.path().join("a.json"), "before").unwrap();
        Files::check(&out, "steady", "a").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a.json")).unwrap(), "before");

        let wrong = Out { label: None, out: None, json: at("no/a.json"), html: at("no/a.html") };
        let error = Files::check(&wrong, "steady", "a").unwrap_err().to_string();
        assert_eq!(error.matches("cannot be written").count(), 2, "{error}");
        let twice = Out { label: None, out: None, json: at("b"), html: at("b") };
        assert!(Files::check(&twice, "steady", "a").unwrap_err().to_string().contains("written twice"));
    }
}
