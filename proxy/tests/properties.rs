//! What must hold for every site: who may be picked, in which order tiers open, and how the traffic is shared.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::{BTreeMap, BTreeSet};

use control_support::plan::{CLIENT, Site, site};
use control_support::world::{DOWN, World, decide};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rolegate::model::balance::{NoPick, Tried};
use rolegate::model::endpoint::Lease;
use rolegate::model::snapshot::Snapshot;
use rolegate::model::tier::TierKind;

/// The statistics below are exact repetitions: the same dice in every run.
const SEED: u64 = 0x5eed_0001;
const DRAWS: u32 = 40_000;
const BALANCES: [&str; 4] = ["least-requests", "random", "client", "content"];

fn always_the_same(cases: u32) -> ProptestConfig {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("PROPTEST_RNG_SEED={seed}");
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() }
}

/// The site as it stands: snapshot, and the leases that make servers busy.
fn build(site: &Site) -> (World, Vec<Lease>) {
    let mut world = World::new(&site.toml());
    let mut leases = Vec::new();
    for (place, server) in site.servers.iter().enumerate() {
        world.stand(place as u32, server.standing);
        let cluster = world.cluster();
        leases.extend((0..server.in_flight).map(|_| Lease::take(&cluster.endpoint(place as u32).state)));
    }
    world.publisher.publish();
    (world, leases)
}

fn tried(site: &Site) -> Tried {
    let tried = site.servers.iter().enumerate().filter(|(_, server)| server.tried);
    tried.map(|(place, _)| place as u32).take(8).collect()
}

proptest! {
    #![proptest_config(always_the_same(400))]

    #[test]
    fn a_pick_is_from_the_first_tier_that_can_serve_and_never_somebody_who_may_not(
        mut site in site(),
        dice in prop::collection::vec(any::<u64>(), 8),
    ) {
        let tried = tried(&site);
        for (place, server) in site.servers.iter_mut().enumerate() {
            server.tried = tried.contains(&(place as u32));
        }
        let (world, _leases) = build(&site);
        let snapshot = world.snapshot();
        prop_assert_eq!(snapshot.clusters[0].panicking(), site.panics());
        let expected = site.expected();
        for (number, dice) in dice.into_iter().enumerate() {
            let path = format!("/pages/P0100{number}");
            let decision = decide(&snapshot, CLIENT, &path).unwrap();
            match (decision.pick(&tried, 0, dice), &expected) {
                (Ok(pick), Some((class, tier, candidates))) => {
                    prop_assert_eq!(pick.class, *class);
                    prop_assert_eq!((pick.tier.offset, pick.tier.kind), *tier);
                    prop_assert!(candidates.contains(&(pick.endpoint as usize)), "{:?} of {:?}", pick, candidates);
                }
                (Err(nobody_picked), None) => {
                    let nobody = site.tiers().is_empty();
                    prop_assert_eq!(nobody_picked.why == NoPick::NoServer, nobody, "{:?}", nobody_picked);
                }
                (found, expected) => prop_assert!(false, "{:?} instead of {:?}", found, expected),
            }
        }
    }

    #[test]
    fn tiers_are_in_order_with_the_servers_that_relationships_give_them(site in site()) {
        let (world, _leases) = build(&site);
        let snapshot = world.snapshot();
        let decision = decide(&snapshot, CLIENT, "/pages/P0100").unwrap();
        let location = decision.location;
        let found: Vec<_> = location
            .tiers()
            .map(|tier| {
                let members: BTreeSet<usize> = location.members(tier).flatten().map(|member| *member as usize).collect();
                (tier.offset, tier.kind, members)
            })
            .collect();
        prop_assert_eq!(found, site.tiers());
    }
}

fn weights(balance: &str, weights: &[u32]) -> String {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"pages\"]\n\
         [roles.pages]\npreset = \"plain\"\npaths = [\"/pages\"]\nbalance = \"{balance}\"\nlocality = \"boundary-groups\"\n"
    );
    for (place, weight) in weights.iter().enumerate() {
        let (high, low) = (place / 200, place % 200);
        text.push_str(&format!(
            "[[site_systems]]\nname = \"s{place}\"\naddress = \"10.9.{high}.{low}\"\nweight = {weight}\nroles = [\"pages\"]\n"
        ));
    }
    text
}

fn well(text: &str) -> World {
    let mut world = World::new(text);
    world.all_up();
    world
}

