//! What faults are done to, and how they are done and undone.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use super::config::Config;
use super::ledger::Ledger;
use super::process::Process;
use super::schedule::{Act, Change, Event, Ill, Reading};
use super::server::Server;
use crate::pki::Authority;

/// Descriptors that are left when there are no more.
const SPARE: u64 = 3;

/// Everything of a run that faults are done to.
pub(super) struct Stage {
    pub(super) ledger: Arc<Ledger>,
    pub(super) servers: Vec<Server>,
    pub(super) process: std::sync::Mutex<Process>,
    pub(super) access_log: watch::Sender<Option<Reading>>,
    pub(super) authority: Authority,
    /// Held while the file is written.
    pub(super) config: Mutex<Config>,
    /// Held while the process is stopped, or its descriptors are taken away.
    pub(super) hold: Mutex<()>,
    pub(super) state: std::sync::Mutex<State>,
}

/// Whether the process can answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// It stands still, or has no descriptors.
    Held,
    /// It has been able to since then.
    Free(Instant),
}

impl Stage {
    pub(super) fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
    }

    /// Does it, waits, and undoes it.
    pub(super) async fn play(&self, event: Event) {
        self.ledger.count_fault(event.act.name());
        self.ledger.event(event);
        match event.act {
            Act::Server(server, ill) => self.infect(server, ill, event.lasts).await,
            Act::Reload(change) => {
                if let Err(error) = self.reload(change, event.lasts).await {
                    self.ledger.event(format_args!("the configuration cannot be written: {error}"));
                }
            }
            Act::Log(how) => {
                self.process().log.send_if_modified(|now| {
                    // One that has gone does not come back.
                    let stays = *now != Some(Reading::Goes);
                    if stays {
                        *now = Some(how);
                    }
                    stays
                });
                sleep(event.lasts).await;
                self.process().log.send_if_modified(|now| *now == Some(Reading::Stops) && now.take().is_some());
            }
            Act::AccessLog(how) => {
                self.access_log.send_replace(Some(how));
                sleep(event.lasts).await;
                self.access_log.send_replace(None);
            }
            Act::Descriptors => self.without_descriptors(event.lasts).await,
            Act::Stop => {
                let _alone = self.hold.lock().await;
                self.set_state(State::Held);
                self.process().signal(Signal::SIGSTOP);
                sleep(event.lasts).await;
                self.process().signal(Signal::SIGCONT);
                self.set_state(State::Free(Instant::now()));
            }
        }
    }

    async fn infect(&self, number: usize, ill: Ill, lasts: Duration) {
        let server = &self.servers[number];
        let change = server.infect(ill);
        if ill.is_seen_by_probes() {
            self.ledger.sick(number);
        } else {
            self.ledger.away(number);
        }
        if ill == Ill::Flap {
            server.flap(change, lasts).await;
        } else {
            sleep(lasts).await;
        }
        if server.heal(change) {
            self.ledger.event(format_args!("{} is well again", server.name()));
            self.ledger.healed(number);
        }
    }

    async fn without_descriptors(&self, lasts: Duration) {
        let _alone = self.hold.lock().await;
        let limit = self.process().limit_descriptors(SPARE);
        let Ok(limit) = limit else { return };
        self.set_state(State::Held);
        sleep(lasts).await;
        if let Err(error) = self.process().set_limit(limit) {
            self.ledger.event(format_args!("the limit of descriptors cannot be raised: {error}"));
        }
        self.set_state(State::Free(Instant::now()));
    }

    /// Writes the file, or something else in its place, and says so; in the end the file is right again.
    async fn reload(&self, change: Change, lasts: Duration) -> std::io::Result<()> {
        let mut config = self.config.lock().await;
        config.apply(change);
        let file = config.file();
        match change {
            Change::Drain(server) => {
                self.ledger.away(server);
                self.publish(&config)?;
                sleep(lasts).await;
                config.undrain();
                self.ledger.healed(server);
            }
            Change::Weight(..) | Change::Shift => {}
            Change::Broken => {
                fs::write(&file, config.text().replace("[[listeners]]", "[[listener]"))?;
                self.hangup();
                sleep(lasts).await;
            }
            Change::Halves => {
                let (first, second) = config.halves();
                fs::write(&file, first)?;
                self.hangup();
                sleep(lasts).await;
                fs::OpenOptions::new().append(true).open(&file)?.write_all(second.as_bytes())?;
                self.hangup();
                return Ok(());
            }
            Change::Removed => {
                fs::remove_file(&file)?;
                self.hangup();
                sleep(lasts).await;
            }
            Change::Renewed => {
                let identity = self.authority.server(&["listener.lab.test"]);
                fs::write(config.folder().join("listener.crt"), &identity.certificate_pem)?;
                // For a while the two do not belong together.
                sleep(lasts / 4).await;
                fs::write(config.folder().join("listener.key"), &identity.key_pem)?;
            }
        }
        self.publish(&config)
    }

    /// Makes all servers well, and the configuration what it was at the start.
    pub(super) async fn restore(&self) -> std::io::Result<()> {
        for server in &self.servers {
            server.cure();
        }
        let mut config = self.config.lock().await;
        config.restore();
        self.publish(&config)
    }

    /// Writes the file as it is meant, and has it read.
    fn publish(&self, config: &Config) -> std::io::Result<()> {
        fs::write(config.file(), config.text())?;
        self.hangup();
        Ok(())
    }

    fn hangup(&self) {
        self.process().signal(Signal::SIGHUP);
    }
}
