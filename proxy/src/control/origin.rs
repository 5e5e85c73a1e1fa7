//! Where the configuration comes from: its text, the files that it names, and whether one of them is another one now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::compile::{Named, WatchFiles};
use super::config::Source;
use super::settle::{Stamps, Writers};
use super::watch::Watch;

/// How often files are looked at that cannot be watched.
const LOOK: Duration = Duration::from_secs(60);

/// What was read last, and from where.
#[derive(Debug, Default)]
pub struct Origin {
    file: Option<PathBuf>,
    /// The text of `file`, or why it could not be read.
    last: Option<Result<String, String>>,
    /// What `named` belongs to; `None` when nobody has said.
    source: Option<Source>,
    named: Named,
    watch: Watching,
    looked: Option<Instant>,
}

#[derive(Debug, Default)]
enum Watching {
    /// Nobody has asked for it.
    #[default]
    Off,
    /// The configuration does not want it.
    Unwanted,
    /// There was no file to watch yet.
    Wanted,
    /// The system has no watches left.
    Refused,
    By(Watch),
}

/// What there is to do.
#[derive(Debug)]
pub enum Look {
    /// Nothing has changed.
    Same,
    /// This is to be compiled.
    Changed(Source),
    /// The configuration file cannot be read.
    Unreadable(String),
    /// There is no configuration.
    Nothing,
}

impl Origin {
    /// A configuration that was read from a file, or is in none; the files that it names may change all the same.
    pub fn new(file: Option<PathBuf>, source: &Source) -> Self {
        let last = file.is_some().then(|| Ok(source.text.clone()));
        Self { file, last, source: Some(source.clone()), ..Self::default() }
    }

    /// Remembers which files were read for the first configuration.
    pub fn begins_with(&mut self, named: &Named) {
        self.named = named.clone();
    }

    /// Remembers what was compiled last and what was read for it. Also of a configuration that was rejected: repairing a
    /// file that it names must be seen.
    pub fn tried(&mut self, source: Source, named: Named) {
        (self.source, self.named) = (Some(source), named);
    }

    /// Reads again what may have changed. `forced`: also when it has not.
    pub fn look(&mut self, forced: bool) -> Look {
        self.looked = Some(Instant::now());
        if let Some(file) = &self.file {
            let read = Source::read(file).map_err(|error| error.to_string());
            let last = read.as_ref().map(|source| source.text.clone()).map_err(Clone::clone);
            let same = self.last.as_ref() == Some(&last);
            self.last = Some(last);
            match read {
                Ok(source) if forced || !same => return Look::Changed(source),
                Err(error) if forced || !same => return Look::Unreadable(error),
                // What cannot be read names no files; those of the last text may change for nothing.
                Err(_) => return Look::Same,
                Ok(_) => {}
            }
        }
        match &self.source {
            // One change of a file is told several times.
            Some(source) if forced || self.named.changed() => Look::Changed(source.clone()),
            Some(_) => Look::Same,
            None => Look::Nothing,
        }
    }

    /// Watches from now on what the configuration wants watched, and rings `changed`.
    pub fn begin_watching(&mut self, changed: &Arc<Notify>, wanted: WatchFiles) {
        self.watch = Watching::Wanted;
        self.follow(changed, wanted);
    }

    /// The configuration file and those that it names.
    fn files(&self) -> impl Iterator<Item = &Path> {
        self.file.as_deref().into_iter().chain(self.named.paths())
    }

    /// How the files are now.
    pub fn stamps(&self) -> Stamps {
        Stamps::of(self.files())
    }

    /// Whether a program that has written to one of them still has it open, as far as is known.
    pub fn writers(&self) -> Writers {
        match &self.watch {
            Watching::By(watch) => watch.writers(),
            Watching::Off | Watching::Unwanted | Watching::Wanted | Watching::Refused => Writers::Gone,
        }
    }

