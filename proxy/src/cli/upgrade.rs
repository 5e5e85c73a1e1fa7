//! `rolegate upgrade`: has a new process take over from the one that runs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ask::{self, Where};
use super::say;
use crate::status::Status;

/// Longer than a new process may take until it serves.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Asks the rolegate at the admin address who it is, and signals it: on this machine, by its own user or root.
#[derive(Args, Debug)]
pub(super) struct Upgrade {
    #[command(flatten)]
    at: Where,
}

/// Has the running rolegate replaced, and waits until it is.
pub(super) fn run(args: &Upgrade) -> anyhow::Result<ExitCode> {
    let before = status(&args.at)?;
    let pid = i32::try_from(before.pid).ok().filter(|pid| *pid > 1);
    let Some(pid) = pid.filter(|pid| is_rolegate(*pid)) else {
        bail!("the rolegate at {} is no process of this machine that can be replaced", args.at.admin);
    };
    kill(Pid::from_raw(pid), Signal::SIGUSR2).with_context(|| format!("process {pid} cannot be asked"))?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        // The one hands its admin address to the other, which may answer a moment later.
        let Ok(now) = status(&args.at) else { continue };
        if now.pid != before.pid {
            say::out(format!("process {} has taken over from {pid}: rolegate {}", now.pid, now.rolegate))?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(failed) = now.upgrade.filter(|failed| Some(failed) != before.upgrade.as_ref()) {
            bail!("the upgrade has failed, and process {pid} goes on: {}; its log says more", failed.error);
        }
    }
    bail!("process {pid} has not been replaced within {} seconds; its log says more", PATIENCE.as_secs())
}

fn status(at: &Where) -> anyhow::Result<Status> {
    ask::read(at, &ask::get(at, "/status", &[])?)
}

/// Whether a process of this machine is one: a number from elsewhere may be any other's here.
fn is_rolegate(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end().starts_with("rolegate"))
}
