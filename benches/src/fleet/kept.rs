//! Connections that clients keep between their activities: not too many, and not too long.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Clients with a connection. The one kept longest goes first when there are too many.
pub(crate) struct Kept<C> {
    most: usize,
    keep: Duration,
    clients: HashMap<u32, (C, Instant)>,
    /// When each was put here, oldest first; some may have been taken since.
    order: VecDeque<(Instant, u32)>,
    /// Closed before their time, to make room.
    pub(crate) closed_early: u64,
}

impl<C> Kept<C> {
    pub(crate) fn new(most: usize, keep: Duration) -> Self {
        Self { most, keep, clients: HashMap::new(), order: VecDeque::new(), closed_early: 0 }
    }

    pub(crate) fn put(&mut self, number: u32, client: C, now: Instant) {
        if self.most == 0 {
            return;
        }
        while self.clients.len() >= self.most && self.drop_oldest() {
            self.closed_early += 1;
        }
        self.clients.insert(number, (client, now));
        self.order.push_back((now, number));
        // Entries of clients that were taken are not left to pile up.
        if self.order.len() > 2 * self.clients.len() + 64 {
            let clients = &self.clients;
            self.order.retain(|(since, number)| clients.get(number).is_some_and(|(_, its)| its == since));
        }
    }

    /// The client, if its connection was not kept too long.
    pub(crate) fn take(&mut self, number: u32, now: Instant) -> Option<C> {
        let (client, since) = self.clients.remove(&number)?;
        (now.saturating_duration_since(since) < self.keep).then_some(client)
    }

    /// Closes what was kept too long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some((since, number)) = self.order.front().copied()
            && now.saturating_duration_since(since) >= self.keep
        {
            self.order.pop_front();
            self.close(number, since);
        }
    }

    /// Closes the one that was kept longest; says whether there was one.
    fn drop_oldest(&mut self) -> bool {
        while let Some((since, number)) = self.order.pop_front() {
            if self.close(number, since) {
                return true;
            }
        }
        false
    }

    /// Closes the connection if it is kept since then, and not since later.
    fn close(&mut self, number: u32, since: Instant) -> bool {
        let is_that = self.clients.get(&number).is_some_and(|(_, its)| *its == since);
        is_that && self.clients.remove(&number).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many_or_it_is_too_old() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut kept = Kept::new(2, Duration::from_secs(10));
        kept.put(1, 'a', at(0));
        kept.put(2, 'b', at(1));
        assert_eq!(kept.take(1, at(2)), Some('a'));
        kept.put(1, 'a', at(3));
        kept.put(3, 'c', at(4));
        assert_eq!((kept.take(2, at(5)), kept.closed_early), (None, 1), "it was the oldest of three");
        assert_eq!(kept.take(1, at(13)), None, "ten seconds are over");
        kept.sweep(at(14));
        assert!(kept.clients.is_empty() && kept.order.is_empty());
    }

    #[test]
    fn nobody_is_kept_where_there_is_no_room_and_the_order_stays_small() {
        let now = Instant::now();
        let mut none = Kept::new(0, Duration::from_secs(10));
        none.put(1, 'a', now);
        assert_eq!(none.take(1, now), None);
        let mut kept = Kept::new(5, Duration::from_secs(10));
        for round in 0..10_000 {
            kept.put(1, 'a', now + Duration::from_millis(round));
            kept.take(1, now).unwrap();
        }
        assert!(kept.order.len() < 100);
    }
}
