//! When to ask, and how many answers it takes.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Shortest wait between two probes of one server, whatever the configuration says: zero would spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Longest wait. Nobody means more, and sums with it cannot overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How often a server is asked and how many results in a row change its state.
///
/// In JSON, durations are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Schedule {
    /// Wait after a probe while nothing changes. Default 5 s.
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
    /// Wait after a probe that contradicts the current state, so that the decision comes soon. Default 1 s.
    #[serde(serialize_with = "seconds")]
    pub fast_interval: Duration,
    /// Wait after a probe of a server that is down. Default 5 s.
    #[serde(serialize_with = "seconds")]
    pub down_interval: Duration,
    /// Deadline of one probe, from the first packet to the verdict. Default 2 s.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
    /// Passes in a row that bring a server up again, at least 1; 0 counts as 1. Default 2.
    pub rise: u32,
    /// Failures in a row that take a server down, at least 1; 0 counts as 1. Default 3.
    pub fall: u32,
    /// Width of the random part of every wait, in percent of it, 0 to 100; more counts as 100. Default 15: a wait of
    /// 5 s is spread over 4.625 s to 5.375 s.
    pub jitter_percent: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            fast_interval: Duration::from_secs(1),
            down_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            jitter_percent: 15,
        }
    }
}

/// Which of the three waits of a [`Schedule`] applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The last results agree with the state.
    Steady,
    /// The last results contradict the state, or there are none yet.
    Changing,
    /// The server is down and stays so.
    Down,
}

impl Schedule {
    /// How long to wait after a probe that left the server in `phase`.
    ///
    /// `dice` is a uniform random number from 0 to 1: 0 gives the shortest wait, 0.5 the plain one. The result is
    /// from 10 ms to one day, whatever the schedule says.
    pub fn wait(&self, phase: Phase, dice: f64) -> Duration {
        let plain = match phase {
            Phase::Steady => self.interval,
            Phase::Changing => self.fast_interval,
            Phase::Down => self.down_interval,
        };
        let dice = if dice.is_nan() { 0.5 } else { dice.clamp(0.0, 1.0) };
        let width = f64::from(self.jitter_percent.min(100)) / 100.0;
        let spread = plain.as_secs_f64() * (1.0 + width * (dice - 0.5));
        Duration::try_from_secs_f64(spread).unwrap_or(LONGEST_WAIT).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

/// Durations go out as seconds, because that is what metrics and people expect.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_wait_follows_the_phase_and_the_dice() {
        let schedule =
            Schedule { interval: ms(10_000), fast_interval: ms(1000), down_interval: ms(4000), ..Schedule::default() };
        for (phase, dice, jitter_percent, wait) in [
            (Phase::Steady, 0.5, 15, ms(10_000)),
            (Phase::Changing, 0.5, 15, ms(1000)),
            (Phase::Down, 0.5, 15, ms(4000)),
            (Phase::Steady, 0.0, 15, ms(9250)),
            (Phase::Steady, 1.0, 15, ms(10_750)),
            (Phase::Down, 0.0, 100, ms(2000)),
            (Phase::Down, 1.0, 100, ms(6000)),
            (Phase::Down, 0.0, 5000, ms(2000)),
            (Phase::Steady, 0.0, 0, ms(10_000)),
            (Phase::Steady, 1.0, 0, ms(10_000)),
            (Phase::Steady, 7.0, 15, ms(10_750)),
            (Phase::Steady, -7.0, 15, ms(9250)),
            (Phase::Steady, f64::NAN, 15, ms(10_000)),
        ] {
            let got = Schedule { jitter_percent, ..schedule }.wait(phase, dice);
            assert_eq!(got, wait, "{phase:?}, dice {dice}, jitter {jitter_percent} %");
        }
    }

    #[test]
    fn no_configuration_makes_a_spin_or_a_panic() {
        let zero = Schedule { interval: Duration::ZERO, ..Schedule::default() };
        assert_eq!(zero.wait(Phase::Steady, 0.5), SHORTEST_WAIT);
        let endless = Schedule { interval: Duration::MAX, jitter_percent: 100, ..Schedule::default() };
        assert_eq!(endless.wait(Phase::Steady, 1.0), LONGEST_WAIT);
        assert_eq!(endless.wait(Phase::Steady, 0.0), LONGEST_WAIT);
    }

    #[test]
    fn durations_are_seconds_in_json() {
        let json = serde_json::to_value(Schedule { fast_interval: ms(250), ..Schedule::default() }).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "interval": 5.0, "fast_interval": 0.25, "down_interval": 5.0, "timeout": 2.0,
                "rise": 2, "fall": 3, "jitter_percent": 15,
            })
        );
    }
}
