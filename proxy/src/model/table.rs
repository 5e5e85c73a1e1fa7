//! A table of fixed size for what is learned while serving: read and written by all data threads without a lock and
//! without an allocation.
//!
//! A key has two buckets of eight slots, and a new one goes where there is more room. With half as many slots again as entries
//! that it may hold, the table holds all of these: no bucket is full before the table is. A slot is two words, the key combined
//! with the value and the value, so a reader that meets a half-written slot sees a key that is nobody's and takes it for a
//! miss. Two threads that put the same key at the same moment may leave it twice: the first is found and changed, and both are
//! removed.
//!
//! Every entry has an [`Owner`]: the clients for whose sake it is kept. When the table is full, the owner that has most gives
//! way, so that nobody can push out what others have learned; and of its entries those that were of use only once, an entry
//! of these counting four times, and then the oldest. What is learned is a help and never a truth, so forgetting costs a
//! detour and no mistake.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

use bytemuck::allocation::zeroed_slice_box;

use super::mix::mix;

/// Slots of a bucket: two cache lines.
const WAYS: usize = 8;
/// The lower bits of a key are not compared: an entry's owner and worth are kept there.
const KEY: u64 = !0xffff;
const LASTING: u64 = 1 << 15;
const OWNERS: usize = 1 << 15;
/// How many times over an entry counts that was of use only once, as a shift.
const PASSING_COUNTS: u32 = 2;
/// Buckets that are looked through for an older entry of the same owner.
const WALK: usize = 64;
/// A table with more slots is not counted again: it would take too long.
const COUNTED: usize = 1 << 22;

/// What is kept for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says; never 0.
    pub what: u32,
    /// When it was last used, in [`super::live::Ticks`]: what was used longest ago is forgotten first.
    pub at: u32,
}

/// For whose sake an entry is kept: the clients of one role in the same boundary groups. A hash, so that two may be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner(u16);

impl Owner {
    /// No clients: what the proxy has asked for by itself.
    pub const NONE: Self = Self(0);

    /// The owner with this hash.
    pub fn new(hash: u64) -> Self {
        Self((mix(hash) >> 49) as u16)
    }
}

/// What an entry is worth when there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It was of use once, as far as is known.
    Passing,
    /// It has been of use again.
    Lasting,
}

/// A table of fixed size.
#[derive(Debug)]
pub struct Table {
    words: Box<[AtomicU64]>,
    buckets: usize,
    most: i64,
    held: AtomicI64,
    /// Entries by owner.
    shares: Box<[AtomicI32]>,
}

impl Table {
    /// A table for this many entries; its memory is touched as it fills.
    pub fn new(entries: usize) -> Self {
        let buckets = (entries + entries / 2).div_ceil(WAYS).max(2);
        Self {
            words: zeroed_slice_box(buckets * WAYS * 2),
            buckets,
            most: i64::try_from(entries.max(1)).unwrap_or(i64::MAX),
            held: AtomicI64::new(0),
            shares: zeroed_slice_box(OWNERS),
        }
    }

    /// How many entries it holds at most.
    pub fn capacity(&self) -> usize {
        self.most as usize
    }

    /// The entry of a key.
    pub fn get(&self, key: u64) -> Option<Entry> {
        let [first, second] = self.places(key);
        let read = |slot: Slot<'_>| slot.read(key);
        self.bucket(first).find_map(read).or_else(|| self.bucket(second).find_map(read))
    }

