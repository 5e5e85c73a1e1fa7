//! What becomes of the listeners at a reload: which stay, which come, which leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::compile::{Bound, Compiled};
use crate::model::snapshot::ListenerId;

/// A listener that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// What it is known by.
    pub id: ListenerId,
    /// Name in the configuration.
    pub name: String,
    /// Where it is: port 0 has become a real one.
    pub address: SocketAddr,
}

/// An upgrade that came to nothing: this process goes on.
#[derive(Clone, Debug)]
pub struct FailedUpgrade {
    /// When.
    pub at: SystemTime,
    /// Why.
    pub error: String,
}

/// A listener of a new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it is known by.
    pub id: ListenerId,
    /// What it is.
    pub bound: Bound,
    /// The listener of before whose sockets it takes over: the one at its address. `None`: new ones are bound.
    pub takes: Option<ListenerId>,
}

/// Binds the sockets of listeners, and hands them to the threads that serve.
pub trait Sockets: Send {
    /// Binds what is new. All of it or nothing; what is served goes on as before.
    ///
    /// # Errors
    /// Each socket that cannot be bound, and why.
    fn prepare(&mut self, listeners: &[Planned]) -> Result<(), String>;

    /// From now on the listeners are those that were prepared last. They are served by snapshots that have been published.
    fn commit(&mut self) -> Vec<Listening>;

    /// Listeners that have left and of which no client is there any more. Each is told once.
    fn gone(&mut self) -> Vec<ListenerId>;
}

/// What becomes of the listeners. Where two are at one address (port 0 is one), those that keep their name belong together.
pub fn plan(old: &Compiled, new: &Compiled, departed: impl Iterator<Item = ListenerId>) -> Vec<Planned> {
    let known: Vec<(ListenerId, &Bound)> =
        old.site.listeners.iter().map(|listener| listener.id).zip(&old.listeners).collect();
    let used = known.iter().map(|(id, _)| *id).chain(departed).collect();
    assign(&known, &new.listeners, used)
}

fn assign(known: &[(ListenerId, &Bound)], wanted: &[Bound], mut used: Vec<ListenerId>) -> Vec<Planned> {
    let mut heirs: Vec<Option<usize>> = vec![None; wanted.len()];
    for same_name in [true, false] {
        for (place, bound) in wanted.iter().enumerate() {
            if heirs[place].is_some() {
                continue;
            }
            let free = known.iter().enumerate().find(|(at, (_, old))| {
                let fits = old.address == bound.address && (!same_name || old.name == bound.name);
                fits && !heirs.contains(&Some(*at))
            });
            heirs[place] = free.map(|(at, _)| at);
        }
    }
    let each = wanted.iter().zip(heirs).map(|(bound, heir)| {
        let heir = heir.map(|at| known[at]);
        // What its clients speak is another thing: only the sockets stay.
        let same = heir.filter(|(_, old)| old.protocol == bound.protocol).map(|(id, _)| id);
        let id = same.unwrap_or_else(|| {
            let free = (0..u16::MAX).map(ListenerId).find(|id| !used.contains(id)).unwrap_or(ListenerId(u16::MAX));
            used.push(free);
            free
        });
        Planned { id, bound: bound.clone(), takes: heir.map(|(id, _)| id) }
    });
    each.collect()
}

/// All of them come.
pub fn first(compiled: &Compiled) -> Vec<Planned> {
    let own = compiled.site.listeners.iter().zip(&compiled.listeners);
    own.map(|(listener, bound)| Planned { id: listener.id, bound: bound.clone(), takes: None }).collect()
}

/// Each listener is known by what it was known by before.
pub fn identify(compiled: &mut Compiled, planned: &[Planned]) {
    // Nobody else has it before it is published.
    let Some(site) = Arc::get_mut(&mut compiled.site) else { return };
    for (listener, planned) in site.listeners.iter_mut().zip(planned) {
        listener.id = planned.id;
    }
}

/// Listeners of before that are not there any more.
pub fn leaving(old: &Compiled, planned: &[Planned]) -> Box<[ListenerId]> {
    let ids = old.site.listeners.iter().map(|listener| listener.id);
    ids.filter(|id| planned.iter().all(|one| one.id != *id)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::role::Protocol;

    fn bound(name: &str, port: u16) -> Bound {
        Bound { name: name.to_owned(), address: SocketAddr::from(([127, 0, 0, 1], port)), protocol: Protocol::Http }
    }

    /// Ids, and whose sockets they take.
    fn plan(known: &[(u16, Bound)], wanted: &[Bound]) -> Vec<(u16, Option<u16>)> {
        let known: Vec<_> = known.iter().map(|(id, bound)| (ListenerId(*id), bound)).collect();
        let used = known.iter().map(|(id, _)| *id).collect();
        let planned = assign(&known, wanted, used);
        planned.into_iter().map(|one| (one.id.0, one.takes.map(|id| id.0))).collect()
    }

    #[test]
    fn a_listener_is_the_same_wherever_it_stands_and_whatever_it_is_called() {
        let known = [(0, bound("a", 80)), (1, bound("b", 81))];
        assert_eq!(plan(&known, &[bound("b", 81), bound("a", 80)]), [(1, Some(1)), (0, Some(0))]);
        assert_eq!(plan(&known, &[bound("b", 80), bound("a", 81)]), [(0, Some(0)), (1, Some(1))]);
        assert_eq!(plan(&known, &[bound("c", 81)]), [(1, Some(1))]);
    }

    #[test]
    fn one_at_another_address_is_another_one() {
        let known = [(0, bound("a", 80)), (1, bound("b", 81))];
        assert_eq!(plan(&known, &[bound("a", 82), bound("b", 81)]), [(2, None), (1, Some(1))]);
        let tcp = Bound { protocol: Protocol::Tcp, ..bound("a", 80) };
        assert_eq!(plan(&known, &[tcp]), [(2, Some(0))], "its clients are others, its sockets are not");
    }

    #[test]
    fn names_tell_those_apart_whose_port_is_any() {
        let known = [(3, bound("a", 0)), (1, bound("b", 0))];
        assert_eq!(
            plan(&known, &[bound("b", 0), bound("c", 0), bound("d", 0)]),
            [(1, Some(1)), (3, Some(3)), (0, None)]
        );
    }
}
