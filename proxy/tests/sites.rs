//! Several sites in one proxy: of which site a request is, and which servers that leaves.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::BTreeSet;

use control_support::plan::{CLIENT, Site, site};
use control_support::world::{DOWN, World, decide, facts};
use http::{Method, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rolegate::explain::Explanation;
use rolegate::model::audience::audiences;
use rolegate::model::balance::{How, Tried};
use rolegate::model::decision::{Decision, Refusal};
use rolegate::model::facts::Facts;
use rolegate::model::sites::Because;
use rolegate::model::tier::TierKind;

/// Two primary sites and a secondary one. Addresses of clients: 10.1 is P01's, 10.2 P02's, 10.3 S01's, 10.4 of no site in
/// particular, and 10.9 in no boundary group.
const SITES: &str = r#"
[[sites]]
code = "P01"
description = "Europe"
hosts = ["cm1.contoso.com"]
default_boundary_group = { site_systems = ["d1"] }
[[sites]]
code = "P02"
hosts = ["cm2.contoso.com"]
default_boundary_group = { site_systems = ["d2"], fallback = { DP = 60 } }
[[sites]]
code = "S01"
primary = "P01"
hosts = ["branch.contoso.com"]
[[listeners]]
name = "http"
address = "127.0.0.1:0"
roles = ["MP", "DP", "SUP", "FSP"]
[[listeners]]
name = "second"
address = "127.0.0.1:0"
site = "P02"
roles = ["MP", "DP"]
[[listeners]]
name = "notify"
address = "127.0.0.1:0"
roles = ["client-notification"]
[roles.MP]
panic = "refuse"
[[boundary_groups]]
name = "One"
site = "P01"
boundaries = ["10.1.0.0/16"]
site_systems = ["dp1", "mp1", "sup1"]
neighbors = [{ group = "default", fallback = { DP = 90 } }]
[[boundary_groups]]
name = "Two"
site = "P02"
boundaries = ["10.2.0.0/16"]
site_systems = ["dp2", "sup2"]
[[boundary_groups]]
name = "Branch"
site = "S01"
boundaries = ["10.3.0.0/16"]
site_systems = ["dps"]
[[boundary_groups]]
name = "Everywhere"
boundaries = ["10.4.0.0/16"]
site_systems = ["dp1", "dp2"]
neighbors = [{ group = "default-site-boundary-groupP01", fallback = { DP = "never" } }]
"#;

const SYSTEMS: [(&str, &str, &str); 11] = [
    ("mp1", "P01", "\"MP\", \"client-notification\""),
    ("mp1b", "P01", "\"MP\""),
    ("mp2.contoso.com", "P02", "\"MP\", \"client-notification\""),
    ("mps", "S01", "\"MP\""),
    ("dp1", "P01", "\"DP\""),
    ("dp2", "P02", "\"DP\""),
    ("dps", "S01", "\"DP\""),
    ("d1", "P01", "\"DP\""),
    ("d2", "P02", "\"DP\""),
    ("sup1", "P01", "\"SUP\", \"FSP\""),
    ("sup2", "P02", "\"SUP\""),
];

const LIST: &str = "/SMS_MP/.sms_aut";
const PACKAGE: &str = "/SMS_DP_SMSPKG$/ABC00012";
const SCAN: &str = "/ClientWebService/client.asmx";
const STATE: &str = "/SMS_FSP/.sms_fsp";

fn text() -> String {
    let system = |(place, (name, site, roles)): (usize, &(&str, &str, &str))| {
        format!(
            "[[site_systems]]\nname = \"{name}\"\nsite = \"{site}\"\naddress = \"10.200.0.{}\"\nroles = [{roles}]\n",
            place + 1
        )
    };
    SITES.to_owned() + &SYSTEMS.iter().enumerate().map(system).collect::<String>()
}

fn world() -> World {
    let mut world = World::new(&text());
    world.all_up();
    world
}

fn down(world: &mut World, servers: &[&str]) {
    servers.iter().for_each(|server| world.stand_system(server, DOWN));
    world.publisher.publish();
}

/// Everyone who can serve it now, over many dice, and the site.
fn served(world: &World, facts: &Facts<'_, '_>) -> (String, BTreeSet<String>) {
    let snapshot = world.snapshot();
    let decision = Decision::new(&snapshot, facts, 1000).unwrap();
    let site = snapshot.site.sites.list[usize::from(decision.placed.unwrap().site)].code.to_string();
    let pick = |dice: u64| decision.pick(&Tried::new(), 1000, dice.wrapping_mul(0x9E37_79B9_7F4A_7C15)).ok();
    let picks = (0..64).filter_map(pick);
    (site, picks.map(|pick| decision.cluster.endpoint(pick.endpoint).system.to_string()).collect())
}

#[track_caller]
fn expect(world: &World, facts: &Facts<'_, '_>, site: &str, servers: &[&str]) {
    let servers = servers.iter().map(|server| (*server).to_owned()).collect();
    assert_eq!(served(world, facts), (site.to_owned(), servers), "{facts:?}");
}

#[test]
fn a_site_is_named_or_follows_from_where_the_client_is() {
    let world = world();
    let host = |client, host, path| Facts { host: Some(host), ..facts(client, path) };
    // By the client's boundary group.
    expect(&world, &facts("10.1.0.1", LIST), "P01", &["mp1"]);
    expect(&world, &facts("10.2.0.1", LIST), "P02", &["mp2.contoso.com"]);
    expect(&world, &facts("10.2.0.1", SCAN), "P02", &["sup2"]);
    expect(&world, &host("10.2.0.1", "cm.contoso.com", LIST), "P02", &["mp2.contoso.com"]);
    // By a name of the site, which counts more.
    expect(&world, &host("10.1.0.1", "CM2.contoso.com.", LIST), "P02", &["mp2.contoso.com"]);
    expect(&world, &host("10.2.0.1", "cm1.contoso.com", LIST), "P01", &["mp1", "mp1b"]);
    // By a name of one of its site systems, short ones too: a client that is assigned to P02 and is elsewhere.
    expect(&world, &host("10.1.0.1", "mp2", LIST), "P02", &["mp2.contoso.com"]);
    expect(&world, &host("10.9.0.1", "10.200.0.3", LIST), "P02", &["mp2.contoso.com"]);
    // By the listener, and by nothing.
    let second = Facts { listener: 1, ..facts("10.9.0.1", LIST) };
    expect(&world, &second, "P02", &["mp2.contoso.com"]);
    expect(&world, &Facts { listener: 1, ..facts("10.1.0.1", LIST) }, "P01", &["mp1"]);
    expect(&world, &facts("10.4.0.1", LIST), "P01", &["mp1", "mp1b"]);
    expect(&world, &facts("10.9.0.1", LIST), "P01", &["mp1", "mp1b"]);
}

#[test]
fn content_knows_no_sites_but_each_has_its_default_group() {
    let mut world = world();
    let host = |client, host| Facts { host: Some(host), ..facts(client, PACKAGE) };
    let both = (1..40).map(|host| served(&world, &facts(&format!("10.4.0.{host}"), PACKAGE)).1);
    assert_eq!(both.flatten().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), ["dp1", "dp2"]);
    expect(&world, &host("10.1.0.1", "cm2.contoso.com"), "P02", &["dp1"]);
    expect(&world, &facts("10.9.0.1", PACKAGE), "P01", &["d1"]);
    expect(&world, &host("10.9.0.1", "cm2.contoso.com"), "P02", &["d2"]);
    expect(&world, &Facts { listener: 1, ..facts("10.9.0.1", PACKAGE) }, "P02", &["d2"]);
    expect(&world, &host("10.9.0.1", "branch.contoso.com"), "S01", &["d1"]);
    // A group is linked to each default group, at the time that is said there or in the relationship.
    let snapshot = world.snapshot();
    let tiers = |client| {
        let decision = Decision::new(&snapshot, &facts(client, PACKAGE), 1000).unwrap();
        decision.location.tiers().map(|tier| (tier.kind, tier.offset)).collect::<Vec<_>>()
    };
    assert_eq!(tiers("10.1.0.1"), [(TierKind::Current, 0), (TierKind::Default, 60), (TierKind::Default, 90)]);
    assert_eq!(tiers("10.2.0.1"), [(TierKind::Current, 0), (TierKind::Default, 60), (TierKind::Default, 120)]);
    assert_eq!(tiers("10.4.0.1"), [(TierKind::Current, 0), (TierKind::Default, 60)], "one of them is never used");
    // The last server of a default group is the last one for those who start there.
    let points = snapshot.clusters.iter().find(|cluster| cluster.topology.role.short == "DP").unwrap();
    let lists = audiences(&points.topology);
    for default in ["d1", "d2"] {
        let index = points.topology.endpoints.iter().position(|endpoint| &*endpoint.system == default).unwrap();
        assert!(lists.contains(&vec![index as u32]), "{default}: {lists:?}");
    }
    down(&mut world, &["d2"]);
    expect(&world, &host("10.9.0.1", "cm2.contoso.com"), "P02", &[]);
}

