//! Which cores the proxies run on, and which everything else.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The cores of this process, in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cores {
    /// For the proxies. All that are compared run there at once; one is measured, and the others have no requests.
    pub(super) proxies: Vec<usize>,
    /// For a proxy with two threads, besides; usually none.
    pub(super) spare: Vec<usize>,
    /// For the origins and the load generator.
    pub(super) others: Vec<usize>,
}

impl Cores {
    /// One core for the proxies, so many spare ones, and the rest for the others.
    pub(super) fn split(all: &[usize], spare: usize) -> Result<Self, String> {
        if all.len() < spare + 2 {
            return Err(format!("{} cores are needed, {} may be used", spare + 2, all.len()));
        }
        let (proxies, rest) = all.split_at(1);
        let (spare, others) = rest.split_at(spare);
        Ok(Self { proxies: proxies.to_vec(), spare: spare.to_vec(), others: others.to_vec() })
    }

    /// The cores of a proxy with so many threads.
    pub(super) fn of_threads(&self, threads: usize) -> Vec<usize> {
        self.proxies.iter().chain(&self.spare).copied().take(threads.max(1)).collect()
    }
}

/// The cores that the calling thread may use.
pub(super) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// The calling thread runs on some cores only as long as this is there, and whatever it starts meanwhile stays there.
#[derive(Debug)]
pub(super) struct Pinned {
    before: Vec<usize>,
}

impl Pinned {
    pub(super) fn on(cores: &[usize]) -> io::Result<Self> {
        let before = allowed()?;
        pin(cores)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // They were allowed before, so they are now.
        let _ = pin(&self.before);
    }
}

/// Lets the calling thread, and whatever it starts from now on, run on these cores only.
fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Runs something, which must not wait for anything, on other cores; processes that it starts stay there.
pub(super) fn on<T>(cores: &[usize], start: impl FnOnce() -> T) -> io::Result<T> {
    let _pinned = Pinned::on(cores)?;
    Ok(start())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_split() {
        let cores = Cores::split(&[0, 2, 3], 0).unwrap();
        assert_eq!((cores.of_threads(2), cores.others), (vec![0], vec![2, 3]));
        let cores = Cores::split(&[0, 1, 2, 3], 1).unwrap();
        assert_eq!((cores.of_threads(1), cores.of_threads(2), cores.others), (vec![0], vec![0, 1], vec![2, 3]));
        assert_eq!(Cores::split(&[4], 0).unwrap_err(), "2 cores are needed, 1 may be used");
    }

    #[test]
    fn something_runs_elsewhere_and_then_all_is_as_before() {
        // A thread of its own: the others of this process keep their cores.
        std::thread::spawn(|| {
            let before = allowed().unwrap();
            let last = *before.last().unwrap();
            assert_eq!(on(&[last], || allowed().unwrap()).unwrap(), [last]);
            assert_eq!(allowed().unwrap(), before);
            assert!(pin(&[CpuSet::count()]).is_err());
        })
        .join()
        .unwrap();
    }
}
