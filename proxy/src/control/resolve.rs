//! Site systems given by name: asked for off the request path, again when their answer is no longer good.
//!
//! Each name has a task of its own. An answer is good for its TTL, between a floor and a ceiling. When DNS fails, the last
//! good answer stays in use and the name is asked for again after the retry interval.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::Counter;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::config::Dns;
use crate::metrics::Metrics;

mod resolvers;

use resolvers::{Family, Pair, Resolvers};

/// A name has these addresses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The name.
    pub name: Arc<str>,
    /// Sorted, without duplicates, never empty.
    pub addresses: Vec<IpAddr>,
}

/// What is known of one name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NameState {
    /// Last good answer.
    pub addresses: Vec<IpAddr>,
    /// When that was.
    pub resolved: Option<SystemTime>,
    /// Why the last question failed; absent after a good answer.
    pub failure: Option<String>,
}

type States = Arc<Mutex<HashMap<Arc<str>, NameState>>>;

/// Asks for all names that a configuration uses.
#[derive(Debug)]
pub struct Names {
    tasks: HashMap<Arc<str>, JoinHandle<()>>,
    states: States,
    answers: mpsc::Sender<Resolved>,
    settings: Option<Settings>,
    resolvers: Option<Arc<Resolvers>>,
    good: Counter,
    failed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<std::net::SocketAddr>,
    floor: Duration,
    ceiling: Duration,
    retry: Duration,
    timeout: Duration,
}

impl Settings {
    fn new(dns: &Dns) -> Self {
        let or = |written: super::config::HumanDuration, otherwise| {
            written.finite().unwrap_or(Duration::from_secs(otherwise))
        };
        let floor = or(dns.min_ttl, 5);
        Self {
            servers: dns.servers.iter().map(|server| *server.get_ref()).collect(),
            floor,
            ceiling: or(dns.max_ttl, 300).max(floor),
            retry: or(dns.retry_interval, 5),
            timeout: or(dns.timeout, 5),
        }
    }
}

impl Names {
    /// Nothing is asked for yet. Answers go to `answers`.
    pub fn new(answers: mpsc::Sender<Resolved>, metrics: &Metrics) -> Self {
        let counter = |result| metrics.scope(&[]).counter_by("rolegate_dns_answers_total", "result", result);
        Self {
            tasks: HashMap::new(),
            states: States::default(),
            answers,
            settings: None,
            resolvers: None,
            good: counter("ok"),
            failed: counter("failed"),
        }
    }

    /// Makes `names` the ones that are asked for. New settings ask for all of them again; answers are kept.
    pub fn set(&mut self, names: BTreeSet<Arc<str>>, dns: &Dns) {
        let settings = Settings::new(dns);
        let keep_tasks = self.settings.as_ref() == Some(&settings);
        self.tasks.retain(|name, task| {
            let keep = keep_tasks && names.contains(name);
            if !keep {
                task.abort();
            }
            keep
        });
        self.lock().retain(|name, _| names.contains(name));
        self.settings = Some(settings.clone());
        let missing: Vec<Arc<str>> = names.into_iter().filter(|name| !self.tasks.contains_key(name)).collect();
        if missing.is_empty() {
            return;
        }
        // The tasks that go on have the same ones.
        let resolvers = match &self.resolvers {
            Some(known) if keep_tasks => Arc::clone(known),
            Some(_) | None => Arc::new(Resolvers::new(&settings.servers, settings.timeout)),
        };
        self.resolvers = Some(Arc::clone(&resolvers));
        for name in missing {
            self.lock().entry(Arc::clone(&name)).or_default();
            let task = Task {
                name: Arc::clone(&name),
                resolvers: Arc::clone(&resolvers),
                settings: settings.clone(),
                states: Arc::clone(&self.states),
                answers: self.answers.clone(),
                good: self.good.clone(),
                failed: self.failed.clone(),
            };
            self.tasks.insert(name, tokio::spawn(task.run()));
        }
    }

    /// What is known of all names.
    pub fn states(&self) -> HashMap<Arc<str>, NameState> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, NameState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

struct Task {
    name: Arc<str>,
    resolvers: Arc<Resolvers>,
    settings: Settings,
    states: States,
    answers: mpsc::Sender<Resolved>,
    good: Counter,
    failed: Counter,
}

impl Task {
    async fn run(self) {
        loop {
            let (v4, v6) = match self.resolvers.current() {
                Ok(Pair { v4, v6 }) => tokio::join!(self.ask(&v4), self.ask(&v6)),
                Err(failure) => (Err(failure.clone()), Err(failure)),
            };
            let kept = self.with_state(|state| state.addresses.clone());
            let (mut addresses, mut failure, mut good_for) = (Vec::new(), None, self.settings.ceiling);
            for (answer, is_v4) in [(v4, true), (v6, false)] {
                match answer {
                    Ok((found, ttl)) => {
                        addresses.extend(found);
                        good_for = good_for.min(ttl);
                    }
                    // A failure of one family does not take its addresses away.
                    Err(error) => {
                        addresses.extend(kept.iter().copied().filter(|ip| ip.is_ipv4() == is_v4));
                        failure.get_or_insert(error);
                    }
                }
            }
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() && failure.is_none() {
                failure = Some("the answer has no address".to_owned());
            }
            let wait = match failure {
                Some(_) => self.settings.retry,
                None => good_for.clamp(self.settings.floor, self.settings.ceiling),
            };
            if self.tell(addresses, failure).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The addresses of one family and how long they are good for; none when the name has none of it.
    async fn ask(&self, family: &Family) -> Result<(Vec<IpAddr>, Duration), String> {
        match family.ask(&self.name).await {
            Ok(lookup) => {
                let good_for = lookup.valid_until().saturating_duration_since(Instant::now().into_std());
                Ok((lookup.iter().map(|ip| ip.to_canonical()).collect(), good_for))
            }
            Err(error) if error.is_no_records_found() && !error.is_nx_domain() => {
                Ok((Vec::new(), self.settings.ceiling))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn tell(
        &self,
        addresses: Vec<IpAddr>,
        failure: Option<String>,
    ) -> Result<(), mpsc::error::SendError<Resolved>> {
        match failure {
            Some(failure) => self.refuse(failure),
            None => self.confirm(),
        }
        let changed = self.with_state(|state| {
            let changed = !addresses.is_empty() && state.addresses != addresses;
            if changed {
                state.resolved = Some(SystemTime::now());
                state.addresses.clone_from(&addresses);
            }
            changed
        });
        if !changed {
            return Ok(());
        }
        tracing::info!(name = %self.name, ?addresses, "the name has new addresses");
        self.answers.send(Resolved { name: Arc::clone(&self.name), addresses }).await
    }

    fn confirm(&self) {
        self.good.increment(1);
        self.with_state(|state| {
            state.resolved = Some(SystemTime::now());
            if let Some(failure) = state.failure.take() {
                tracing::info!(name = %self.name, %failure, "the name is resolved again");
            }
        });
    }

    fn refuse(&self, failure: String) {
        self.failed.increment(1);
        self.with_state(|state| {
            if state.failure.is_none() {
                tracing::warn!(name = %self.name, %failure, addresses = ?state.addresses, "the name cannot be resolved");
            }
            state.failure = Some(failure);
        });
    }

    fn with_state<T>(&self, use_it: impl FnOnce(&mut NameState) -> T) -> T {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(states.entry(Arc::clone(&self.name)).or_default())
    }
}
