//! What a process has in memory, as Linux tells it.

use std::io;

use serde::Serialize;

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Resident, and what is shared only in part.
    pub pss: u64,
    /// Resident, and shared with nobody.
    pub private: u64,
}

impl Memory {
    /// That of the process with this number.
    ///
    /// # Errors
    /// There is none, or it belongs to somebody else.
    pub fn of(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path} cannot be read: {error}")))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let bytes = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes = value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
            kibibytes.unwrap_or_default() * 1024
        };
        Self { rss: bytes("Rss"), pss: bytes("Pss"), private: bytes("Private_Clean") + bytes("Private_Dirty") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_linux_are_read() {
        let text = "5581-7ffc ---p 00000000 00:00 0    [rollup]\nRss:      2000 kB\nPss:      1500 kB\n\
                    Pss_Dirty:  1 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  900 kB\n";
        let memory = Memory::parse(text);
        assert_eq!(memory, Memory { rss: 2000 * 1024, pss: 1500 * 1024, private: 1000 * 1024 });
    }
}
