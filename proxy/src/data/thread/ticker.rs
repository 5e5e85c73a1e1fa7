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

use arrayvec::ArrayVec;
use slab::Slab;
use tokio::time::Instant;

/// How often the table is looked through.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;
/// Connections that are told to give way at a time, at most: looking for them goes through the whole table.
const MOST: usize = 32;
/// Ticks for which a connection is left alone after it has been of use, or has begun: its next request may be on its way.
const GRACE: u32 = 5;
/// One of this many idle connections is told, but one at least.
const SHARE: usize = 8;

/// The table of one data thread.
#[derive(Debug)]
pub struct Ticker {
    epoch: Instant,
    now_ms: Cell<u64>,
    timers: RefCell<Slab<Slot>>,
}

/// Small, and in one piece of memory: tens of thousands of idle connections have one each, and all are looked at ten times
/// a second.
#[derive(Debug)]
struct Slot {
    deadline_ms: u64,
    /// The deadline of everything, which setting the other one does not move.
    cap_ms: u64,
    waker: Option<Waker>,
    of: Of,
}

/// What the deadline is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Some work.
    Work,
    /// A client connection on which nothing is under way, since this tick. `told`: it is to give way to another one.
    Idle { since: u32, told: bool },
    /// A tunnel to this endpoint. `told`: it is to end, so that its client comes back elsewhere.
    Tunnel { endpoint: u32, told: bool },
}

/// Whether idle connections give way to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Some were told to, now or a moment ago.
    Soon,
    /// None has been idle for long enough.
    Never,
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

