//! Processes that end when their owner does.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A process and all that it starts. They are killed when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    ended: Option<ExitStatus>,
}

impl Group {
    /// Starts it in a process group of its own.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        Ok(Self { child, ended: None })
    }

    /// The number of the first process, and of the group.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the first process ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal to the first process.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// What it has said, if its outputs are pipes and it has ended.
    pub(super) fn said(&mut self) -> String {
        // Whoever kept a pipe open would have this wait for ever.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let mut said = Vec::new();
        // What cannot be read is not told.
        if let Some(mut out) = self.child.stdout.take() {
            let _ = out.read_to_end(&mut said);
        }
        if let Some(mut out) = self.child.stderr.take() {
            let _ = out.read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    fn pid(&self) -> Pid {
        // Process numbers of Linux fit.
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may be gone already; the others of its group may be there nevertheless.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        if self.ended.is_none() {
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::super::usage;
    use super::*;

    /// Waits for the end of the first process, and leaves it to the group to hear of it. What is started here ends by itself.
    fn wait_for_end(group: &Group) {
        waitid(Id::Pid(group.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    }

    #[test]
    fn the_whole_group_is_killed_when_it_is_dropped() {
        let mut shell = Command::new("/bin/sh");
        let more = "(sleep 100; echo left) & (sleep 100; echo left) & echo here; wait";
        let mut group = Group::start(shell.args(["-c", more]).stdout(Stdio::piped())).unwrap();
        let mut said = BufReader::new(group.child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "here\n");
        assert!(usage::members(group.id()).len() >= 3);
        drop(group);
        // It is open as long as one of them lives.
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "somebody has lived to its own end");
    }

    #[test]
    fn the_end_is_seen_and_what_was_said_is_read() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo out; echo no >&2; exit 3"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::start(&mut shell).unwrap();
        wait_for_end(&group);
        assert_eq!(group.ended().unwrap().code(), Some(3));
        assert_eq!(group.said(), "out\nno\n");
        assert_eq!(group.said(), "");
    }

    #[test]
    fn a_signal_reaches_the_process() {
        let mut shell = Command::new("/bin/sh");
        let mut group = Group::start(shell.args(["-c", "sleep 100"])).unwrap();
        assert_eq!(group.ended(), None);
        group.signal(Signal::SIGTERM).unwrap();
        wait_for_end(&group);
        assert_eq!(group.ended().unwrap().signal(), Some(Signal::SIGTERM as i32));
    }
}
