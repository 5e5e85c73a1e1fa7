//! Hands out the requests that are due to connections that are free.
//!
//! Nothing is queued: what is due and not yet taken is what the schedule gives next. A connection that becomes free takes
//! it; the pacer wakes a free one when something becomes due while there is one. All of it is of one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::timer::Timer;

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Since when.
    pub(super) since: Instant,
    /// A connection was free by then: if it is sent late, that is the generator's fault.
    pub(super) was_free: bool,
}

/// A connection that is free, or was until it was given something.
#[derive(Debug, Default)]
pub(super) struct Place {
    given: Cell<Option<Due>>,
    waker: RefCell<Option<Waker>>,
}

impl Place {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
pub(super) struct Arrivals {
    begin: Instant,
    schedule: RefCell<Schedule>,
    /// Those that are free, the one that has been so for longest first.
    free: RefCell<VecDeque<Rc<Place>>>,
    /// The pacer, while it waits for somebody to become free.
    pacer: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

impl Arrivals {
    pub(super) const fn new(schedule: Schedule, begin: Instant) -> Self {
        let free = RefCell::new(VecDeque::new());
        Self { begin, schedule: RefCell::new(schedule), free, pacer: RefCell::new(None), closed: Cell::new(false) }
    }

    fn next_due(&self) -> Option<Instant> {
        if self.closed.get() { None } else { Some(self.begin + self.schedule.borrow().peek()?) }
    }

    /// The next request for a connection that is free now; `None` if there will be none any more.
    pub(super) async fn next(&self, place: &Rc<Place>) -> Option<Due> {
        self.hand_out(Instant::now());
        let now = Instant::now();
        match self.next_due() {
            None => return None,
            Some(since) if since <= now => {
                self.schedule.borrow_mut().advance();
                return Some(Due { since, was_free: false });
            }
            Some(_) => {}
        }
        self.free.borrow_mut().push_back(Rc::clone(place));
        if let Some(pacer) = self.pacer.borrow_mut().take() {
            pacer.wake();
        }
        poll_fn(|cx| {
            if let Some(due) = place.given.take() {
                return Poll::Ready(Some(due));
            }
            if self.next_due().is_none() {
                return Poll::Ready(None);
            }
            *place.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Gives what is due to those that are free.
    fn hand_out(&self, now: Instant) {
        let mut free = self.free.borrow_mut();
        while let Some(since) = self.next_due().filter(|since| *since <= now) {
            let Some(place) = free.pop_front() else { break };
            self.schedule.borrow_mut().advance();
            place.given.set(Some(Due { since, was_free: true }));
            place.wake();
        }
    }

    /// Hands out what becomes due, until nothing will.
    pub(super) async fn pace(&self) -> io::Result<()> {
        let timer = Timer::new()?;
        loop {
            let now = Instant::now();
            self.hand_out(now);
            match self.next_due() {
                None => break,
                Some(since) if since > now => timer.sleep(since - now).await?,
                Some(_) => self.somebody_is_free().await,
            }
        }
        self.close();
        Ok(())
    }

    async fn somebody_is_free(&self) {
        poll_fn(|cx| {
            if self.closed.get() || !self.free.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.pacer.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Nothing is handed out any more. Returns how many were due before `until` and nobody was free for, for each second
    /// from `from` on.
    pub(super) fn close_at(&self, until: Instant, from: Duration) -> Vec<(Duration, u64)> {
        self.hand_out(until);
        let until = until.saturating_duration_since(self.begin);
        let mut left = Vec::new();
        if !self.closed.get() {
            let schedule = self.schedule.borrow();
            let (mut at, mut before) = (from, schedule.left_before(from));
            while at < until {
                let next = (at + Duration::from_secs(1)).min(until);
                let all = schedule.left_before(next);
                left.extend((all > before).then_some((at, all - before)));
                (at, before) = (next, all);
            }
        }
        self.close();
        left
    }

    fn close(&self) {
        self.closed.set(true);
        for place in self.free.borrow_mut().drain(..) {
            place.wake();
        }
        if let Some(pacer) = self.pacer.borrow_mut().take() {
            pacer.wake();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Mode, Plan};
    use super::*;

    /// Due at 0, 1 and so on, in seconds since this long ago.
    fn arrivals(ago: Duration) -> Arrivals {
        let mode = Mode::Rate { per_second: 1.0, connections: 1 };
        let plan = Plan { mode, ..Plan::new(([127, 0, 0, 1], 1).into(), "mp.lab.test") };
        Arrivals::new(Schedule::new(&plan, 0, 1).unwrap(), Instant::now() - ago)
    }

    fn now_or_never<T>(what: impl Future<Output = T>) -> Option<T> {
        let mut cx = std::task::Context::from_waker(Waker::noop());
        match std::pin::pin!(what).poll(&mut cx) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_waited_for_a_busy_connection_is_not_the_generators_fault() {
        let arrivals = arrivals(Duration::from_millis(2500));
        let place = Rc::new(Place::default());
        let due: Vec<_> = (0..3).map(|_| now_or_never(arrivals.next(&place)).flatten().unwrap()).collect();
        let expected = [0, 1, 2].map(|s| Due { since: arrivals.begin + Duration::from_secs(s), was_free: false });
        assert_eq!(due, expected);
    }

    #[test]
    fn what_finds_a_free_connection_is() {
        let arrivals = arrivals(Duration::ZERO);
        let place = Rc::new(Place::default());
        arrivals.schedule.borrow_mut().advance();
        let mut next = std::pin::pin!(arrivals.next(&place));
        assert_eq!(now_or_never(next.as_mut()), None, "nothing is due yet");
        let due = arrivals.begin + Duration::from_secs(1);
        arrivals.hand_out(due);
        assert_eq!(now_or_never(next), Some(Some(Due { since: due, was_free: true })));
    }
}
