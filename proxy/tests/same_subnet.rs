//! Of the servers of a tier, those in the client's own subnet come first: which subnet that is, and what it never overrides.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use control_support::world::{DEGRADED, DOWN, EJECTED, UP, World, decide, facts};
use http::{Method, StatusCode};
use ipnet::Ipv4Net;
use proptest::prelude::*;
use rolegate::explain::Explanation;
use rolegate::model::balance::{Pick, Tried};
use rolegate::model::cluster::Class;
use rolegate::model::decision::Decision;
use rolegate::model::endpoint::Lease;
use rolegate::model::tier::TierKind;

/// Servers of distribution points, and all the rest.
fn config(role: &str, servers: &[(&str, &str)], rest: &str) -> String {
    let systems: String = servers
        .iter()
        .map(|(name, address)| {
            format!("[[site_systems]]\nname = \"{name}\"\naddress = \"{address}\"\nroles = [\"DP\"]\n")
        })
        .collect();
    format!(
        "[site]\ncode = \"P01\"\n[fallback]\nclock = \"immediate\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n[roles.DP]\n{role}\n{systems}{rest}"
    )
}

fn group(name: &str, boundaries: &[&str], systems: &[&str]) -> String {
    format!("[[boundary_groups]]\nname = \"{name}\"\nboundaries = {boundaries:?}\nsite_systems = {systems:?}\n")
}

const SERVERS: [(&str, &str); 4] =
    [("near", "10.1.5.9"), ("near2", "10.1.5.10"), ("side", "10.1.6.9"), ("far", "10.2.0.9")];
const NAMES: [&str; 4] = ["near", "near2", "side", "far"];

/// One group with nested networks, and a server outside of all.
fn berlin(role: &str) -> World {
    let boundaries = ["10.1.0.0/16", "10.1.5.0/24", "10.1.6.0/24"];
    up(&config(role, &SERVERS, &group("Berlin", &boundaries, &NAMES)))
}

fn up(text: &str) -> World {
    let mut world = World::new(text);
    world.all_up();
    world
}

fn stand(world: &mut World, states: &[(&str, rolegate::model::cluster::Standing)]) {
    for (system, standing) in states {
        world.stand_system(system, *standing);
    }
    world.publisher.publish();
}

fn name<'a>(decision: &Decision<'a>, pick: &Pick) -> &'a str {
    &decision.cluster.endpoint(pick.endpoint).system
}

/// Who serves a client that asks for forty contents.
fn servers(world: &World, client: &str) -> BTreeSet<String> {
    let snapshot = world.snapshot();
    let pick = |number: u64| {
        let path = format!("/SMS_DP_SMSPKG$/ABC{number:05}/setup.msi");
        let decision = decide(&snapshot, client, &path).unwrap();
        name(&decision, &decision.pick(&Tried::new(), 1000, number).unwrap()).to_owned()
    };
    (0..40).map(pick).collect()
}

#[track_caller]
fn assert_served(world: &World, client: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(servers(world, client), expected, "{client}");
}

#[test]
fn those_in_the_most_specific_subnet_of_the_client_come_first() {
    let world = berlin("");
    assert_served(&world, "10.1.5.1", &["near", "near2"]);
    assert_served(&world, "::ffff:10.1.5.1", &["near", "near2"]);
    assert_served(&world, "10.1.6.1", &["side"]);
    // Its own subnet is the large one, and no server has no smaller one.
    assert_served(&world, "10.1.7.1", &NAMES);
}

#[test]
fn when_none_of_them_can_serve_the_others_of_the_tier_do() {
    let mut world = berlin("");
    for bad in [DOWN, EJECTED, DEGRADED] {
        stand(&mut world, &[("near", bad), ("near2", UP)]);
        assert_served(&world, "10.1.5.1", &["near2"]);
        stand(&mut world, &[("near2", bad)]);
        assert_served(&world, "10.1.5.1", &["side", "far"]);
    }
    stand(&mut world, &[("near", DOWN), ("near2", DOWN), ("side", DEGRADED), ("far", DEGRADED)]);
    assert_served(&world, "10.1.5.1", &["side", "far"]);
    // Nobody is proven well, so those of the subnet are as good as others.
    stand(&mut world, &[("near", DEGRADED)]);
    assert_served(&world, "10.1.5.1", &["near"]);
}

