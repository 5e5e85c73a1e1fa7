//! When each client does what: pure arithmetic, without a clock and without dice.
//!
//! Nothing of a client is remembered but when it is due next. Its phase, its random delays and whether it takes part in
//! a storm follow from the seed, its number and the activity, whenever they are asked for.

use std::time::Duration;

use super::activity::{Activity, Habit};
use super::scenario::{Fleet, Storm};
use super::sources::Places;
use crate::mix::mix;

/// A time since the run began, in steps of 100 microseconds of ours: 4.9 days fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u32);

/// How many activities there are.
pub(super) const COUNT: usize = Activity::ALL.len();

const TICKS_PER_SECOND: f64 = 10_000.0;
/// Rounds of a period whose chances are drawn together, at most: a float counts far more of them exactly.
const MOST_ROUNDS: f64 = (1_u64 << 40) as f64;

impl Tick {
    /// Not in this run.
    pub const NEVER: Self = Self(u32::MAX);

    /// The tick at or before a time since the run began.
    #[must_use]
    pub fn at(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros() / 100).unwrap_or(u32::MAX))
    }

    /// The time since the run began.
    #[must_use]
    pub const fn time(self) -> Duration {
        Duration::from_micros(self.0 as u64 * 100)
    }
}

/// A scenario's schedules.
#[derive(Debug, Clone)]
pub struct Schedule {
    seed: u64,
    /// Ticks in a second of the clients.
    scale: f64,
    end: f64,
    habits: [Habit; COUNT],
    storms: Vec<Event>,
    start: Option<Event>,
    outage: Option<(f64, f64, f64)>,
    places: Places,
}

/// A storm, in the clients' seconds and with its groups' places.
#[derive(Debug, Clone)]
struct Event {
    salt: u64,
    at: f64,
    within: f64,
    share: f64,
    groups: Vec<usize>,
    activities: Vec<Activity>,
    apart: f64,
    /// For how long clients were off before it, at a start.
    off: f64,
}

impl Schedule {
    /// The schedules of a fleet.
    #[must_use]
    pub fn new(fleet: &Fleet) -> Self {
        let group = |name: &String| fleet.groups.iter().position(|group| group.name == *name);
        let event = |(salt, storm): (u64, &Storm)| Event {
            salt,
            at: storm.at.as_secs_f64(),
            within: storm.within.as_secs_f64(),
            share: storm.share,
            groups: storm.groups.iter().filter_map(group).collect(),
            activities: storm.activities.clone(),
            apart: storm.apart.as_secs_f64(),
            off: storm.off.as_secs_f64(),
        };
        let outage = fleet.outage.as_ref().map(|outage| {
            let at = outage.at.as_secs_f64();
            (at, at + outage.length.as_secs_f64(), outage.back.as_secs_f64())
        });
        Self {
            seed: mix(fleet.seed),
            scale: TICKS_PER_SECOND / fleet.speedup,
            end: fleet.total().as_secs_f64() * fleet.speedup,
            habits: fleet.habits.clone(),
            storms: (2..).zip(&fleet.storms).map(event).collect(),
            start: fleet.start.as_ref().map(|start| event((1, start))),
            outage,
            places: Places::new(&fleet.groups, fleet.clients),
        }
    }

    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// When a client does each activity first.
    #[must_use]
    pub fn first(&self, client: u32) -> [Tick; COUNT] {
        // The first tick is after this.
        Activity::ALL.map(|activity| self.after(client, activity, -1.0))
    }

    /// When a client does it next, after it was due at `was`: in a later tick.
    #[must_use]
    pub fn next(&self, client: u32, activity: Activity, was: Tick) -> Tick {
        self.after(client, activity, f64::from(was.0))
    }

    /// When a client tries again what failed `now`, and so many times in a row before.
    #[must_use]
    pub fn retry(&self, client: u32, activity: Activity, now: Tick, before: u32) -> Tick {
        let now = f64::from(now.0) / self.scale;
        let retries = &self.habits[activity.index()].retry;
        let retry = retries.get(before as usize).or(retries.last()).copied().unwrap_or_default();
        // Not all at once: up to a quarter sooner or later.
        let some = 0.75 + 0.5 * self.dice(client, 3, activity.index() as u64, now.to_bits());
        self.tick(self.held(client, now + retry.as_secs_f64() * some))
    }

    /// When a client asks for policy to which the server has said something `now`.
    #[must_use]
    pub fn answer(&self, client: u32, now: Tick, within: Duration) -> Tick {
        let now = f64::from(now.0) / self.scale;
        self.tick(now + within.as_secs_f64() * self.dice(client, 9, 0, now.to_bits()))
    }

    /// The same for the same question: 0 to 1, without 1.
    fn dice(&self, client: u32, what: u64, which: u64, time: u64) -> f64 {
        let number = mix(mix(mix(self.seed ^ u64::from(client)) ^ (what << 32) ^ which) ^ time);
        // 53 bits are what a float has.
        #[allow(clippy::cast_precision_loss)]
        let dice = (number >> 11) as f64 / (1_u64 << 53) as f64;
        dice
    }

    /// Whether this client is one of that share that has a token.
    #[must_use]
    pub fn has_token(&self, client: u32, share: f64) -> bool {
        self.dice(client, 10, 0, 0) < share
    }

