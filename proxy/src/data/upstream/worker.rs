//! What one data thread owns. Nothing in it is shared with another thread but what the snapshot holds.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rolegate_health::Ending;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::data::thread::access_log::Sink;
use crate::data::thread::complaints::Complaints;
use crate::data::thread::held::Held;
use crate::data::thread::log_texts::{Drawn, SpareLines};
use crate::data::thread::misses::Misses;
use crate::data::thread::search::Searches;
use crate::data::thread::spare::SpareFields;
use crate::data::thread::ticker::{TICK, Ticker};
use crate::data::transport::splice::Pipes;
use crate::data::upstream::http1::Reading;
use crate::data::upstream::pool::{Pool, Sender};
use crate::error::{Error, Retry};
use crate::metrics::{RoleMetrics, ThreadMetrics};
use crate::model::access_log::{Always, Sampling};
use crate::model::endpoint::Endpoint;
use crate::model::mix::{mix, network_of};
use crate::model::note::Note;
use crate::model::retry::RetryBudget;
use crate::model::role;
use crate::model::route::ClusterId;
use crate::model::snapshot::{Limits, Snapshot, Snapshots};
use crate::model::tls::Proof;
use crate::wire::fields::Fields;
use crate::wire::names::Names;

/// Connections that are woken in one tick when the configuration has changed, to see whether they are still let in. Those that are
/// not come back at once.
const LOOKED_AT: usize = 32;

/// A drain is done this many ticks before its deadline.
const MARGIN_TICKS: u64 = 10;

/// What all data threads are given.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where the current snapshot is.
    pub snapshots: Arc<Snapshots>,
    /// Rung when live traffic says that an endpoint is ill.
    pub bell: Arc<Notify>,
    /// The access log, if there is one.
    pub log: Option<Sink>,
    /// Handles that belong to no role.
    pub metrics: ThreadMetrics,
    /// Handles for requests of no role.
    pub no_role: RoleMetrics,
    /// Start of the process clock.
    pub epoch: Instant,
    /// Where news for the control thread goes; bounded, and a full one drops them.
    pub notes: mpsc::Sender<Note>,
    /// How many data threads there are.
    pub threads: usize,
    /// Client connections of a data thread that there are descriptors for.
    pub possible_connections: usize,
}

/// One data thread.
#[derive(Debug)]
pub struct Worker {
    /// Deadlines and the clock.
    pub ticker: Rc<Ticker>,
    /// Idle connections.
    pub pool: Pool,
    /// What responses of endpoints are read into.
    pub reading: Reading,
    /// What large responses go through.
    pub pipes: Pipes,
    /// See [`Shared::log`].
    pub log: Option<Sink>,
    /// Memory for what the log needs of requests.
    pub spare_lines: SpareLines,
    /// See [`Shared::metrics`].
    pub metrics: ThreadMetrics,
    /// See [`Shared::no_role`].
    pub no_role: RoleMetrics,
    /// Client connections that are open.
    pub connections: Cell<usize>,
    /// Connections that hold a parser and buffers.
    pub working: Cell<usize>,
    /// Connections that have let go of theirs since memory was last given back.
    pub parked: Cell<usize>,
    /// Searches for content under way.
    pub searches: Rc<Searches>,
    /// What searches for content have cost in vain.
    pub misses: Misses,
    /// What was said about client connections.
    pub complaints: Complaints,
    /// Field names of clients.
    pub names: RefCell<Names>,
    /// The emptied fields of a response that was sent: the next request's go there.
    spare: SpareFields,
    snapshots: Arc<Snapshots>,
    held: RefCell<Held>,
    bell: Arc<Notify>,
    notes: mpsc::Sender<Note>,
    dice: RefCell<fastrand::Rng>,
    budgets: RefCell<Vec<RetryBudget>>,
    draining: Cell<bool>,
    turn: Cell<usize>,
    threads: usize,
    possible_connections: usize,
    /// Endpoints that tunnels still go to and the current snapshot does not have.
    leaving: RefCell<Vec<u32>>,
    /// Tunnels that may be moved, with the part of one that is still missing.
    moves_due: Cell<f64>,
    /// When a shutdown cuts what is left.
    drained_by_ms: Cell<u64>,
    /// The generation whose grounds connections were woken for, and from where in the table on the others still are to be.
    looking: Cell<(u64, Option<usize>)>,
}

