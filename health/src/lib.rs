//! Who is well: probes, trackers, schedules and passive detection.
//!
//! This crate answers one question for a load balancer: which servers may get traffic? It knows nothing about
//! routes, roles or configuration files, and nothing in it decides where a request goes.
//!
//! ```text
//!  Probe ──Attempt──▶ Tracker ──Transition──▶ HealthEvent ─▶ whoever routes      (active: we ask)
//!    ▲                   │
//!    └──── Schedule ◀────┘ Phase
//!
//!  live traffic ──▶ Passive ──alarm──▶ Ejections ──Change──▶ whoever routes      (passive: we watch)
//! ```
//!
//! - A [`Probe`] asks a server one question and has a deadline. It gives a [`Verdict`].
//! - A [`Tracker`] turns a row of verdicts into one [`Health`], so that a single lost packet changes nothing.
//! - A [`Schedule`] says when to ask again.
//! - The [`Checker`] runs these three for many servers at once and reports every [`Transition`].
//! - [`Passive`] counts how live requests end. It is all atomics, so the threads that serve requests share it freely.
//! - [`Ejections`] decides what an alarm is worth: it never empties a cluster on a guess.
//!
//! Trackers, histories and ejections are pure: time and dice are passed in, so a test needs no clock.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use rolegate_health::{Failure, FailureKind, Health, Schedule, Tracker, Verdict};
//!
//! let mut tracker = Tracker::new(&Schedule::default());
//! let now = SystemTime::now();
//! let took = Duration::from_millis(3);
//!
//! tracker.observe(now, took, Verdict::Pass, Some(200));
//! assert_eq!(tracker.health(), Health::Up, "the first result decides at once");
//!
//! let refused = || Verdict::Fail(Failure::new(FailureKind::Refused, "connect to 192.0.2.7:80: refused"));
//! assert!(tracker.observe(now, took, refused(), None).is_none());
//! assert!(tracker.observe(now, took, refused(), None).is_none());
//! let down = tracker.observe(now, took, refused(), None).expect("the third failure in a row");
//! assert_eq!(down.to, Health::Down);
//! ```

#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

#[allow(clippy::disallowed_methods, reason = "people read when a probe failed")]
#[allow(clippy::disallowed_types, reason = "probes are no part of the data path")]
mod checker;
mod ejection;
mod history;
mod passive;
mod probe;
mod schedule;
mod shortage;
mod status;
mod tracker;
mod verdict;

pub use checker::{Checker, Counts, HealthEvent, Report, Target};
pub use ejection::{Change, Ejections, Member};
pub use history::{HISTORY_LENGTH, History, Record};
pub use passive::{Ending, Passive, PassivePolicy};
pub use probe::{Attempt, HttpProbe, Probe, TlsProbe};
pub use schedule::{Phase, Schedule};
pub use shortage::is_own_shortage;
pub use status::Health;
pub use tracker::{Tracker, Transition};
pub use verdict::{DETAIL_LIMIT, Failure, FailureKind, Outcome, Verdict};
