//! `rolegate run`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sd_notify::NotifyState;

use super::say;
use super::signals::{Asked, Signals};
use crate::app::App;
use crate::control::config::Source;
use crate::limits;
use crate::process_log::{self, ProcessLog, Shape};

/// The status of a process that has ended because a part of it did (`EX_SOFTWARE` of `sysexits.h`): systemd starts it again.
const BROKEN: u8 = 70;
/// How long requests may go on when a part of the process is gone.
const BROKEN_DRAIN: Duration = Duration::from_secs(5);
/// How often is looked whether all parts of the process are well.
const LOOK: Duration = Duration::from_secs(1);

/// Why the process ends.
enum Why {
    /// It was asked to.
    Asked,
    /// A thread of this name has ended, or has panicked: what it did is done by no other.
    Broken(String),
}

/// Serves a configuration until the process is told to end.
pub(super) fn run(file: &Path, shape: Shape, signals: Option<Signals>) -> anyhow::Result<ExitCode> {
    let mut signals = signals.map_or_else(Signals::catch, Ok)?;
    let log = ProcessLog::start(shape);
    process_log::log_panics();
    limits::raise();
    let source = Source::read(file)?;
    let app = match App::start(&source, Some(file.to_owned())) {
        Ok(app) => app,
        Err(error) => {
            // The errors of a configuration are many lines with their own layout.
            say::err(error);
            return Ok(ExitCode::FAILURE);
        }
    };
    let (version, threads) = (env!("CARGO_PKG_VERSION"), app.threads());
    tracing::info!(version, file = %file.display(), threads, pid = std::process::id(), "rolegate starts");
    for (name, address) in app.listeners() {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(address = %app.admin(), "admin: /status /metrics /ready /health");
    tell_service_manager(NotifyState::Ready);
    let why = watch(&app, &mut signals, &log)?;
    tell_service_manager(NotifyState::Stopping);
    let (deadline, status) = match why {
        Why::Asked => {
            tracing::info!(
                "shutting down: no new connections, requests in flight may finish; a second signal ends at once"
            );
            (app.drain_timeout(), ExitCode::SUCCESS)
        }
        Why::Broken(thread) => {
            tracing::error!(%thread, "a thread has ended, or has panicked: the process ends, so that it is started again");
            (app.drain_timeout().min(BROKEN_DRAIN), ExitCode::from(BROKEN))
        }
    };
    std::thread::spawn(move || {
        while let Ok(Ok(asked)) = signals.next(std::future::pending::<()>()) {
            if asked == Asked::End {
                std::process::exit(1);
            }
        }
    });
    let drained = app.shutdown_within(deadline);
    if drained.cut == 0 {
        tracing::info!("all requests are finished");
    } else {
        tracing::warn!(connections = drained.cut, "the deadline passed: connections were cut");
    }
    Ok(status)
}

/// A service manager that waits for it (`Type=notify` of systemd) asks for no reload before the process listens to signals.
fn tell_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Returns when the process is to end; SIGHUP reloads.
fn watch(app: &App, signals: &mut Signals, log: &ProcessLog) -> anyhow::Result<Why> {
    let lost = app.telemetry_dropped("log");
    loop {
        let broken = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    thread = app.ended() => return thread,
                    _ = look.tick() => lost.absolute(log.lost()),
                }
                if let Some(thread) = process_log::panicked() {
                    return thread.to_owned();
                }
            }
        };
        match signals.next(broken)? {
            Ok(Asked::Reload) => app.reload_file(),
            Ok(Asked::ReopenLog) => app.reopen_access_log(),
            Ok(Asked::End) => return Ok(Why::Asked),
            Err(thread) => return Ok(Why::Broken(thread)),
        }
    }
}
