//! What happened to clients lately: the last requests of each of them, in a table of fixed size.
//!
//! The address of a client names a bucket of eight slots, which are written one after the other. A slot is eight words without a
//! lock, the last of them a sum of the others: who reads a half-written one sees that the sum is wrong and leaves it out. Clients
//! that share a bucket push each other's requests out, so this is a help for people and no record: the access log is one.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use bytemuck::allocation::zeroed_slice_box;

use super::mix::mix;
use super::tier::TierKind;
use crate::error::Error;

/// Requests that are kept of one client.
pub const KEPT: usize = 8;
/// Buckets: 4 MiB in all, which are touched as they fill.
const BUCKETS: usize = 8192;
/// Words of a slot: one cache line.
const WORDS: usize = 8;
/// No endpoint was asked.
const NONE: u32 = u32::MAX;
/// Bytes that went to a client are counted up to this.
const MOST_BYTES: u64 = (1 << 56) - 1;

/// How one request of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When, in milliseconds of the process clock.
    pub at_ms: u64,
    /// [`super::cluster::Topology::hash`] of the role; 0 when the request belongs to none.
    pub role: u64,
    /// Id of the live part of the endpoint that was asked last.
    pub endpoint: Option<u32>,
    /// The tier that it was picked from.
    pub tier: Option<TierKind>,
    /// Endpoints that were asked, up to 255.
    pub attempts: u8,
    /// The status that the client saw.
    pub status: u16,
    /// Why there was no response of a site system, or why it was cut.
    pub error: Option<Error>,
    /// Bytes of the response's body.
    pub sent: u64,
    /// Microseconds from the head of the request to the end of the response, up to an hour.
    pub micros: u32,
}

/// The table.
pub struct Recent {
    seed: u64,
    next: Box<[AtomicU32]>,
    words: Box<[AtomicU64]>,
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl Recent {
    /// Knows of nothing yet. With the seed, no client can choose whose bucket it has.
    pub fn new(seed: u64) -> Self {
        Self { seed, next: zeroed_slice_box(BUCKETS), words: zeroed_slice_box(BUCKETS * KEPT * WORDS) }
    }

    /// Keeps how a request of a client ended.
    pub fn put(&self, client: IpAddr, happened: &Happened) {
        let [high, low] = address(client);
        let bucket = self.bucket(high, low);
        let place = self.next[bucket].fetch_add(1, Relaxed) as usize % KEPT;
        let words = happened.pack(high, low);
        let sum = sum(&words);
        let slot = self.slot(bucket, place);
        for (word, value) in slot.iter().zip(words.into_iter().chain([sum])) {
            word.store(value, Relaxed);
        }
    }

    /// What is kept of a client, the newest first.
    pub fn of(&self, client: IpAddr) -> Vec<Happened> {
        let [high, low] = address(client);
        let bucket = self.bucket(high, low);
        let next = self.next[bucket].load(Relaxed);
        let mut found: Vec<Happened> = (1..=KEPT as u32)
            .filter_map(|back| {
                let place = next.wrapping_sub(back) as usize % KEPT;
                let mut words = [0; WORDS - 1];
                let slot = self.slot(bucket, place);
                words.iter_mut().zip(slot).for_each(|(value, word)| *value = word.load(Relaxed));
                let whole = sum(&words) == slot[WORDS - 1].load(Relaxed);
                (whole && words[..2] == [high, low] && words[2] > 0).then(|| Happened::unpack(&words))
            })
            .collect();
        // Of the same moment of a clock that ticks ten times a second, they are in order already.
        found.sort_by_key(|happened| std::cmp::Reverse(happened.at_ms));
        found
    }

    fn bucket(&self, high: u64, low: u64) -> usize {
        (mix(mix(high ^ self.seed) ^ low) % BUCKETS as u64) as usize
    }

    fn slot(&self, bucket: usize, place: usize) -> &[AtomicU64] {
        let begin = (bucket * KEPT + place) * WORDS;
        &self.words[begin..begin + WORDS]
    }
}

impl Happened {
    fn pack(&self, high: u64, low: u64) -> [u64; WORDS - 1] {
        let tier = self.tier.map_or(0, |tier| tier as u64 + 1);
        let error = self.error.map_or(0, |error| error.index() as u64 + 1);
        let endpoint = u64::from(self.endpoint.unwrap_or(NONE));
        [
            high,
            low,
            // 0 is a slot that was never written.
            self.at_ms + 1,
            self.role,
            endpoint << 32 | u64::from(self.status) << 16 | tier << 8 | error,
            u64::from(self.attempts) << 56 | self.sent.min(MOST_BYTES),
            u64::from(self.micros),
        ]
    }