    /// A number that is the same for the same client.
    #[must_use]
    pub fn seed_of(&self, client: u32) -> u64 {
        mix(self.seed ^ mix(u64::from(client) ^ 0x5eed))
    }

    fn tick(&self, second: f64) -> Tick {
        if second >= self.end {
            return Tick::NEVER;
        }
        // The bounds of a run leave room for every tick in it.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Tick(self.number(second).max(0.0) as u32)
    }

    /// The number of the tick that a second of the clients is in.
    fn number(&self, second: f64) -> f64 {
        (second * self.scale).floor()
    }

    /// When the client does it first in a tick after number `was`.
    fn after(&self, client: u32, activity: Activity, was: f64) -> Tick {
        let began = self.start.as_ref().map_or(0.0, |start| self.begins(client, start));
        let regular = self.regular(client, activity, was, began);
        let events = self.start.iter().chain(&self.storms);
        // A storm that comes before the client is switched on finds it when it is.
        let times = events.filter_map(|event| self.event(client, activity, event)).map(|time| time.max(began));
        let overdue = self.start.as_ref().and_then(|start| self.overdue(client, activity, start));
        let next = times.chain(overdue).filter(|time| self.number(*time) > was).fold(regular, f64::min);
        self.tick(self.held(client, next))
    }

    /// When a client that was off makes up for what its period would have had it do: after what it does at its start anyway.
    fn overdue(&self, client: u32, activity: Activity, start: &Event) -> Option<f64> {
        if start.off <= 0.0 || start.activities.contains(&activity) {
            return None;
        }
        let began = self.begins(client, start);
        let missed = self.regular(client, activity, f64::NEG_INFINITY, began - start.off);
        #[allow(clippy::cast_precision_loss)]
        let place = (start.activities.len() + activity.index()) as f64;
        (missed < began).then_some(began + start.apart * place)
    }

    fn begins(&self, client: u32, event: &Event) -> f64 {
        event.at + event.within * self.dice(client, 1, event.salt, 0)
    }

    /// When the client does it because of this event.
    fn event(&self, client: u32, activity: Activity, event: &Event) -> Option<f64> {
        let place = event.activities.iter().position(|its| *its == activity)?;
        let all = event.groups.is_empty() || event.groups.contains(&self.places.group(client));
        if !all || !self.does(client, activity) || self.dice(client, 2, event.salt, 0) >= event.share {
            return None;
        }
        #[allow(clippy::cast_precision_loss)]
        let apart = event.apart * place as f64;
        Some(self.begins(client, event) + apart)
    }

    /// Whether the client is one of those that do it at all.
    fn does(&self, client: u32, activity: Activity) -> bool {
        self.dice(client, 4, activity.index() as u64, 0) < self.habits[activity.index()].share
    }

    /// The next time by its own schedule, not before the client began; infinity if there is none in this run.
    fn regular(&self, client: u32, activity: Activity, was: f64, began: f64) -> f64 {
        let (habit, which) = (&self.habits[activity.index()], activity.index() as u64);
        let Some(period) = habit.period.map(|period| period.as_secs_f64()) else { return f64::INFINITY };
        if habit.chance <= 0.0 || !self.does(client, activity) {
            return f64::INFINITY;
        }
        let (phase, delay) = (period * self.dice(client, 5, which, 0), habit.delay.as_secs_f64());
        // A delay is not longer than a period, so that the next is among the following two. One before the run began
        // may have been put off into it.
        let mut round = ((((was + 1.0) / self.scale).max(began) - phase - delay) / period).floor();
        loop {
            round = self.happens(client, which, habit.chance, round, (self.end - phase) / period);
            let plain = phase + round * period;
            if plain > self.end {
                return f64::INFINITY;
            }
            let time = plain + delay * self.dice(client, 6, which, round.to_bits());
            if time >= began && self.number(time) > was {
                return time;
            }
            round += 1.0;
        }
    }

    /// The first round from this one on in which there is something to do, or one after the `last`. Each has the same chance.
    ///
    /// The way from one to the next is drawn, and not each round: a chance may be tiny. It is drawn anew for every block of
    /// rounds, so that it does not matter where one begins to look.
    fn happens(&self, client: u32, which: u64, chance: f64, from: f64, last: f64) -> f64 {
        if chance >= 1.0 {
            return from;
        }
        let rounds = (1.0 / chance).ceil().min(MOST_ROUNDS);
        let mut block = (from / rounds).floor();
        while block * rounds <= last {
            let seed = mix(block.to_bits());
            let (mut round, mut number) = (block * rounds, 0);
            loop {
                // What has never failed so far does so with this chance again. ln(0) is never asked for.
                let dice = 1.0 - self.dice(client, 7, which, seed.wrapping_add(number));
                round += (dice.ln() / (-chance).ln_1p()).floor();
                if round >= (block + 1.0) * rounds {
                    break;
                }
                if round >= from {
                    return round;
                }
                (round, number) = (round + 1.0, number + 1);
            }
            block += 1.0;
        }
        f64::INFINITY
    }

    /// The time at which something is done that is due then: later, if the client holds it during an outage.
    fn held(&self, client: u32, time: f64) -> f64 {
        match self.outage {
            Some((from, until, back)) if (from..until).contains(&time) => until + back * self.dice(client, 8, 0, 0),
            _ => time,
        }
    }
}
