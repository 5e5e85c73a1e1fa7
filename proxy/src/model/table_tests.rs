#![allow(clippy::unwrap_used)]

use super::*;

fn entry(what: u32, at: u32) -> Entry {
    Entry { what, at }
}

fn owner(number: u16) -> Owner {
    Owner(number)
}

fn put(table: &Table, own: u16, key: u64, at: u32) {
    table.put(mix(key), owner(own), Worth::Passing, entry(1, at));
}

fn held(table: &Table, keys: impl Iterator<Item = u64>) -> usize {
    keys.filter(|key| table.get(mix(*key)).is_some()).count()
}

#[test]
fn what_is_put_is_found_changed_and_removed() {
    let table = Table::new(64);
    let [seven, zero] = [7 << 16, 0];
    let put = |key, entry| table.put(key, owner(1), Worth::Passing, entry);
    assert_eq!(table.get(seven), None);
    put(seven, entry(1, 10));
    put(zero, entry(5, 10));
    assert_eq!((table.get(seven), table.get(zero)), (Some(entry(1, 10)), Some(entry(5, 10))));
    put(seven, entry(2, 11));
    assert_eq!(table.get(seven), Some(entry(2, 11)));
    assert_eq!(table.entries().count(), 2);
    assert!(table.remove(seven) && !table.remove(seven));
    assert_eq!(table.get(seven), None);
    put(8 << 16, entry(0, 12));
    assert_eq!(table.get(8 << 16), None, "an entry that says nothing is none");
    assert_eq!(table.remove_where(|entry| entry.what == 5), 1);
    assert_eq!((table.entries().count(), table.held.load(Relaxed), table.weight(owner(1), Worth::Lasting)), (0, 0, 0));
}

#[test]
fn it_holds_as_many_as_it_says_and_not_more() {
    for most in [1, 2, 3, 8, 100, 1000, 10_000, 65_536] {
        let table = Table::new(most as usize);
        assert_eq!(table.capacity(), most as usize);
        for key in 0..most {
            put(&table, (key % 7) as u16, key, 100);
        }
        assert_eq!(held(&table, 0..most), most as usize, "all of {most}");
        for key in most..3 * most {
            put(&table, (key % 7) as u16, key, 200);
        }
        assert!(table.entries().count() <= most as usize);
        assert!(held(&table, most..3 * most) * 10 >= most as usize * 9, "the older ones have gone");
    }
}

#[test]
fn a_flood_of_one_owner_pushes_out_nothing_of_another() {
    let table = Table::new(1024);
    let others = || 0..300_u64;
    others().for_each(|key| put(&table, (key % 3) as u16, key, 10));
    for key in 1_000..200_000_u64 {
        put(&table, 9, key, 20 + key as u32);
        if key % 1000 == 0 {
            // What comes later finds room too.
            put(&table, 4, 1 << 40 | key, 30);
        }
    }
    assert_eq!(held(&table, others()), 300);
    let late = (1_000..200_000).step_by(1000).map(|key| 1 << 40 | key);
    assert_eq!(held(&table, late), 199);
    assert!(table.entries().count() <= 1024);
    assert!(held(&table, 199_000..200_000) > 400, "the newest of the flood are there");
}

#[test]
fn of_one_owner_what_was_of_use_once_goes_first_and_then_the_oldest() {
    let table = Table::new(1000);
    for key in 0..500_u64 {
        table.put(mix(key), owner(1), Worth::Lasting, entry(1, 100));
    }
    for key in 500..20_000_u64 {
        put(&table, 1, key, 200 + key as u32);
    }
    assert_eq!(held(&table, 0..500), 500, "used again before");
    assert!(held(&table, 19_000..20_000) > 450);
    // Nothing else is left to go.
    let table = Table::new(1000);
    for key in 0..10_000_u64 {
        table.put(mix(key), owner(1), Worth::Lasting, entry(1, key as u32 + 1));
    }
    assert!(table.entries().count() <= 1000);
    assert!(held(&table, 9_000..10_000) > 700);
}

#[test]
fn an_owner_that_asks_once_does_not_push_out_one_that_has_more_and_uses_it() {
    let table = Table::new(1000);
    for key in 0..700_u64 {
        table.put(mix(key), owner(1), Worth::Lasting, entry(1, 100));
    }
    (1000..50_000_u64).for_each(|key| put(&table, 2, key, 200 + key as u32));
    assert_eq!(held(&table, 0..700), 700);
    // But it gets its part when it uses it, too.
    for key in 1000..50_000_u64 {
        table.put(mix(key), owner(2), Worth::Lasting, entry(1, 60_000 + key as u32));
    }
    let left = held(&table, 0..700);
    assert!((400..=600).contains(&left), "{left}");
}

#[test]
fn a_second_count_finds_what_is_there() {
    let table = Table::new(1000);
    (0..400_u64).for_each(|key| put(&table, 3, key, 1));
    table.held.store(-7, Relaxed);
    table.share(owner(3)).store(99, Relaxed);
    table.share(owner(4)).store(99, Relaxed);
    table.recount();
    assert_eq!(table.held.load(Relaxed), 400);
    let shares = [3, 4].map(|number| table.weight(owner(number), Worth::Lasting));
    assert_eq!(shares, [400, 0]);
}

#[test]
fn a_half_written_slot_is_a_miss() {
    let table = Table::new(1);
    put(&table, 1, 3, 1);
    let slot = table.slots().find(|slot| slot.load().entry.what != 0).unwrap();
    slot.value.store(u64::from(9_u32) << 32 | 5, Relaxed);
    assert_eq!(table.get(mix(3)), None);
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
                    table.put(key, owner(thread as u16), Worth::Passing, entry((key >> 32) as u32 | 1, round as u32));
                    if let Some(found) = table.get(key) {
                        assert_eq!(found.what, (key >> 32) as u32 | 1);
                    }
                    if round % 7 == 0 {
                        table.remove(key);
                    }
                }
            });
        }
    });
    table.recount();
    let held = table.held.load(Relaxed);
    assert!((0..=16).contains(&held), "{held}");
}
