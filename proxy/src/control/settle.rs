//! When files that change may be read: once nothing has happened to them for a while. A configuration that is cut where it
//! is still valid would be served otherwise, and a certificate without its key refused.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// Files are read when they have been the same for so long,
const QUIET: Duration = Duration::from_millis(250);
/// and when one is still open in the program that has written to it, for so long.
const OPEN_QUIET: Duration = Duration::from_secs(5);
/// Between two looks at one that is open.
const STEP: Duration = Duration::from_millis(100);
/// A file that never comes to rest is read after so long.
const MOST: Duration = Duration::from_secs(60);

/// Size, time of the last change, and which file it is, of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    file: (u64, u64),
}

impl Stamps {
    /// Looks at these files.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let each = files.into_iter().map(|file| (file.to_owned(), file.metadata().ok().map(|about| Stamp::of(&about))));
        Self(each.collect())
    }
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self { size: about.size(), modified: (about.mtime(), about.mtime_nsec()), file: (about.dev(), about.ino()) }
    }
}

/// What is known of those who write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// None has a file open, or no one can know.
    Gone,
    /// One that has written to a file still has it open.
    There,
}

/// Something has changed, and is not read yet.
#[derive(Debug)]
pub struct Settling {
    begun: Instant,
    quiet_since: Instant,
    next: Instant,
    stamps: Stamps,
}

impl Settling {
    /// Something has changed just now.
    pub fn begin(stamps: Stamps) -> Self {
        let now = Instant::now();
        Self { begun: now, quiet_since: now, next: now + QUIET, stamps }
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// Whether the files may be read, now that they are so.
    pub fn is_over(&mut self, stamps: Stamps, writers: Writers) -> bool {
        let now = Instant::now();
        if stamps != self.stamps {
            (self.stamps, self.quiet_since) = (stamps, now);
        }
        self.next = (self.quiet_since + QUIET).max(now + STEP);
        let enough = match writers {
            Writers::Gone => QUIET,
            Writers::There => OPEN_QUIET,
        };
        self.quiet_since.elapsed() >= enough || self.begun.elapsed() >= MOST
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Stamps of a file of this size.
    fn stamps(size: u64) -> Stamps {
        Stamps([(PathBuf::from("a"), Some(Stamp { size, modified: (0, 0), file: (0, 0) }))].into())
    }

    /// How long it takes until files are read that change every `step` for `changes` times.
    async fn read_after(step: Duration, changes: u32, writers: impl Fn(Duration) -> Writers) -> Duration {
        let begun = Instant::now();
        let passed = || u64::try_from(begun.elapsed().as_millis() / step.as_millis()).unwrap();
        let size = || passed().min(changes.into());
        let mut settling = Settling::begin(stamps(0));
        loop {
            tokio::time::sleep_until(settling.due()).await;
            if settling.is_over(stamps(size()), writers(begun.elapsed())) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < 2 * MOST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_when_they_have_come_to_rest() {
        let ms = Duration::from_millis;
        assert_eq!(read_after(ms(100), 0, |_| Writers::Gone).await, ms(250));
        let slow = read_after(ms(200), 20, |_| Writers::Gone).await;
        assert!(slow >= ms(4250) && slow < ms(4600), "{slow:?}");
        // The writer pauses, and then closes its file.
        let open = |at| if at < ms(3000) { Writers::There } else { Writers::Gone };
        let paused = read_after(ms(1000), 2, open).await;
        assert!(paused >= ms(3000) && paused < ms(3300), "{paused:?}");
        let kept_open = read_after(ms(100), 0, |_| Writers::There).await;
        assert!(kept_open >= OPEN_QUIET && kept_open < OPEN_QUIET + ms(300), "{kept_open:?}");
        let restless = read_after(ms(100), u32::MAX, |_| Writers::Gone).await;
        assert!(restless >= MOST && restless < MOST + ms(300), "{restless:?}");
    }

    #[test]
    fn a_file_is_told_from_another_of_the_same_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let none = Stamps::of([file.as_path()]);
        std::fs::write(&file, "one").unwrap();
        let first = Stamps::of([file.as_path()]);
        let new = folder.path().join("b");
        std::fs::write(&new, "two").unwrap();
        std::fs::rename(&new, &file).unwrap();
        let second = Stamps::of([file.as_path()]);
        assert!(none != first && first != second);
        assert_eq!(second, Stamps::of([file.as_path()]));
    }
}