    /// Keeps an entry, and forgets another one when there is no place; the new one is not kept when its owner has most of all
    /// and nothing older nearby. An entry that says nothing is not kept.
    pub fn put(&self, key: u64, owner: Owner, worth: Worth, entry: Entry) {
        if entry.what == 0 {
            return;
        }
        let new = Kept { key: key & KEY, owner, worth, entry };
        let mut roomiest: Option<(Slot<'_>, usize)> = None;
        for place in self.places(key) {
            let (mut empty, mut used) = (None, 0);
            for slot in self.bucket(place) {
                let kept = slot.load();
                if kept.entry.what == 0 {
                    empty = empty.or(Some(slot));
                } else if kept.key == new.key {
                    return self.replace(&slot, &kept, &new);
                } else {
                    used += 1;
                }
            }
            if let Some(slot) = empty.filter(|_| roomiest.as_ref().is_none_or(|(_, least)| used < *least)) {
                roomiest = Some((slot, used));
            }
        }
        match roomiest {
            Some((slot, _)) if self.held.load(Relaxed) < self.most => self.fill(&slot, &new),
            roomiest => self.squeeze_in(&new, roomiest.map(|(slot, _)| slot)),
        }
    }

    /// Forgets a key. Says whether it was there.
    pub fn remove(&self, key: u64) -> bool {
        let mut found = false;
        for place in self.places(key) {
            for slot in self.bucket(place) {
                let kept = slot.load();
                found |= kept.entry.what != 0 && kept.key == key & KEY && self.clear(&slot, &kept);
            }
        }
        found
    }

    /// Forgets what `goes` says. Gives how many.
    pub fn remove_where(&self, goes: impl Fn(Entry) -> bool) -> usize {
        let going = self.slots().filter(|slot| {
            let kept = slot.load();
            kept.entry.what != 0 && goes(kept.entry) && self.clear(slot, &kept)
        });
        going.count()
    }

    /// All entries, in no order. Reads the whole table: not for the request path.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots().map(|slot| slot.load().entry).filter(|entry| entry.what != 0)
    }

    /// Counts anew who has how many: threads that write the same slot at the same moment miscount. Reads the whole table.
    pub fn recount(&self) {
        if self.words.len() / 2 > COUNTED {
            return;
        }
        let (mut held, mut shares) = (0, vec![0; OWNERS]);
        for kept in self.slots().map(|slot| slot.load()).filter(|kept| kept.entry.what != 0) {
            held += 1;
            shares[usize::from(kept.owner.0)] += 1;
        }
        self.held.store(held, Relaxed);
        self.shares.iter().zip(shares).for_each(|(share, counted)| share.store(counted, Relaxed));
    }