impl Worker {
    /// A data thread's state.
    pub fn new(shared: Shared, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            ticker: Ticker::new(shared.epoch),
            pool: Pool::default(),
            reading: Reading::default(),
            pipes: Pipes::probe(),
            log: shared.log,
            spare_lines: SpareLines::default(),
            metrics: shared.metrics,
            no_role: shared.no_role,
            connections: Cell::new(0),
            working: Cell::new(0),
            parked: Cell::new(0),
            held: RefCell::new(Held::new(shared.snapshots.current())),
            snapshots: shared.snapshots,
            bell: shared.bell,
            notes: shared.notes,
            searches: Rc::default(),
            misses: Misses::new(mix(seed)),
            complaints: Complaints::default(),
            names: RefCell::default(),
            spare: SpareFields::default(),
            turn: Cell::new(0),
            threads: shared.threads.max(1),
            possible_connections: shared.possible_connections,
            leaving: RefCell::default(),
            moves_due: Cell::new(0.0),
            drained_by_ms: Cell::new(0),
            looking: Cell::default(),
            dice: RefCell::new(fastrand::Rng::with_seed(seed)),
            budgets: RefCell::default(),
            draining: Cell::new(false),
        })
    }

    /// Keeps the memory of fields that are no longer needed.
    pub fn recycle(&self, fields: Fields) {
        self.spare.put(fields);
    }

    /// Empty fields, with the memory of others.
    pub fn spare_fields(&self) -> Fields {
        self.spare.take()
    }

    /// The current snapshot: loaded here, once for each request.
    pub fn snapshot(&self) -> Held {
        let mut held = self.held.borrow_mut();
        if let Some(newer) = self.snapshots.newer_than(held.shared()) {
            *held = Held::new(newer);
        }
        held.clone()
    }

    /// Uses the snapshot that was loaded last: another may have been published meanwhile.
    pub fn with_held<T>(&self, use_it: impl FnOnce(&Snapshot) -> T) -> T {
        use_it(&self.held.borrow())
    }

    /// The bounds of client connections, as of the snapshot that was loaded last.
    pub fn limits(&self) -> Limits {
        self.with_held(|snapshot| snapshot.site.limits)
    }

    /// Called at every tick: wakes a few of the connections on which nothing is under way, when the configuration has changed.
    pub fn look_at_connections(&self) {
        let generation = self.with_held(|snapshot| snapshot.generation);
        let (looked_at, from) = self.looking.get();
        let from = if looked_at == generation { from } else { Some(0) };
        let next = from.and_then(|from| self.ticker.wake_some(from, LOOKED_AT));
        self.looking.set((generation, next));
    }

    /// Whether another client connection may be accepted.
    pub fn has_room(&self, max_connections: usize) -> bool {
        self.connections.get() < max_connections.min(self.possible_connections)
    }

    /// A random number.
    pub fn dice(&self) -> u64 {
        self.dice.borrow_mut().u64(..)
    }

    /// Whether something that begins now is logged, as far as the dice say it.
    pub fn drawn(&self, sampling: Sampling) -> Option<Drawn> {
        if sampling.up_to == u64::MAX || self.dice() < sampling.up_to {
            return Some(Drawn::Yes);
        }
        (sampling.errors == Always::Logged).then_some(Drawn::IfError)
    }

    /// Counts a request for the retry budget of its role.
    pub fn count_request(&self, role: ClusterId) {
        self.misses.request(self.ticker.now_ms());
        self.with_budget(role, |budget, now| budget.request(now));
    }

    /// Whether the budget of the role allows a retry.
    pub fn may_retry(&self, role: ClusterId, retry: &role::Retry) -> bool {
        self.with_budget(role, |budget, now| budget.retry(now, retry.budget_percent, retry.budget_min_per_second))
    }

    fn with_budget<T>(&self, role: ClusterId, use_it: impl FnOnce(&mut RetryBudget, u64) -> T) -> T {
        let mut budgets = self.budgets.borrow_mut();
        let place = usize::from(role.0);
        if budgets.len() <= place {
            budgets.resize_with(place + 1, RetryBudget::default);
        }
        use_it(&mut budgets[place], self.ticker.now_ms())
    }

    /// Takes a connection back that is between two requests.
    pub fn give_back(&self, snapshot: &Snapshot, endpoint: &Endpoint, sender: Sender) {
        let limit = snapshot.site.limits.max_idle_per_endpoint;
        let keep = endpoint.role.timeouts.upstream_idle;
        self.pool.give_back(endpoint, sender, self.ticker.now_ms(), keep, limit);
    }

    /// The endpoint answered.
    pub fn passed(&self, endpoint: &Endpoint) {
        endpoint.state.passive.record(&endpoint.role.passive, self.ticker.now_ms(), Ending::Passed);
    }

    /// The endpoint failed when it had this client's request. Rings the Director when that was once too often.
    pub fn failed(&self, endpoint: &Endpoint, client: IpAddr) {
        self.record(endpoint, Ending::Failed { client: network_of(client) as u32 });
    }

    /// The endpoint failed for a client that has shown this.
    pub fn failed_for(&self, endpoint: &Endpoint, (client, proof): (IpAddr, Proof), error: Error) {
        match error.retry() {
            _ if endpoint.may_want_certificate(proof, error) => {}
            // Whatever is asked of it.
            Retry::Unsent => self.record(endpoint, Ending::Unreached),
            Retry::Repeatable | Retry::Never => self.failed(endpoint, client),
        }
    }

    fn record(&self, endpoint: &Endpoint, ending: Ending) {
        if endpoint.state.passive.record(&endpoint.role.passive, self.ticker.now_ms(), ending) {
            self.bell.notify_one();
        }
    }

    /// Tells the control thread what was learned.
    pub fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.metrics.notes_dropped.increment(1);
        }
    }

    /// Whether the process is shutting down.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// The process shuts down: idle connections close now, the others after their response, and tunnels little by little.
    pub fn drain(&self, deadline: Duration) {
        let deadline = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.drained_by_ms.set(self.ticker.now_ms().saturating_add(deadline));
        self.draining.set(true);
        self.ticker.wake_all();
    }

    /// A number that grows by one: for what goes in turn.
    pub fn turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// Looks which tunnels go to endpoints that have left.
    pub fn find_leaving(&self) {
        let snapshot = self.snapshot();
        let (_, endpoints) = self.ticker.tunnels();
        let known = |id: &u32| snapshot.clusters.iter().any(|cluster| cluster.topology.by_id(*id).is_some());
        *self.leaving.borrow_mut() = endpoints.into_iter().filter(|id| !known(id)).collect();
    }

    /// Called at every tick: tells some tunnels to end when their clients should go elsewhere. A few at a time, because all
    /// of them come back at once.
    pub fn move_tunnels(&self) {
        let leaving = self.leaving.borrow();
        let draining = self.draining.get();
        if !draining && leaving.is_empty() {
            return self.moves_due.set(0.0);
        }
        let limit = f64::from(self.held.borrow().site.limits.tunnel_moves_per_second) / self.threads as f64;
        let mut due = limit * TICK.as_secs_f64();
        if draining {
            // Whoever is left at the deadline is cut at once, which is worse than a higher rate.
            let left_ms = self.drained_by_ms.get().saturating_sub(self.ticker.now_ms());
            let ticks = (left_ms / TICK.as_millis() as u64).saturating_sub(MARGIN_TICKS).max(1);
            due = due.max(self.ticker.tunnels().0 as f64 / ticks as f64);
        }
        let due = self.moves_due.get() + due;
        let now = due.floor();
        self.moves_due.set(due - now);
        self.ticker.move_tunnels(now as usize, |id| draining || leaving.contains(&id));
    }
}
