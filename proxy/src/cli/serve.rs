//! `rolegate run`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::sync::oneshot;

use super::say;
use super::signals::{Asked, Signals};
use crate::app::inherited::Inherited;
use crate::app::takeover::Outcome;
use crate::app::{App, StartError};
use crate::control::config::Source;
use crate::control::director::Reload;
use crate::control::listening::Listening;
use crate::limits;
use crate::process_log::{self, ProcessLog, Shape};

/// The status of a process that has ended because a part of it did (`EX_SOFTWARE` of `sysexits.h`): systemd starts it again.
const BROKEN: u8 = 70;
/// How long requests may go on when a part of the process is gone.
const BROKEN_DRAIN: Duration = Duration::from_secs(5);
/// How often is looked whether all parts of the process are well.
const LOOK: Duration = Duration::from_secs(1);

/// The same of whether a reload is over.
const LOOK_AT_RELOAD: Duration = Duration::from_millis(20);

/// Why the process ends.
enum Why {
    /// It was asked to.
    Asked,
    /// Another one serves.
    Succeeded(u32),
    /// A thread of this name has ended, or has panicked: what it did is done by no other.
    Broken(String),
}

/// What happens besides signals.
enum Event {
    Broken(String),
    Upgraded(Outcome),
    Reloaded(Reload),
}

