//! How many retries the traffic can bear.

/// Retries in proportion to requests over the last ten to twenty seconds. One for each cluster and data thread, so it is
/// never shared and needs no lock.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    window: u64,
    requests: [u32; 2],
    retries: [u32; 2],
}

const WINDOW_MS: u64 = 10_000;

impl RetryBudget {
    /// Counts a request.
    pub fn request(&mut self, now_ms: u64) {
        self.turn(now_ms);
        self.requests[0] = self.requests[0].saturating_add(1);
    }

    /// Takes one retry if `percent` of the requests, or `min_per_second`, allows it.
    pub fn retry(&mut self, now_ms: u64, percent: u32, min_per_second: u32) -> bool {
        self.turn(now_ms);
        let requests = u64::from(self.requests[0]) + u64::from(self.requests[1]);
        let retries = u64::from(self.retries[0]) + u64::from(self.retries[1]);
        let share = requests * u64::from(percent) / 100;
        let floor = u64::from(min_per_second) * WINDOW_MS / 1000;
        let allowed = retries < share.max(floor);
        if allowed {
            self.retries[0] = self.retries[0].saturating_add(1);
        }
        allowed
    }

    /// Gives retries back that turned out to be none.
    pub fn take_back(&mut self, retries: u32) {
        self.retries[0] = self.retries[0].saturating_sub(retries);
    }

    fn turn(&mut self, now_ms: u64) {
        let window = now_ms / WINDOW_MS;
        if window == self.window {
            return;
        }
        let keep = window == self.window + 1;
        self.requests = [0, if keep { self.requests[0] } else { 0 }];
        self.retries = [0, if keep { self.retries[0] } else { 0 }];
        self.window = window;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_or_the_floor() {
        let mut budget = RetryBudget::default();
        for _ in 0..1000 {
            budget.request(0);
        }
        assert_eq!((0..1000).filter(|_| budget.retry(1, 20, 1)).count(), 200);
        let mut idle = RetryBudget::default();
        assert_eq!((0..1000).filter(|_| idle.retry(1, 20, 10)).count(), 100);
        assert!(!idle.retry(10_000, 20, 10), "the window before still counts");
        assert!(idle.retry(20_000, 20, 10), "and then it does not");
        idle.take_back(1);
        assert_eq!((0..1000).filter(|_| idle.retry(20_000, 20, 10)).count(), 100, "as if it had not been");
    }
}