#[test]
fn a_secondary_site_serves_its_own_clients_first_and_its_primary_site_after_it() {
    let mut world = world();
    let branch = facts("10.3.0.1", LIST);
    expect(&world, &branch, "S01", &["mps"]);
    expect(&world, &facts("10.3.0.1", PACKAGE), "S01", &["dps"]);
    down(&mut world, &["mps"]);
    expect(&world, &branch, "S01", &["mp1", "mp1b"]);
    down(&mut world, &["mp1", "mp1b"]);
    expect(&world, &branch, "S01", &[]);
    let mut world = self::world();
    down(&mut world, &["mp1", "mp1b"]);
    expect(&world, &facts("10.1.0.1", LIST), "P01", &[]);
    expect(&world, &facts("10.3.0.1", LIST), "S01", &["mps"]);
    // That the secondary site's is well does not keep the others from being tried.
    let mut world = World::new(&text().replace("panic = \"refuse\"", "panic = \"serve\""));
    world.all_up();
    down(&mut world, &["mp1", "mp1b"]);
    expect(&world, &facts("10.1.0.1", LIST), "P01", &["mp1"]);
    expect(&world, &facts("10.3.0.1", LIST), "S01", &["mps"]);
    down(&mut world, &["mps"]);
    expect(&world, &facts("10.3.0.1", LIST), "S01", &["mps"]);
}

