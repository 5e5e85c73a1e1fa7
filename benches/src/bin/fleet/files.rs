//! The files that are written after a run.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use rolegate_bench::record::Run;
use rolegate_bench::{report, say};

use crate::flags::{Judge, Out};

/// What is to be written after a run.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// It is made when there is something to write.
    folder: Option<PathBuf>,
    files: Vec<(PathBuf, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Page,
    Junit,
}

impl Files {
    /// The files that were asked for. All of them can be written, as far as one can know before; what is there is left alone,
    /// and nothing new is left behind.
    pub(crate) fn check(out: &Out, judge: &Judge, name: &str, label: &str) -> anyhow::Result<Self> {
        let mut all = Self { folder: out.out.clone(), files: Vec::new() };
        if let Some(folder) = &all.folder {
            report::try_folder(folder).with_context(|| format!("{} cannot be written to", folder.display()))?;
            let name = format!("{name}-{label}").replace(|c: char| !c.is_alphanumeric() && c != '.', "-");
            all.files.push((folder.join(format!("{name}.json")), Kind::Json));
            all.files.push((folder.join(format!("{name}.html")), Kind::Page));
        }
        let given = [(&out.json, Kind::Json), (&out.html, Kind::Page), (&judge.junit, Kind::Junit)];
        all.files.extend(given.into_iter().filter_map(|(file, kind)| Some((file.clone()?, kind))));
        let mut wrong: Vec<_> = all.files.iter().filter_map(|(file, _)| cannot(file, all.try_out(file))).collect();
        for (place, (file, _)) in all.files.iter().enumerate() {
            if all.files[..place].iter().any(|(earlier, _)| earlier == file) {
                wrong.push(format!("{} would be written twice: give each its own name", file.display()));
            }
        }
        if wrong.is_empty() { Ok(all) } else { Err(anyhow!("{}", wrong.join("\n"))) }
    }

    /// Only what thresholds came to.
    pub(crate) fn of_judge(judge: &Judge) -> anyhow::Result<Self> {
        Self::check(&Out::default(), judge, "", "")
    }

    /// Opens a file as if to write it, and leaves no trace.
    fn try_out(&self, file: &Path) -> io::Result<()> {
        if self.folder.as_ref().is_some_and(|folder| file.starts_with(folder) && !folder.exists()) {
            // It was tried, and is made when there is something to write.
            return Ok(());
        }
        match File::create_new(file) {
            Ok(_) => std::fs::remove_file(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                File::options().append(true).open(file).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes all that can be written, and then says what cannot.
    pub(crate) fn write(&self, run: &Run) -> anyhow::Result<()> {
        if let Some(folder) = &self.folder {
            // If it cannot be made, its files say so.
            let _ = std::fs::create_dir_all(folder);
        }
        let mut wrong = Vec::new();
        for (file, kind) in &self.files {
            let written = match kind {
                Kind::Json => report::write_json(run, file),
                Kind::Page => write_page(std::slice::from_ref(run), file),
                Kind::Junit => report::replace(file, |to| report::write_junit(run, to)),
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

pub(crate) fn write_page(runs: &[Run], to: &Path) -> io::Result<()> {
    report::replace(to, |file| report::write_html(runs, file))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_before_and_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(folder.path().join(name));
        let judge = Judge { junit: at("a.xml"), ..Judge::default() };
        let out = Out { label: None, out: at("new/deep"), json: at("a.json"), html: at("a.html") };
        let files = Files::check(&out, &judge, "steady", "http://a:1").unwrap();
        assert_eq!(files.files.len(), 5);
        assert_eq!(files.files[0].0, folder.path().join("new/deep/steady-http---a-1.json"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        std::fs::write(folder.path().join("a.json"), "before").unwrap();
        Files::check(&out, &judge, "steady", "a").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("a.json")).unwrap(), "before");

        let wrong = Out { label: None, out: None, json: at("no/a.json"), html: at("no/a.html") };
        let error = Files::check(&wrong, &Judge::default(), "steady", "a").unwrap_err().to_string();
        assert_eq!(error.matches("cannot be written").count(), 2, "{error}");
        let twice = Out { label: None, out: None, json: at("b"), html: at("b") };
        let error = Files::check(&twice, &Judge::default(), "steady", "a").unwrap_err().to_string();
        assert!(error.contains("written twice"), "{error}");
        let below = Out { out: at("a.json/below"), ..Out::default() };
        let error = Files::check(&below, &Judge::default(), "steady", "a").unwrap_err().to_string();
        assert!(error.contains("cannot be written to"), "{error}");
    }
}
