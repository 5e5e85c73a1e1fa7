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
/// Of a timer that belongs to no tunnel.
const NO_ENDPOINT: u32 = u32::MAX;

/// The table of one data thread.
#[derive(Debug)]
pub struct Ticker {
    epoch: Instant,
    now_ms: Cell<u64>,
    timers: RefCell<Slab<Entry>>,
}

/// Small, and in one piece of memory: tens of thousands of idle connections have one each, and all are looked at ten times
/// a second.
#[derive(Debug)]
struct Entry {
    deadline_ms: u64,
    /// The deadline of everything, which setting the other one does not move.
    cap_ms: u64,
    waker: Option<Waker>,
    /// The endpoint of a tunnel.
    endpoint: u32,
    /// The tunnel is to end, so that its client comes back elsewhere.
    moved: bool,
}

/// One deadline. Gives its place in the table back when dropped.
#[derive(Debug)]
pub struct Timer {
    ticker: Rc<Ticker>,
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
        let entry = Entry { deadline_ms: NEVER, cap_ms: NEVER, waker: None, endpoint: NO_ENDPOINT, moved: false };
        let place = self.timers.borrow_mut().insert(entry);
        Timer { ticker: Rc::clone(self), place }
    }

    /// Wakes everybody, so that they see that the process is shutting down.
    pub fn wake_all(&self) {
        for (_, entry) in self.timers.borrow_mut().iter_mut() {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Looks through the table once and wakes what is late.
    pub fn tick(&self) {
        let now = self.exact_ms();
        self.now_ms.set(now);
        for (_, entry) in self.timers.borrow_mut().iter_mut() {
            if entry.deadline_ms.min(entry.cap_ms) <= now
                && let Some(waker) = entry.waker.take()
            {
                waker.wake();
            }
        }
    }

    /// How many tunnels there are, and to which endpoints, each once.
    pub fn tunnels(&self) -> (usize, Vec<u32>) {
        let mut endpoints: Vec<u32> = Vec::new();
        let timers = self.timers.borrow();
        let of_tunnels = timers.iter().filter(|(_, entry)| entry.endpoint != NO_ENDPOINT);
        let count = of_tunnels
            .inspect(|(_, entry)| {
                if !endpoints.contains(&entry.endpoint) {
                    endpoints.push(entry.endpoint);
                }
            })
            .count();
        (count, endpoints)
    }

    /// Tells up to `most` tunnels to these endpoints that they are to end.
    pub fn move_tunnels(&self, most: usize, leaving: impl Fn(u32) -> bool) {
        let mut timers = self.timers.borrow_mut();
        let moving = timers
            .iter_mut()
            .filter(|(_, entry)| entry.endpoint != NO_ENDPOINT && !entry.moved && leaving(entry.endpoint));
        for (_, entry) in moving.take(most) {
            entry.moved = true;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Timer {
    fn with<T>(&self, use_it: impl FnOnce(&mut Entry) -> T) -> T {
        use_it(&mut self.ticker.timers.borrow_mut()[self.place])
    }

    /// Sets the deadline; a tick is added because the clock may be one behind.
    pub fn set(&self, after: Duration) {
        let after = u64::try_from((after + TICK).as_millis()).unwrap_or(NEVER);
        let deadline_ms = self.ticker.now_ms().saturating_add(after);
        self.with(|entry| entry.deadline_ms = deadline_ms);
    }

    /// Bounds all deadlines that are set from now on; `None` takes the bound away.
    pub fn cap(&self, after: Option<Duration>) {
        let after = after.map_or(NEVER, |after| u64::try_from((after + TICK).as_millis()).unwrap_or(NEVER));
        let cap_ms = self.ticker.now_ms().saturating_add(after);
        self.with(|entry| entry.cap_ms = cap_ms);
    }

    /// Whether it was the bound of everything that passed.
    pub fn cap_passed(&self) -> bool {
        self.with(|entry| entry.cap_ms) <= self.ticker.now_ms()
    }

    /// Whether a deadline passed this long ago and nobody has minded.
    pub fn overdue(&self, margin: Duration) -> bool {
        let margin = u64::try_from(margin.as_millis()).unwrap_or(NEVER);
        self.with(|entry| entry.deadline_ms).saturating_add(margin) <= self.ticker.now_ms()
    }

    /// Takes the deadline away.
    pub fn clear(&self) {
        self.with(|entry| entry.deadline_ms = NEVER);
    }

    /// It is the timer of a tunnel to this endpoint from now on.
    pub fn belongs_to(&self, endpoint_id: u32) {
        self.with(|entry| entry.endpoint = endpoint_id);
    }

    /// Whether its tunnel is to end.
    pub fn moved(&self) -> bool {
        self.with(|entry| entry.moved)
    }

    /// Whether the deadline has passed; if not, the task is woken when it has.
    pub fn poll_elapsed(&self, cx: &Context<'_>) -> Poll<Elapsed> {
        let now = self.ticker.now_ms();
        self.with(|entry| {
            if entry.deadline_ms.min(entry.cap_ms) <= now {
                return Poll::Ready(Elapsed);
            }
            match &mut entry.waker {
                Some(known) => known.clone_from(cx.waker()),
                None => entry.waker = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
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
    async fn tunnels_are_told_to_move_a_few_at_a_time() {
        with_ticker(|ticker| async move {
            let tunnels: Vec<Timer> = (0..10).map(|_| ticker.timer()).collect();
            let other = ticker.timer();
            for (number, tunnel) in tunnels.iter().enumerate() {
                tunnel.belongs_to(u32::from(number >= 4));
            }
            assert_eq!(ticker.tunnels(), (10, vec![0, 1]));
            let moved = || tunnels.iter().filter(|tunnel| tunnel.moved()).count();
            ticker.move_tunnels(2, |endpoint| endpoint == 1);
            assert_eq!(moved(), 2);
            ticker.move_tunnels(100, |endpoint| endpoint == 1);
            assert_eq!(moved(), 6);
            ticker.move_tunnels(100, |_| true);
            assert!(moved() == 10 && !other.moved());
        })
        .await;
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
