//! The threads of a proxy: how each begins, who hears of its end, and where it gives signs of life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::StartError;
use crate::admin::{self, Admin, Doors, Threads};
use crate::control::director::Director;
use crate::data::downstream::listener::Listener;
use crate::data::run::{self, Command};
use crate::data::thread::pulse::Pulse;
use crate::data::upstream::worker::Shared;

/// Name of the thread that decides.
const CONTROL: &str = "control";
/// Name of the thread that tells.
const ADMIN: &str = "admin";
/// A data thread that is silent for longer does not work.
const DATA_SILENCE: Duration = Duration::from_secs(5);
/// The same of the control thread, which compiles configurations.
const CONTROL_SILENCE: Duration = Duration::from_secs(30);
/// How often the control thread gives a sign of life.
const CONTROL_BEAT: Duration = Duration::from_millis(500);
/// Threads for what takes a while (long answers, files): a few at a time.
const HANDS: usize = 8;

/// Hears of threads that end, and knows their signs of life.
pub(super) struct Watched {
    draining: Arc<AtomicBool>,
    ended: watch::Sender<Option<String>>,
    pulses: Vec<Arc<Pulse>>,
    epoch: Instant,
}

impl Watched {
    pub(super) fn new(epoch: Instant) -> (Self, watch::Receiver<Option<String>>) {
        let (sender, ended) = watch::channel(None);
        (Self { draining: Arc::default(), ended: sender, pulses: Vec::new(), epoch }, ended)
    }

    /// Whether the process is shutting down.
    pub(super) fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// The threads that give signs of life.
    pub(super) fn threads(&self) -> Threads {
        Threads::new(self.pulses.clone(), self.epoch)
    }

    /// What a thread holds for as long as it lives.
    pub(super) fn alive(&self, thread: &str) -> Alive {
        Alive { thread: thread.to_owned(), draining: Arc::clone(&self.draining), ended: self.ended.clone() }
    }

    fn pulse(&mut self, thread: &str, silence: Duration) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(thread, silence, since(self.epoch)));
        self.pulses.push(Arc::clone(&pulse));
        pulse
    }

    /// A thread that serves.
    pub(super) fn start_data(
        &mut self,
        index: usize,
        listeners: Vec<Listener>,
        shared: Shared,
        command: watch::Receiver<Command>,
    ) -> Result<JoinHandle<io::Result<usize>>, StartError> {
        let name = format!("data-{index}");
        let (alive, pulse, seed) = (self.alive(&name), self.pulse(&name, DATA_SILENCE), fastrand::u64(..));
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let _alive = alive;
            let ran = run::run(listeners, shared, seed, &pulse, command);
            ran.inspect_err(|error| tracing::error!(%error, "a data thread cannot go on"))
        });
        spawned.map_err(StartError::Thread)
    }

    /// The thread that decides. The receiver hears when it watches the files of the configuration.
    pub(super) fn start_control(
        &mut self,
        director: Director,
    ) -> Result<(Stoppable, oneshot::Receiver<()>), StartError> {
        let (alive, pulse, epoch) = (self.alive(CONTROL), self.pulse(CONTROL, CONTROL_SILENCE), self.epoch);
        let (begun, works) = oneshot::channel();
        let control = Stoppable::start(alive, async move |stopped| {
            let mut director = director;
            director.watch();
            // No one waits for it when the start has failed.
            let _ = begun.send(());
            let beats = tokio::spawn(beat(pulse, epoch));
            tokio::select! {
                () = director.run() => tracing::error!("the director has ended"),
                _ = beats => tracing::error!("the clock of the control thread has ended"),
                _ = stopped => {}
            }
        })?;
        Ok((control, works))
    }

    /// The thread that tells. It answers when the control thread works: an answer says that files are watched.
    pub(super) fn start_admin(
        &self,
        admin: Admin,
        sockets: AdminSockets,
        works: oneshot::Receiver<()>,
    ) -> Result<Stoppable, StartError> {
        Stoppable::start(self.alive(ADMIN), async move |mut stopped| {
            tokio::select! {
                begun = works => if begun.is_err() { return },
                _ = &mut stopped => return,
            }
            let doors = match sockets.open() {
                Ok(doors) => doors,
                Err(error) => return tracing::error!(%error, "the admin listener cannot be used"),
            };
            tokio::select! {
                () = admin::serve(doors, admin) => tracing::error!("the admin listener has ended"),
                _ = stopped => {}
            }
        })
    }
}

/// The sockets of the admin listener, which do not block.
pub(super) struct AdminSockets {
    pub(super) tcp: std::net::TcpListener,
    pub(super) unix: Option<std::os::unix::net::UnixListener>,
}

impl AdminSockets {
    /// For the thread that calls it.
    fn open(self) -> io::Result<Doors> {
        Ok(Doors { tcp: TcpListener::from_std(self.tcp)?, unix: self.unix.map(UnixListener::from_std).transpose()? })
    }
}

/// Says that a thread has ended, unless the process is shutting down.
pub(super) struct Alive {
    thread: String,
    draining: Arc<AtomicBool>,
    ended: watch::Sender<Option<String>>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.draining.load(Ordering::Relaxed) {
            self.ended.send_replace(Some(std::mem::take(&mut self.thread)));
        }
    }
}

/// A thread with a runtime, which ends when it is told to.
#[derive(Debug)]
pub(super) struct Stoppable {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Stoppable {
    fn start<F>(alive: Alive, work: F) -> Result<Self, StartError>
    where
        F: AsyncFnOnce(oneshot::Receiver<()>) + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let spawned = std::thread::Builder::new().name(alive.thread.clone()).spawn(move || {
            let alive = alive;
            let mut builder = tokio::runtime::Builder::new_current_thread();
            match builder.enable_all().max_blocking_threads(HANDS).build() {
                Ok(runtime) => runtime.block_on(work(stopped)),
                Err(error) => tracing::error!(%error, thread = alive.thread, "a thread cannot run"),
            }
        });
        Ok(Self { stop, thread: spawned.map_err(StartError::Thread)? })
    }

    pub(super) fn stop(self) {
        drop(self.stop);
        // A panic of that thread was printed by it.
        let _ = self.thread.join();
    }
}

async fn beat(pulse: Arc<Pulse>, epoch: Instant) {
    let mut beats = tokio::time::interval(CONTROL_BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        pulse.beat(since(epoch));
    }
}

/// Milliseconds of the process clock.
fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is told when a thread of this name ends so, and the process is or is not shutting down.
    fn told(draining: bool, end: impl FnOnce() + Send + 'static) -> Option<String> {
        let (watched, ended) = Watched::new(Instant::now());
        watched.draining.store(draining, Ordering::Relaxed);
        let alive = watched.alive("data-7");
        let thread = std::thread::spawn(move || {
            let _alive = alive;
            end();
        });
        // How it ended is what is looked at.
        let _ = thread.join();
        ended.borrow().clone()
    }

    #[test]
    fn a_thread_that_ends_unasked_is_told_of() {
        assert_eq!(told(false, || {}).as_deref(), Some("data-7"));
        assert_eq!(told(false, || panic!("as a test wants it")).as_deref(), Some("data-7"));
        assert_eq!(told(true, || {}), None);
    }
}