/// Who serves each of many clients (each with content of its own), by number of the client.
fn served(snapshot: &Snapshot) -> Vec<String> {
    served_by_chance(snapshot, SEED)
}

fn served_by_chance(snapshot: &Snapshot, seed: u64) -> Vec<String> {
    println!("seed {seed:#x}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let of = |number: u32| {
        let client = format!("10.1.{}.{}", number / 250, number % 250);
        let decision = decide(snapshot, &client, "/pages/P0100").unwrap();
        let pick = decision.pick(&Tried::new(), 0, dice.u64(..)).unwrap();
        decision.cluster.endpoint(pick.endpoint).system.to_string()
    };
    (0..DRAWS).map(of).collect()
}

fn counts(served: &[String]) -> BTreeMap<&str, f64> {
    let mut counts = BTreeMap::new();
    served.iter().for_each(|system| *counts.entry(system.as_str()).or_default() += 1.0);
    counts
}

/// Within six standard deviations: at these numbers of draws about 1 % of all requests.
fn assert_share(what: &str, count: f64, draws: f64, share: f64) {
    let deviation = (draws * share * (1.0 - share)).sqrt();
    let expected = draws * share;
    assert!((count - expected).abs() < 6.0 * deviation, "{what}: {count} of {draws}, expected {expected}");
}

#[test]
fn shares_follow_weights() {
    let all = [100, 200, 50, 400, 1, 249];
    for balance in BALANCES {
        let world = well(&weights(balance, &all));
        let served = served(&world.snapshot());
        let counts = counts(&served);
        for (place, weight) in all.iter().enumerate() {
            let count = counts.get(format!("s{place}").as_str()).copied().unwrap_or(0.0);
            assert_share(&format!("{balance} s{place}"), count, f64::from(DRAWS), f64::from(*weight) / 1000.0);
        }
    }
}

#[test]
fn a_large_tier_is_sampled_fairly() {
    let world = well(&weights("least-requests", &[100; 400]));
    let served = served(&world.snapshot());
    let counts = counts(&served);
    assert_eq!(counts.len(), 400, "everybody is reached");
    counts.iter().for_each(|(system, count)| assert_share(system, *count, f64::from(DRAWS), 1.0 / 400.0));
}

#[test]
fn requests_in_flight_settle_in_proportion_to_weights() {
    let all = [100, 200, 300, 400];
    let world = well(&weights("least-requests", &all));
    let snapshot = world.snapshot();
    let decision = decide(&snapshot, CLIENT, "/pages").unwrap();
    println!("seed {SEED:#x}");
    let mut dice = fastrand::Rng::with_seed(SEED);
    let mut leases: Vec<Lease> = Vec::new();
    let mut sums = [0.0; 4];
    for step in 0..20_000 {
        if leases.len() >= 200 {
            leases.swap_remove(dice.usize(..leases.len()));
        }
        let pick = decision.pick(&Tried::new(), 0, dice.u64(..)).unwrap();
        leases.push(Lease::take(&decision.cluster.endpoint(pick.endpoint).state));
        if step >= 1000 {
            let in_flight = |place| f64::from(decision.cluster.endpoint(place as u32).state.in_flight());
            sums.iter_mut().enumerate().for_each(|(place, sum)| *sum += in_flight(place));
        }
    }
    let total: f64 = sums.iter().sum();
    for (sum, weight) in sums.iter().zip(all) {
        let (share, fair) = (sum / total, f64::from(weight) / 1000.0);
        assert!((share - fair).abs() < 0.2 * fair, "{share} instead of {fair}: {sums:?}");
    }
    drop(leases);
    assert!((0..4).all(|place| decision.cluster.endpoint(place).state.in_flight() == 0));
}

