//! Kills process groups when whoever started them cannot any more.
//!
//! What is asked to end with its parent does, but its own children do not know of it: a worker of nginx would go on. The
//! keeper is a process of its own that is told which groups there are, on its standard input. When that ends, because its
//! owner has ended in whatever way, it kills those that are left.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Keeps until the input ends, and then kills what is left.
pub fn keep(input: impl BufRead) {
    for group in left(input) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// The groups that came, `+7`, and did not go, `-7`.
fn left(input: impl BufRead) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        match line.parse::<i32>() {
            // 0 and 1 would be this process's own group, and all processes.
            Ok(group) if group > 1 => drop(groups.insert(group)),
            Ok(group) => drop(groups.remove(&group.saturating_neg())),
            Err(_) => {}
        }
    }
    groups
}

/// The keeper of a comparison, seen from the comparison.
#[derive(Debug)]
pub(super) struct Keeper {
    input: Mutex<Option<ChildStdin>>,
    process: Child,
}

impl Keeper {
    /// Starts it, out of reach of a Ctrl-C in the terminal.
    pub(super) fn start(helper: &Path) -> io::Result<Arc<Self>> {
        let mut command = Command::new(helper);
        command.arg("keeper").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.process_group(0).spawn()?;
        Ok(Arc::new(Self { input: Mutex::new(process.stdin.take()), process }))
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
        let input = "+70\n+80\n-70\nnonsense\n+0\n-1\n+1\n+90\n+90\n-50\n";
        assert_eq!(left(input.as_bytes()).into_iter().collect::<Vec<_>>(), [80, 90]);
    }

    #[test]
    fn what_is_left_is_killed() {
        let mut shell = Command::new("/bin/sh");
        let mut child = shell.args(["-c", "sleep 100 & wait"]).process_group(0).spawn().unwrap();
        keep(format!("+{}\n", child.id()).as_bytes());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    }
}
