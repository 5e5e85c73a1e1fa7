//! How the health of endpoints has changed: the last changes of each, and those of the whole site, for people.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rolegate_health::Health;

use crate::model::cluster::Topology;
use crate::model::endpoint::Endpoint;

/// Changes that are kept of one endpoint.
const OF_EACH: usize = 16;
/// Changes that are kept of all.
const OF_ALL: usize = 200;
/// Bytes of a cause.
const LONGEST_CAUSE: usize = 300;

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Active probes have found another health.
    Health {
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
    },
    /// Live traffic took it out.
    Ejected {
        /// For how many seconds.
        seconds: u64,
    },
    /// It is back after that.
    Returned,
}

impl Turn {
    /// The state before.
    pub fn from(self) -> &'static str {
        match self {
            Self::Health { from, .. } => from.as_str(),
            Self::Ejected { .. } => "in use",
            Self::Returned => "ejected",
        }
    }

    /// The state that it is in since then: `unproven`, `up`, `degraded`, `down`, `ejected` or `in use`.
    pub fn to(self) -> &'static str {
        match self {
            Self::Health { to, .. } => to.as_str(),
            Self::Ejected { .. } => "ejected",
            Self::Returned => "in use",
        }
    }

    /// It was asked for the first time, and is well: no news of a site.
    fn is_first(self) -> bool {
        self == Self::Health { from: Health::Unproven, to: Health::Up }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When.
    pub at: SystemTime,
    /// The role, with its site where there are several.
    pub role: String,
    /// The site system.
    pub system: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// From what to what.
    pub turn: Turn,
    /// Why, where that is known.
    pub cause: String,
}

/// The last changes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// By the id of the endpoint's live part.
    each: HashMap<u32, VecDeque<Arc<Change>>>,
    all: VecDeque<Arc<Change>>,
}

impl Changes {
    /// Keeps what happened to an endpoint now.
    pub fn note(&mut self, topology: &Topology, endpoint: &Endpoint, turn: Turn, cause: &str) {
        let change = Change {
            at: SystemTime::now(),
            role: topology.label().into_owned(),
            system: Arc::clone(&endpoint.system),
            address: endpoint.address,
            turn,
            cause: cause.to_owned(),
        };
        self.keep_one(endpoint.state.id, change);
    }

    fn keep_one(&mut self, id: u32, mut change: Change) {
        if change.cause.len() > LONGEST_CAUSE {
            change.cause.truncate(within(&change.cause, LONGEST_CAUSE).len());
            change.cause.push('…');
        }
        let (first, change) = (change.turn.is_first(), Arc::new(change));
        push(self.each.entry(id).or_default(), OF_EACH, Arc::clone(&change));
        if !first {
            push(&mut self.all, OF_ALL, change);
        }
    }

    /// Those of one endpoint, the newest first.
    pub fn of(&self, id: u32) -> impl Iterator<Item = &Change> {
        self.each.get(&id).into_iter().flat_map(|own| own.iter().rev().map(Arc::as_ref))
    }

    /// Those of all endpoints, the newest first; also of endpoints that are gone.
    pub fn all(&self) -> impl Iterator<Item = &Change> {
        self.all.iter().rev().map(Arc::as_ref)
    }

    /// Forgets the endpoints that are not there any more.
    pub fn keep(&mut self, is_there: impl Fn(u32) -> bool) {
        self.each.retain(|id, _| is_there(*id));
    }
}

/// The beginning of a text, of whole characters and no more bytes than this.
pub(super) fn within(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn push(ring: &mut VecDeque<Arc<Change>>, most: usize, change: Arc<Change>) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(change);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn change(turn: Turn, cause: &str) -> Change {
        let address = "192.0.2.1:80".parse().unwrap();
        let role = "management-point".to_owned();
        Change { at: SystemTime::UNIX_EPOCH, role, system: "mp1".into(), address, turn, cause: cause.to_owned() }
    }

    #[test]
    fn each_endpoint_and_all_have_a_bounded_number() {
        let mut changes = Changes::default();
        let down = Turn::Health { from: Health::Up, to: Health::Down };
        for number in 0..1000 {
            changes.keep_one(number % 20, change(down, &number.to_string()));
        }
        assert_eq!((changes.of(3).count(), changes.all().count()), (OF_EACH, OF_ALL));
        assert_eq!(changes.of(3).next().unwrap().cause, "983", "the newest first");
        assert_eq!(changes.all().next().unwrap().cause, "999");
        changes.keep(|id| id == 3);
        assert_eq!((changes.of(3).count(), changes.of(4).count()), (OF_EACH, 0));
    }

    #[test]
    fn the_first_answer_of_a_server_is_no_news_of_the_site() {
        let mut changes = Changes::default();
        changes.keep_one(1, change(Turn::Health { from: Health::Unproven, to: Health::Up }, ""));
        assert_eq!((changes.of(1).count(), changes.all().count()), (1, 0));
        changes.keep_one(1, change(Turn::Ejected { seconds: 30 }, &"é".repeat(400)));
        let told = changes.all().next().unwrap();
        assert_eq!((told.turn.from(), told.turn.to()), ("in use", "ejected"));
        assert!(told.cause.len() <= LONGEST_CAUSE + 3 && told.cause.ends_with("é…"));
    }
}
