//! Clients whose requests come at a fixed rate, whatever becomes of those before.
//!
//! A request that is due while its client's connection is in use gets a new one. So a proxy that lets requests hang has not fewer
//! that fail.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;

/// Clients, each with a connection of its own.
const CLIENTS: u32 = 50;
/// From one request of a client to the next: 500 a second in all.
const PERIOD: Duration = Duration::from_millis(100);
/// The longest that a request may take; longer is a failure.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How a request is made.
pub(super) trait Ask: 'static {
    /// What is kept from one request to the next.
    type Connection: 'static;

    /// One request of this client, whose number counts from 0, on the connection that is there or a new one, which is left there
    /// if it can be used again. `None` if it failed.
    async fn ask(&self, client: u32, kept: &mut Option<Self::Connection>) -> Option<()>;
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) done: u64,
    /// When requests failed.
    pub(super) failed: Vec<Instant>,
}

impl Seen {
    /// How many failed after this, and how long after it the last did.
    pub(super) fn since(&self, when: Instant) -> (usize, Duration) {
        let after = || self.failed.iter().filter(|failed| **failed >= when);
        (after().count(), after().max().map_or(Duration::ZERO, |last| last.duration_since(when)))
    }
}

/// Clients that ask.
pub(super) struct Clients {
    tasks: LocalSet,
    seen: Rc<RefCell<Seen>>,
}

impl Clients {
    /// Clients that ask for so long.
    pub(super) fn start<A: Ask>(how: A, lasts: Duration) -> Self {
        let (tasks, seen, how) = (LocalSet::new(), Rc::default(), Rc::new(how));
        let (begin, until) = (Instant::now(), Instant::now() + lasts);
        for number in 0..CLIENTS {
            let asking = Asking { how: Rc::clone(&how), client: number, kept: Rc::default(), seen: Rc::clone(&seen) };
            tasks.spawn_local(asking.from(begin + PERIOD / CLIENTS * number, until));
        }
        Self { tasks, seen }
    }

    /// Does something meanwhile, and waits until every request has ended: those that hang fail too, in the end.
    pub(super) async fn while_they_ask<T>(self, what: impl Future<Output = T>) -> (T, Seen) {
        let done = self.tasks.run_until(what).await;
        self.tasks.await;
        (done, self.seen.take())
    }
}

/// One of the clients.
struct Asking<A: Ask> {
    how: Rc<A>,
    client: u32,
    kept: Rc<RefCell<Option<A::Connection>>>,
    seen: Rc<RefCell<Seen>>,
}

impl<A: Ask> Clone for Asking<A> {
    fn clone(&self) -> Self {
        let Self { how, client, kept, seen } = self;
        Self { how: Rc::clone(how), client: *client, kept: Rc::clone(kept), seen: Rc::clone(seen) }
    }
}

impl<A: Ask> Asking<A> {
    async fn from(self, first: Instant, until: Instant) {
        let mut due = first;
        while due < until {
            tokio::time::sleep_until(due).await;
            tokio::task::spawn_local(self.clone().once());
            due += PERIOD;
        }
    }

    /// A request on the connection that its client has kept, if it is not in use, and a new one otherwise.
    async fn once(self) {
        let mut connection = self.kept.borrow_mut().take();
        let good = tokio::time::timeout(TIMEOUT, self.how.ask(self.client, &mut connection)).await;
        if matches!(good, Ok(Some(()))) {
            self.seen.borrow_mut().done += 1;
            *self.kept.borrow_mut() = connection;
        } else {
            self.seen.borrow_mut().failed.push(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Every request hangs.
    struct Hangs(Rc<Cell<u32>>);

    impl Ask for Hangs {
        type Connection = ();

        async fn ask(&self, _client: u32, _kept: &mut Option<()>) -> Option<()> {
            self.0.set(self.0.get() + 1);
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_come_when_they_are_due_even_if_those_before_hang() {
        let asked = Rc::new(Cell::new(0));
        let begin = Instant::now();
        let clients = Clients::start(Hangs(Rc::clone(&asked)), PERIOD * 3);
        let ((), seen) = clients.while_they_ask(async {}).await;
        assert_eq!(asked.get(), 3 * CLIENTS);
        assert_eq!((seen.done, seen.since(begin).0), (0, 3 * CLIENTS as usize));
        assert_eq!(seen.since(Instant::now() + PERIOD), (0, Duration::ZERO), "only what follows counts");
    }
}
