//! Kills process groups when whoever started them cannot any more.
//!
//! What is asked to end with its parent does, but its own children do not know of it: a worker of nginx would go on. The
//! keeper is a process of its own that is told which groups there are, and which folder, on its standard input. When that ends, because its
//! owner has ended in whatever way, it kills those that are left, and removes the folder.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Before the path of the folder that goes with its owner.
const FOLDER: &str = "folder ";
/// How often it is tried to remove the folder: what was killed may still be writing there.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps until the input ends, and then kills what is left, and removes the folder.
pub fn keep(input: impl BufRead) {
    let Left { groups, folder } = left(input);
    for group in groups {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let Some(folder) = folder else { return };
    for _ in 0..TRIES {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
            // It is gone, as it is when its owner has ended as it should.
            Ok(()) | Err(_) => return,
        }
    }
}

/// What an owner has left.
#[derive(Debug, Default)]
struct Left {
    groups: BTreeSet<i32>,
    folder: Option<PathBuf>,
}

/// The groups that came, `+7`, and did not go, `-7`; and the folder.
fn left(input: impl BufRead) -> Left {
    let mut left = Left::default();
    for line in input.lines().map_while(Result::ok) {
        match line.parse::<i32>() {
            // 0 and 1 would be this process's own group, and all processes.
            Ok(group) if group > 1 => drop(left.groups.insert(group)),
            Ok(group) => drop(left.groups.remove(&group.saturating_neg())),
            Err(_) => left.folder = line.strip_prefix(FOLDER).map(PathBuf::from).or(left.folder),
        }
    }
    left
}

/// The keeper of a comparison, seen from the comparison.
#[derive(Debug)]
pub(super) struct Keeper {
    input: Mutex<Option<ChildStdin>>,
    process: Child,
}

impl Keeper {
    /// Starts it, out of reach of a Ctrl-C in the terminal. It removes the folder, if its owner could not.
    pub(super) fn start(helper: &Path, folder: &Path) -> io::Result<Arc<Self>> {
        let mut command = Command::new(helper);
        command.arg("keeper").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.process_group(0).spawn()?;
        let keeper = Self { input: Mutex::new(process.stdin.take()), process };
        // A path of several lines would be another one.
        if let Some(path) = folder.to_str().filter(|path| !path.contains('\n')) {
            keeper.tell(&format!("{FOLDER}{path}\n"));
        }
        Ok(Arc::new(keeper))
    }

    fn tell(&self, line: &str) {
        if let Ok(mut input) = self.input.lock()
            && let Some(input) = input.as_mut()
        {
            // Without a keeper, the worst is a process that is left.
            let _ = input.write_all(line.as_bytes());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Ok(mut input) = self.input.lock() {
            *input = None;
        }
        let _ = self.process.wait();
    }
}

/// A group is kept as long as this is there.
#[derive(Debug)]
pub(super) struct Kept {
    keeper: Arc<Keeper>,
    group: u32,
}

impl Kept {
    pub(super) fn new(keeper: &Arc<Keeper>, group: u32) -> Self {
        keeper.tell(&format!("+{group}\n"));
        Self { keeper: Arc::clone(keeper), group }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.tell(&format!("-{}\n", self.group));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_went_is_not_left() {
        let input = "+70\n+80\n-70\nnonsense\n+0\n-1\nfolder /tmp/a b\n+1\n+90\n+90\n-50\n";
        let left = left(input.as_bytes());
        assert_eq!(left.groups.into_iter().collect::<Vec<_>>(), [80, 90]);
        assert_eq!(left.folder.as_deref(), Some(Path::new("/tmp/a b")));
    }

    #[test]
    fn what_is_left_is_killed() {
        let mut shell = Command::new("/bin/sh");
        let mut child = shell.args(["-c", "sleep 100 & wait"]).process_group(0).spawn().unwrap();
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::write(folder.join("site.key"), "secret").unwrap();
        keep(format!("+{}\nfolder {}\n", child.id(), folder.display()).as_bytes());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        assert!(!folder.exists());
    }
}