    /// Watches the files that are named now.
    pub fn follow(&mut self, changed: &Arc<Notify>, wanted: WatchFiles) {
        match (&self.watch, wanted) {
            (Watching::Off, _) => return,
            (_, WatchFiles::Off) => return self.watch = Watching::Unwanted,
            (Watching::Unwanted, WatchFiles::On) => self.watch = Watching::Wanted,
            (Watching::Wanted | Watching::Refused | Watching::By(_), WatchFiles::On) => {}
        }
        let files: Vec<&Path> = self.file.as_deref().into_iter().chain(self.named.paths()).collect();
        if let Watching::Wanted = self.watch
            && !files.is_empty()
        {
            self.watch = match Watch::new(Arc::clone(changed)) {
                Ok(watch) => Watching::By(watch),
                Err(error) => {
                    tracing::warn!(%error, "files cannot be watched; they are looked at once a minute, and SIGHUP reloads them");
                    Watching::Refused
                }
            };
        }
        // Until now nobody has seen what happens there.
        if let Watching::By(watch) = &mut self.watch
            && watch.follow(files)
        {
            changed.notify_one();
        }
    }

    /// Whether it is time to look at files that cannot be watched.
    pub fn is_due(&self) -> bool {
        let unwatched = match &self.watch {
            Watching::Off | Watching::Unwanted | Watching::Wanted => false,
            Watching::Refused => true,
            Watching::By(watch) => !watch.complete(),
        };
        unwatched && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::compile::Files;
    use super::super::director::read_with;
    use super::*;

    /// Remembers what the Director would, and says whether it could be read.
    fn try_it(origin: &mut Origin, source: Source) -> bool {
        let files = Files::new();
        let read = read_with(&source, &files, false).is_ok();
        origin.tried(source, files.named());
        read
    }

    fn text(ca: &Path) -> String {
        format!(
            "[site]\ncode = \"P01\"\n[tls]\nca_file = {ca:?}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"MP\"]\n"
        )
    }

    #[test]
    fn what_is_named_counts_as_much_as_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ca) = (folder.path().join("rolegate.toml"), folder.path().join("ca.crt"));
        std::fs::write(&file, text(&ca)).unwrap();
        let mut origin = Origin::new(Some(file.clone()), &Source::read(&file).unwrap());
        assert!(!try_it(&mut origin, Source::read(&file).unwrap()), "the file is not there");
        assert!(matches!(origin.look(false), Look::Same), "still not");
        assert!(matches!(origin.look(true), Look::Changed(_)));
        std::fs::write(&ca, "a").unwrap();
        let Look::Changed(source) = origin.look(false) else { panic!("the named file") };
        try_it(&mut origin, source);
        assert!(matches!(origin.look(false), Look::Same));
        std::fs::write(&file, text(&ca) + "# more").unwrap();
        assert!(matches!(origin.look(false), Look::Changed(_)));
        assert!(matches!(origin.look(false), Look::Same), "told once");
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(origin.look(false), Look::Unreadable(_)));
        assert!(matches!(origin.look(false), Look::Same), "said once");
        assert!(matches!(origin.look(true), Look::Unreadable(_)));
    }

    #[tokio::test]
    async fn nothing_is_watched_that_is_not_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rolegate.toml");
        std::fs::write(&file, "").unwrap();
        let mut origin = Origin::new(Some(file.clone()), &Source::read(&file).unwrap());
        let changed = Arc::<Notify>::default();
        origin.follow(&changed, WatchFiles::On);
        assert!(matches!(origin.watch, Watching::Off), "it has not begun");
        origin.begin_watching(&changed, WatchFiles::Off);
        assert!(matches!(origin.watch, Watching::Unwanted) && !origin.is_due());
        origin.follow(&changed, WatchFiles::On);
        assert!(matches!(origin.watch, Watching::By(_)));
        origin.follow(&changed, WatchFiles::Off);
        assert!(matches!(origin.watch, Watching::Unwanted) && origin.writers() == Writers::Gone);
    }

    #[test]
    fn without_a_file_only_what_is_named_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.crt");
        let mut origin = Origin::default();
        assert!(matches!(origin.look(true), Look::Nothing));
        try_it(&mut origin, Source { name: "x".to_owned(), text: text(&ca) });
        assert!(matches!(origin.look(false), Look::Same));
        std::fs::write(&ca, "a").unwrap();
        assert!(matches!(origin.look(false), Look::Changed(_)));
    }
}
