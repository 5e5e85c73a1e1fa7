//! Tells when a file may have changed: the configuration, or one that it names.
//!
//! Files are watched through their folders, because editors, configuration management and tools that renew certificates
//! replace files rather than write them. A file that is reached through links is watched at every link: Kubernetes swaps
//! the link `..data`, and certbot the one that the file itself is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::settle::Writers;

/// Links that are followed one after the other, as many as Linux follows.
const LINKS: usize = 40;
/// Files that may be open in those who write them, of those that are remembered.
const MANY: usize = 1024;

/// Watches files for as long as it lives.
pub struct Watch {
    watcher: RecommendedWatcher,
    /// Real paths of the folders, each with what tells it from another folder that took its place.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    /// What could not be watched: said once.
    refused: BTreeSet<PathBuf>,
    interest: Arc<Mutex<Interest>>,
}

/// Which events count. The watcher has a thread of its own.
#[derive(Default)]
struct Interest {
    /// Files and links. A log that grows in the same folder wakes nobody.
    names: HashSet<OsString>,
    /// The folders themselves: one may go, or be renamed.
    folders: HashSet<PathBuf>,
    /// Files that were written to and have not been closed since.
    open: HashSet<PathBuf>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("folders", &self.folders.keys()).finish_non_exhaustive()
    }
}

impl Interest {
    fn counts(&self, event: &notify::Event) -> bool {
        // Reading is an event too, and ours would wake us for ever.
        if matches!(event.kind, EventKind::Access(_)) && !is_end_of_writing(event.kind) {
            return false;
        }
        let ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| self.names.contains(name)) || self.folders.contains(path)
        };
        // Without a path: events were lost.
        event.paths.is_empty() || event.paths.iter().any(ours)
    }

    /// Remembers who still writes, of what counts.
    fn note(&mut self, event: &notify::Event) {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) if self.open.len() < MANY => {
                self.open.extend(event.paths.iter().cloned());
            }
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) | EventKind::Access(_) => {
                event.paths.iter().for_each(|path| _ = self.open.remove(path));
            }
            EventKind::Modify(_) | EventKind::Create(_) | EventKind::Any | EventKind::Other => {}
        }
    }
}

fn is_end_of_writing(kind: EventKind) -> bool {
    kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}