/// Why a connection that was waited for has no more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The deadline passed first.
    Late,
    /// It was idle, and gives way to another one.
    GivesWay,
}

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

    /// Ticks since the epoch.
    pub fn tick_number(&self) -> u32 {
        u32::try_from(self.now_ms() / TICK.as_millis() as u64).unwrap_or(u32::MAX)
    }

    /// A timer that is not set.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let entry = Slot { deadline_ms: NEVER, cap_ms: NEVER, waker: None, of: Of::Work };
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
        let of_tunnels = timers.iter().filter_map(|(_, entry)| match entry.of {
            Of::Tunnel { endpoint, .. } => Some(endpoint),
            Of::Work | Of::Idle { .. } => None,
        });
        let count = of_tunnels
            .inspect(|endpoint| {
                if !endpoints.contains(endpoint) {
                    endpoints.push(*endpoint);
                }
            })
            .count();
        (count, endpoints)
    }

    /// Tells up to `most` tunnels to these endpoints that they are to end.
    pub fn move_tunnels(&self, most: usize, leaving: impl Fn(u32) -> bool) {
        let mut left = most;
        for (_, entry) in self.timers.borrow_mut().iter_mut() {
            match &mut entry.of {
                Of::Tunnel { endpoint, told } if left > 0 && !*told && leaving(*endpoint) => *told = true,
                Of::Tunnel { .. } | Of::Work | Of::Idle { .. } => continue,
            }
            left -= 1;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Tells some of the connections that have been idle for longest to give way to others, unless some were told before and are
    /// still there.
    pub fn make_room(&self) -> Room {
        let mut timers = self.timers.borrow_mut();
        if timers.iter().any(|(_, entry)| matches!(entry.of, Of::Idle { told: true, .. })) {
            return Room::Soon;
        }
        let told = Self::tell_idle(&mut timers, self.tick_number(), |idle| idle / SHARE);
        if told == 0 { Room::Never } else { Room::Soon }
    }

    /// Tells some of the connections that have been idle for longest to end, so many that none is left after this number of ticks.
    pub fn dismiss(&self, ticks: u64) {
        let ticks = usize::try_from(ticks).unwrap_or(usize::MAX).max(1);
        Self::tell_idle(&mut self.timers.borrow_mut(), self.tick_number(), |idle| idle.div_ceil(ticks));
    }

    /// Tells those that have been idle for longest, of all that are idle as many as `share` says, one at least and few at a time.
    fn tell_idle(timers: &mut Slab<Slot>, now: u32, share: impl FnOnce(usize) -> usize) -> usize {
        let (mut longest, mut idle) = (ArrayVec::<(u32, usize), MOST>::new(), 0);
        for (place, entry) in timers.iter() {
            match entry.of {
                Of::Idle { since, told: false } if since.saturating_add(GRACE) <= now => {
                    idle += 1;
                    let at = longest.partition_point(|known| *known <= (since, place));
                    if at < MOST {
                        longest.truncate(MOST - 1);
                        longest.insert(at, (since, place));
                    }
                }
                Of::Idle { .. } | Of::Work | Of::Tunnel { .. } => {}
            }
        }
        let share = share(idle).max(1);
        for &(since, place) in longest.iter().take(share) {
            let entry = &mut timers[place];
            entry.of = Of::Idle { since, told: true };
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
        longest.len().min(share)
    }

    /// Wakes up to `most` of those that wait for something, idle connections and tunnels, from this place in the table on: what they
    /// rely on has changed. Gives the place to go on from; `None` at the end.
    pub fn wake_some(&self, from: usize, most: usize) -> Option<usize> {
        let mut left = most;
        let mut timers = self.timers.borrow_mut();
        let end = timers.iter().next_back().map_or(0, |(place, _)| place + 1);
        for place in from..end {
            let Some(entry) = timers.get_mut(place).filter(|entry| entry.of != Of::Work) else { continue };
            if left == 0 {
                return Some(place);
            }
            left -= 1;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
        None
    }
}

impl Slot {
    fn stir(&mut self) {
        if matches!(self.of, Of::Idle { .. }) {
            self.of = Of::Work;
        }
    }
}

impl Timer {
    fn with<T>(&self, use_it: impl FnOnce(&mut Slot) -> T) -> T {
        use_it(&mut self.ticker.timers.borrow_mut()[self.place])
    }

    /// Sets the deadline; a tick is added because the clock may be one behind.
    pub fn set(&self, after: Duration) {
        self.begin(after, None);
    }

    /// As [`Self::set`], of a client connection on which nothing is under way: when there are too many, it gives way to another
    /// one, as if the deadline had passed. Until the deadline is set or taken away again.
    pub fn set_idle(&self, after: Duration) {
        self.begin(after, Some(Of::Idle { since: self.ticker.tick_number(), told: false }));
    }

    fn begin(&self, after: Duration, idle: Option<Of>) {
        let after = u64::try_from(after.saturating_add(TICK).as_millis()).unwrap_or(NEVER);
        let deadline_ms = self.ticker.now_ms().saturating_add(after);
        self.with(|entry| {
            entry.deadline_ms = deadline_ms;
            entry.stir();
            entry.of = idle.unwrap_or(entry.of);
        });
    }

    /// Something has come on the connection; its deadline stays.
    pub fn stir(&self) {
        self.with(Slot::stir);
    }

    /// Whether its connection is idle and gives way to another one.
    pub fn gives_way(&self) -> bool {
        self.with(|entry| matches!(entry.of, Of::Idle { told: true, .. }))
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
        self.with(|entry| {
            entry.deadline_ms = NEVER;
            entry.stir();
        });
    }

    /// It is the timer of a tunnel to this endpoint from now on.
    pub fn belongs_to(&self, endpoint_id: u32) {
        self.with(|entry| entry.of = Of::Tunnel { endpoint: endpoint_id, told: false });
    }

    /// Whether its tunnel is to end.
    pub fn moved(&self) -> bool {
        self.with(|entry| matches!(entry.of, Of::Tunnel { told: true, .. }))
    }

    /// Its tunnel is to end, if that is so and it was not told yet. The bound of its deadline has done its work then.
    pub fn move_away_if(&self, leaves: impl Fn() -> bool) {
        if self.moved() || !leaves() {
            return;
        }
        self.with(|entry| {
            entry.cap_ms = NEVER;
            if let Of::Tunnel { told, .. } = &mut entry.of {
                *told = true;
            }
        });
    }

    /// Whether the deadline has passed; if not, the task is woken when it has.
    pub fn poll_elapsed(&self, cx: &Context<'_>) -> Poll<Elapsed> {
        let now = self.ticker.now_ms();
        self.with(|entry| {
            if entry.deadline_ms.min(entry.cap_ms) <= now || matches!(entry.of, Of::Idle { told: true, .. }) {
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
        let result = self.bound(work).await;
        self.clear();
        result
    }

    /// As [`Self::within`], of a client connection that is idle until `work` says otherwise with [`Self::stir`].
    ///
    /// # Errors
    /// [`Overdue`]; `work` is dropped.
    pub async fn within_idle<F: Future>(&self, after: Duration, work: F) -> Result<F::Output, Overdue> {
        self.set_idle(after);
        let result = self.bound(work).await;
        let why = if self.gives_way() { Overdue::GivesWay } else { Overdue::Late };
        self.clear();
        result.map_err(|Elapsed| why)
    }

    async fn bound<F: Future>(&self, work: F) -> Result<F::Output, Elapsed> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.poll_elapsed(cx).map(Err)
        })
        .await
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
    async fn those_that_have_been_idle_for_longest_give_way() {
        with_ticker(|ticker| async move {
            let busy = ticker.timer();
            busy.set(Duration::from_secs(5));
            assert_eq!(ticker.make_room(), Room::Never);
            let mut idle: Vec<Timer> = Vec::new();
            for _ in 0..24 {
                let timer = ticker.timer();
                timer.set_idle(Duration::from_secs(500));
                idle.insert(0, timer);
                tokio::time::sleep(TICK).await;
            }
            let told = || idle.iter().rposition(|timer| !timer.gives_way()).map_or(24, |place| 23 - place);
            assert_eq!((ticker.make_room(), told()), (Room::Soon, 2));
            assert_eq!((ticker.make_room(), told()), (Room::Soon, 2), "they are still there");
            let old = idle.split_off(22);
            let woken = old.iter().map(|timer| timer.poll_elapsed(&Context::from_waker(Waker::noop())));
            assert!(woken.eq([Poll::Ready(Elapsed); 2]), "as if the time had passed");
            drop(old);
            let told = || idle.iter().filter(|timer| timer.gives_way()).count();
            assert_eq!((ticker.make_room(), told()), (Room::Soon, 2));
            // A request comes at the last moment: it is served.
            idle.iter().for_each(Timer::stir);
            assert_eq!((told(), ticker.make_room()), (0, Room::Never));
            // Nor does one whose next request may be on its way.
            idle[0].set_idle(Duration::from_secs(5));
            assert_eq!(ticker.make_room(), Room::Never);
            tokio::time::sleep(GRACE * TICK).await;
            assert_eq!((ticker.make_room(), told()), (Room::Soon, 1));
            idle[0].clear();
            assert_eq!((ticker.make_room(), told()), (Room::Never, 0));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_are_woken_a_few_at_a_time() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        with_ticker(|ticker| async move {
            let count = std::sync::Arc::new(Count(std::sync::atomic::AtomicUsize::new(0)));
            let waker = Waker::from(std::sync::Arc::clone(&count));
            let timers: Vec<Timer> = (0..10).map(|_| ticker.timer()).collect();
            for (number, timer) in timers.iter().enumerate() {
                match number % 3 {
                    0 => timer.set_idle(Duration::from_secs(500)),
                    1 => timer.belongs_to(7),
                    _ => timer.set(Duration::from_secs(500)),
                }
                let _ = timer.poll_elapsed(&Context::from_waker(&waker));
            }
            let woken = || count.0.load(std::sync::atomic::Ordering::Relaxed);
            let next = ticker.wake_some(0, 3);
            assert_eq!((woken(), next), (3, Some(4)));
            let next = ticker.wake_some(4, 3);
            assert_eq!((woken(), next), (6, Some(9)));
            assert_eq!((ticker.wake_some(9, 3), woken()), (None, 7));
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