#[test]
fn a_server_of_another_site_is_an_unknown_name_where_the_client_may_never_use_it() {
    let mut world = world();
    let snapshot = world.snapshot();
    let other = Facts { host: Some("sup2"), ..facts("10.1.0.1", SCAN) };
    expect(&world, &other, "P01", &["sup1"]);
    let told = Explanation::new(&snapshot, &other, 1000, 7);
    let why = told.site.unwrap().why;
    assert!(
        why.contains("boundary group One") && why.contains("a site system of P02 that the client may never"),
        "{why}"
    );
    assert_eq!(told.named.as_deref(), Some("no site system of the role: the client is located by its address"));
    // It is no name of its own site either for a role that it does not hold: the site is what counts.
    expect(&world, &Facts { host: Some("sup2"), ..facts("10.1.0.1", LIST) }, "P02", &["mp2.contoso.com"]);
    // The clock of the one site is not that of the other.
    down(&mut world, &["dp1", "sup1"]);
    let snapshot = world.snapshot();
    let decision = Decision::new(&snapshot, &facts("10.1.0.1", SCAN), 1000).unwrap();
    let own = decision.clock_key();
    let named = Facts { host: Some("cm2.contoso.com"), ..facts("10.1.0.1", SCAN) };
    assert_ne!(own, Decision::new(&snapshot, &named, 1000).unwrap().clock_key());
}