#[test]
fn what_was_tried_what_lacks_the_content_and_what_is_full_is_passed_by() {
    let world = berlin("max_requests = 1");
    let snapshot = world.snapshot();
    let (client, path) = ("10.1.5.1", "/SMS_DP_SMSPKG$/ABC00001/setup.msi");
    let decision = decide(&snapshot, client, path).unwrap();
    let mut tried = Tried::new();
    let mut order = Vec::new();
    while let Ok(pick) = decision.pick(&tried, 1000, 1) {
        tried.push(pick.endpoint);
        order.push(name(&decision, &pick));
    }
    assert_eq!(order.len(), 4);
    assert!(order[..2].iter().all(|name| name.starts_with("near")), "{order:?}");

    let lacks = decide(&snapshot, client, "/SMS_DP_SMSPKG$/ABC00002").unwrap();
    for _ in 0..2 {
        let pick = lacks.pick(&Tried::new(), 1000, 1).unwrap();
        assert!(name(&lacks, &pick).starts_with("near"));
        lacks.learn(&pick, &Method::from_bytes(b"PROPFIND").unwrap(), StatusCode::NOT_FOUND);
    }
    let lacks = decide(&snapshot, client, "/SMS_DP_SMSPKG$/ABC00002").unwrap();
    let pick = lacks.pick(&Tried::new(), 1000, 1).unwrap();
    assert!(!name(&lacks, &pick).starts_with("near"), "both have said that they lack it");

    let near = decision.cluster.topology.endpoints.iter().filter(|endpoint| endpoint.system.starts_with("near"));
    let _leases: Vec<Lease> = near.map(|endpoint| Lease::take(&endpoint.state)).collect();
    assert_served(&world, client, &["side", "far"]);
}

#[test]
fn what_is_too_much_for_one_of_them_goes_to_another_of_them() {
    let world = berlin("");
    let snapshot = world.snapshot();
    let near = snapshot.clusters[0].topology.endpoints.iter().find(|endpoint| &*endpoint.system == "near").unwrap();
    let leases: Vec<Lease> = (0..20).map(|_| Lease::take(&near.state)).collect();
    assert_served(&world, "10.1.5.1", &["near2"]);
    let told = explained(&world, "10.1.5.1");
    assert_eq!(told.pick.unwrap().site_system, "near2");
    drop(leases);
    assert_served(&world, "10.1.5.1", &["near", "near2"]);
}

#[test]
fn another_tier_and_a_download_that_has_begun_are_not_given_up_for_it() {
    // The server in the client's subnet is the neighbor's.
    let neighbor = "neighbors = [{ group = \"Hub\", fallback = { DP = 0 } }]\n";
    let groups = group("Berlin", &["10.1.5.0/24"], &["far"]) + neighbor + &group("Hub", &["10.3.0.0/24"], &["near"]);
    let mut world = up(&config("", &SERVERS, &groups));
    assert_served(&world, "10.1.5.1", &["far"]);
    stand(&mut world, &[("far", DOWN)]);
    assert_served(&world, "10.1.5.1", &["near"]);

    // It has begun elsewhere, while those of the subnet were down.
    let mut world = berlin("");
    stand(&mut world, &[("near", DOWN), ("near2", DOWN)]);
    let path = "/SMS_DP_SMSPKG$/ABC00001/setup.msi";
    let snapshot = world.snapshot();
    let decision = decide(&snapshot, "10.1.5.1", path).unwrap();
    let pick = decision.pick(&Tried::new(), 1000, 1).unwrap();
    let said = decision.learn(&pick, &Method::GET, StatusCode::OK).said;
    decision.served(&pick, said, StatusCode::OK);
    let first = name(&decision, &pick).to_owned();
    stand(&mut world, &[("near", UP), ("near2", UP)]);
    let snapshot = world.snapshot();
    let decision = decide(&snapshot, "10.1.5.1", path).unwrap();
    assert_eq!(name(&decision, &decision.pick(&Tried::new(), 1000, 1).unwrap()), first);
    assert_served(&world, "10.1.5.2", &["near", "near2"]);
}

