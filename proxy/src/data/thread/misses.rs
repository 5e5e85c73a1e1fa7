//! What searching for missing content may cost the site systems: for each client, and in all.
//!
//! A server that lacks a content costs the request a question to another one. That is worth it where one of them has it; but
//! names that no server has can be made up without end. So questions that found nothing are counted, for ten seconds, and a
//! client that has asked for too many is told to come back later. A search that finds something costs nothing.

use std::cell::RefCell;
use std::net::IpAddr;

use crate::model::mix::{mix, network_of};
use crate::model::retry::RetryBudget;

/// Questions in vain of one client in [`WINDOW_MS`], in each data thread.
pub const OF_ONE: u32 = 200;
/// Questions in vain of all clients in each second, in each data thread, whatever the traffic.
pub const OF_ALL_PER_SECOND: u32 = 100;
/// And the percentage of the requests that they may be.
const OF_ALL_PERCENT: u32 = 20;
/// How long they count.
pub const WINDOW_MS: u64 = 10_000;
/// Places where clients are counted. Those who share both of theirs with another one share its budget.
const PLACES: usize = 2048;

/// The questions of one data thread that have found nothing.
#[derive(Debug)]
pub struct Misses {
    secret: u64,
    clients: RefCell<[Box<[Spent]>; 2]>,
    all: RefCell<RetryBudget>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    window: u64,
    questions: u32,
}

/// Whether another server may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// Yes.
    Asks,
    /// The budget is spent.
    Waits,
}

impl Misses {
    /// Nothing was asked yet. The secret keeps clients from choosing whose budget they share.
    pub fn new(secret: u64) -> Self {
        let places = || vec![Spent::default(); PLACES].into_boxed_slice();
        Self { secret, clients: RefCell::new([places(), places()]), all: RefCell::default() }
    }

    /// Counts a request, of which there may be some questions for each hundred.
    pub fn request(&self, now_ms: u64) {
        self.all.borrow_mut().request(now_ms);
    }

    /// Takes a question out of the budgets.
    pub fn charge(&self, client: IpAddr, now_ms: u64) -> Charged {
        let (window, places) = (now_ms / WINDOW_MS, self.places(client));
        let mut clients = self.clients.borrow_mut();
        for (row, place) in clients.iter_mut().zip(places) {
            if row[place].window != window {
                row[place] = Spent { window, questions: 0 };
            }
        }
        // The least of both: a place may be another client's, too.
        let spent = clients.iter().zip(places).map(|(row, place)| row[place].questions).min().unwrap_or(0);
        if spent >= OF_ONE || !self.all.borrow_mut().retry(now_ms, OF_ALL_PERCENT, OF_ALL_PER_SECOND) {
            return Charged::Waits;
        }
        for (row, place) in clients.iter_mut().zip(places) {
            row[place].questions += 1;
        }
        Charged::Asks
    }

    /// A search has found what it looked for: its questions were not in vain.
    pub fn pay_back(&self, client: IpAddr, questions: u32) {
        let places = self.places(client);
        for (row, place) in self.clients.borrow_mut().iter_mut().zip(places) {
            row[place].questions = row[place].questions.saturating_sub(questions);
        }
        self.all.borrow_mut().take_back(questions);
    }

    fn places(&self, client: IpAddr) -> [usize; 2] {
        let first = mix(network_of(client) ^ self.secret);
        [first, mix(first)].map(|hash| (hash % PLACES as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: Charged = Charged::Asks;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn one_client_spends_its_own_budget() {
        let misses = Misses::new(1);
        let asked = |number, now_ms| (0..1000).filter(|_| misses.charge(client(number), now_ms) == ASKS).count();
        assert_eq!(asked(1, 0), OF_ONE as usize);
        assert_eq!(asked(2, 0), OF_ONE as usize, "another one has its own");
        assert_eq!(misses.charge(client(1), WINDOW_MS - 1), Charged::Waits);
        assert_eq!(misses.charge(client(1), WINDOW_MS), ASKS, "later it may ask again");
    }

    #[test]
    fn what_is_found_costs_nothing() {
        let misses = Misses::new(1);
        for _ in 0..10 * OF_ONE {
            assert_eq!([0; 3].map(|_| misses.charge(client(1), 5)), [ASKS; 3]);
            misses.pay_back(client(1), 3);
        }
    }

    #[test]
    fn all_clients_together_have_a_bound() {
        let misses = Misses::new(1);
        let asked: usize =
            (0..=255).map(|number| (0..OF_ONE).filter(|_| misses.charge(client(number), 5) == ASKS).count()).sum();
        assert_eq!(asked, 10 * OF_ALL_PER_SECOND as usize);
        let busy = Misses::new(1);
        (0..100_000).for_each(|_| busy.request(5));
        let asked: usize =
            (0..=255).map(|number| (0..OF_ONE).filter(|_| busy.charge(client(number), 5) == ASKS).count()).sum();
        assert_eq!(asked, 20_000, "a share of the traffic");
    }
}