#[test]
fn only_the_keys_of_a_server_that_goes_move() {
    for balance in ["client", "content"] {
        let all = [100, 200, 50, 400, 250];
        let mut world = well(&weights(balance, &all));
        let before = served(&world.snapshot());
        assert_eq!(served_by_chance(&world.snapshot(), SEED + 1), before, "chance plays no part");

        world.stand_system("s3", DOWN);
        world.publisher.publish();
        let down = served(&world.snapshot());
        // Out of the configuration, so that the positions of the others change too.
        let text = weights(balance, &all).replace("[[site_systems]]\nname = \"s3\"", "[[site_systems]]\nname = \"s9\"");
        let start = text.find("[[site_systems]]\nname = \"s9\"").unwrap();
        let end = start + 1 + text[start + 1..].find("[[site_systems]]").unwrap();
        let gone = served(&well(&(text[..start].to_owned() + &text[end..])).snapshot());
        assert_eq!(down, gone, "{balance}: down and out of the configuration are the same to the others");

        let mut moved = 0;
        for (old, new) in before.iter().zip(&down) {
            assert_ne!(new, "s3");
            assert!(old == new || old == "s3", "{balance}: a client of {old} moved to {new}");
            moved += u32::from(old == "s3");
        }
        assert_share("s3's clients", f64::from(moved), f64::from(DRAWS), 0.4);
        let heirs: Vec<String> =
            before.iter().zip(&down).filter(|(old, _)| *old == "s3").map(|(_, new)| new.clone()).collect();
        let heirs = counts(&heirs);
        for (place, weight) in [(0, 100), (1, 200), (2, 50), (4, 250)] {
            let count = heirs[format!("s{place}").as_str()];
            assert_share("heirs share by weight", count, f64::from(moved), f64::from(weight) / 600.0);
        }
    }
}

#[test]
fn a_server_in_several_overlapping_groups_has_no_larger_share() {
    for balance in BALANCES {
        let mut text = weights(balance, &[100; 4]);
        for (group, servers) in [("\"s0\", \"s1\""), ("\"s0\", \"s2\""), ("\"s3\", \"s0\", \"s1\"")].iter().enumerate()
        {
            text.push_str(&format!(
                "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [{servers}]\n"
            ));
        }
        let world = well(&text);
        let snapshot = world.snapshot();
        assert_eq!(decide(&snapshot, CLIENT, "/pages").unwrap().groups.len(), 3);
        let served = served(&snapshot);
        let counts = counts(&served);
        for (system, count) in counts {
            assert_share(&format!("{balance} {system}"), count, f64::from(DRAWS), 0.25);
        }
    }
}

#[test]
fn a_server_in_several_groups_does_not_hide_the_idle_one_beside_it() {
    let mut text = weights("least-requests", &[100; 2]);
    for group in 0..3 {
        text.push_str(&format!(
            "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"s0\", \"s1\"]\n"
        ));
    }
    let world = well(&text);
    let snapshot = world.snapshot();
    let _busy: Vec<Lease> = (0..50).map(|_| Lease::take(&snapshot.clusters[0].endpoint(0).state)).collect();
    assert_eq!(counts(&served(&snapshot)).keys().collect::<Vec<_>>(), [&"s1"]);
}

/// A chain: the client's group, its neighbor, the neighbor's neighbor.
fn chain(first: &str, second: &str) -> World {
    let mut text = weights("content", &[100; 3]);
    for (group, next) in [(0, first), (1, second), (2, "")] {
        let boundary = if group == 0 { "\"10.1.0.0/16\"" } else { "" };
        text.push_str(&format!(
            "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [{boundary}]\nsite_systems = [\"s{group}\"]\n\
             neighbors = [{next}]\n"
        ));
    }
    well(&text)
}

fn systems(world: &World) -> Vec<(u32, TierKind, Vec<u32>)> {
    let snapshot = world.snapshot();
    let location = decide(&snapshot, CLIENT, "/pages/P0100").unwrap().location;
    let tier = |tier| location.members(tier).flatten().copied().collect();
    location.tiers().map(|at| (at.offset, at.kind, tier(at))).collect()
}

#[test]
fn never_removes_and_there_are_no_two_hops() {
    let to = |group: u32, time: &str| format!("{{ group = \"g{group}\", fallback = {{ pages = {time} }} }}");
    let current = (0, TierKind::Current, vec![0]);
    let world = chain(&to(1, "30"), &to(2, "0"));
    assert_eq!(
        systems(&world),
        [current.clone(), (30, TierKind::Neighbor, vec![1])],
        "the neighbor's neighbor is no neighbor"
    );
    let world = chain(&to(1, "\"never\""), &to(2, "0"));
    assert_eq!(systems(&world), std::slice::from_ref(&current), "never removes");
    let both = format!("{}, {}", to(1, "60"), to(2, "15"));
    let world = chain(&both, &to(0, "0"));
    let found = systems(&world);
    assert_eq!(found, [current, (15, TierKind::Neighbor, vec![2]), (60, TierKind::Neighbor, vec![1])]);
}