#[test]
fn a_range_and_a_single_address_are_no_subnets() {
    for boundaries in [
        &["10.1.0.0-10.1.255.255", "10.1.5.0-10.1.5.255"][..],
        &["10.1.0.0/16", "10.1.5.1/32", "10.1.5.9/32", "10.1.5.10/32", "10.1.6.9/32"],
    ] {
        let world = up(&config("", &SERVERS, &group("Berlin", boundaries, &NAMES)));
        let snapshot = world.snapshot();
        let known = snapshot.site.subnets.len();
        assert_eq!(known, usize::from(boundaries.len() > 2), "{boundaries:?}");
        if known == 0 {
            assert_served(&world, "10.1.5.1", &NAMES);
            assert!(world.cluster().topology.subnets.is_empty());
        }
    }
    // A single address does not take its client out of the subnet around it.
    let text = config("", &SERVERS, &group("Berlin", &["10.1.5.0/24", "10.1.5.1/32"], &NAMES));
    assert_served(&up(&text), "10.1.5.1", &["near", "near2"]);
}

#[test]
fn it_is_a_key_of_the_role() {
    let world = berlin("same_subnet_first = false");
    assert_served(&world, "10.1.5.1", &NAMES);
    assert!(world.snapshot().site.subnets.is_empty() && world.cluster().topology.subnets.is_empty());
    let world = berlin("balance = \"least-requests\"\nsame_subnet_first = true");
    assert_served(&world, "10.1.5.1", &["near", "near2"]);
    // The hash alone says where an enrolled device is.
    let world = berlin("balance = \"device\"");
    assert!(world.cluster().topology.subnets.is_empty());
}

#[test]
fn it_holds_where_boundary_groups_do_not_decide() {
    let world = up(&config("", &SERVERS, &group("Berlin", &["10.1.5.0/24"], &[])));
    assert!(!world.cluster().topology.grouped());
    assert_served(&world, "10.1.5.1", &["near", "near2"]);
    assert_served(&world, "10.1.6.1", &NAMES);
    let snapshot = world.snapshot();
    assert_eq!(decide(&snapshot, "10.1.5.1", "/SMS_DP_SMSPKG$/A").unwrap().groups, []);
}

#[test]
fn subnets_of_active_directory_sites_count_also_of_sites_that_no_group_names() {
    let sites = "[ad_sites]\nBerlin = [\"10.1.0.0/16\"]\nHub = [\"10.0.0.0/8\", \"10.1.6.0/24\"]\n";
    let groups = "[[boundary_groups]]\nname = \"Berlin\"\nboundaries = [{ ad_site = \"Berlin\" }, \"10.2.0.0-10.2.0.99\"]\n\
                  site_systems = [\"near\", \"near2\", \"side\", \"far\"]\n";
    let world = up(&(config("", &SERVERS, groups) + sites));
    assert_served(&world, "10.1.77.1", &["near", "near2"]);
    assert_served(&world, "10.2.0.50", &["far"]);
    let six = [("near", "2001:db8:1:5::9"), ("far", "2001:db8:2::9")];
    let groups = group("Berlin", &["2001:db8::/32", "2001:db8:1:5::/64", "2001:db8:1:6"], &["near", "far"]);
    let world = up(&config("", &six, &groups));
    assert_served(&world, "2001:db8:1:5::1", &["near"]);
    assert_served(&world, "2001:db8:9::1", &["far"]);
    assert_served(&world, "2001:db8:1:6::1", &["near", "far"]);
}

#[test]
fn a_reload_and_an_answer_of_dns_change_who_is_near() {
    let text = |boundary: &str| {
        let servers = [("near", "dp1.lab.test"), ("far", "10.2.0.9")];
        config("", &servers, &group("Berlin", &["10.0.0.0/8", boundary], &["near", "far"]))
    };
    let mut world = World::new(&text("10.1.5.0/24"));
    world.resolve("dp1.lab.test", vec!["10.1.5.9".parse().unwrap()]);
    world.all_up();
    assert_served(&world, "10.1.5.1", &["near"]);
    world.resolve("dp1.lab.test", vec!["10.3.0.9".parse().unwrap()]);
    world.all_up();
    assert_served(&world, "10.1.5.1", &["near", "far"]);
    world.resolve("dp1.lab.test", vec!["10.1.5.9".parse().unwrap()]);
    world.all_up();
    world.reload(&text("10.2.0.0/24"));
    world.publisher.publish();
    assert_served(&world, "10.1.5.1", &["near"]);
    assert_served(&world, "10.2.0.1", &["far"]);
    world.reload(&text("10.1.5.0-10.1.5.255"));
    world.publisher.publish();
    assert_served(&world, "10.1.5.1", &["near", "far"]);
}

