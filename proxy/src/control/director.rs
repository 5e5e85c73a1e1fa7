//! The only writer: every change of configuration, names and health comes here, one after the other, and becomes the next
//! snapshot.
//!
//! Changes that arrive together are published together. A configuration that does not compile changes nothing: the old
//! snapshot goes on serving, and why is logged, counted and shown.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{Counter, Gauge};
use rolegate_health::{Change, Checker, Ejections, Health, HealthEvent, Member};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::assemble::{Addresses, Assembled, assemble, assemble_steered};
use super::certificates::{self, Expiries, Held};
use super::changes::{Changes, Turn};
use super::compile::{Compiled, Files, Place, compile_with};
use super::config::{Problems, Source, parse};
use super::doubts::{self, Circles};
use super::ledger::Ledger;
use super::listening::{self, Listening, Sockets};
use super::origin::Origin;
use super::probing;
use super::publish::Publisher;
use super::registry::Registry;
use super::resolve::{Names, Resolved};
use super::settle::Settling;
use super::steering::{Keeper, Steerer, Wanted};
use super::survey::{NOTES, Survey};
use super::told::Told;
use super::transitions;
use super::versions::Versions;
use crate::metrics::Metrics;
use crate::model::audience::audiences;
use crate::model::live::Live;
use crate::model::note::Note;
use crate::model::snapshot::Snapshots;
use crate::model::steering::Steer;

mod reload;
mod steer;

pub use super::view::{Reload, View};

/// Changes that may wait for the Director; who sends more waits.
const QUEUE: usize = 1024;
/// How often what has left is looked at, and what may be late.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the Director can be told.
#[derive(Debug)]
pub enum Order {
    /// Read the file and those that it names again.
    ReloadFile,
    /// The same, and the answer is the new generation, or the rendered errors.
    ReloadFileAndTell(oneshot::Sender<Result<u64, String>>),
    /// Take this configuration. The answer is the new generation, or the rendered errors.
    Reload(Source, oneshot::Sender<Result<u64, String>>),
    /// Take a site system out, or back, or weigh it anew.
    Steer(Wanted),
}

/// The Director.
pub struct Director {
    compiled: Compiled,
    targets_pending: Option<Assembled>,
    publisher: Publisher,
    registry: Registry,
    addresses: Addresses,
    ejections: HashMap<u64, Ejections>,
    view: Arc<Mutex<View>>,
    origin: Origin,
    /// What a rejected configuration waits for.
    held: Option<Held>,
    expiries: Expiries,
    circles: Circles,
    epoch: Instant,
    accepted: Counter,
    rejected: Counter,
    last_success: Gauge,
    unresolved: Gauge,
    inbox: Inbox,
    /// Who binds listeners; without one they cannot change.
    sockets: Option<Box<dyn Sockets>>,
    survey: Option<Survey>,
    steerer: Steerer,
    keeper: Option<Keeper>,
    /// Something has changed that ejections depend on.
    reconsider: bool,
    /// Files have changed and have not come to rest.
    settling: Option<Settling>,
}

struct Inbox {
    health: mpsc::Receiver<HealthEvent>,
    resolved: mpsc::Receiver<Resolved>,
    orders: mpsc::Receiver<Order>,
    bell: Arc<Notify>,
    file_changed: Arc<Notify>,
}

/// How the rest of the process reaches the Director.
#[derive(Clone, Debug)]
pub struct Handles {
    /// Snapshots that it publishes.
    pub snapshots: Arc<Snapshots>,
    /// What may be read of its state.
    pub view: Arc<Mutex<View>>,
    /// Orders.
    pub orders: mpsc::Sender<Order>,
    /// Rung by data threads.
    pub bell: Arc<Notify>,
    /// Rung when the configuration or a file that it names may have changed.
    pub file_changed: Arc<Notify>,
    /// News from data threads.
    pub notes: mpsc::Sender<Note>,
    /// Names of what is learned while serving. No data thread uses it.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Start of the process clock.
    pub epoch: Instant,
}

impl std::fmt::Debug for Director {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Director").field("generation", &self.publisher.generation()).finish_non_exhaustive()
    }
}

/// Reads and compiles a configuration; the errors are rendered.
///
/// # Errors
/// Every mistake in the file, with its place.
pub fn read(source: &Source, color: bool) -> Result<(Compiled, Option<Told>), Told> {
    read_with(source, &Files::new(), color)
}

