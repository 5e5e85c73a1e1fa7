//! How many files the process may have open, and how many client connections that allows.

use rlimit::Resource;

use crate::control::probing;
use crate::data::transport::descriptors;
use crate::data::transport::splice::PIPES;

/// Besides client connections and what they lead to: the log, listeners, names, the admin interface, probes.
const OTHERS: u64 = 1024 + probing::MOST;

/// What is kept for others when connections would take all, besides the probes.
const RESERVE: u64 = 256;

/// Raises the limit as far as a process may by itself. Most systems begin with 1024, for programs that cannot take more.
pub fn raise() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Files that this process may have open; `None` when that is not known.
pub fn open_files() -> Option<u64> {
    Resource::NOFILE.get().ok().map(|(allowed, _)| allowed)
}

/// The most client connections of each of `threads` data threads for which there are descriptors, at least one.
///
/// A client is two: its connection, and the one to a site system that it leads to.
pub fn connections(open_files: u64, threads: u64) -> u64 {
    let threads = threads.max(1);
    // A low limit leaves half to everything else.
    let kept = others(threads).min(open_files / 2);
    ((open_files - kept) / threads / 2).max(1)
}

/// Keeps descriptors that connections to site systems may not take, however many of them are idle.
pub fn keep_a_reserve(open_files: u64) {
    descriptors::keep_from(open_files - reserve(open_files));
}

/// For probes, names, files and the admin interface; a low limit leaves a quarter to them.
fn reserve(open_files: u64) -> u64 {
    (probing::MOST + RESERVE).min(open_files / 4)
}

/// Descriptors for everything but clients. A pipe for large responses is two.
fn others(threads: u64) -> u64 {
    OTHERS.saturating_add(threads.saturating_mul(2 * PIPES as u64))
}

/// What to say when the configuration allows more client connections than there are descriptors for.
pub fn lowered(open_files: u64, threads: u64, max_connections: u64) -> Option<String> {
    let possible = connections(open_files, threads);
    if possible >= max_connections {
        return None;
    }
    let needed = max_connections.saturating_mul(2).saturating_mul(threads).saturating_add(others(threads));
    Some(format!(
        "this process may have {open_files} files open, which is enough for {possible} client connections in each of {threads} \
         data threads: more wait until one ends. [proxy] max_connections = {max_connections} needs {needed}: set \
         LimitNOFILE={needed} in the unit of systemd (ulimit -Hn elsewhere), or lower max_connections"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_for_every_connection_and_some_more() {
        let each = 2 * (1000 + PIPES as u64);
        assert_eq!(connections(4 * each + OTHERS, 4), 1000);
        assert_eq!(lowered(4 * each + OTHERS, 4, 1000), None);
        assert_eq!(connections(4 * each + OTHERS - 1, 4), 999);
        let text = lowered(4 * each + OTHERS - 1, 4, 1000).unwrap();
        assert!(
            text.contains("LimitNOFILE=11584") && text.contains("may have 11583") && text.contains("for 999"),
            "{text}"
        );
        assert!(lowered(u64::MAX - 1, 2, u64::MAX).is_some());
    }

    #[test]
    fn the_reserve_fits_into_what_is_not_for_clients() {
        for open_files in [0, 90, 1024, 20_000, 1 << 20] {
            let kept = reserve(open_files);
            assert!(kept <= others(1).min(open_files / 2), "{open_files}: {kept}");
        }
        assert_eq!((reserve(90), reserve(1 << 20)), (22, 1792));
    }

    #[test]
    fn a_low_limit_leaves_half_to_everything_else() {
        assert_eq!(connections(90, 1), 22);
        assert_eq!(connections(1024, 2), 128);
        assert_eq!((connections(3, 4), connections(0, 0)), (1, 1));
    }
}