#[test]
fn among_very_many_the_few_of_the_subnet_are_found() {
    let servers: Vec<(String, String)> =
        (0..200).map(|number| (format!("s{number}"), format!("10.{}.5.9", 1 + number))).collect();
    let servers: Vec<(&str, &str)> = servers.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    let names: Vec<&str> = servers.iter().map(|(name, _)| *name).collect();
    let group = group("all", &["10.0.0.0/8", "10.150.0.0/15"], &names);
    let world = up(&config("balance = \"least-requests\"\nsame_subnet_first = true", &servers, &group));
    assert_served(&world, "10.150.0.1", &["s149", "s150"]);
    assert!(self::servers(&world, "10.9.0.1").len() > 20);
}

fn explained(world: &World, client: &str) -> Explanation {
    let snapshot = world.snapshot();
    Explanation::new(&snapshot, &facts(client, "/SMS_DP_SMSPKG$/ABC00001/setup.msi"), 1000, 1)
}

#[test]
fn an_explanation_says_whose_subnet_counted() {
    let mut world = berlin("");
    let told = explained(&world, "10.1.5.1");
    assert_eq!(
        told.subnet.as_deref(),
        Some("10.1.5.0/24, in which near, near2 can be found: that comes first in a tier")
    );
    let said = told.pick.unwrap().sentence;
    let among = "those in the client's own subnet 10.1.5.0/24 come first in their tier (same_subnet_first), and of these 2: \
                 the hash of the client's address and of the content says so";
    assert!(said.starts_with(among), "{said}");
    let near: Vec<bool> = told.tiers[0].servers.iter().map(|server| server.same_subnet).collect();
    assert_eq!(near, [true, true, false, false]);

    stand(&mut world, &[("near2", DOWN)]);
    let mut told = explained(&world, "10.1.5.1");
    told.ask_why_not(&world.snapshot(), "far").unwrap();
    let alone =
        "of those in its tier that can serve, it alone is in the client's own subnet 10.1.5.0/24 (same_subnet_first)";
    assert_eq!(told.pick.unwrap().sentence, alone);
    assert_eq!(told.why_not.unwrap().sentence, format!("far can serve, and near is picked: {alone}"));

    // It made no difference.
    stand(&mut world, &[("near", DOWN)]);
    let told = explained(&world, "10.1.5.1");
    assert!(told.subnet.is_some() && told.pick.unwrap().sentence.starts_with("the hash of"));
    stand(&mut world, &[("near", UP), ("side", DOWN), ("far", DOWN)]);
    assert_eq!(explained(&world, "10.1.5.1").pick.unwrap().sentence, "it is the only one in its tier that can serve");
    assert_eq!(explained(&world, "10.1.7.1").subnet, None);
}

