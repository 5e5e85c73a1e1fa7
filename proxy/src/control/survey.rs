//! Asks servers which content they have, and keeps the names of what data threads learn.
//!
//! A server is asked (`PROPFIND` for the folder of the content) for one of two reasons. A file was answered with 404: does
//! the server lack the file or the whole content? And `[content] discover` names packages that are asked for ahead of time.
//! Questions that were asked are not asked again at once, and their number is bounded: a server that is not asked is
//! found out about by the first request that goes there.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rolegate_health::{HttpProbe, Probe};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::assemble;
use super::ledger::{ClockName, Ledger};
use crate::metrics::RoleMetrics;
use crate::model::cluster::Class;
use crate::model::content::Said;
use crate::model::live::{Live, Owner, Ticks, Verdict};
use crate::model::note::{Note, Search};
use crate::model::role::Balance;
use crate::model::snapshot::{Snapshot, Snapshots};
use crate::model::tls::Tls;

/// Notes that may wait; data threads drop what does not fit.
pub const NOTES: usize = 4096;
/// Questions under way at the same time.
const AT_ONCE: usize = 16;
/// Those of them to one server: one that is silent holds up no others.
const TO_ONE: usize = 4;
/// Questions that may wait.
const WAITING: usize = 4096;
/// Deadline of a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether a discovery is due: it may be changed by a reload.
const LOOK: Duration = Duration::from_secs(1);
/// When a discovery is repeated in which a server could not be asked.
const SOON: Duration = Duration::from_secs(30);
/// Questions for contents that perhaps no server has, in each [`LOOK`].
const IN_VAIN: u32 = 20;
/// How often what is over is taken out of the tables of what is learned, and what is in them is counted.
const TIDY: Duration = Duration::from_secs(60);
/// The same for the large ones.
const RECOUNT_STAYS: Duration = Duration::from_secs(600);
/// A question that was answered so recently is not asked again.
const FRESH: Ticks = 100;
/// The virtual directory that packages are discovered in.
pub const PACKAGES: &str = "/SMS_DP_SMSPKG$/";
/// What a question says it is.
const USER_AGENT: &str = concat!("rolegate/", env!("CARGO_PKG_VERSION"), " (content survey)");

/// Asks and keeps names.
#[derive(Debug)]
pub struct Survey {
    notes: mpsc::Receiver<Note>,
    ledger: Arc<Mutex<Ledger>>,
    snapshots: Arc<Snapshots>,
    epoch: Instant,
    waiting: VecDeque<Question>,
    /// What is left of a discovery; it is asked when nothing else waits.
    plan: Vec<Question>,
    /// Endpoint and content of all questions that wait or are under way.
    open: HashSet<(u32, u64)>,
    /// How many of them are under way, by endpoint.
    busy: HashMap<u32, usize>,
    /// Those that were answered a moment ago, and when.
    answered: HashMap<(u32, u64), Ticks>,
    asking: JoinSet<(Question, Option<u16>)>,
    discovered: Option<Instant>,
    /// Some server could not be asked in the last discovery.
    unanswered: bool,
    /// Questions for contents that perhaps no server has which may still be asked before the next look.
    in_vain: u32,
    tidied: Tidied,
}

/// When the tables of what is learned were looked through.
#[derive(Debug)]
struct Tidied {
    all: Instant,
    stays: Instant,
}

/// Does this server have this content?
#[derive(Clone, Debug)]
struct Question {
    endpoint: u32,
    content: u64,
    folder: Arc<str>,
    /// Who is asked next when this one lacks it: perhaps no server has it.
    next: Vec<u32>,
}

impl Survey {
    /// Nothing is asked before [`Survey::run`].
    pub fn new(
        notes: mpsc::Receiver<Note>,
        ledger: Arc<Mutex<Ledger>>,
        snapshots: Arc<Snapshots>,
        epoch: Instant,
    ) -> Self {
        Self {
            notes,
            ledger,
            snapshots,
            epoch,
            waiting: VecDeque::new(),
            plan: Vec::new(),
            open: HashSet::new(),
            busy: HashMap::new(),
            answered: HashMap::new(),
            asking: JoinSet::new(),
            discovered: None,
            unanswered: false,
            in_vain: IN_VAIN,
            tidied: Tidied { all: Instant::now(), stays: Instant::now() },
        }
    }

