//! What goes wrong, when, and for how long: a list that follows from the seed alone.

use std::fmt;
use std::time::Duration;

/// The site systems, by their numbers.
pub(crate) const SERVERS: [&str; 7] = ["mp1", "mp2", "mp3", "dp1", "dp2", "dp3", "dp4"];

/// How a server is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// Connections are refused; those that are open go on.
    Refuse,
    /// Connections are accepted, and nothing is read.
    Silent,
    /// Requests are read and not answered.
    Hang,
    /// Connections are reset before an answer, or in the middle of one.
    Reset,
    /// Idle connections are closed, and the others after an answer that does not say so.
    CloseIdle,
    /// Everything is answered with this.
    Status(u16),
    /// Bodies come in small pieces.
    Dribble,
    /// A body is shorter than it says.
    Short,
    /// An unasked answer follows each.
    Long,
    /// Answers are no HTTP.
    Garbage,
    /// Connections are refused and taken in turn.
    Flap,
}

impl Ill {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuses connections",
            Self::Silent => "accepts and reads nothing",
            Self::Hang => "reads and answers nothing",
            Self::Reset => "resets connections",
            Self::CloseIdle => "closes idle connections",
            Self::Status(404) => "answers 404",
            Self::Status(500) => "answers 500",
            Self::Status(_) => "answers 503",
            Self::Dribble => "dribbles",
            Self::Short => "ends bodies early",
            Self::Long => "sends unasked answers",
            Self::Garbage => "answers with what is no HTTP",
            Self::Flap => "comes and goes",
        }
    }

    /// Whether probes fail meanwhile, so that rolegate has to see it.
    pub(crate) const fn is_seen_by_probes(self) -> bool {
        match self {
            Self::Refuse | Self::Silent | Self::Hang | Self::Garbage | Self::Status(500 | 503) => true,
            Self::Reset | Self::CloseIdle | Self::Status(_) | Self::Dribble | Self::Short | Self::Long | Self::Flap => {
                false
            }
        }
    }
}

/// How the configuration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// This server is not in it for a while.
    Drain(usize),
    /// This server has another weight.
    Weight(usize, u16),
    /// A server of one boundary group is in the other too.
    Shift,
    /// It has a mistake.
    Broken,
    /// It is written in two halves.
    Halves,
    /// There is no file.
    Removed,
    /// The certificate of the listener is renewed.
    Renewed,
}

/// What is done to a reader of what rolegate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It reads nothing for a while.
    Stops,
    /// It closes its end. That of the access log comes back.
    Goes,
}

/// One kind of disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Server(usize, Ill),
    Reload(Change),
    Log(Reading),
    AccessLog(Reading),
    /// rolegate may open no more files than it has open.
    Descriptors,
    /// rolegate stands still (SIGSTOP).
    Stop,
}

impl Act {
    /// Its kind, for the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server(_, ill) => ill.name(),
            Self::Reload(Change::Drain(_)) => "configuration: a server is taken out and comes back",
            Self::Reload(Change::Weight(..)) => "configuration: another weight",
            Self::Reload(Change::Shift) => "configuration: a server is in another boundary group too",
            Self::Reload(Change::Broken) => "configuration: a mistake",
            Self::Reload(Change::Halves) => "configuration: written in two halves",
            Self::Reload(Change::Removed) => "configuration: removed and written again",
            Self::Reload(Change::Renewed) => "certificate renewed",
            Self::Log(Reading::Stops) => "the reader of the log stands still",
            Self::Log(Reading::Goes) => "the reader of the log goes away",
            Self::AccessLog(Reading::Stops) => "the reader of the access log stands still",
            Self::AccessLog(Reading::Goes) => "the reader of the access log goes away",
            Self::Descriptors => "no more descriptors",
            Self::Stop => "the process stands still",
        }
    }
}

/// A disturbance, from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) act: Act,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.act {
            Act::Server(server, ill) => write!(f, "{} {}", SERVERS[server], ill.name())?,
            Act::Reload(Change::Drain(server) | Change::Weight(server, _)) => {
                write!(f, "{}, {}", self.act.name(), SERVERS[server])?;
            }
            act => f.write_str(act.name())?,
        }
        write!(f, ", for {} ms", self.lasts.as_millis())
    }
}

fn millis(dice: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(dice.u64(range))
}

fn ill(dice: &mut fastrand::Rng) -> Ill {
    let all = [
        Ill::Refuse,
        Ill::Silent,
        Ill::Hang,
        Ill::Reset,
        Ill::CloseIdle,
        Ill::Status(500),
        Ill::Status(503),
        Ill::Status(404),
        Ill::Dribble,
        Ill::Short,
        Ill::Long,
        Ill::Garbage,
        Ill::Flap,
    ];
    all[dice.usize(0..all.len())]
}

fn change(dice: &mut fastrand::Rng) -> Change {
    match dice.u8(0..9) {
        0 | 1 => Change::Drain(dice.usize(0..SERVERS.len())),
        2 => Change::Weight(dice.usize(0..SERVERS.len()), dice.u16(1..=1000)),
        3 => Change::Shift,
        4 => Change::Broken,
        5 => Change::Halves,
        6 => Change::Removed,
        _ => Change::Renewed,
    }
}

fn reading(dice: &mut fastrand::Rng) -> Reading {
    // A log without a reader has none for the rest of the run, so it stands still more often.
    if dice.u8(0..4) == 0 { Reading::Goes } else { Reading::Stops }
}

/// All that happens in a run of this length.
pub(crate) fn schedule(seed: u64, duration: Duration) -> Vec<Event> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut events = Vec::new();
    let mut at = millis(&mut dice, 50..300);
    while at < duration {
        let (act, longest) = match dice.u8(0..100) {
            0..55 => (Act::Server(dice.usize(0..SERVERS.len()), ill(&mut dice)), 3000),
            55..75 => (Act::Reload(change(&mut dice)), 1000),
            75..80 => (Act::Log(reading(&mut dice)), 2000),
            80..87 => (Act::AccessLog(reading(&mut dice)), 2000),
            87..93 => (Act::Descriptors, 1500),
            _ => (Act::Stop, 1200),
        };
        let lasts = millis(&mut dice, 100..longest).min(duration - at);
        events.push(Event { at, lasts, act });
        at += millis(&mut dice, 100..900);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_follows_from_its_seed_alone_and_has_all_kinds() {
        let hour = Duration::from_secs(3600);
        let events = schedule(7, hour);
        assert_eq!(events, schedule(7, hour));
        assert_ne!(events, schedule(8, hour));
        assert!(events.iter().all(|event| event.at + event.lasts <= hour));
        let mut kinds: Vec<_> = events.iter().map(|event| event.act.name()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), 13 + 7 + 2 + 2 + 2, "{kinds:?}");
        // A shorter run begins in the same way.
        let short = schedule(7, Duration::from_secs(60));
        assert!(short.iter().zip(&events).all(|(one, other)| (one.at, one.act) == (other.at, other.act)));
    }
}