/// Networks below 10.0.0.0/8 that overlap often.
fn networks() -> impl Strategy<Value = Vec<Ipv4Net>> {
    let one = (0_u32..8, 13_u8..=24).prop_map(|(part, length)| {
        let address = Ipv4Addr::from(0x0a00_0000 | part.wrapping_mul(0x0005_1505) & 0x0007_ffff);
        Ipv4Net::new(address, length).unwrap().trunc()
    });
    prop::collection::vec(one, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(16), ..ProptestConfig::default() })]

    /// The most specific network that contains an address is found, whatever else is configured.
    #[test]
    fn every_address_is_in_the_most_specific_subnet(nets in networks(), sites in networks(), hosts in prop::collection::vec(0_u32..0x0008_0000, 20)) {
        let boundaries: Vec<String> = nets.iter().map(ToString::to_string).collect();
        let own: Vec<&str> = boundaries.iter().map(String::as_str).collect();
        let list: Vec<String> = sites.iter().map(ToString::to_string).collect();
        let text = config("", &[("a", "10.9.0.1")], &group("Berlin", &own, &["a"])) + &format!("[ad_sites]\nHub = {list:?}\n");
        let world = World::new(&text);
        let site = &world.snapshot().site;
        let all: Vec<Ipv4Net> = nets.iter().chain(&sites).copied().collect();
        let edges = all.iter().flat_map(|net| [u32::from(net.network()), u32::from(net.broadcast())]);
        let around = edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]);
        for address in around.chain(hosts.iter().map(|host| 0x0a00_0000 | host)).map(Ipv4Addr::from) {
            let naive = all.iter().filter(|net| net.contains(&address)).max_by_key(|net| net.prefix_len());
            let place = site.boundaries.place_of(IpAddr::V4(address));
            let found = place.subnet.map(|id| site.subnets[id.place()].network());
            prop_assert_eq!(found, naive.map(ToString::to_string), "{}", address);
            let inside = nets.iter().any(|net| net.contains(&address));
            prop_assert_eq!(place.groups.len(), usize::from(inside), "{}", address);
        }
    }

    /// The key changes nothing but who is picked within a class and a tier; and there, one of the subnet if one can serve.
    #[test]
    fn it_leads_to_no_other_tier_and_to_none_that_is_less_well(
        nets in networks(),
        places in prop::collection::vec((0_u32..0x0008_0000, 0_u8..4, 0_u8..3), 2..7),
        client in 0_u32..0x0008_0000,
        dice in 0_u64..1000,
    ) {
        let servers: Vec<(String, String)> = places
            .iter()
            .enumerate()
            .map(|(number, place)| (format!("s{number}"), Ipv4Addr::from(0x0a00_0000 | place.0).to_string()))
            .collect();
        let servers: Vec<(&str, &str)> = servers.iter().map(|(name, at)| (name.as_str(), at.as_str())).collect();
        let of = |tier: u8| -> Vec<&str> {
            servers.iter().zip(&places).filter(|(_, place)| place.2 == tier).map(|(server, _)| server.0).collect()
        };
        let mut boundaries: Vec<String> = nets.iter().map(ToString::to_string).collect();
        boundaries.push("10.0.0.0-10.255.255.255".to_owned());
        let own: Vec<&str> = boundaries.iter().map(String::as_str).collect();
        let groups = group("own", &own, &of(0))
            + "neighbors = [{ group = \"next\", fallback = { DP = 30 } }]\n"
            + &group("next", &[], &of(1))
            + &format!("[default_boundary_group]\nsite_systems = {:?}\n", of(2));
        let picked = |key: &str| {
            let mut world = World::new(&config(key, &servers, &groups));
            for (server, place) in servers.iter().zip(&places) {
                world.stand_system(server.0, [UP, UP, DEGRADED, DOWN][usize::from(place.1)]);
            }
            world.publisher.publish();
            let snapshot = world.snapshot();
            let at = Ipv4Addr::from(0x0a00_0000 | client).to_string();
            let path = format!("/SMS_DP_SMSPKG$/ABC{dice:05}");
            let decision = decide(&snapshot, &at, &path).unwrap();
            let near = |index: u32| {
                decision.subnet.is_some() && decision.cluster.endpoint(index).subnet == decision.subnet
            };
            let found = decision.pick(&Tried::new(), 1000, dice).ok();
            let same = found.map(|pick| {
                let mut members = decision.location.members(pick.tier).flatten();
                let able = |index: u32| decision.cluster.standing(index).class() == pick.class && near(index);
                (members.any(|&index| able(index)), near(pick.endpoint))
            });
            (found.map(|pick| (pick.tier, pick.class)), same)
        };
        let ((with, near), (without, _)) = (picked(""), picked("same_subnet_first = false"));
        prop_assert_eq!(with, without, "another tier, or another class");
        if let Some((possible, chosen)) = near {
            prop_assert_eq!(possible, chosen);
        }
        prop_assert!(with.is_none_or(|(tier, class)| tier.kind != TierKind::Site && class != Class::Out));
    }
}