#[test]
fn a_site_without_a_role_has_no_route_to_it() {
    let world = world();
    let snapshot = world.snapshot();
    expect(&world, &facts("10.1.0.1", STATE), "P01", &["sup1"]);
    expect(&world, &facts("10.3.0.1", STATE), "S01", &["sup1"]);
    let refusal = Decision::new(&snapshot, &facts("10.2.0.1", STATE), 1000).unwrap_err();
    let Refusal::NotAtSite(_, placed) = refusal else { panic!("{refusal:?}") };
    assert_eq!((placed.site, matches!(placed.because, Because::BoundaryGroup(_))), (1, true));
    let told = Explanation::new(&snapshot, &facts("10.2.0.1", STATE), 1000, 7);
    let refused = told.refusal.unwrap();
    assert_eq!(refused.status, Some(404));
    assert!(refused.sentence.contains("no site system of the site P02 has the role"), "{}", refused.sentence);
    assert_eq!(told.site.unwrap().code, "P02");
}

#[test]
fn a_connection_is_of_the_site_of_its_client() {
    let world = world();
    let snapshot = world.snapshot();
    let head = snapshot.site.listeners[2].tcp.unwrap();
    // The host is the server name of TLS that is passed through.
    for (client, host, server) in [
        ("10.1.0.1", None, "mp1"),
        ("10.2.0.1", None, "mp2.contoso.com"),
        ("10.3.0.1", None, "mp1"),
        ("10.1.0.1", Some("cm2.contoso.com"), "mp2.contoso.com"),
    ] {
        let facts = Facts { listener: 2, host, ..facts(client, "") };
        let decision = Decision::for_cluster(&snapshot, head, &facts, 1000).unwrap();
        let pick = decision.pick(&Tried::new(), 1000, 7).unwrap();
        assert_eq!(&*decision.cluster.endpoint(pick.endpoint).system, server, "{client}");
    }
}

#[test]
fn explanations_say_which_site_and_why() {
    let world = world();
    let snapshot = world.snapshot();
    for (client, host, listener, code, primary, why) in [
        ("10.1.0.1", Some("cm2.contoso.com"), 0, "P02", None, "the request names it"),
        ("10.1.0.1", Some("mp2"), 0, "P02", None, "names a site system of it"),
        ("10.3.0.1", None, 0, "S01", Some("P01"), "boundary group Branch is of it"),
        ("10.9.0.1", None, 1, "P02", None, "the listener is for it"),
        ("10.9.0.1", None, 0, "P01", None, "the first in the configuration"),
    ] {
        let told = Explanation::new(&snapshot, &Facts { host, listener, ..facts(client, LIST) }, 1000, 7);
        let site = told.site.unwrap();
        assert_eq!((site.code.as_str(), site.primary.as_deref()), (code, primary), "{client} {host:?}");
        assert!(site.why.contains(why), "{}", site.why);
    }
    let told = Explanation::new(&snapshot, &Facts { listener: 1, ..facts("10.9.0.1", PACKAGE) }, 1000, 7);
    assert!(told.no_boundary_group.unwrap().contains("Default-Site-Boundary-GroupP02"));
    assert_eq!(told.tiers[0].servers[0].boundary_groups, ["Default-Site-Boundary-GroupP02"]);
}

/// The same servers and groups as one site, P01.
fn one_site() -> String {
    let kept = SITES.split("[[listeners]]\nname = \"http\"").nth(1).unwrap();
    let text = format!("[site]\ncode = \"P01\"\n[[listeners]]\nname = \"http\"{kept}")
        .replace("site = \"P02\"\nroles", "roles");
    let text = text.replace("\nsite = \"P01\"", "").replace("\nsite = \"P02\"", "").replace("\nsite = \"S01\"", "");
    let text = text.replace("default-site-boundary-groupP01", "default");
    let several = self::text();
    let (_, systems) = several.split_at(SITES.len());
    let systems: String =
        systems.lines().filter(|line| !line.starts_with("site =")).map(|line| format!("{line}\n")).collect();
    text + "[default_boundary_group]\nsite_systems = [\"d1\"]\n" + &systems
}

