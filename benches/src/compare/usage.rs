//! What a group of processes has used: time of the processor, and memory, as Linux tells it.

use std::fs;
use std::io;

use nix::unistd::{SysconfVar, sysconf};

use crate::hold::Memory;

/// The processes of a group that live.
pub(super) fn members(group: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|process| Stat::of(*process).is_some_and(|stat| stat.group == group && !stat.dead)).collect()
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

/// User and system time of a group's living processes, in seconds.
pub(super) fn cpu_s(group: u32) -> f64 {
    let ticks: u64 = members(group).into_iter().filter_map(Stat::of).map(|stat| stat.ticks).sum();
    ticks as f64 / per_second()
}

/// User and system time of one process, in seconds.
pub(super) fn cpu_of_s(process: u32) -> f64 {
    Stat::of(process).map_or(0.0, |stat| stat.ticks as f64 / per_second())
}

fn per_second() -> f64 {
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
        let before = cpu_of_s(process);
        while cpu_of_s(process) - before < 0.02 {
            assert!(Instant::now() < until, "no time is used");
        }
        let group = Stat::of(process).unwrap().group;
        assert!(members(group).contains(&process));
        assert!(cpu_s(group) >= 0.02);
        assert!(private(group).unwrap() > 0);
        assert!(peak(group) >= resident(group) / 2 && resident(group) > 0);
        assert!(private(u32::MAX).is_err());
        assert!(cpu_s(u32::MAX).abs() < f64::EPSILON);
    }
}
