//! What is done with a log: when, where to, and from where.

use std::io;
use std::time::Duration;

use super::log::{Log, Request};
use super::sources::Sources;
use crate::client::Tls;
use crate::fleet::Address;
use crate::load::bounds::{LONGEST_RUN, RATES};
use crate::threshold::Threshold;

/// Speeds that make sense.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1e6;

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tempo {
    /// When the log has them, so many times as fast: 0.001 to 1,000,000.
    Logged(f64),
    /// So many a second, in the order of the log.
    Rate(f64),
}

/// What is done with a log.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the run is called.
    pub name: String,
    /// What it was, in TOML, for its record.
    pub text: String,
    /// Where to.
    pub to: Address,
    /// The host that is asked for; what the log has if `None`, or else that of the target.
    pub host: Option<String>,
    /// Whether and how connections are secured.
    pub tls: Option<Tls>,
    /// What has to hold of it.
    pub thresholds: Vec<Threshold>,
    /// When.
    pub tempo: Tempo,
    /// Only what is due within this, of our time.
    pub duration: Option<Duration>,
    /// How long an answer may take, and how long a request may wait to be sent.
    pub timeout: Duration,
    /// How long a client keeps a connection between two requests; zero: not at all.
    pub keep: Duration,
    /// Where clients come from.
    pub sources: Sources,
    /// Requests under way at a time.
    pub under_way: u32,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan makes no sense: all reasons, a line each.
    #[error("{0}")]
    Plan(String),
    /// The TLS is not usable.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system does not let it.
    #[error("the system refuses what a replay needs: {0}")]
    System(#[from] io::Error),
}

impl Tempo {
    /// When the request at this place is due.
    pub(super) fn due(self, place: usize, request: &Request) -> Duration {
        match self {
            Self::Logged(speedup) => Duration::from_secs_f64(request.at_us as f64 / 1e6 / speedup),
            Self::Rate(rate) => Duration::from_secs_f64(place as f64 / rate),
        }
    }

    /// How long all of a log takes.
    fn length(self, log: &Log) -> Duration {
        match self {
            Self::Logged(speedup) => log.length().div_f64(speedup),
            Self::Rate(rate) => Duration::from_secs_f64(log.len() as f64 / rate),
        }
    }
}

impl Plan {
    /// How long this log takes.
    ///
    /// # Errors
    /// The plan makes no sense: all reasons.
    pub fn length(&self, log: &Log) -> Result<Duration, Error> {
        let mut wrong = Vec::new();
        match self.tempo {
            Tempo::Logged(speedup) if !SPEEDS.contains(&speedup) => {
                wrong.push(format!("--speedup: {speedup} is outside {} to {}", SPEEDS.start(), SPEEDS.end()));
            }
            Tempo::Rate(rate) if !RATES.contains(&rate) => {
                wrong.push(format!("--rate: {rate} is outside {} to {}", RATES.start(), RATES.end()));
            }
            Tempo::Logged(_) | Tempo::Rate(_) => {}
        }
        let zero = [("--timeout", Some(self.timeout)), ("--duration", self.duration)];
        for (flag, _) in zero.iter().filter(|(_, time)| *time == Some(Duration::ZERO)) {
            wrong.push(format!("{flag}: it has to be longer than nothing"));
        }
        if let Sources::Mapped(network) = self.sources
            && network.addr().is_ipv4() != self.to.socket.is_ipv4()
        {
            wrong.push(format!("--sources: {network} and the target {} are of different kinds", self.to.socket));
        }
        if !wrong.is_empty() {
            return Err(Error::Plan(wrong.join("\n")));
        }
        let length = self.tempo.length(log);
        let length = self.duration.map_or(length, |most| most.min(length));
        if length > LONGEST_RUN {
            let [length, most] =
                [length, LONGEST_RUN].map(|time| humantime::format_duration(Duration::from_secs(time.as_secs())));
            let text =
                format!("the log takes {length}, and a run at most {most}: take --speedup, --duration or --limit");
            return Err(Error::Plan(text));
        }
        Ok(length)
    }
}
