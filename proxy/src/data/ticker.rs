//! Deadlines without a timer per request.
//!
//! A connection sets a deadline many times for every time that one passes. So a deadline is a plain number in a table of
//! the data thread, and one task looks through the table ten times a second and wakes whoever is late. Setting one costs
//! a store; the price is a precision of [`TICK`], which no network timeout notices.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

/// How often the table is looked through.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// The table of one data thread.
#[derive(Debug)]
pub struct Ticker {
    epoch: Instant,
    now_ms: Cell<u64>,
    timers: RefCell<Slab<Rc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    deadline_ms: Cell<u64>,
    /// The deadline of everything, which setting the other one does not move.
    cap_ms: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// One deadline. Gives its place in the table back when dropped.
#[derive(Debug)]
pub struct Timer {
    ticker: Rc<Ticker>,
    entry: Rc<Entry>,
    place: usize,
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Ticker {
    /// A table whose clock started at `epoch`, which all threads share.
    pub fn new(epoch: Instant) -> Rc<Self> {
        let ticker = Self { epoch, now_ms: Cell::new(0), timers: RefCell::default() };
        ticker.now_ms.set(ticker.exact_ms());
        Rc::new(ticker)
    }

    /// Milliseconds since the epoch, at most one tick old.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn exact_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// A timer that is not set.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let entry =
            Rc::new(Entry { deadline_ms: Cell::new(NEVER), cap_ms: Cell::new(NEVER), waker: RefCell::default() });
        let place = self.timers.borrow_mut().insert(Rc::clone(&entry));
        Timer { ticker: Rc::clone(self), entry, place }
    }

    /// Wakes everybody, so that they see that the process is shutting down.
    pub fn wake_all(&self) {
        for (_, entry) in self.timers.borrow().iter() {
            if let Some(waker) = entry.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Looks through the table once and wakes what is late.
    pub fn tick(&self) {
        let now = self.exact_ms();
        self.now_ms.set(now);
        for (_, entry) in self.timers.borrow().iter() {
            if entry.deadline_ms.get().min(entry.cap_ms.get()) <= now
                && let Some(waker) = entry.waker.borrow_mut().take()
            {
                waker.wake();
            }
        }
    }
}

impl Timer {
    /// Sets the deadline; a tick is added because the clock may be one behind.
    pub fn set(&self, after: Duration) {
        let after = u64::try_from((after + TICK).as_millis()).unwrap_or(NEVER);
        self.entry.deadline_ms.set(self.ticker.now_ms().saturating_add(after));
    }

    /// Bounds all deadlines that are set from now on; `None` takes the bound away.
    pub fn cap(&self, after: Option<Duration>) {
        let after = after.map_or(NEVER, |after| u64::try_from((after + TICK).as_millis()).unwrap_or(NEVER));
        self.entry.cap_ms.set(self.ticker.now_ms().saturating_add(after));
    }

    /// Whether it was the bound of everything that passed.
    pub fn cap_passed(&self) -> bool {
        self.entry.cap_ms.get() <= self.ticker.now_ms()
    }

    /// Takes the deadline away.
    pub fn clear(&self) {
        self.entry.deadline_ms.set(NEVER);
    }

    /// Whether the deadline has passed; if not, the task is woken when it has.
    pub fn poll_elapsed(&self, cx: &Context<'_>) -> Poll<Elapsed> {
        let deadline = self.entry.deadline_ms.get().min(self.entry.cap_ms.get());
        if deadline <= self.ticker.now_ms() {
            return Poll::Ready(Elapsed);
        }
        let mut waker = self.entry.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs `work` until the deadline.
    ///
    /// # Errors
    /// [`Elapsed`] when the deadline passed first; `work` is dropped.
    pub async fn within<F: Future>(&self, after: Duration, work: F) -> Result<F::Output, Elapsed> {
        self.set(after);
        let mut work = pin!(work);
        let result = poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll_elapsed(cx).map(Err)
        })
        .await;
        self.clear();
        result
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.ticker.timers.borrow_mut().remove(self.place);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn with_ticker<F: Future>(work: impl FnOnce(Rc<Ticker>) -> F) -> F::Output {
        let ticker = Ticker::new(Instant::now());
        let ticks = async {
            let mut interval = tokio::time::interval(TICK);
            loop {
                interval.tick().await;
                ticker.tick();
            }
        };
        tokio::select! { biased; done = work(Rc::clone(&ticker)) => done, () = ticks => unreachable!() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_within_two_ticks() {
        let waited = with_ticker(|ticker| async move {
            let start = Instant::now();
            let timer = ticker.timer();
            let never = std::future::pending::<()>();
            assert_eq!(timer.within(Duration::from_secs(3), never).await, Err(Elapsed));
            start.elapsed()
        })
        .await;
        assert!(waited >= Duration::from_secs(3) && waited <= Duration::from_millis(3200), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_in_time_wins_and_places_are_given_back() {
        with_ticker(|ticker| async move {
            let timer = ticker.timer();
            assert_eq!(timer.within(Duration::from_secs(1), async { 7 }).await, Ok(7));
            let slow = tokio::time::sleep(Duration::from_millis(900));
            assert_eq!(timer.within(Duration::from_secs(1), slow).await, Ok(()));
            drop(timer);
            assert!(ticker.timers.borrow().is_empty());
        })
        .await;
    }
}