    /// Works until all data threads are gone.
    pub async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                note = self.notes.recv() => match note {
                    Some(note) => self.on_note(note),
                    None => return,
                },
                Some(answered) = self.asking.join_next(), if !self.asking.is_empty() => {
                    if let Ok((question, status)) = answered {
                        self.on_answer(&question, status);
                    }
                }
                _ = look.tick() => self.look(),
            }
            self.ask();
        }
    }

    fn now(&self) -> Ticks {
        Live::ticks(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn on_note(&mut self, note: Note) {
        let (now, snapshot) = (self.now(), self.snapshots.current());
        let ledger = || self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match note {
            Note::Clock { key, role, site, groups, content } => {
                ledger().note_clock(key, ClockName { role, site, groups, content, noted: now });
            }
            Note::Answer { content, folder, said } => {
                // Only what some server has is a content: any client can ask for names that no server has.
                if said == Said::Content(Verdict::Has) {
                    ledger().note_content(&snapshot.live, &content, &folder, now);
                }
            }
            Note::Doubt { endpoints, folder, search } => {
                let (content, folder) = (snapshot.live.content_key(&folder), Arc::from(folder));
                match search {
                    Search::Found => {
                        for &endpoint in &endpoints {
                            if !self.answered.contains_key(&(endpoint, content)) {
                                self.add(Question { endpoint, content, folder: Arc::clone(&folder), next: Vec::new() });
                            }
                        }
                    }
                    Search::InVain => self.add_in_vain(content, &folder, endpoints.into_vec()),
                }
            }
        }
    }

    fn look(&mut self) {
        let snapshot = self.snapshots.current();
        let oldest = self.now().saturating_sub(FRESH);
        self.answered.retain(|_, at| *at > oldest);
        let (now, idle) = (self.now(), snapshot.site.fallback.idle_ticks());
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).drop_ended(&snapshot.live, now, idle);
        let settings = &snapshot.site.content;
        self.in_vain = IN_VAIN;
        if self.tidied.all.elapsed() >= TIDY {
            self.tidied.all = Instant::now();
            snapshot.live.tidy(now, idle, settings.missing_ticks());
        }
        if self.tidied.stays.elapsed() >= RECOUNT_STAYS {
            self.tidied.stays = Instant::now();
            snapshot.live.recount_stays();
        }
        let again = if self.unanswered { settings.discover_interval.min(SOON) } else { settings.discover_interval };
        let due = self.discovered.is_none_or(|last| last.elapsed() >= again);
        if settings.discover.is_empty() || !due || !self.plan.is_empty() {
            return;
        }
        self.discovered = Some(Instant::now());
        self.unanswered = false;
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = content_endpoints(&snapshot);
        let mut plan = Vec::with_capacity(settings.discover.len() * endpoints.len());
        for id in &settings.discover {
            let folder = format!("{PACKAGES}{id}");
            let content = snapshot.live.content_key(&folder);
            ledger.note_content(&snapshot.live, id, &folder, now);
            let folder: Arc<str> = folder.into();
            plan.extend(endpoints.iter().map(|&endpoint| Question {
                endpoint,
                content,
                folder: Arc::clone(&folder),
                next: Vec::new(),
            }));
        }
        self.plan = plan;
    }

    fn add(&mut self, question: Question) {
        if self.waiting.len() < WAITING && self.open.insert((question.endpoint, question.content)) {
            self.waiting.push_back(question);
        }
    }

    /// One server after the other is asked until one has the content. Names can be made up, so only so many are asked in a moment.
    fn add_in_vain(&mut self, content: u64, folder: &Arc<str>, mut endpoints: Vec<u32>) {
        while let Some(endpoint) = endpoints.pop() {
            if !self.answered.contains_key(&(endpoint, content)) {
                if self.in_vain > 0 {
                    self.in_vain -= 1;
                    self.add(Question { endpoint, content, folder: Arc::clone(folder), next: endpoints });
                }
                return;
            }
        }
    }

    /// Asks as many questions as may be under way.
    fn ask(&mut self) {
        while self.asking.len() < AT_ONCE {
            let Some(question) = self.next() else { return };
            match probe(&self.snapshots.current(), &question) {
                Some((address, probe)) => {
                    *self.busy.entry(question.endpoint).or_default() += 1;
                    self.asking.spawn(async move {
                        let status = probe.attempt(address, PATIENCE).await.status;
                        (question, status)
                    });
                }
                // The server is gone, or down.
                None => {
                    self.unanswered = true;
                    self.open.remove(&(question.endpoint, question.content));
                }
            }
        }
    }

    /// The next question to a server that has not enough of them; the plan comes after what waits.
    fn next(&mut self) -> Option<Question> {
        loop {
            let free = |question: &Question| self.busy.get(&question.endpoint).is_none_or(|count| *count < TO_ONE);
            if let Some(place) = self.waiting.iter().position(free) {
                return self.waiting.remove(place);
            }
            if self.waiting.len() >= WAITING {
                return None;
            }
            let question = self.plan.pop()?;
            self.add(question);
        }
    }

    fn on_answer(&mut self, question: &Question, status: Option<u16>) {
        if let Some(count) = self.busy.get_mut(&question.endpoint) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&question.endpoint);
            }
        }
        self.open.remove(&(question.endpoint, question.content));
        self.unanswered |= status.is_none();
        self.answered.insert((question.endpoint, question.content), self.now());
        let verdict = match status {
            Some(200 | 207) => Verdict::Has,
            Some(404) => Verdict::Lacks,
            // Access, another role at this address, trouble: says nothing about the content.
            Some(_) | None => return,
        };
        if verdict == Verdict::Lacks {
            self.add_in_vain(question.content, &question.folder, question.next.clone());
        }
        let snapshot = self.snapshots.current();
        let Some((system, metrics)) = place(&snapshot, question.endpoint) else { return };
        if snapshot.live.learn(Owner::NONE, question.content, question.endpoint, verdict, self.now()) {
            metrics.learned(verdict).increment(1);
            tracing::debug!(%system, folder = %question.folder, ?verdict, "content was asked for");
            if verdict == Verdict::Has {
                let id = question.folder.rsplit('/').next().unwrap_or_default();
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.note_content(&snapshot.live, id, &question.folder, self.now());
            }
        }
    }
}

