#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn policy() -> PassivePolicy {
    PassivePolicy {
        eject_time: Duration::from_secs(30),
        max_eject_time: Duration::from_secs(70),
        ..PassivePolicy::default()
    }
}

/// A cluster in letters: `.` is well, `!` rings, `-` is not usable, `X` is not usable and rings. Ids count from 0.
fn cluster(letters: &str) -> Vec<Member> {
    let member = |(id, c)| Member { id, alarmed: matches!(c, '!' | 'X'), usable: matches!(c, '.' | '!') };
    (0u32..).zip(letters.chars()).map(member).collect()
}

fn ejected(ejections: &Ejections, members: &[Member], now_ms: u64) -> Vec<u32> {
    members.iter().map(|member| member.id).filter(|id| ejections.is_ejected(*id, now_ms)).collect()
}

#[test]
fn the_cap_holds_for_clusters_of_every_size() {
    for (letters, expected) in [
        ("", &[][..]),
        ("!", &[]),
        ("!.", &[0]),
        ("!!", &[0]),
        ("!!!", &[0]),
        ("..!", &[2]),
        ("!!!!", &[0, 1]),
        (".!.!", &[1, 3]),
        ("!!!!!!!!", &[0, 1, 2, 3]),
        ("!...!.!!", &[0, 4, 6, 7]),
        // Never the last usable one, and never one that gets no requests anyway.
        ("!-", &[]),
        ("X.", &[]),
        ("!--", &[]),
        ("!!--", &[0]),
        ("-!!--", &[1]),
        ("XX!!", &[2]),
        ("---!----", &[]),
    ] {
        let (mut ejections, members) = (Ejections::new(), cluster(letters));
        let changes = ejections.consider(&policy(), 1_000, &members, &[]);
        let expected_changes: Vec<Change> =
            expected.iter().map(|id| Change::Ejected { id: *id, until_ms: 31_000 }).collect();
        assert_eq!(changes, expected_changes, "{letters}");
        assert_eq!(ejected(&ejections, &members, 1_000), expected, "{letters}");
    }
}

#[test]
fn an_ejection_ends_on_time() {
    let (mut ejections, quiet) = (Ejections::new(), cluster(".."));
    assert_eq!(ejections.next_expiry(), None);
    ejections.consider(&policy(), 1_000, &cluster(".!"), &[]);
    assert_eq!(ejections.next_expiry(), Some(31_000));
    assert_eq!(ejections.consider(&policy(), 30_999, &cluster(".!"), &[]), [], "ejected already: nothing to do");
    assert!(ejections.is_ejected(1, 30_999));
    assert!(!ejections.is_ejected(1, 31_000));
    assert_eq!(ejections.consider(&policy(), 31_000, &quiet, &[]), [Change::Returned { id: 1 }]);
    assert_eq!(ejections.consider(&policy(), 31_001, &quiet, &[]), []);
    assert_eq!(ejections.next_expiry(), None);
}

#[test]
fn a_return_makes_room_in_the_same_call() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!.."), &[]);
    assert_eq!(ejections.consider(&policy(), 10_000, &cluster(".!."), &[]), []);
    let changes = ejections.consider(&policy(), 30_000, &cluster(".!."), &[]);
    assert_eq!(changes, [Change::Returned { id: 0 }, Change::Ejected { id: 1, until_ms: 60_000 }]);
}

/// Ejects member 0 at `now_ms` and gives the length of it.
fn eject_for(ejections: &mut Ejections, now_ms: u64) -> u64 {
    ejections.consider(&policy(), now_ms, &cluster("!."), &[]);
    ejections.next_expiry().unwrap() - now_ms
}

#[test]
fn repeated_ejections_grow_to_the_limit_and_fade_with_calm() {
    let mut ejections = Ejections::new();
    assert_eq!(eject_for(&mut ejections, 0), 30_000);
    assert_eq!(eject_for(&mut ejections, 30_000), 60_000);
    assert_eq!(eject_for(&mut ejections, 90_000), 70_000, "capped, with three strikes");
    // Ended at 160 s. One strike fades per 60 s, so two are left of three after 119 s, and this makes three again.
    assert_eq!(eject_for(&mut ejections, 160_000 + 119_999), 70_000);
    // Ended at 350 s. Two of three fade.
    assert_eq!(eject_for(&mut ejections, 349_999 + 120_000), 60_000);
    // Ended at 530 s. One of two fades, however often someone looks in between.
    for late in [10_000, 70_000, 119_000] {
        ejections.consider(&policy(), 529_999 + late, &cluster(".."), &[]);
    }
    assert_eq!(eject_for(&mut ejections, 529_999 + 119_999), 60_000);
    // Ended at 710 s. Both fade.
    assert_eq!(eject_for(&mut ejections, 709_998 + 120_000), 30_000);
}

#[test]
fn forgiving_ends_the_ejection_but_keeps_the_strike() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!."), &[]);
    ejections.forgive(0);
    assert!(!ejections.is_ejected(0, 1));
    assert_eq!(ejections.next_expiry(), None);
    assert_eq!(ejections.consider(&policy(), 1_000, &cluster(".."), &[]), [], "whoever forgave knows that it returned");
    assert_eq!(eject_for(&mut ejections, 2_000), 60_000);

    ejections.forgive(0);
    ejections.consider(&policy(), 10_000, &cluster(".."), &[]);
    assert_eq!(eject_for(&mut ejections, 10_000 + 119_999), 60_000, "one of two strikes fades after the forgiving");
    ejections.forgive(7);
    assert_eq!(ejections.entries.len(), 1, "forgiving a stranger is nothing");
}

