//! `/health`: whether every thread works. Each gives a sign of life by itself; one that is silent is waited for a moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::data::thread::pulse::Pulse;

/// How long a thread that is silent is waited for: after a stop of the whole process all of them are.
const MOMENT: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The threads that a proxy is made of.
#[derive(Clone, Debug)]
pub struct Threads {
    pulses: Vec<Arc<Pulse>>,
    epoch: Instant,
}

impl Threads {
    /// These, which count from `epoch`.
    pub fn new(pulses: Vec<Arc<Pulse>>, epoch: Instant) -> Self {
        Self { pulses, epoch }
    }

    /// The threads that do not work, one sentence each; answers within a moment.
    pub async fn broken(&self) -> Vec<String> {
        let asked = Instant::now();
        loop {
            let now_ms = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
            let silent = self.pulses.iter().filter_map(|pulse| Some((pulse.thread(), pulse.silent(now_ms)?)));
            let broken: Vec<String> =
                silent.map(|(thread, silence)| format!("{thread}: silent for {} s", silence.as_secs())).collect();
            if broken.is_empty() || asked.elapsed() >= MOMENT {
                return broken;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_stands_still_is_named_within_a_moment() {
        let epoch = Instant::now();
        let pulse = |name: &str| Arc::new(Pulse::new(name, Duration::from_secs(5), 0));
        let (works, stands) = (pulse("data-0"), pulse("data-1"));
        let threads = Threads::new(vec![Arc::clone(&works), Arc::clone(&stands)], epoch);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(threads.broken().await.is_empty());
        tokio::time::advance(Duration::from_secs(60)).await;
        works.beat(65_000);
        let asked = Instant::now();
        assert_eq!(threads.broken().await, ["data-1: silent for 66 s"]);
        assert!(asked.elapsed() <= MOMENT + LOOK, "{:?}", asked.elapsed());
        stands.end();
        assert!(threads.broken().await.is_empty(), "it has ended as it should");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_of_the_process_its_threads_have_a_moment() {
        let epoch = Instant::now();
        let pulse = Arc::new(Pulse::new("data-0", Duration::from_secs(5), 0));
        let threads = Threads::new(vec![Arc::clone(&pulse)], epoch);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let beats = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            pulse.beat(3_600_300);
        };
        let (broken, ()) = tokio::join!(threads.broken(), beats);
        assert!(broken.is_empty(), "{broken:?}");
    }
}
