//! What a group of processes has used: time of the processor, and memory, as Linux tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::unistd::{SysconfVar, sysconf};

use crate::hold::Memory;

/// The processes of a group that live.
pub(super) fn members(group: u32) -> Vec<u32> {
    living(group).map(|(process, _)| process).collect()
}

fn living(group: u32) -> impl Iterator<Item = (u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let all = numbers.filter_map(|process| Some((process, Stat::of(process)?)));
    all.filter(move |(_, stat)| stat.group == group && !stat.dead)
}

struct Stat {
    dead: bool,
    group: u32,
    ticks: u64,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// The name, in brackets, may have spaces and brackets itself.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let group = fields.get(2)?.parse::<i64>().ok()?;
        Some(Self {
            dead: matches!(*fields.first()?, "Z" | "X"),
            group: u32::try_from(group).unwrap_or_default(),
            ticks: number(11)? + number(12)?,
        })
    }
}

/// User and system time that processes have used since they were started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Used {
    ticks: BTreeMap<u32, u64>,
}

impl Used {
    /// By a group's living processes.
    pub(super) fn by_group(group: u32) -> Self {
        Self { ticks: living(group).map(|(process, stat)| (process, stat.ticks)).collect() }
    }

    /// By one process.
    pub(super) fn by_process(process: u32) -> Self {
        Self { ticks: Stat::of(process).map(|stat| (process, stat.ticks)).into_iter().collect() }
    }

    /// What was used since then, in seconds. `NaN` if it cannot be told: there are no processes, or they are not the same as
    /// then, so that what those used that have ended is not known.
    pub(super) fn since_s(&self, before: &Self) -> f64 {
        if self.ticks.is_empty() || !self.ticks.keys().eq(before.ticks.keys()) {
            return f64::NAN;
        }
        let mut each = self.ticks.values().zip(before.ticks.values()).map(|(now, then)| now.checked_sub(*then));
        each.try_fold(0, |sum, used| Some(sum + used?)).map_or(f64::NAN, |ticks| ticks as f64 / ticks_a_second())
    }
}

fn ticks_a_second() -> f64 {
    // Linux has had 100 on every platform for decades.
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

/// Memory that the group shares with nobody, in bytes.
pub(super) fn private(group: u32) -> io::Result<u64> {
    let members = members(group);
    if members.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the processes have ended"));
    }
    members.into_iter().map(|process| Ok(Memory::of(process)?.private)).sum()
}

/// The most that was resident since [`forget_peak`], in bytes: the sum over the group's processes.
pub(super) fn peak(group: u32) -> u64 {
    members(group).into_iter().filter_map(|process| status(process, "VmHWM")).sum()
}

/// What is resident, in bytes.
pub(super) fn resident(group: u32) -> u64 {
    members(group).into_iter().filter_map(|process| status(process, "VmRSS")).sum()
}

/// Lets the peak begin anew at what is resident now.
pub(super) fn forget_peak(group: u32) -> io::Result<()> {
    members(group).into_iter().try_for_each(|process| fs::write(format!("/proc/{process}/clear_refs"), "5"))
}

fn status(process: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_is() {
        let line = "42 (a) b (c)) S 1 40 40 0 -1 4194560 100 0 0 0 150 50 7 9 20 0 1 0 100 1000 10";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.group, stat.ticks, stat.dead), (40, 200, false));
        assert!(Stat::parse("42 (gone) Z 1 40 40 0 -1 0 0 0 0 0 0 0 0 0").unwrap().dead);
        assert!(Stat::parse("").is_none() && Stat::parse("42 (a) S").is_none());
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let process = std::process::id();
        let until = Instant::now() + Duration::from_secs(10);
        let before = Used::by_process(process);
        while Used::by_process(process).since_s(&before) < 0.02 {
            assert!(Instant::now() < until, "no time is used");
        }
        let group = Stat::of(process).unwrap().group;
        assert!(members(group).contains(&process));
        assert!(Used::by_group(group).ticks[&process] >= 2);
        assert!(private(group).unwrap() > 0);
        assert!(peak(group) >= resident(group) / 2 && resident(group) > 0);
        assert!(private(u32::MAX).is_err());
    }

    #[test]
    fn what_other_processes_used_is_no_figure() {
        let used = |ticks: &[(u32, u64)]| Used { ticks: ticks.iter().copied().collect() };
        let before = used(&[(1, 100), (2, 50)]);
        assert!((used(&[(1, 300), (2, 50)]).since_s(&before) - 200.0 / ticks_a_second()).abs() < 1e-9);
        for after in [&[(1, 300)][..], &[(1, 300), (3, 50)], &[(1, 300), (2, 50), (3, 1)], &[(1, 300), (2, 49)], &[]] {
            assert!(used(after).since_s(&before).is_nan(), "{after:?}");
        }
        assert!(Used::by_group(u32::MAX).since_s(&Used::default()).is_nan(), "nobody lives");
    }
}
