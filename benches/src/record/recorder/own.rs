//! The generator and its machine: what it needed, and why its figures may be its own.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::record::{Collected, Generator, Machine};

/// A thread that computes for more than this part of the time has no time left to be punctual.
const BUSY: f64 = 0.9;
/// Requests that are sent later than this are sent late, in microseconds: the clock's own grain is less.
const LATE_US: u64 = 1000;

/// User and system time of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// Until now.
    #[must_use]
    pub fn now() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Self(Duration::ZERO) };
        let part = |time: nix::sys::time::TimeVal| {
            let seconds = Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or_default());
            seconds + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or_default())
        };
        Self(part(usage.user_time()) + part(usage.system_time()))
    }

    /// Since an earlier time.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Machine {
    /// The machine that this runs on. What it does not tell is empty.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str, between: char| {
            let mut fields = text.lines().filter_map(|line| line.split_once(between));
            let found = fields.find(|(key, _)| key.trim() == name);
            found.map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
        };
        let name = value(&read("/etc/os-release"), "PRETTY_NAME", '=');
        let kernel = read("/proc/sys/kernel/osrelease");
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name", ':'),
            cores: cores(),
            system: format!("{name}, kernel {}", kernel.trim()),
        }
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

impl Collected {
    /// The generator of these figures, which needed so much time of the processor; with the usual doubts.
    #[must_use]
    pub fn generator(&self, threads: u32, cpu: Duration) -> Generator {
        let mut generator = Generator {
            threads,
            cpu_s: cpu.as_secs_f64(),
            late_p99_us: self.late.percentile(99.0),
            late_max_us: self.late.percentile(100.0),
            open_max: self.open_max,
            doubts: Vec::new(),
        };
        generator.doubts = doubts(&generator, self.measured_s);
        generator
    }
}

/// The usual reasons why the figures may be the generator's: it had no time left, or it was late. `measured_s` is how long
/// it took, in seconds.
#[must_use]
pub fn doubts(generator: &Generator, measured_s: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    let threads = generator.threads.min(cores()).max(1);
    let busy = generator.cpu_s / (f64::from(threads) * measured_s.max(1e-3));
    if busy > BUSY {
        let percent = (busy * 100.0).round();
        doubts.push(format!(
            "The generator was busy for {percent} % of the time of its {threads} threads: it may be what limits the \
             figures. More threads, on cores of their own, would tell."
        ));
    }
    if generator.late_p99_us > LATE_US {
        let (most, worst) = (milliseconds(generator.late_p99_us), milliseconds(generator.late_max_us));
        doubts.push(format!(
            "Of the requests that found a free connection, one in a hundred was sent more than {most:.1} ms late, and one \
             {worst:.1} ms late: the generator did not get the processor in time."
        ));
    }
    doubts
}

fn milliseconds(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_cores() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && machine.system.contains("kernel "), "{machine:?}");
    }

    #[test]
    fn a_generator_that_was_busy_or_late_doubts_itself() {
        let fine = Generator { threads: 1, cpu_s: 4.0, late_p99_us: 90, late_max_us: 4000, ..Generator::default() };
        assert_eq!(doubts(&fine, 10.0), [""; 0]);
        let busy = Generator { cpu_s: 9.9, ..fine.clone() };
        assert!(doubts(&busy, 10.0)[0].contains("busy for 99 %"), "{:?}", doubts(&busy, 10.0));
        let late = Generator { late_p99_us: 2500, ..fine };
        assert!(doubts(&late, 10.0)[0].contains("2.5 ms late, and one 4.0 ms late"), "{:?}", doubts(&late, 10.0));
    }

    #[test]
    fn the_processor_time_grows() {
        let before = CpuTime::now();
        let mut sum = 0_u64;
        while CpuTime::now().since(before).is_zero() {
            sum = sum.wrapping_add(1);
        }
        assert!(sum < u64::MAX);
    }
}
