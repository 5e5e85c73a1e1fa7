//! One search at a time for a content that a server lacks.
//!
//! The first request that gets a 404 goes on to the next server. Requests for the same thing that get a 404 meanwhile wait
//! for what it finds instead of asking every server themselves: a storm for a missing content costs each server about one
//! question per data thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// The searches of one data thread; no more than requests under way.
#[derive(Debug, Default)]
pub struct Searches {
    running: RefCell<HashMap<u64, Rc<Notify>>>,
}

/// The right to search. Ends when dropped, and then those who wait go on.
#[derive(Debug)]
pub struct Search {
    searches: Rc<Searches>,
    key: u64,
}

/// Who searches.
#[derive(Debug)]
pub enum Turn {
    /// The caller.
    Mine(Search),
    /// Another request; it rings when it is done.
    Another(Rc<Notify>),
}

impl Searches {
    /// Asks for the right to search for something.
    pub fn turn(self: &Rc<Self>, key: u64) -> Turn {
        let mut running = self.running.borrow_mut();
        if let Some(other) = running.get(&key) {
            return Turn::Another(Rc::clone(other));
        }
        running.insert(key, Rc::default());
        Turn::Mine(Search { searches: Rc::clone(self), key })
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        if let Some(bell) = self.searches.running.borrow_mut().remove(&self.key) {
            bell.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_searches_and_the_others_wait() {
        let searches = Rc::new(Searches::default());
        let Turn::Mine(search) = searches.turn(1) else { panic!("nobody else searches") };
        let Turn::Another(bell) = searches.turn(1) else { panic!("somebody searches") };
        assert!(matches!(searches.turn(2), Turn::Mine(_)), "for something else");
        let waiting = bell.notified();
        drop(search);
        waiting.await;
        assert!(matches!(searches.turn(1), Turn::Mine(_)));
        assert!(searches.running.borrow().is_empty());
    }
}