/// Serves a configuration until the process is told to end.
pub(super) fn run(file: &Path, shape: Shape, signals: Option<Signals>) -> anyhow::Result<ExitCode> {
    let mut signals = signals.map_or_else(Signals::catch, Ok)?;
    let log = ProcessLog::start(shape);
    process_log::log_panics();
    limits::raise();
    let (inherited, predecessor) =
        Inherited::receive().context("listening sockets that were announced cannot be had")?;
    let source = Source::read(file)?;
    let app = match App::start_with(&source, Some(file.to_owned()), inherited) {
        Ok(app) => app,
        // The errors of a configuration are many lines with their own layout.
        Err(StartError::Configuration(rendered)) => {
            say::err(rendered);
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let (version, threads) = (env!("CARGO_PKG_VERSION"), app.threads());
    tracing::info!(version, file = %file.display(), threads, pid = std::process::id(), "rolegate starts");
    for Listening { name, address, .. } in app.listeners() {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(address = %app.admin(), "admin: /status /metrics /ready /health");
    match predecessor {
        Some(predecessor) => {
            tell_service_manager(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
            predecessor.relieve().context("the process that was to be taken over from is gone")?;
            tracing::info!("this process has taken over");
        }
        None => tell_service_manager(&[NotifyState::Ready]),
    }
    let why = watch(&app, &mut signals, &log)?;
    end(app, signals, why)
}

fn end(app: App, mut signals: Signals, why: Why) -> anyhow::Result<ExitCode> {
    if let Why::Asked = why {
        tell_service_manager(&[NotifyState::Stopping]);
        delay(&app, &mut signals)?;
    }
    std::thread::spawn(move || {
        while let Ok(Ok(asked)) = signals.next(std::future::pending::<()>()) {
            if asked == Asked::End {
                std::process::exit(1);
            }
        }
    });
    let (drained, status) = match why {
        Why::Asked => {
            tracing::info!(
                "shutting down: no new connections, requests in flight may finish; a second signal ends at once"
            );
            (app.shutdown(), ExitCode::SUCCESS)
        }
        Why::Succeeded(pid) => {
            tracing::info!(pid, "another process has taken over: requests in flight may finish here");
            (app.hand_over(), ExitCode::SUCCESS)
        }
        Why::Broken(thread) => {
            tracing::error!(%thread, "a thread has ended, or has panicked: the process ends, so that it is started again");
            tell_service_manager(&[NotifyState::Stopping]);
            let deadline = app.drain_timeout().min(BROKEN_DRAIN);
            (app.shutdown_within(deadline), ExitCode::from(BROKEN))
        }
    };
    if drained.cut == 0 {
        tracing::info!("all requests are finished");
    } else {
        tracing::warn!(connections = drained.cut, "the deadline passed: connections were cut");
    }
    Ok(status)
}

/// Serves on for `shutdown_delay`, and says on `/ready` that it will not for long. A second signal ends the wait.
fn delay(app: &App, signals: &mut Signals) -> anyhow::Result<()> {
    let until = Instant::now() + app.shutdown_delay();
    if app.shutdown_delay().is_zero() {
        return Ok(());
    }
    tracing::info!(
        seconds = app.shutdown_delay().as_secs(),
        "/ready says that the end is near; a second signal ends the wait"
    );
    app.announce_shutdown();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match signals.next(async move { tokio::time::sleep(left).await })? {
            Ok(Asked::Reload) => app.reload_file(),
            Ok(Asked::ReopenLog) => app.reopen_access_log(),
            Ok(Asked::Upgrade) => tracing::warn!("no upgrade: the process is about to end"),
            Ok(Asked::End) | Err(()) => return Ok(()),
        }
    }
}

/// A service manager that waits for it (`Type=notify` of systemd) asks for no reload before the process listens to signals.
fn tell_service_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Returns when the process is to end; SIGHUP reloads, SIGUSR2 has a new process take over.
fn watch(app: &App, signals: &mut Signals, log: &ProcessLog) -> anyhow::Result<Why> {
    let mut upgrade: Option<oneshot::Receiver<Outcome>> = None;
    let mut reloading: Option<SystemTime> = None;
    loop {
        match signals.next(events(app, log, &mut upgrade, reloading))? {
            Ok(Asked::Reload) => {
                reloading = Some(app.last_reload().at);
                tell_of_reload();
                app.reload_file();
            }
            Ok(Asked::ReopenLog) => app.reopen_access_log(),
            Ok(Asked::Upgrade) if upgrade.is_some() => tracing::warn!("an upgrade is under way already"),
            Ok(Asked::Upgrade) => match app.begin_upgrade() {
                Ok(begun) => {
                    tracing::info!("a new process starts, to take over");
                    upgrade = Some(begun);
                }
                Err(error) => fail(app, error.to_string()),
            },
            Ok(Asked::End) => return Ok(Why::Asked),
            Err(Event::Broken(thread)) => return Ok(Why::Broken(thread)),
            Err(Event::Reloaded(reload)) => {
                reloading = None;
                let text = match reload.accepted {
                    true => "the configuration was read again",
                    false => "the new configuration is rejected, the old one goes on serving: see the log",
                };
                tell_service_manager(&[NotifyState::Ready, NotifyState::Status(text)]);
            }
            Err(Event::Upgraded(Ok(pid))) => return Ok(Why::Succeeded(pid)),
            Err(Event::Upgraded(Err(error))) => {
                upgrade = None;
                fail(app, error);
            }
        }
    }
}

/// systemd wants to know when the reload began (`Type=notify-reload`).
fn tell_of_reload() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell_service_manager(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told of the reload"),
    }
}

fn fail(app: &App, error: String) {
    tracing::error!(%error, "the upgrade has failed: this process goes on");
    app.upgrade_failed(error);
}

/// Waits until something happens that is no signal. Meanwhile counts what the log loses, and tells the watchdog of the service manager
/// that all is well.
async fn events(
    app: &App,
    log: &ProcessLog,
    upgrade: &mut Option<oneshot::Receiver<Outcome>>,
    reloading: Option<SystemTime>,
) -> Event {
    let lost = app.telemetry_dropped("log");
    let watchdog = sd_notify::watchdog_enabled();
    let often = if reloading.is_some() { LOOK_AT_RELOAD } else { LOOK };
    let mut look = tokio::time::interval(watchdog.map_or(often, |within| often.min(within / 3)));
    let upgraded = async {
        match upgrade {
            Some(upgrade) => {
                upgrade.await.unwrap_or_else(|_| Err("the thread that waited for it has ended".to_owned()))
            }
            None => std::future::pending().await,
        }
    };
    let mut upgraded = std::pin::pin!(upgraded);
    loop {
        tokio::select! {
            thread = app.ended() => return Event::Broken(thread),
            outcome = &mut upgraded => return Event::Upgraded(outcome),
            _ = look.tick() => lost.absolute(log.lost()),
        }
        if let Some(thread) = process_log::panicked() {
            return Event::Broken(thread.to_owned());
        }
        if let Some(before) = reloading {
            let reload = app.last_reload();
            if reload.at != before {
                return Event::Reloaded(reload);
            }
        }
        if watchdog.is_some() && app.works().await {
            tell_service_manager(&[NotifyState::Watchdog]);
        }
    }
}