impl Watch {
    /// Watches nothing yet; rings `changed` when something may have changed.
    ///
    /// # Errors
    /// The system has no watches left.
    pub fn new(changed: Arc<Notify>) -> notify::Result<Self> {
        let interest = Arc::<Mutex<Interest>>::default();
        let shared = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let mut interest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) if interest.counts(&event) => interest.note(&event),
                Ok(_) => return,
                // It may have hidden an event.
                Err(_) => interest.open.clear(),
            }
            changed.notify_one();
        })?;
        Ok(Self { watcher, folders: BTreeMap::new(), refused: BTreeSet::new(), interest })
    }

    /// Watches these files and no others. Says whether a folder is watched that was not watched before: what happened
    /// there until now was not seen.
    pub fn follow<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) -> bool {
        let mut wanted = BTreeMap::new();
        let mut names = HashSet::new();
        for file in files {
            let mut steps = Vec::new();
            steps_to(file, LINKS, &mut steps);
            for (folder, name) in steps {
                names.insert(name);
                let Ok(real) = folder.canonicalize() else { continue };
                if let Ok(about) = real.metadata() {
                    wanted.insert(real, (about.dev(), about.ino()));
                }
            }
        }
        let folders = wanted.keys().cloned().collect();
        {
            let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
            interest.open.retain(|path| path.file_name().is_some_and(|name| names.contains(name)));
            (interest.names, interest.folders) = (names, folders);
        }
        let watcher = &mut self.watcher;
        self.folders.retain(|folder, identity| {
            let stays = wanted.get(folder) == Some(identity);
            if !stays {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        self.refused.retain(|folder| wanted.contains_key(folder));
        let mut more = false;
        for (folder, identity) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    more = true;
                    self.refused.remove(&folder);
                    self.folders.insert(folder, identity);
                }
                Err(error) => {
                    if self.refused.insert(folder.clone()) {
                        let folder = folder.display();
                        tracing::warn!(%folder, %error, "this folder cannot be watched; its files are looked at once a minute");
                    }
                }
            }
        }
        more
    }

    /// Whether a program that has written to a file still has it open.
    pub fn writers(&self) -> Writers {
        let interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
        if interest.open.is_empty() { Writers::Gone } else { Writers::There }
    }

    /// Whether every folder is watched.
    pub fn complete(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Every folder in which an event can make another file of this one, with the name that the event is about: the file's own,
/// those of links on the way, and of folders that do not exist yet.
fn steps_to(file: &Path, links: usize, steps: &mut Vec<(PathBuf, OsString)>) {
    for step in file.ancestors() {
        let Some(name) = step.file_name() else { continue };
        let parent = step.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let link = std::fs::read_link(step).ok();
        if step == file || link.is_some() || !step.exists() {
            steps.push((parent.to_owned(), name.to_owned()));
        }
        if let Some(target) = link.filter(|_| links > 0) {
            // Nothing is left of the file after itself, and a slash at the end would make a folder of it.
            let target = parent.join(target);
            let target = match file.strip_prefix(step) {
                Ok(rest) if !rest.as_os_str().is_empty() => target.join(rest),
                _ => target,
            };
            return steps_to(&target, links - 1, steps);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Watched {
        watch: Watch,
        changed: Arc<Notify>,
    }

    impl Watched {
        fn new(files: &[&Path]) -> Self {
            let changed = Arc::<Notify>::default();
            let mut watch = Watch::new(Arc::clone(&changed)).unwrap();
            assert!(watch.follow(files.iter().copied()));
            assert!(!watch.follow(files.iter().copied()), "nothing new");
            Self { watch, changed }
        }

        /// Fails when nothing is told.
        async fn told(&self, what: &str) {
            tokio::time::timeout(PATIENCE, self.changed.notified()).await.expect(what);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_told_and_its_neighbor_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("mp1.crt"), folder.path().join("access.log"));
        fs::write(&file, "1").unwrap();
        let watched = Watched::new(&[&file]);
        let counts = |path: &Path| {
            let event =
                notify::Event::new(EventKind::Create(notify::event::CreateKind::File)).add_path(path.to_owned());
            watched.watch.interest.lock().unwrap().counts(&event)
        };
        assert!(counts(&file) && counts(&folder.path().canonicalize().unwrap()) && !counts(&log));
        fs::write(&file, "2").unwrap();
        watched.told("a write").await;
        let new = folder.path().join("new");
        fs::write(&new, "3").unwrap();
        fs::rename(&new, &file).unwrap();
        watched.told("a rename").await;
    }

    #[tokio::test]
    async fn a_file_that_is_still_open_for_writing_is_told_from_one_that_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rolegate.toml");
        fs::write(&file, "1").unwrap();
        let watched = Watched::new(&[&file]);
        let until = async |writers: Writers, what: &str| {
            while watched.watch.writers() != writers {
                watched.told(what).await;
            }
        };
        let mut open = fs::File::create(&file).unwrap();
        open.write_all(b"half").unwrap();
        until(Writers::There, "a write").await;
        drop(open);
        until(Writers::Gone, "the end of writing").await;

        let mut open = fs::File::create(&file).unwrap();
        open.write_all(b"half").unwrap();
        until(Writers::There, "a write").await;
        let new = folder.path().join("new");
        fs::write(&new, "3").unwrap();
        fs::rename(&new, &file).unwrap();
        until(Writers::Gone, "another file took its place").await;
        drop(open);
    }

    #[tokio::test]
    async fn a_link_that_is_swapped_is_told_and_the_new_folder_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for version in ["..1", "..2"] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("tls.crt"), version).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        let file = root.join("tls.crt");
        symlink("..data/tls.crt", &file).unwrap();
        let mut watched = Watched::new(&[&file]);
        let folders: Vec<_> = watched.watch.folders.keys().cloned().collect();
        assert_eq!(folders, [root.clone(), root.join("..1")]);

        symlink("..2", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        watched.told("the swap").await;
        assert!(watched.watch.follow([file.as_path()]));
        let folders: Vec<_> = watched.watch.folders.keys().cloned().collect();
        assert_eq!(folders, [root.clone(), root.join("..2")]);
        fs::write(root.join("..2").join("tls.crt"), "3").unwrap();
        watched.told("a write behind the link").await;
    }

    #[tokio::test]
    async fn a_folder_that_comes_and_one_that_takes_the_place_of_another_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = folder.path().join("certificates");
        let file = certificates.join("mp1.crt");
        let mut watched = Watched::new(&[&file]);
        fs::create_dir(&certificates).unwrap();
        watched.told("the folder").await;
        assert!(watched.watch.follow([file.as_path()]));
        fs::write(&file, "1").unwrap();
        watched.told("the file").await;

        let new = folder.path().join("new");
        fs::create_dir(&new).unwrap();
        fs::rename(&certificates, folder.path().join("old")).unwrap();
        fs::rename(&new, &certificates).unwrap();
        watched.told("another folder").await;
        assert!(watched.watch.follow([file.as_path()]), "the same path is another folder now");
        fs::write(&file, "2").unwrap();
        watched.told("a file in it").await;
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        let mut steps = Vec::new();
        steps_to(&folder.path().join("a"), LINKS, &mut steps);
        assert_eq!(steps.len(), LINKS + 1);
    }
}