#[test]
fn one_site_becomes_several_and_nothing_is_forgotten() {
    let mut world = World::new(&one_site());
    world.all_up();
    let learn = |world: &World, client: &str, host: Option<&str>, path: &str| {
        let snapshot = world.snapshot();
        let decision = Decision::new(&snapshot, &Facts { host, ..facts(client, path) }, 1000).unwrap();
        let pick = decision.pick(&Tried::new(), 1000, 7).unwrap();
        let said = decision.learn(&pick, &Method::GET, StatusCode::OK).said;
        decision.served(&pick, said, StatusCode::OK);
        (decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how, decision.clock_key())
    };
    assert_eq!(learn(&world, "10.1.0.1", None, SCAN).1, How::Drawn);
    let before = learn(&world, "10.1.0.1", None, SCAN);
    learn(&world, "10.1.0.1", None, PACKAGE);
    let clock = learn(&world, "10.1.0.1", None, PACKAGE).2;
    assert_eq!((before.0.as_str(), before.1), ("sup1", How::Stays));
    let ids = |world: &World| -> BTreeSet<(String, u32)> {
        let clusters = world.snapshot().clusters.iter().map(std::sync::Arc::clone).collect::<Vec<_>>();
        let endpoints = clusters.iter().flat_map(|cluster| {
            cluster
                .topology
                .endpoints
                .iter()
                .map(|endpoint| (format!("{} {}", cluster.topology.role.name, endpoint.system), endpoint.state.id))
        });
        endpoints.collect()
    };
    let old = ids(&world);
    world.reload(&text());
    world.publisher.publish();
    assert_eq!(ids(&world), old, "every endpoint goes on: its health, its requests and its connections");
    let after = learn(&world, "10.1.0.1", None, SCAN);
    assert_eq!((after.0.as_str(), after.1, after.2), ("sup1", How::Stays, before.2), "the last known-good one");
    let content = learn(&world, "10.1.0.1", None, PACKAGE);
    assert_eq!((content.1, content.2), (How::Stays, clock), "a download goes on where it was");
    world.reload(&one_site());
    world.publisher.publish();
    assert_eq!(ids(&world), old);
    assert_eq!(learn(&world, "10.1.0.1", None, SCAN).1, How::Stays);
}

/// A random site beside an empty one.
fn beside_another(site: &Site, reach: &str) -> String {
    let text = site.toml().replacen("[site]", "[[sites]]\ncode = \"P02\"\n[[sites]]", 1);
    let text = text.replace("[default_boundary_group]", "[sites.default_boundary_group]");
    let text = text.replace("[[boundary_groups]]", "[[boundary_groups]]\nsite = \"P01\"");
    let text = text.replace("[[site_systems]]", "[[site_systems]]\nsite = \"P01\"");
    let text = text.replace("[[listeners]]", "[[listeners]]\nsite = \"P01\"");
    text.replace("[roles.pages]", &format!("[roles.pages]\nreach = \"{reach}\""))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x517e_5001),
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_of_several_sites_serves_as_if_it_were_alone(site in site(), dice in prop::collection::vec(any::<u64>(), 6)) {
        let stand = |text: &str| {
            let mut world = World::new(text);
            for (place, server) in site.servers.iter().enumerate() {
                world.stand(place as u32, server.standing);
            }
            world.publisher.publish();
            world
        };
        let alone = stand(&site.toml());
        for reach in ["site", "hierarchy"] {
            let beside = stand(&beside_another(&site, reach));
            let (one, several) = (alone.snapshot(), beside.snapshot());
            for client in [CLIENT, "10.2.0.1", "10.77.0.1"] {
                let (left, right) = (decide(&one, client, "/pages/x").unwrap(), decide(&several, client, "/pages/x").unwrap());
                let tiers = |decision: &Decision<'_>| decision.location.tiers().collect::<Vec<_>>();
                prop_assert_eq!(tiers(&left), tiers(&right), "{} {}", reach, client);
                for dice in &dice {
                    prop_assert_eq!(left.pick(&Tried::new(), 1000, *dice), right.pick(&Tried::new(), 1000, *dice));
                }
                prop_assert_eq!(left.clock_key().is_some(), right.clock_key().is_some());
            }
        }
    }
}