#[test]
fn forgetting_drops_the_strikes_too() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!."), &[]);
    ejections.forget(0);
    assert!(!ejections.is_ejected(0, 1));
    assert_eq!(eject_for(&mut ejections, 2_000), 30_000);
}

#[test]
fn who_left_the_cluster_is_forgotten() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("..!."), &[]);
    assert_eq!(ejections.consider(&policy(), 1_000, &cluster(".."), &[]), []);
    assert_eq!(ejections.next_expiry(), None, "a timer for nobody would ring for ever");
    assert!(ejections.entries.is_empty());
}

#[test]
fn a_doubtful_server_is_better_than_none() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!."), &[]);
    // The active check takes the other one down.
    assert_eq!(ejections.consider(&policy(), 1_000, &cluster("!-"), &[]), [Change::Returned { id: 0 }]);
    assert_eq!(ejections.next_expiry(), None);
}

#[test]
fn a_smaller_cluster_has_a_smaller_cap() {
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!..."), &[]);
    ejections.consider(&policy(), 5_000, &cluster(".!.."), &[]);
    assert_eq!(ejected(&ejections, &cluster("...."), 5_000), [0, 1]);
    let changes = ejections.consider(&policy(), 6_000, &cluster("..."), &[]);
    assert_eq!(changes, [Change::Returned { id: 0 }], "the one that is nearest to its end");
    assert_eq!(ejected(&ejections, &cluster("..."), 6_000), [1]);
}

#[test]
fn extreme_policies_and_clocks_do_no_harm() {
    let off = PassivePolicy { eject_time: Duration::ZERO, ..policy() };
    let mut ejections = Ejections::new();
    assert_eq!(ejections.consider(&off, 0, &cluster("!."), &[]), []);
    let endless = PassivePolicy { eject_time: Duration::MAX, max_eject_time: Duration::MAX, ..policy() };
    let changes = ejections.consider(&endless, 5, &cluster("!."), &[]);
    assert_eq!(changes, [Change::Ejected { id: 0, until_ms: u64::MAX }]);
    assert_eq!(ejections.consider(&policy(), 0, &cluster(".."), &[]), [], "a clock that goes back ends nothing");
}

proptest! {
    #[test]
    fn the_rules_hold_after_every_call(
        eject_s in 0..100u64,
        max_s in 0..200u64,
        calls in prop::collection::vec((0..90_000u64, "[.!X-]{0,9}", prop::option::weighted(0.2, 0..9u32)), 1..60),
    ) {
        let policy = PassivePolicy {
            eject_time: Duration::from_secs(eject_s),
            max_eject_time: Duration::from_secs(max_s),
            ..PassivePolicy::default()
        };
        let (mut ejections, mut now_ms) = (Ejections::new(), 0);
        for (step, letters, forgiven) in calls {
            now_ms += step;
            if let Some(id) = forgiven {
                ejections.forgive(id);
            }
            let members = cluster(&letters);
            let changes = ejections.consider(&policy, now_ms, &members, &[]);

            let out = ejected(&ejections, &members, now_ms);
            prop_assert!(out.len() <= members.len() / 2, "{} of {}", out.len(), members.len());
            let usable: Vec<u32> = members.iter().filter(|m| m.usable).map(|m| m.id).collect();
            prop_assert!(usable.is_empty() || usable.iter().any(|id| !out.contains(id)), "the last usable one: {letters}");

            for change in changes {
                match change {
                    Change::Ejected { id, until_ms } => {
                        prop_assert!(members[id as usize].alarmed && members[id as usize].usable);
                        prop_assert!(out.contains(&id));
                        prop_assert!(until_ms > now_ms && until_ms <= now_ms + max_s * 1000);
                    }
                    Change::Returned { id } => prop_assert!((id as usize) < members.len()),
                }
            }
            prop_assert!(ejections.next_expiry().is_none_or(|next| next > now_ms), "a past expiry would make a busy loop");
            prop_assert!(ejections.entries.len() <= members.len());
        }
    }
}

/// Positions of members that some clients can use.
fn audiences(lists: &[&[u32]]) -> Vec<Vec<u32>> {
    lists.iter().map(|list| list.to_vec()).collect()
}

#[test]
fn the_last_one_of_an_audience_stays() {
    // One server for a branch, three for the others.
    let branches = audiences(&[&[0], &[1, 2, 3]]);
    for (letters, expected) in [
        ("!...", &[][..]),
        ("!!..", &[1]),
        // The branch's server is well and not needed by the others.
        (".!!.", &[1, 2]),
        (".!--", &[]),
        ("-!!!", &[1, 2]),
    ] {
        let (mut ejections, members) = (Ejections::new(), cluster(letters));
        ejections.consider(&policy(), 1_000, &members, &branches);
        assert_eq!(ejected(&ejections, &members, 1_000), expected, "{letters}");
    }
}

#[test]
fn an_ejection_ends_when_an_audience_has_nobody_else_left() {
    let shared = audiences(&[&[0, 1], &[2, 3]]);
    let mut ejections = Ejections::new();
    ejections.consider(&policy(), 0, &cluster("!..."), &shared);
    assert_eq!(ejected(&ejections, &cluster("...."), 1), [0]);
    // Its companion fails; those of others do not help.
    assert_eq!(ejections.consider(&policy(), 1, &cluster(".-.."), &shared), [Change::Returned { id: 0 }]);
    // And a change of groups counts as well.
    ejections.consider(&policy(), 2, &cluster("!..."), &shared);
    assert_eq!(
        ejections.consider(&policy(), 3, &cluster("...."), &audiences(&[&[0], &[1]])),
        [Change::Returned { id: 0 }]
    );
}
