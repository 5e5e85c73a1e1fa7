//! Load on one proxy, and what its processes used meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use super::rates;
use super::targets::HOST;
use super::usage::Used;
use crate::client::Tls;
use crate::load::{self, Mode, PlainRequest, Plan, Watch};
use crate::record::{Latencies, Series};

/// How long there is load before anything counts, so that requests that are cut by the beginning and by the end of the time
/// make up for each other.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);
/// How often it is seen whether the load has begun.
const SOON: Duration = Duration::from_millis(1);
/// The part of a rate that has to be answered.
const ENOUGH: f64 = 0.98;
/// The longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to do to a proxy.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) to: SocketAddr,
    pub(super) target: &'static str,
    pub(super) mode: Mode,
    pub(super) keep_alive: bool,
    pub(super) tls: bool,
    pub(super) threads: usize,
}

impl Load {
    /// Requests one after the other on so many connections that are kept.
    pub(super) const fn closed(to: SocketAddr, target: &'static str, connections: usize) -> Self {
        Self { to, target, mode: Mode::Closed { connections }, keep_alive: true, tls: false, threads: 1 }
    }

    /// So many requests a second.
    pub(super) const fn rate(to: SocketAddr, target: &'static str, connections: usize, per_second: f64) -> Self {
        Self { mode: Mode::Rate { per_second, connections }, ..Self::closed(to, target, connections) }
    }

    fn plan(&self, duration: Duration) -> Plan {
        Plan {
            requests: vec![PlainRequest::get(self.target)],
            mode: self.mode,
            keep_alive: self.keep_alive,
            tls: self.tls.then(|| Tls::new().only_aes_256()),
            resume_tls: false,
            // A port is not free again at once.
            sources: if self.keep_alive { Vec::new() } else { (1..=16).map(|host| [127, 6, 0, host].into()).collect() },
            threads: self.threads,
            duration,
            warm_up: WARM_UP,
            timeout: TIMEOUT,
            ..Plan::new(self.to, HOST)
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) done: u64,
    pub(super) failed: u64,
    /// The kinds of failures, for people.
    pub(super) failures: String,
    /// Bytes of bodies.
    pub(super) received: u64,
    pub(super) latency: Latencies,
    pub(super) measured_s: f64,
    /// User and system time of the measured processes within that time; `NaN` if it is not known.
    pub(super) cpu_s: f64,
    /// Why the figures may be the generator's.
    pub(super) doubts: Vec<String>,
}

impl Outcome {
    pub(super) fn cpu_us(&self) -> f64 {
        rates::each_us(self.cpu_s, self.done)
    }

    pub(super) fn per_second(&self) -> f64 {
        rates::per_second(self.done, self.measured_s)
    }

    /// A percentile of the latency in microseconds; `NaN` if too few were answered for it.
    pub(super) fn latency_us(&self, percent: f64) -> f64 {
        if self.latency.is_enough(percent) { self.latency.percentile(percent) as f64 } else { f64::NAN }
    }

    /// Why this is no measurement at the rate that was asked for, if it is not.
    pub(super) fn short_of(&self, mode: Mode, proxy: &str) -> Option<String> {
        let Mode::Rate { per_second, .. } = mode else { return None };
        let good = self.per_second();
        (good < per_second * ENOUGH)
            .then(|| format!("{proxy} answered only {good:.0} of {per_second:.0} requests a second as it should have."))
    }

    /// How much of one core the measured processes used: 1 is all of it.
    pub(super) fn busy(&self) -> f64 {
        if self.measured_s > 0.0 { self.cpu_s / self.measured_s } else { f64::NAN }
    }

    /// What the proxy manages in a closed loop; what fails is no limit.
    pub(super) fn limit(&self) -> f64 {
        if self.failed > self.done { f64::NAN } else { self.per_second() }
    }

    pub(super) fn per_cpu_second(&self) -> f64 {
        rates::per_second(self.done, self.cpu_s)
    }

    /// What failed, if something did; to stand at the end of a line.
    pub(super) fn failed_words(&self) -> String {
        if self.failed == 0 { String::new() } else { format!("  {} FAILED: {}", self.failed, self.failures) }
    }

    fn add(&mut self, series: &Series) {
        self.done += series.done;
        self.received += series.received;
        self.latency.merge(&series.latency);
        for (kind, count) in &series.errors {
            self.failed += count;
            let comma = if self.failures.is_empty() { "" } else { ", " };
            self.failures.push_str(&format!("{comma}{kind} {count}"));
        }
    }
}

/// Ends the load when nobody waits for it any more.
struct Stopper(Watch);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Makes load for so long; `used` tells the time of the processor that is attributed to it.
/// If that cannot be told, the outcome has none, and a doubt.
pub(super) async fn measure(load: &Load, duration: Duration, used: impl Fn() -> Used) -> anyhow::Result<Outcome> {
    let plan = load.plan(duration);
    let stopper = Stopper(Watch::default());
    let watch = stopper.0.clone();
    let began = Arc::clone(&watch.began);
    let running = tokio::task::spawn_blocking(move || load::run(&plan, &watch));
    let begin = loop {
        // Its time counts from when its connections are open.
        match began.get() {
            Some(begin) => break Instant::from_std(*begin),
            None if running.is_finished() => break Instant::now(),
            None => tokio::time::sleep(SOON).await,
        }
    };
    // The two times are taken late if the machine is busy; a rate of use is right nevertheless.
    tokio::time::sleep_until(begin + WARM_UP).await;
    let (used_before, from) = (used(), Instant::now());
    tokio::time::sleep_until(begin + WARM_UP + duration).await;
    let (used_after, until) = (used(), Instant::now());
    let measured = tokio::time::timeout(TIMEOUT * 3, running).await.context("the load did not end")??;
    let measured = measured.context("making load")?;
    let use_rate = used_after.since_s(&used_before) / until.duration_since(from).as_secs_f64();
    let mut outcome =
        Outcome { measured_s: measured.measured_s, doubts: measured.generator.doubts, ..Outcome::default() };
    outcome.cpu_s = use_rate * outcome.measured_s;
    if outcome.cpu_s.is_nan() {
        outcome
            .doubts
            .push("A process has ended or begun meanwhile, so the time of the processor is not known.".to_owned());
    }
    measured.series.iter().for_each(|series| outcome.add(series));
    Ok(outcome)
}

/// The same, at the cost of a process group.
pub(super) async fn of_group(load: &Load, duration: Duration, group: u32) -> anyhow::Result<Outcome> {
    measure(load, duration, || Used::by_group(group)).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_was_not_reached_is_told() {
        let outcome = |done| Outcome { done, measured_s: 2.0, ..Outcome::default() };
        let rate = Mode::Rate { per_second: 100.0, connections: 8 };
        assert_eq!(outcome(200).short_of(rate, "nginx"), None);
        assert_eq!(outcome(197).short_of(rate, "nginx"), None);
        let told = outcome(150).short_of(rate, "nginx").unwrap();
        assert_eq!(told, "nginx answered only 75 of 100 requests a second as it should have.");
        assert_eq!(outcome(0).short_of(Mode::Closed { connections: 8 }, "nginx"), None);
    }

    #[test]
    fn too_few_answers_have_no_high_percentile() {
        let mut outcome = Outcome::default();
        assert!(outcome.latency_us(50.0).is_nan());
        (1..=100).for_each(|value| outcome.latency.record(value));
        assert!((outcome.latency_us(99.0) - 99.0).abs() < 1e-9 && outcome.latency_us(99.9).is_nan());
    }
}