    fn unpack(words: &[u64; WORDS - 1]) -> Self {
        let [_, _, at, role, what, sent, micros] = *words;
        let endpoint = (what >> 32) as u32;
        let [.., status_high, status_low, tier, error] = what.to_be_bytes();
        Self {
            at_ms: at.saturating_sub(1),
            role,
            endpoint: (endpoint != NONE).then_some(endpoint),
            tier: usize::from(tier).checked_sub(1).and_then(|place| TierKind::ALL.get(place).copied()),
            attempts: (sent >> 56) as u8,
            status: u16::from_be_bytes([status_high, status_low]),
            error: usize::from(error).checked_sub(1).and_then(|place| Error::ALL.get(place).copied()),
            sent: sent & MOST_BYTES,
            micros: micros as u32,
        }
    }
}

fn address(client: IpAddr) -> [u64; 2] {
    let all = match client.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    [(all >> 64) as u64, all as u64]
}

/// Of nothing but zeros it is not zero, so that a slot that was never written is not whole.
fn sum(words: &[u64; WORDS - 1]) -> u64 {
    words.iter().fold(1, |sum, word| mix(sum ^ word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn happened(at_ms: u64) -> Happened {
        Happened {
            at_ms,
            role: 7,
            endpoint: Some(3),
            tier: Some(TierKind::Site),
            attempts: 2,
            status: 503,
            error: Some(Error::ALL[Error::ALL.len() - 1]),
            sent: 1 << 40,
            micros: 1234,
        }
    }

    #[test]
    fn what_is_put_comes_back_the_newest_first() {
        let recent = Recent::new(1);
        let clients: [IpAddr; 3] = ["10.1.2.3", "fe80::1", "::ffff:10.1.2.3"].map(|text| text.parse().unwrap());
        assert_eq!(recent.of(clients[0]), []);
        let none = Happened { role: 0, endpoint: None, tier: None, error: None, ..happened(0) };
        recent.put(clients[0], &none);
        (1..=20).for_each(|at| recent.put(clients[0], &happened(at)));
        let kept = recent.of(clients[0]);
        assert_eq!(kept, (13..=20).rev().map(happened).collect::<Vec<_>>());
        assert_eq!(recent.of(clients[1]), [], "another client");
        recent.put(clients[1], &none);
        assert_eq!(recent.of(clients[1]), [none]);
        assert_eq!(recent.of(clients[2]), kept, "the same address in IPv6");
        let bytes = |sent| Happened { sent, ..happened(30) };
        (0..10).for_each(|sent| recent.put(clients[0], &bytes(sent)));
        assert_eq!(recent.of(clients[0]), (2..10).rev().map(bytes).collect::<Vec<_>>(), "all at the same moment");
    }

    #[test]
    fn what_is_half_written_is_left_out() {
        let recent = Recent::new(1);
        let client: IpAddr = "10.1.2.3".parse().unwrap();
        recent.put(client, &happened(5));
        let [high, low] = address(client);
        let slot = recent.slot(recent.bucket(high, low), 0);
        slot[4].fetch_xor(1, Relaxed);
        assert_eq!(recent.of(client), []);
        slot[4].fetch_xor(1, Relaxed);
        assert_eq!(recent.of(client), [happened(5)]);
    }

    #[test]
    fn threads_that_write_for_one_client_leave_only_whole_records() {
        let recent = Recent::new(1);
        let client: IpAddr = "10.1.2.3".parse().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let recent = &recent;
                let of = move |at| Happened { role: thread, sent: thread, micros: thread as u32, ..happened(at) };
                scope.spawn(move || (0..20_000).for_each(|at| recent.put(client, &of(at))));
            }
            for _ in 0..2_000 {
                for found in recent.of(client) {
                    assert_eq!((found.role, found.sent), (u64::from(found.micros), u64::from(found.micros)));
                }
            }
        });
    }
}
