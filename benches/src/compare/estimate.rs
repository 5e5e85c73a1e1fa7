//! About how long works take, which is told before each begins.
//!
//! What is measured takes a known time. What a start takes is assumed.

use std::time::Duration;

use super::measure::WARM_UP;
use super::options::{Options, WorkName};
use super::proxies::Kind;
use super::stage::Stage;
use super::works::{FIRST, idle};

/// A proxy's start, until it answers: assumed, between that of rolegate and that of Envoy.
const START: Duration = Duration::from_millis(500);
/// Opening some thousand connections: assumed.
const OPEN: Duration = Duration::from_secs(1);
/// Reading, compiling and probing 10,000 endpoints: assumed.
const LARGE: Duration = Duration::from_secs(10);

/// How many take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// All columns: rolegate, its control, peers, the forwarder.
    pub all: usize,
    /// Those that pass tunnels on.
    pub tunnels: usize,
    /// rolegate and another build of it.
    pub builds: usize,
}

impl Cast {
    fn of(stage: &Stage) -> Self {
        let count =
            |counts: &dyn Fn(Kind) -> bool| stage.programs.iter().filter(|program| counts(program.kind)).count();
        Self {
            all: stage.programs.len(),
            tunnels: stage.programs.iter().filter(|program| program.tunnels().is_ok()).count(),
            builds: count(&|kind| matches!(kind, Kind::Rolegate | Kind::Before)),
        }
    }
}

/// About how many minutes a work takes, at least 1.
#[must_use]
pub fn minutes(work: WorkName, options: &Options, cast: Cast) -> u64 {
    time(work, options, cast).as_secs().div_ceil(60).max(1)
}

fn time(work: WorkName, options: &Options, Cast { all, tunnels, builds }: Cast) -> Duration {
    let rounds = u32::try_from(options.rounds).unwrap_or(u32::MAX);
    let [all, tunnels, builds] = [all, tunnels, builds].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let seconds = Duration::from_secs(options.seconds);
    let one = seconds + WARM_UP;
    // In each round each is started, gets load for a moment, and is measured.
    let section = |columns: u32| (START + FIRST + WARM_UP + one) * columns * rounds;
    let tls = all.saturating_sub(1);
    let held = (OPEN + idle::SETTLE) * 2 + START;
    match work {
        WorkName::Small | WorkName::Small1000 | WorkName::Large | WorkName::New => section(all),
        WorkName::Latency => section(all) * 2 + one * all,
        WorkName::Rates => section(all) * 3 + one * all,
        WorkName::Tls => section(tls) * 4,
        WorkName::Idle => (held * (all + tls + tunnels) + idle::REST * all) * rounds,
        // A dozen faults, each of ten seconds.
        WorkName::Faults => (START + Duration::from_secs(11)) * 12 * all * rounds,
        WorkName::Death => (START + Duration::from_secs(4) + seconds.max(Duration::from_secs(8))) * all * rounds,
        WorkName::Swap => (one * 2 * rounds + one) * builds,
        WorkName::Scale => LARGE + one * 2 * rounds,
        WorkName::Threads => one * 2 * rounds,
        WorkName::Generator => one * 3 * rounds,
    }
}

/// What is said of all works before the first.
pub(super) fn of_all(stage: &Stage) -> String {
    let all: u64 = stage.options.works.iter().map(|work| minutes(*work, &stage.options, Cast::of(stage))).sum();
    let (hours, rest) = (all / 60, all % 60);
    let time = if hours == 0 { format!("{rest} min") } else { format!("{hours} h {rest:02} min") };
    format!("All of it takes about {time}.")
}

/// What is said of a work before it begins.
pub(super) fn of_one(stage: &Stage, work: WorkName) -> String {
    format!("{work}: about {} min", minutes(work, &stage.options, Cast::of(stage)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_proxies_more_rounds_and_longer_ones_take_longer() {
        let usual = Options { rounds: 6, seconds: 4, ..Options::new("/bin/compare".into()) };
        let few = Cast { all: 5, tunnels: 4, builds: 1 };
        let many = Cast { all: 9, tunnels: 4, builds: 1 };
        // Six times five proxies, 0.5 s to start, 1 s of load before, and 4.5 s to measure.
        assert_eq!(time(WorkName::Small, &usual, few), Duration::from_secs(180));
        for work in WorkName::ALL {
            let usual_time = time(*work, &usual, few);
            assert!(time(*work, &Options { rounds: 12, ..usual.clone() }, few) > usual_time, "{work}");
            assert!(time(*work, &usual, many) >= usual_time, "{work}");
            assert!(minutes(*work, &Options { rounds: 1, seconds: 1, ..usual.clone() }, few) >= 1, "{work}");
        }
        assert!(
            time(WorkName::Death, &Options { seconds: 60, ..usual.clone() }, few) > time(WorkName::Death, &usual, few)
        );
    }
}
