//! What the kernel says of this process, by the names that Prometheus has for it. What it does not say is left out.

use std::fs;
use std::sync::OnceLock;

use crate::limits;
use crate::metrics::Metrics;

/// Units of CPU time in a second, wherever the kernel tells it to programs.
const USER_HZ: f64 = 100.0;

/// Reads all figures.
pub(super) fn read(metrics: &Metrics) {
    let scope = metrics.scope(&[]);
    let gauge = |name, value: Option<f64>| {
        if let Some(value) = value {
            scope.gauge(name).set(value);
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
    if let Some(stat) = stat {
        scope.reading("process_cpu_seconds_total").set(stat.cpu_seconds);
        gauge("process_start_time_seconds", started(stat.since_boot));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    gauge("process_resident_memory_bytes", kib(&status, "VmRSS:"));
    gauge("process_virtual_memory_bytes", kib(&status, "VmSize:"));
    gauge("process_threads", number(&status, "Threads:"));
    gauge("process_open_fds", open_files());
    gauge("process_max_fds", limits::open_files().map(|most| most as f64));
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Seconds from the start of the machine to that of the process.
    since_boot: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program comes before, in parentheses, and may have any characters.
        let (_, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // The first of these is the third in the manual: proc_pid_stat(5).
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let (user, system, start) = (ticks(14)?, ticks(15)?, ticks(22)?);
        Some(Self { cpu_seconds: (user + system) / USER_HZ, since_boot: start / USER_HZ })
    }
}

/// Seconds since 1970. The start of the machine is read once: that file is long where there are many cores.
fn started(since_boot: f64) -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    let boot = *BOOT.get_or_init(|| number(&fs::read_to_string("/proc/stat").ok()?, "btime"));
    Some(boot? + since_boot)
}

/// The number in the line that begins with a word.
fn number(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The same in bytes, of a number of KiB.
fn kib(text: &str, word: &str) -> Option<f64> {
    Some(number(text, word)? * 1024.0)
}

/// Descriptors that are open. From Linux 6.2 on the folder says how many it has; before that they are counted.
fn open_files() -> Option<f64> {
    const FOLDER: &str = "/proc/self/fd";
    let said = fs::metadata(FOLDER).ok()?.len();
    let count = if said > 0 { said } else { fs::read_dir(FOLDER).ok()?.count() as u64 };
    Some(count as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_from_the_end_of_the_name() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 1234 20 21\n";
        assert_eq!(Stat::parse(text), Some(Stat { cpu_seconds: 2.0, since_boot: 12.34 }));
        assert_eq!(Stat::parse("7 (a) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_line_begins_with_its_word() {
        let text = "Name:\tVmRSS: 7 kB\nVmRSS:\t   2048 kB\nThreads:\t5\n";
        assert_eq!((kib(text, "VmRSS:"), number(text, "Threads:")), (Some(2_097_152.0), Some(5.0)));
        assert_eq!(number(text, "VmSwap:"), None);
    }

    #[test]
    fn figures_are_those_of_this_process() {
        let metrics = Metrics::new();
        let value = |name: &str| -> f64 {
            read(&metrics);
            let text = metrics.render();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..24.0 * 3600.0).contains(&age), "{age}");
        // Tests beside this one open files too, but not a hundred thousand of them.
        let before = value("process_open_fds");
        let held: Vec<fs::File> = (0..300).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let more = value("process_open_fds") - before;
        assert!((100.0..100_000.0).contains(&more), "{more}");
        drop(held);
        assert!(value("process_max_fds") >= before && value("process_threads") >= 1.0);
        let resident = value("process_resident_memory_bytes");
        assert!(resident > 1e6 && value("process_virtual_memory_bytes") >= resident, "{resident}");
        let cpu = value("process_cpu_seconds_total");
        while value("process_cpu_seconds_total") < cpu + 0.02 {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }
}
