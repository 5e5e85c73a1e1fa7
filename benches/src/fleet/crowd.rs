//! The idle clients of one thread: next to nothing each, and a heap that says who is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::activity::Activity;
use super::schedule::{COUNT, Schedule, Tick};

/// What is remembered of a client: when each activity is due next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    due: [Tick; COUNT],
}

impl Person {
    fn earliest(&self) -> Tick {
        self.due.iter().copied().min().unwrap_or(Tick::NEVER)
    }
}

/// Something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Occasion {
    /// The client's number in the fleet.
    pub client: u32,
    /// What it does.
    pub activity: Activity,
    /// Since when.
    pub due: Tick,
}

/// Every `stride`th client from `first` on.
///
/// **Invariant:** for whoever is due in this run there is an entry of the heap at its earliest time. Others may be stale.
#[derive(Debug)]
pub struct Crowd {
    schedule: Arc<Schedule>,
    first: u32,
    stride: u32,
    people: Vec<Person>,
    heap: BinaryHeap<Reverse<(Tick, u32)>>,
    /// Due and not yet taken.
    ready: Vec<Occasion>,
    /// How often in a row something has failed, where it has.
    failures: HashMap<(u32, Activity), u32>,
}

impl Crowd {
    /// The clients of thread `first` of `stride` threads.
    #[must_use]
    pub fn new(schedule: &Arc<Schedule>, clients: u32, first: u32, stride: u32) -> Self {
        let numbers = (first..clients).step_by(stride as usize);
        let people: Vec<_> = numbers.map(|client| Person { due: schedule.first(client) }).collect();
        let entries = (0..).zip(&people).map(|(place, person)| Reverse((person.earliest(), place)));
        let heap = entries.filter(|Reverse((due, _))| *due < Tick::NEVER).collect();
        Self {
            schedule: Arc::clone(schedule),
            first,
            stride,
            people,
            heap,
            ready: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// When somebody is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Tick> {
        match self.ready.last() {
            Some(ready) => Some(ready.due),
            None => self.heap.peek().map(|Reverse((due, _))| *due),
        }
    }

    /// Takes what is due by now, one at a time, the earliest first.
    pub fn pop(&mut self, now: Tick) -> Option<Occasion> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Some(ready);
            }
            let Reverse((due, place)) = *self.heap.peek().filter(|Reverse((due, _))| *due <= now)?;
            self.heap.pop();
            self.ready_of(place, due);
        }
    }

    fn ready_of(&mut self, place: u32, due: Tick) {
        let client = self.first + place * self.stride;
        let person = &mut self.people[place as usize];
        if person.earliest() > due {
            return;
        }
        for activity in Activity::ALL {
            let its = &mut person.due[activity.index()];
            if *its <= due {
                self.ready.push(Occasion { client, activity, due: *its });
                *its = self.schedule.next(client, activity, due);
            }
        }
        let next = person.earliest();
        if next < Tick::NEVER {
            self.heap.push(Reverse((next, place)));
        }
    }

    /// A client will try again what failed now: later, the more often it has failed in a row.
    pub fn failed(&mut self, client: u32, activity: Activity, now: Tick) {
        let before = self.failures.entry((client, activity)).or_default();
        let when = self.schedule.retry(client, activity, now, *before);
        *before = before.saturating_add(1);
        self.call(client, activity, when);
    }

    /// A client has done this.
    pub fn succeeded(&mut self, client: u32, activity: Activity) {
        // Nearly always there is nothing to forget.
        if !self.failures.is_empty() {
            self.failures.remove(&(client, activity));
        }
    }

    /// A client does this at `when`, or sooner if it is due sooner.
    pub fn call(&mut self, client: u32, activity: Activity, when: Tick) {
        let place = (client - self.first) / self.stride;
        let person = &mut self.people[place as usize];
        let before = person.earliest();
        let due = &mut person.due[activity.index()];
        *due = when.min(*due);
        if *due < before {
            self.heap.push(Reverse((*due, place)));
        }
    }

    /// How many clients there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Bytes that a client takes while it is idle, with its place in the heap.
    #[must_use]
    pub const fn bytes_per_client() -> usize {
        size_of::<Person>() + size_of::<Reverse<(Tick, u32)>>()
    }
}