/// As [`read`]; `files` knows afterwards which files the configuration names, be it with mistakes.
///
/// # Errors
/// Every mistake in the file, with its place.
pub fn read_with(source: &Source, files: &Files, color: bool) -> Result<(Compiled, Option<Told>), Told> {
    let mut problems = Problems::new();
    let config = parse(&source.text, &mut problems);
    let compiled = compile_with(&config, files, &mut problems);
    let told = Told::of(&problems, source, color);
    match compiled {
        Some(compiled) => Ok((Compiled { text: Arc::from(source.text.as_str()), ..compiled }, told)),
        None => Err(told.unwrap_or_default()),
    }
}

impl Director {
    /// Publishes the first snapshot. Nothing is probed or resolved before [`Director::run`].
    ///
    /// `origin` is what `compiled` was made of; without it nothing is ever read again.
    pub fn new(compiled: Compiled, origin: Option<Origin>, metrics: Arc<Metrics>, epoch: Instant) -> (Self, Handles) {
        let mut registry = Registry::new(Arc::clone(&metrics));
        let addresses = Addresses::new();
        let assembled = assemble(&compiled, &addresses, &mut registry);
        let mut circles = Circles::default();
        circles.look(&compiled, &assembled.topologies);
        let live = Arc::new(Live::new(compiled.fixed.capacity));
        let publisher = Publisher::new(Arc::clone(&compiled.site), assembled.topologies.clone(), live, &metrics);
        let (health_sender, health) = mpsc::channel(QUEUE);
        let (resolved_sender, resolved) = mpsc::channel(QUEUE);
        let (orders_sender, orders) = mpsc::channel(QUEUE);
        let (notes_sender, notes) = mpsc::channel(NOTES);
        let ledger: Arc<Mutex<Ledger>> = Arc::default();
        let view = Arc::new(Mutex::new(View {
            checker: Checker::new(probing::at_once(), fastrand::u64(..), health_sender),
            names: Names::new(resolved_sender, &metrics),
            leaving: Vec::new(),
            reload: Reload { at: SystemTime::now(), accepted: true, errors: None },
            changes: Changes::default(),
            versions: Versions::new(SystemTime::now()),
            listening: Vec::new(),
            upgrade: None,
            text: Arc::clone(&compiled.text),
        }));
        let inbox = Inbox { health, resolved, orders, bell: Arc::default(), file_changed: Arc::default() };
        let handles = Handles {
            snapshots: Arc::clone(publisher.snapshots()),
            view: Arc::clone(&view),
            orders: orders_sender,
            bell: Arc::clone(&inbox.bell),
            file_changed: Arc::clone(&inbox.file_changed),
            notes: notes_sender,
            ledger: Arc::clone(&ledger),
            epoch,
        };
        let survey = Survey::new(notes, ledger, Arc::clone(publisher.snapshots()), epoch);
        let process = metrics.scope(&[]);
        let reloads = |result| process.counter_by("rolegate_config_reloads_total", "result", result);
        let mut director = Self {
            targets_pending: Some(assembled),
            publisher,
            registry,
            addresses,
            ejections: HashMap::new(),
            view,
            origin: origin.unwrap_or_default(),
            held: None,
            expiries: Expiries::new(metrics),
            circles,
            epoch,
            accepted: reloads("accepted"),
            rejected: reloads("rejected"),
            last_success: process.gauge("rolegate_config_last_reload_success"),
            unresolved: process.gauge("rolegate_dns_names_unresolved"),
            inbox,
            sockets: None,
            survey: Some(survey),
            steerer: Steerer::new(),
            keeper: None,
            reconsider: false,
            settling: None,
            compiled,
        };
        director.last_success.set(1.0);
        director.origin.begins_with(&director.compiled.files);
        director.expiries.show(&director.compiled.site);
        certificates::warn(&director.compiled.site, SystemTime::now());
        doubts::warn(&director.compiled);
        (director, handles)
    }

    /// Has its listeners served.
    ///
    /// # Errors
    /// Each socket that cannot be bound, and why.
    pub fn listen(&mut self, mut sockets: Box<dyn Sockets>) -> Result<Vec<Listening>, String> {
        sockets.prepare(&listening::first(&self.compiled))?;
        let listening = sockets.commit();
        self.view().listening.clone_from(&listening);
        self.sockets = Some(sockets);
        Ok(listening)
    }

    /// Watches the configuration file and all that it names from now on.
    pub fn watch(&mut self) {
        self.origin.begin_watching(&self.inbox.file_changed, self.compiled.watch);
    }

