//! A data thread: its runtime, its listeners, its end.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::data::downstream::entrances::{Change, Entrances};
use crate::data::thread::memory;
use crate::data::thread::pulse::Pulse;
use crate::data::thread::ticker::TICK;
use crate::data::upstream::worker::{Shared, Worker};

/// Tasks that run between two looks at the sockets. A request is about five; looking is a system call and reads the clock.
const EVENT_INTERVAL: u32 = 256;
/// Connections that let go of their buffers in a second and are worth a look at free memory.
const MANY: usize = 32;
/// Ticks between two looks through the idle connections.
const REAP_EVERY: u32 = 10;

/// What the rest of the process tells a data thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run,
    /// Accept nothing more and end when all connections have, or after this time.
    Drain(Duration),
    /// Another process accepts: idle connections and tunnels end little by little within the first time, the others when their
    /// requests have, or after the second.
    HandOver {
        /// For what waits.
        idle: Duration,
        /// For everything.
        all: Duration,
    },
}

/// How a data thread hears from the rest of the process.
#[derive(Debug)]
pub struct Told {
    /// Whether it is to serve.
    pub commands: watch::Receiver<Command>,
    /// Its listeners.
    pub changes: mpsc::Receiver<Change>,
}

/// Runs a data thread until it is told to drain and has. Returns how many connections were cut.
///
/// # Errors
/// The runtime could not be made, or a loop that everything else relies on has ended.
pub fn run(
    shared: Shared,
    seed: u64,
    pulse: &Arc<Pulse>,
    Told { mut commands, mut changes }: Told,
) -> io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default())?;
    let drained = runtime.block_on(async {
        let worker = Worker::new(shared, seed);
        let (mut entrances, mut ticking) = (Entrances::new(Rc::clone(&worker)), JoinSet::new());
        ticking.spawn_local(tick_loop(Rc::clone(&worker), Arc::clone(pulse)));
        let deadline = loop {
            match *commands.borrow_and_update() {
                Command::Run => {}
                Command::Drain(deadline) => {
                    worker.drain(deadline);
                    break deadline;
                }
                Command::HandOver { idle, all } => {
                    worker.hand_over(idle.min(all));
                    break all;
                }
            }
            tokio::select! {
                changed = commands.changed() => {
                    // The sender is gone only when the process ends.
                    if changed.is_err() {
                        worker.drain(Duration::ZERO);
                        break Duration::ZERO;
                    }
                }
                Some(change) = changes.recv() => entrances.change(change),
                // Neither ends by itself, and without it the thread would only look alive.
                () = entrances.broken() => return Err(io::Error::other("a listener accepts no more")),
                Some(_) = ticking.join_next() => return Err(io::Error::other("its clock stands still")),
            }
        };
        // What came before the end of the process was told of is to be closed too.
        while let Ok(change) = changes.try_recv() {
            entrances.change(change);
        }
        entrances.close();
        let empty = async {
            while entrances.are_open() || worker.connections.get() > 0 {
                tokio::time::sleep(TICK / 10).await;
            }
        };
        let _ = tokio::time::timeout(deadline, empty).await;
        Ok(worker.connections.get())
    });
    if drained.is_ok() {
        pulse.end();
    }
    drained
}

async fn tick_loop(worker: Rc<Worker>, pulse: Arc<Pulse>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut ticks = 0_u32;
    let mut parked_before = 0;
    loop {
        interval.tick().await;
        worker.ticker.tick();
        pulse.beat(worker.ticker.now_ms());
        worker.move_tunnels();
        worker.move_idle();
        worker.look_at_connections();
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(REAP_EVERY) {
            worker.pool.reap(worker.ticker.now_ms());
            // An idle thread would otherwise keep an old snapshot alive.
            worker.find_leaving();
            // Twice: a page is given back when it has been free for a moment.
            let parked = worker.parked.take();
            if parked.max(parked_before) >= MANY {
                memory::give_back();
            }
            parked_before = parked;
        }
    }
}
