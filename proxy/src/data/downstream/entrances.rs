//! The listeners of one data thread, which come and go while it runs.

use std::rc::Rc;

use tokio::task::JoinSet;

use crate::data::downstream::listener::{Ended, Entrance, Listener};
use crate::data::path::door::Door;
use crate::data::upstream::worker::Worker;
use crate::model::snapshot::ListenerId;

/// What changes about the listeners of a data thread, all of it at once.
#[derive(Debug, Default)]
pub struct Change {
    /// Sockets to accept from.
    pub open: Vec<Listener>,
    /// Listeners whose clients come through another door from now on.
    pub rename: Vec<Renamed>,
    /// Listeners to accept nothing more from.
    pub close: Vec<ListenerId>,
}

/// A listener that has another door.
#[derive(Clone, Debug)]
pub struct Renamed {
    /// Which.
    pub listener: ListenerId,
    /// Its new one.
    pub door: Door,
}

/// The sockets that one data thread accepts from.
#[derive(Debug)]
pub struct Entrances {
    worker: Rc<Worker>,
    open: Vec<Rc<Entrance>>,
    accepting: JoinSet<Ended>,
}

impl Entrances {
    /// None yet.
    pub fn new(worker: Rc<Worker>) -> Self {
        Self { worker, open: Vec::new(), accepting: JoinSet::new() }
    }

    /// Changes them.
    pub fn change(&mut self, change: Change) {
        for Renamed { listener, door } in change.rename {
            let door = Rc::new(door);
            self.of(listener).for_each(|entrance| entrance.lead_through(Rc::clone(&door)));
        }
        for listener in change.close {
            self.of(listener).for_each(Entrance::close);
        }
        self.open.retain(|entrance| !entrance.closes());
        for Listener { door, socket } in change.open {
            let entrance = Entrance::new(door);
            self.accepting.spawn_local(Rc::clone(&entrance).accept(socket, Rc::clone(&self.worker)));
            self.open.push(entrance);
        }
    }

    /// Accepts nothing more but what has connected already.
    pub fn close(&mut self) {
        self.open.drain(..).for_each(|entrance| entrance.close());
    }

    /// Whether some still take in what has connected.
    pub fn are_open(&mut self) -> bool {
        while self.accepting.try_join_next().is_some() {}
        !self.accepting.is_empty()
    }

    /// Returns when one has ended that was not told to.
    pub async fn broken(&mut self) {
        loop {
            match self.accepting.join_next().await {
                Some(Ok(Ended::Closed)) => {}
                Some(Ok(Ended::Broken) | Err(_)) => return,
                None => std::future::pending().await,
            }
        }
    }

    fn of(&self, listener: ListenerId) -> impl Iterator<Item = &Entrance> {
        self.open.iter().map(|entrance| &**entrance).filter(move |entrance| entrance.door().id == listener)
    }
}