    /// Room is made for a new entry, where others are no less entitled to theirs.
    fn squeeze_in(&self, new: &Kept, empty: Option<Slot<'_>>) {
        let own = self.weight(new.owner, new.worth);
        let mut goes: Option<(Slot<'_>, Kept, (i64, u32))> = None;
        for place in self.places(new.key) {
            for slot in self.bucket(place) {
                let kept = slot.load();
                let weight = self.weight(kept.owner, kept.worth);
                let may = weight > own || kept.owner == new.owner && kept.worth == Worth::Passing;
                let rank = (weight, kept.age(new));
                if kept.entry.what != 0 && may && goes.as_ref().is_none_or(|(_, _, most)| rank > *most) {
                    goes = Some((slot, kept, rank));
                }
            }
        }
        if let Some((slot, kept, _)) = goes {
            return self.replace(&slot, &kept, new);
        }
        let Some((slot, kept)) = self.own_older(new) else { return };
        if let Some(empty) = empty {
            self.clear(&slot, &kept);
            self.fill(&empty, new);
        } else if self.places(new.key).into_iter().any(|place| self.bucket(place).any(|own| own.is(&slot))) {
            self.replace(&slot, &kept, new);
        }
    }

    /// An entry of the same owner, not far away: one that was of use only once, or else the oldest.
    fn own_older(&self, new: &Kept) -> Option<(Slot<'_>, Kept)> {
        let [from, _] = self.places(new.key);
        let places = (0..WALK.min(self.buckets)).map(|step| (from + step) % self.buckets);
        let seen = places.flat_map(|place| self.bucket(place)).map(|slot| {
            let kept = slot.load();
            (slot, kept)
        });
        let own = seen.filter(|(_, kept)| kept.entry.what != 0 && kept.owner == new.owner);
        own.max_by_key(|(_, kept)| (kept.worth == Worth::Passing, kept.age(new)))
    }

    fn weight(&self, owner: Owner, worth: Worth) -> i64 {
        let share = i64::from(self.share(owner).load(Relaxed).max(0));
        match worth {
            Worth::Passing => share << PASSING_COUNTS,
            Worth::Lasting => share,
        }
    }

    fn share(&self, owner: Owner) -> &AtomicI32 {
        &self.shares[usize::from(owner.0) % OWNERS]
    }

    fn fill(&self, slot: &Slot<'_>, new: &Kept) {
        slot.write(new);
        self.held.fetch_add(1, Relaxed);
        self.share(new.owner).fetch_add(1, Relaxed);
    }

    fn replace(&self, slot: &Slot<'_>, old: &Kept, new: &Kept) {
        slot.write(new);
        if old.owner != new.owner {
            self.share(old.owner).fetch_sub(1, Relaxed);
            self.share(new.owner).fetch_add(1, Relaxed);
        }
    }

    /// Says whether this thread has cleared it.
    fn clear(&self, slot: &Slot<'_>, old: &Kept) -> bool {
        let cleared = slot.clear(old);
        if cleared {
            self.held.fetch_sub(1, Relaxed);
            self.share(old.owner).fetch_sub(1, Relaxed);
        }
        cleared
    }

    /// The two buckets of a key. Keys are hashes, so all bits are as good.
    fn places(&self, key: u64) -> [usize; 2] {
        let key = key & KEY;
        let place = |hash: u64| ((u128::from(hash) * self.buckets as u128) >> 64) as usize;
        let (first, second) = (place(key), place(mix(key)));
        [first, if second == first { (first + 1) % self.buckets } else { second }]
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.words.chunks_exact(2).map(|pair| Slot { tagged: &pair[0], value: &pair[1] })
    }

    fn bucket(&self, place: usize) -> impl Iterator<Item = Slot<'_>> {
        let first = place * WAYS * 2;
        self.words[first..first + WAYS * 2].chunks_exact(2).map(|pair| Slot { tagged: &pair[0], value: &pair[1] })
    }
}

/// What stands in a slot.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: u64,
    owner: Owner,
    worth: Worth,
    entry: Entry,
}

impl Kept {
    /// How long before another one it was used. The clock may be a tick behind on another thread.
    fn age(&self, new: &Self) -> u32 {
        new.entry.at.saturating_sub(self.entry.at)
    }
}

struct Slot<'a> {
    /// Key, owner and worth, combined with the value.
    tagged: &'a AtomicU64,
    value: &'a AtomicU64,
}

impl Slot<'_> {
    fn load(&self) -> Kept {
        let value = self.value.load(Relaxed);
        let tag = self.tagged.load(Relaxed) ^ value;
        Kept {
            key: tag & KEY,
            owner: Owner((tag & (LASTING - 1)) as u16),
            worth: if tag & LASTING == 0 { Worth::Passing } else { Worth::Lasting },
            entry: Entry { what: (value >> 32) as u32, at: value as u32 },
        }
    }

    fn read(&self, key: u64) -> Option<Entry> {
        let kept = self.load();
        (kept.key == key & KEY && kept.entry.what != 0).then_some(kept.entry)
    }

    fn is(&self, other: &Slot<'_>) -> bool {
        std::ptr::eq(self.value, other.value)
    }

    fn write(&self, kept: &Kept) {
        let worth = if kept.worth == Worth::Lasting { LASTING } else { 0 };
        let value = kept.entry.word();
        self.tagged.store((kept.key | u64::from(kept.owner.0) | worth) ^ value, Relaxed);
        self.value.store(value, Relaxed);
    }

    /// Only what was found: another thread may have cleared it, or put something else there.
    fn clear(&self, found: &Kept) -> bool {
        self.value.compare_exchange(found.entry.word(), 0, Relaxed, Relaxed).is_ok()
    }
}

impl Entry {
    fn word(self) -> u64 {
        u64::from(self.what) << 32 | u64::from(self.at)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
