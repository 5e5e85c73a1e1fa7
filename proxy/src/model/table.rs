//! A table of fixed size for what is learned while serving: read and written by all data threads without a lock and
//! without an allocation.
//!
//! A key belongs to a set of four slots, one cache line. A slot is two words, the key combined with the value and the
//! value, so a reader that meets a half-written slot sees a key that is nobody's and takes it for a miss. When all slots
//! of a set are taken, the one that was used longest ago goes: what is learned is a help and never a truth, so forgetting
//! costs a detour and no mistake. Two threads that put the same key at the same moment may leave it twice: the first is found
//! and changed, and both are removed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytemuck::allocation::zeroed_slice_box;

/// Slots of a set.
const WAYS: usize = 4;

/// What is kept for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says; never 0.
    pub what: u32,
    /// When it was last used, in [`super::live::Ticks`]: what was used longest ago is forgotten first.
    pub at: u32,
}

/// A table of fixed size.
#[derive(Debug)]
pub struct Table {
    words: Box<[AtomicU64]>,
    sets: usize,
}

impl Table {
    /// A table for at least `entries`; its memory is touched as it fills.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self { words: zeroed_slice_box(sets * WAYS * 2), sets }
    }

    /// How many entries it can hold.
    pub fn capacity(&self) -> usize {
        self.sets * WAYS
    }

    /// The entry of a key.
    pub fn get(&self, key: u64) -> Option<Entry> {
        self.set(key).find_map(|slot| slot.read(key))
    }

    /// Keeps an entry, and forgets another one when there is no place. An entry that says nothing is not kept.
    pub fn put(&self, key: u64, entry: Entry) {
        let mut place: Option<(Slot<'_>, u32)> = None;
        for slot in self.set(key) {
            let (found, kept) = slot.load();
            let age = match kept {
                // The same key, or an empty slot: there is no better place, except that the same key may still come.
                _ if kept.what != 0 && found == key => return slot.write(key, entry),
                Entry { what: 0, .. } => u32::MAX,
                // The clock may be a tick behind on another thread.
                Entry { at, .. } => entry.at.saturating_sub(at),
            };
            if place.as_ref().is_none_or(|(_, oldest)| age > *oldest) {
                place = Some((slot, age));
            }
        }
        if let Some((slot, _)) = place
            && entry.what != 0
        {
            slot.write(key, entry);
        }
    }

    /// Forgets a key. Says whether it was there.
    pub fn remove(&self, key: u64) -> bool {
        let mut found = false;
        for slot in self.set(key).filter(|slot| slot.read(key).is_some()) {
            slot.clear();
            found = true;
        }
        found
    }

    /// Forgets what `goes` says. Gives how many.
    pub fn remove_where(&self, goes: impl Fn(u64, Entry) -> bool) -> usize {
        let going = self.slots().filter(|slot| {
            let (key, entry) = slot.load();
            entry.what != 0 && goes(key, entry)
        });
        going.map(|slot| slot.clear()).count()
    }

    /// All entries, in no order. Reads the whole table: not for the request path.
    pub fn entries(&self) -> impl Iterator<Item = (u64, Entry)> {
        self.slots().map(|slot| slot.load()).filter(|(_, entry)| entry.what != 0)
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.words.chunks_exact(2).map(|pair| Slot { tagged: &pair[0], value: &pair[1] })
    }

    fn set(&self, key: u64) -> impl Iterator<Item = Slot<'_>> {
        // The lower bits choose the set; keys are hashes, so all bits are as good.
        let first = (key as usize & (self.sets - 1)) * WAYS * 2;
        self.words[first..first + WAYS * 2].chunks_exact(2).map(|pair| Slot { tagged: &pair[0], value: &pair[1] })
    }
}

struct Slot<'a> {
    /// Key and value, combined.
    tagged: &'a AtomicU64,
    value: &'a AtomicU64,
}

impl Slot<'_> {
    fn load(&self) -> (u64, Entry) {
        let value = self.value.load(Relaxed);
        let key = self.tagged.load(Relaxed) ^ value;
        (key, Entry { what: (value >> 32) as u32, at: value as u32 })
    }

    fn read(&self, key: u64) -> Option<Entry> {
        let (found, entry) = self.load();
        (found == key && entry.what != 0).then_some(entry)
    }

    fn write(&self, key: u64, entry: Entry) {
        let value = u64::from(entry.what) << 32 | u64::from(entry.at);
        self.tagged.store(key ^ value, Relaxed);
        self.value.store(value, Relaxed);
    }

    fn clear(&self) {
        self.value.store(0, Relaxed);
        self.tagged.store(0, Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::mix::mix;

    fn entry(what: u32, at: u32) -> Entry {
        Entry { what, at }
    }

    #[test]
    fn what_is_put_is_found_changed_and_removed() {
        let table = Table::new(64);
        assert_eq!(table.get(7), None);
        table.put(7, entry(1, 10));
        table.put(0, entry(5, 10));
        assert_eq!((table.get(7), table.get(0)), (Some(entry(1, 10)), Some(entry(5, 10))));
        table.put(7, entry(2, 11));
        assert_eq!(table.get(7), Some(entry(2, 11)));
        assert_eq!(table.entries().count(), 2);
        assert!(table.remove(7) && !table.remove(7));
        assert_eq!(table.get(7), None);
        table.put(8, entry(0, 12));
        assert_eq!(table.get(8), None, "an entry that says nothing is none");
        assert_eq!(table.remove_where(|_, entry| entry.what == 5), 1);
        assert_eq!(table.entries().count(), 0);
    }

    #[test]
    fn a_full_set_forgets_what_was_used_longest_ago() {
        let table = Table::new(WAYS);
        assert_eq!(table.capacity(), WAYS);
        for key in 0..WAYS as u64 {
            table.put(key, entry(1, 100 + key as u32));
        }
        table.put(0, entry(1, 200));
        table.put(99, entry(1, 201));
        assert_eq!(table.get(1), None);
        assert!([0, 2, 3, 99].iter().all(|&key| table.get(key).is_some()));
        // An entry of a thread whose clock is ahead counts as fresh.
        table.put(98, entry(1, 150));
        assert!(table.get(0).is_some() && table.get(99).is_some());
    }

    #[test]
    fn a_flood_neither_grows_it_nor_pushes_out_what_is_in_use() {
        let table = Table::new(1024);
        for id in 0..100_000_u64 {
            table.put(mix(id), entry(1, id as u32));
            table.put(mix(1 << 40), entry(7, id as u32));
        }
        assert_eq!(table.get(mix(1 << 40)).unwrap().what, 7);
        assert!(table.entries().count() <= table.capacity());
    }

    #[test]
    fn a_half_written_slot_is_a_miss() {
        let table = Table::new(1);
        table.put(3, entry(1, 1));
        let slot = table.set(3).find(|slot| slot.read(3).is_some()).unwrap();
        slot.value.store(u64::from(9_u32) << 32 | 5, Relaxed);
        assert_eq!(table.get(3), None);
    }

    #[test]
    fn threads_never_read_what_nobody_wrote() {
        let table = Table::new(8);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..20_000_u64 {
                        let key = mix((round + thread) % 64);
                        table.put(key, entry(key as u32 | 1, round as u32));
                        if let Some(found) = table.get(key) {
                            assert_eq!(found.what, key as u32 | 1);
                        }
                        if round % 7 == 0 {
                            table.remove(key);
                        }
                    }
                });
            }
        });
    }
}