    /// Works until everybody who could give orders is gone.
    pub async fn run(mut self) {
        if let Some(assembled) = self.targets_pending.take() {
            self.view().checker.set_targets(assembled.targets);
        }
        let mut surveys = JoinSet::new();
        if let Some(survey) = self.survey.take() {
            surveys.spawn(survey.run());
        }
        if let Some(keeper) = self.keeper.take() {
            surveys.spawn(keeper.run());
        }
        self.ask_for_names();
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let expiry = self.next_expiry();
            let settled = self.settling.as_ref().map(Settling::due);
            let turns = self.steerer.due();
            tokio::select! {
                Some(event) = self.inbox.health.recv() => self.on_health(event),
                Some(resolved) = self.inbox.resolved.recv() => self.on_resolved(resolved),
                order = self.inbox.orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return,
                },
                // Live traffic crossed a threshold, or an ejection is over.
                () = self.inbox.bell.notified() => self.reconsider = true,
                () = tokio::time::sleep_until(expiry) => self.reconsider = true,
                () = self.inbox.file_changed.notified(), if settled.is_none() => self.settle(),
                () = tokio::time::sleep_until(settled.unwrap_or(expiry)), if settled.is_some() => self.look_when_settled(),
                () = tokio::time::sleep_until(turns) => self.turn(),
                _ = upkeep.tick() => self.upkeep(),
                // It ends when all data threads are gone.
                Some(Err(_)) = surveys.join_next() => return,
            }
            // What has come meanwhile goes into the same snapshot.
            while let Ok(event) = self.inbox.health.try_recv() {
                self.on_health(event);
            }
            // A server that was ejected may have become the last one.
            if std::mem::take(&mut self.reconsider) {
                self.judge_live_traffic();
            }
            self.publisher.publish();
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn on_health(&mut self, HealthEvent { id, transition }: HealthEvent) {
        let now_ms = self.now_ms().max(1);
        // From down by way of degraded, too.
        let recovered = transition.to == Health::Up && transition.from != Health::Unproven;
        self.reconsider = true;
        let known = self.publisher.stand(id, |standing| {
            standing.health = transition.to;
            if recovered {
                standing.ramp_from_ms = now_ms;
            }
        });
        if !known {
            return;
        }
        let mut forgiven = false;
        for cluster in self.publisher.clusters() {
            let Some(endpoint) = cluster.topology.endpoints.iter().find(|endpoint| endpoint.state.id == id) else {
                continue;
            };
            transitions::tell(cluster, endpoint, &transition, self.publisher.standing(id).steer);
            let cause = transition.cause.as_ref().map(ToString::to_string).unwrap_or_default();
            let turn = Turn::Health { from: transition.from, to: transition.to };
            self.view().changes.note(&cluster.topology, endpoint, turn, &cause);
            if recovered {
                endpoint.state.passive.reset();
                if let Some(ejections) = self.ejections.get_mut(&cluster.topology.hash) {
                    ejections.forgive(id);
                    forgiven = true;
                }
            }
        }
        if forgiven {
            self.publisher.stand(id, |standing| standing.ejected = false);
        }
    }

    fn on_resolved(&mut self, resolved: Resolved) {
        self.addresses.insert(resolved.name, resolved.addresses);
        self.assemble_again();
        self.reconsider = true;
    }

    fn assemble_again(&mut self) {
        let steering = (&**self.steerer.steering(), self.steerer.now());
        let assembled = assemble_steered(&self.compiled, &self.addresses, &mut self.registry, steering);
        self.circles.look(&self.compiled, &assembled.topologies);
        self.publisher.replace(assembled.topologies);
        self.view().checker.set_targets(assembled.targets);
        self.count_unresolved();
    }

    /// Takes out what live traffic speaks against, and takes back what is needed again or has been out for long enough.
    fn judge_live_traffic(&mut self) {
        let now_ms = self.now_ms();
        let mut changes: Vec<(usize, Change)> = Vec::new();
        for (place, cluster) in self.publisher.clusters().iter().enumerate() {
            let topology = &cluster.topology;
            let alarmed = topology.endpoints.iter().any(|endpoint| endpoint.state.passive.alarm());
            let known = self.ejections.contains_key(&topology.hash);
            if !alarmed && !known {
                continue;
            }
            let members: Vec<Member> = topology
                .endpoints
                .iter()
                .map(|endpoint| (endpoint, self.publisher.standing(endpoint.state.id)))
                .map(|(endpoint, standing)| Member {
                    id: endpoint.state.id,
                    alarmed: endpoint.state.passive.alarm(),
                    usable: standing.health != Health::Down && standing.steer == Steer::None,
                })
                .collect();
            let ejections = self.ejections.entry(topology.hash).or_default();
            let found = ejections.consider(&topology.role.passive, now_ms, &members, &audiences(topology));
            if ejections.is_empty() {
                self.ejections.remove(&topology.hash);
            }
            changes.extend(found.into_iter().map(|change| (place, change)));
            topology.endpoints.iter().filter(|endpoint| endpoint.state.passive.alarm()).for_each(|endpoint| {
                endpoint.state.passive.reset();
            });
        }
        for (place, change) in changes {
            self.apply(place, change, now_ms);
        }
    }