/// Live parts of all endpoints of roles that have packages.
fn content_endpoints(snapshot: &Snapshot) -> Vec<u32> {
    let clusters = snapshot.clusters.iter().filter(|cluster| {
        let role = &cluster.topology.role;
        let folder = PACKAGES.trim_end_matches('/');
        role.balance == Balance::Content
            && role.paths.iter().any(|path| path.trim_end_matches('/').eq_ignore_ascii_case(folder))
    });
    clusters.flat_map(|cluster| cluster.topology.endpoints.iter().map(|endpoint| endpoint.state.id)).collect()
}

fn place(snapshot: &Snapshot, endpoint: u32) -> Option<(Arc<str>, RoleMetrics)> {
    snapshot.clusters.iter().find_map(|cluster| {
        let index = cluster.topology.by_id(endpoint)?;
        Some((Arc::clone(&cluster.endpoint(index).system), cluster.topology.metrics.clone()))
    })
}

fn probe(snapshot: &Snapshot, question: &Question) -> Option<(std::net::SocketAddr, Probe)> {
    let endpoint = snapshot.clusters.iter().find_map(|cluster| {
        let index = cluster.topology.by_id(question.endpoint)?;
        (cluster.standing(index).class() < Class::Out).then(|| cluster.endpoint(index))
    })?;
    let probe = HttpProbe {
        method: http::Method::from_bytes(b"PROPFIND").ok()?,
        target: question.folder.to_string(),
        host: endpoint.host.to_string(),
        status: vec![(200, 207)],
        body_contains: None,
        second_opinion: None,
        user_agent: USER_AGENT.to_owned(),
        tls: endpoint.tls.as_ref().map(Tls::probe),
        greeting: assemble::greeting(endpoint.role.proxy_protocol),
    };
    Some((endpoint.address, Probe::Http(Box::new(probe))))
}
