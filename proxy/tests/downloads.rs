//! Downloads stay put: one server for one client and one content, spread at the start and never in the middle.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::BTreeMap;

use control_support::world::{DOWN, UP, World, facts};
use http::{HeaderValue, Method, StatusCode};
use rolegate::model::balance::{How, NoPick, Tried};
use rolegate::model::decision::Decision;
use rolegate::model::endpoint::{Lease, Waiting};
use rolegate::model::facts::Facts;
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;

const NOW: u64 = 1000;
const FILE: &str = "/SMS_DP_SMSPKG$/ABC00012/setup.msi";

fn points(count: usize, role: &str) -> World {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n[roles.DP]\n{role}\n"
    );
    for number in 0..count {
        text += &format!("[[site_systems]]\nname = \"dp{number}\"\naddress = \"10.9.0.{number}\"\nroles = [\"DP\"]\n");
    }
    let mut world = World::new(&text);
    world.all_up();
    world
}

fn range(first: u64) -> Fields {
    let mut fields = Fields::default();
    fields.append(Known::Range, HeaderValue::try_from(format!("bytes={first}-{}", first + 99)).unwrap());
    fields
}

/// Who serves a range, and why; an answer follows if `answered`.
fn get(world: &World, client: &str, path: &str, first: u64, now: u64, answered: bool) -> (String, How) {
    let snapshot = world.snapshot();
    let fields = range(first);
    let facts = Facts { fields: Some(&fields), ..facts(client, path) };
    let decision = Decision::new(&snapshot, &facts, now).unwrap();
    let pick = decision.pick(&Tried::new(), now, 1).unwrap();
    if answered {
        let said = decision.learn(&pick, &Method::GET, StatusCode::PARTIAL_CONTENT).said;
        decision.served(&pick, said, StatusCode::PARTIAL_CONTENT);
    }
    (decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how)
}

fn busy(world: &World, server: &str, requests: usize) -> Vec<Lease> {
    let cluster = world.cluster();
    let endpoint = cluster.topology.endpoints.iter().find(|endpoint| &*endpoint.system == server).unwrap();
    (0..requests).map(|_| Lease::take(&endpoint.state)).collect()
}

#[test]
fn files_of_one_package_and_its_signature_go_to_one_server() {
    let world = points(5, "");
    for client in 0..50 {
        let client = format!("10.1.0.{client}");
        let (first, _) = get(&world, &client, "/SMS_DP_SMSPKG$/ABC00012", 0, NOW, false);
        for path in [FILE, "/sms_dp_smspkg$/abc00012/SUB/Other.cab", "/SMS_DP_SMSSIG$/ABC00012.1.tar"] {
            assert_eq!(get(&world, &client, path, 500, NOW, false).0, first, "{client} {path}");
        }
    }
}

#[test]
fn a_busy_server_gets_no_new_downloads_and_keeps_those_it_has() {
    let world = points(3, "");
    // A client of dp0 that has begun, and one that has not.
    let mut of_dp0 = (0..200).map(|host| format!("10.1.0.{host}"));
    let mut next = || of_dp0.find(|client| get(&world, client, FILE, 0, NOW, false).0 == "dp0").unwrap();
    let (begun, fresh, middle) = (next(), next(), next());
    assert_eq!(get(&world, &begun, FILE, 0, NOW, true), ("dp0".to_owned(), How::Drawn));
    let leases = busy(&world, "dp0", 40);
    assert_eq!(get(&world, &begun, FILE, 0, NOW, true), ("dp0".to_owned(), How::Stays));
    assert_eq!(get(&world, &begun, FILE, 5000, NOW, true), ("dp0".to_owned(), How::Stays));
    assert_eq!(
        get(&world, &middle, FILE, 5000, NOW, false).0,
        "dp0",
        "in mid-file, though nothing is remembered of it"
    );
    let (other, how) = get(&world, &fresh, FILE, 0, NOW, true);
    assert_ne!(other, "dp0");
    assert_eq!(how, How::Spread);
    drop(leases);
    assert_eq!(get(&world, &fresh, FILE, 5000, NOW, true), (other, How::Stays), "and stays when it is quiet again");
    // A few requests are no crowd.
    let _few = busy(&world, "dp0", 5);
    assert_eq!(get(&world, &next(), FILE, 0, NOW, true), ("dp0".to_owned(), How::Drawn));
}

#[test]
fn spreading_can_be_switched_off_and_shares_stay_within_the_factor() {
    let world = points(3, "hash_balance_factor = 0");
    let client = (0..200).map(|host| format!("10.1.0.{host}"));
    let client = client.into_iter().find(|client| get(&world, client, FILE, 0, NOW, false).0 == "dp0").unwrap();
    let _leases = busy(&world, "dp0", 500);
    assert_eq!(get(&world, &client, FILE, 0, NOW, false).0, "dp0");

    // Every download stays open: the fullest server has at most its factor of the mean.
    let world = points(4, "hash_balance_factor = 125");
    let mut open: BTreeMap<String, Vec<Lease>> = BTreeMap::new();
    for number in 0..2000_u32 {
        let client = format!("10.1.{}.{}", number / 250, number % 250);
        let (server, _) = get(&world, &client, FILE, 0, NOW, true);
        let lease = busy(&world, &server, 1);
        open.entry(server).or_default().extend(lease);
    }
    let most = open.values().map(Vec::len).max().unwrap();
    assert!(most <= 2000 / 4 * 125 / 100 + 1, "{most}");
}

