//! How many probes may be under way at the same time: each is a descriptor, and clients need theirs.

use rlimit::Resource;

/// A thousand servers that do not answer need not wait for each other.
pub const MOST: u64 = 1536;
/// A process with hardly any descriptors still asks.
const FEWEST: u64 = 16;
/// Their share of the descriptors that a process may have is one in this number.
const SHARE: u64 = 8;

/// The number for this process.
pub fn at_once() -> usize {
    let open_files = Resource::NOFILE.get().map_or(u64::MAX, |(allowed, _)| allowed);
    usize::try_from(of(open_files)).unwrap_or(usize::MAX)
}

fn of(open_files: u64) -> u64 {
    (open_files / SHARE).clamp(FEWEST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_their_share_of_the_descriptors() {
        for (open_files, probes) in [(0, 16), (90, 16), (1024, 128), (12_288, 1536), (u64::MAX, 1536)] {
            assert_eq!(of(open_files), probes, "{open_files}");
        }
        assert!((FEWEST as usize..=MOST as usize).contains(&at_once()));
    }
}