    fn apply(&mut self, place: usize, change: Change, now_ms: u64) {
        let id = match change {
            Change::Ejected { id, .. } | Change::Returned { id } => id,
        };
        let cluster = Arc::clone(&self.publisher.clusters()[place]);
        let role = cluster.topology.label();
        let endpoint = cluster.topology.endpoints.iter().find(|endpoint| endpoint.state.id == id);
        match change {
            Change::Ejected { until_ms, .. } => {
                self.publisher.stand(id, |standing| standing.ejected = true);
                if let Some(endpoint) = endpoint {
                    endpoint.metrics.ejections.increment(1);
                    let seconds = until_ms.saturating_sub(now_ms) / 1000;
                    self.view().changes.note(&cluster.topology, endpoint, Turn::Ejected { seconds }, "");
                    tracing::warn!(%role, system = %endpoint.system, address = %endpoint.address, seconds, "live traffic took the endpoint out");
                }
            }
            Change::Returned { .. } => {
                self.publisher.stand(id, |standing| {
                    standing.ejected = false;
                    standing.ramp_from_ms = now_ms.max(1);
                });
                if let Some(endpoint) = endpoint {
                    self.view().changes.note(&cluster.topology, endpoint, Turn::Returned, "");
                    tracing::info!(%role, system = %endpoint.system, address = %endpoint.address, "the endpoint is back");
                }
            }
        }
    }

    /// Far away when nothing is ejected.
    fn next_expiry(&self) -> Instant {
        let next = self.ejections.values().filter_map(Ejections::next_expiry).min();
        match next {
            Some(at) => self.epoch + Duration::from_millis(at),
            None => Instant::now() + Duration::from_secs(3600),
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::ReloadFile => drop(self.look(true)),
            // One who has gone away is not told; the reload counts all the same.
            Order::ReloadFileAndTell(reply) => drop(reply.send(self.look(true))),
            Order::Steer(wanted) => self.on_wanted(wanted),
            Order::Reload(source, reply) => {
                let files = Files::new();
                let result = self.reload(&source, &files);
                if result.is_ok() {
                    self.origin.tried(source, files.named());
                    self.origin.follow(&self.inbox.file_changed, self.compiled.watch);
                } else {
                    // Who has been told so does not expect it to come back by itself.
                    self.held = None;
                }
                // Whoever asked may have gone away; the reload counts all the same.
                let _ = reply.send(result);
            }
        }
    }

    /// Nobody would ever end the ejections of a role that is gone, or of an endpoint that is another site's now.
    fn end_foreign_ejections(&mut self) {
        let roles = &self.compiled.roles;
        self.ejections.retain(|hash, _| roles.iter().any(|plan| plan.hash == *hash));
        let now_ms = self.now_ms();
        let clusters = self.publisher.clusters().iter();
        let endpoints = clusters.flat_map(|cluster| {
            let hash = cluster.topology.hash;
            cluster.topology.endpoints.iter().map(move |endpoint| (hash, endpoint.state.id))
        });
        let knows = |hash: u64, id| self.ejections.get(&hash).is_some_and(|own| own.is_ejected(id, now_ms));
        let foreign = endpoints.filter(|(hash, id)| self.publisher.standing(*id).ejected && !knows(*hash, *id));
        let foreign: Vec<u32> = foreign.map(|(_, id)| id).collect();
        for id in foreign {
            self.publisher.stand(id, |standing| standing.ejected = false);
        }
    }

    fn ask_for_names(&mut self) {
        let members = self.compiled.roles.iter().flat_map(|plan| &plan.members);
        let names: BTreeSet<Arc<str>> = members
            .filter_map(|member| match &member.place {
                Place::Name(name) => Some(Arc::clone(name)),
                Place::Address(_) => None,
            })
            .collect();
        self.addresses.retain(|name, _| names.contains(name));
        self.view().names.set(names, &self.compiled.dns);
        self.count_unresolved();
    }

    fn count_unresolved(&self) {
        let states = self.view().names.states();
        self.unresolved.set(states.values().filter(|state| state.resolved.is_none()).count() as f64);
    }

    fn upkeep(&mut self) {
        self.count_unresolved();
        let leaving = self.registry.leaving().to_vec();
        let mut view = self.view();
        view.leaving = leaving;
        view.changes.keep(|id| self.publisher.has(id));
        drop(view);
        let gone = self.sockets.as_mut().map(|sockets| sockets.gone()).unwrap_or_default();
        self.publisher.forget_departed(&gone);
        if self.held.is_some_and(|held| held.is_over(SystemTime::now())) {
            drop(self.look(true));
        } else if self.origin.is_due() {
            self.settle();
        }
    }
}