#[test]
fn a_server_that_answers_nothing_loses_no_download_in_the_middle_of_a_file() {
    let world = points(3, "");
    let client = "10.1.0.7";
    let (own, _) = get(&world, client, FILE, 0, NOW, true);
    let cluster = world.cluster();
    let endpoint = cluster.topology.endpoints.iter().find(|endpoint| *endpoint.system == *own).unwrap();
    let waiting = [1, 2, 3].map(|client| Waiting::begin(&endpoint.state, client));
    assert_eq!(get(&world, client, FILE, 100, NOW, false), (own.clone(), How::Stays));
    assert_ne!(get(&world, client, FILE, 0, NOW, false).0, own, "a file that begins may begin elsewhere");
    for (first, how) in [(100, Some(How::Named)), (0, None)] {
        let (snapshot, fields) = (world.snapshot(), range(first));
        let facts = Facts { host: Some(&own), fields: Some(&fields), ..facts("10.1.0.8", FILE) };
        let pick = Decision::new(&snapshot, &facts, NOW).unwrap().pick(&Tried::new(), NOW, 1).unwrap();
        assert_eq!((pick.how == How::Named).then_some(pick.how), how, "byte {first} of a server that is named");
    }
    drop(waiting);
    assert_eq!(get(&world, client, FILE, 0, NOW, false), (own, How::Stays));
}

#[test]
fn a_flap_moves_a_download_once_and_not_back() {
    let mut world = points(3, "");
    let client = "10.1.0.7";
    let (own, _) = get(&world, client, FILE, 0, NOW, true);
    world.stand_system(&own, DOWN);
    world.publisher.publish();
    let (other, _) = get(&world, client, FILE, 100, NOW, true);
    assert_ne!(other, own);
    world.stand_system(&own, UP);
    world.publisher.publish();
    for step in 1..10 {
        assert_eq!(get(&world, client, FILE, step * 100, NOW + step * 60_000, true), (other.clone(), How::Stays));
    }
    // Fifteen minutes after its last request it is a new download.
    assert_eq!(get(&world, client, FILE, 0, NOW + (9 + 15) * 60_000 + 10_000, true), (own, How::Drawn));
}

#[test]
fn weights_are_shares_of_downloads() {
    let text = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
                [[site_systems]]\nname = \"big\"\naddress = \"10.9.0.1\"\nweight = 300\nroles = [\"DP\"]\n\
                [[site_systems]]\nname = \"small\"\naddress = \"10.9.0.2\"\nweight = 100\nroles = [\"DP\"]\n";
    let mut world = World::new(text);
    world.all_up();
    let clients = (0..4000_u32).map(|number| format!("10.{}.{}.{}", 1 + number / 65_536, number / 256, number % 256));
    let big = clients.filter(|client| get(&world, client, FILE, 0, NOW, false).0 == "big").count();
    assert!((2850..3150).contains(&big), "{big} of 4000");
}

#[test]
fn a_server_with_all_the_requests_it_may_have_keeps_its_downloads() {
    let world = points(3, "max_requests = 3");
    let client = "10.1.0.7";
    let (own, _) = get(&world, client, FILE, 0, NOW, true);
    let _full = busy(&world, &own, 3);
    let snapshot = world.snapshot();
    let fields = range(5000);
    let facts = Facts { fields: Some(&fields), ..facts(client, FILE) };
    let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
    let nobody = decision.pick(&Tried::new(), NOW, 1).unwrap_err();
    assert_eq!(nobody.why, NoPick::DownloadFull, "it waits a moment, and begins no file again");
}

#[test]
fn a_device_keeps_its_server_when_addresses_change() {
    let mut text = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"MP\"]\n\
                    [roles.MP]\nbalance = \"device\"\n"
        .to_owned();
    for name in ["mp1.lab.test", "mp2.lab.test", "mp3.lab.test"] {
        text += &format!("[[site_systems]]\nname = \"{name}\"\nroles = [\"MP\"]\n");
    }
    let address = |text: &str| vec![text.parse().unwrap()];
    let mut world = World::new(&text);
    world.resolve("mp1.lab.test", address("10.9.0.1"));
    world.resolve("mp2.lab.test", address("10.9.0.2"));
    world.publisher.publish();
    let clients: Vec<String> = (0..60).map(|host| format!("10.1.0.{host}")).collect();
    let server = |world: &World, client: &str| {
        let snapshot = world.snapshot();
        let decision = Decision::new(&snapshot, &facts(client, "/SMS_MP/x"), NOW).unwrap();
        let pick = decision.pick(&Tried::new(), NOW, 1).ok()?;
        Some(decision.cluster.endpoint(pick.endpoint).system.to_string())
    };
    let before: Vec<Option<String>> = clients.iter().map(|client| server(&world, client)).collect();
    let waiting = before.iter().filter(|server| server.is_none()).count();
    assert!((8..35).contains(&waiting), "{waiting} belong to mp3, which has no address yet, and to nobody else");
    // mp3 gets its address, mp1 moves, mp2 gets a second one.
    world.resolve("mp3.lab.test", address("10.9.0.3"));
    world.resolve("mp1.lab.test", address("10.9.7.7"));
    world.resolve("mp2.lab.test", vec!["10.9.0.2".parse().unwrap(), "2001:db8::2".parse().unwrap()]);
    world.publisher.publish();
    for (client, before) in clients.iter().zip(before) {
        let now = server(&world, client);
        assert_eq!(now, before.or(Some("mp3.lab.test".to_owned())), "{client}");
    }
}
