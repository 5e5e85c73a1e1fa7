//! Signals that `rolegate run` listens to, and those that it outlives.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end a process unless it has asked for them, and that rolegate has no use for: scripts send them to daemons that
/// open their logs again or print something.
const WITHOUT_MEANING: [SignalKind; 3] = [SignalKind::user_defined2(), SignalKind::alarm(), SignalKind::io()];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the access log again.
    ReopenLog,
    /// SIGTERM or SIGINT: drain and end.
    End,
}

/// The signals of the process, from the moment of its making on.
pub(super) struct Signals {
    runtime: Runtime,
    hangup: Signal,
    reopen: Signal,
    ends: Option<Ends>,
    _without_meaning: Vec<Signal>,
}

struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Signals {
    /// Catches them before anything else is done, if this process is to serve: a service manager may ask for a reload as soon as
    /// there is a process.
    pub(super) fn catch_for_run() -> io::Result<Option<Self>> {
        let serves = std::env::args_os().nth(1).is_some_and(|command| command == "run");
        serves.then(Self::catch).transpose()
    }

    /// From now on no signal that may come early ends the process: a reload that is asked for during the start is made after it.
    /// What ends it does so at once until [`Signals::next`].
    pub(super) fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let hangup = signal(SignalKind::hangup())?;
        let reopen = signal(SignalKind::user_defined1())?;
        let without_meaning = WITHOUT_MEANING.into_iter().map(signal).collect::<io::Result<_>>()?;
        drop(inside);
        Ok(Self { runtime, hangup, reopen, ends: None, _without_meaning: without_meaning })
    }

    /// Waits for the next signal, or for something else to end the process.
    pub(super) fn next<T>(&mut self, other: impl Future<Output = T>) -> io::Result<Result<Asked, T>> {
        let Self { runtime, hangup, reopen, ends, .. } = self;
        runtime.block_on(async {
            let ends = match ends {
                Some(known) => known,
                None => ends.insert(Ends::catch()?),
            };
            tokio::select! {
                () = ends.next() => Ok(Ok(Asked::End)),
                _ = hangup.recv() => Ok(Ok(Asked::Reload)),
                _ = reopen.recv() => Ok(Ok(Asked::ReopenLog)),
                ended = other => Ok(Err(ended)),
            }
        })
    }
}
