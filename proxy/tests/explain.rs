//! An explanation equals what is served, changes nothing, and says why for every server.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::net::{IpAddr, Ipv4Addr};

use control_support::plan::{CLIENT, site};
use control_support::world::{DEGRADED, DOWN, EJECTED, World, compiled, facts};
use http::HeaderValue;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rolegate::explain::{Answer, Explanation, Question, assume};
use rolegate::model::balance::{Nobody, Pick, Tried};
use rolegate::model::decision::Decision;
use rolegate::model::endpoint::Lease;
use rolegate::model::facts::Facts;
use rolegate::model::learn::Unserved;
use rolegate::model::live::{Live, Owner, Verdict};
use rolegate::model::snapshot::Snapshot;
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;

const SITE: &str = r#"
[site]
code = "P01"
[fallback]
speedup = 60
[[listeners]]
name = "http"
address = "127.0.0.1:0"
roles = ["MP", "DP", "SUP"]
[[listeners]]
name = "notify"
address = "127.0.0.1:0"
roles = ["client-notification"]
[[site_systems]]
name = "mp1"
address = "10.9.0.1"
roles = ["MP", "client-notification"]
[[site_systems]]
name = "mp2"
address = "10.9.0.2"
roles = ["MP", "client-notification"]
[[site_systems]]
name = "dp1"
address = "10.9.0.11"
roles = ["DP"]
[[site_systems]]
name = "dp2"
address = "10.9.0.12"
roles = [{ role = "DP", max_requests = 1 }]
[[site_systems]]
name = "dp3"
address = "10.9.0.13"
roles = ["DP"]
[[site_systems]]
name = "dp4"
address = "10.9.0.14"
roles = ["DP"]
[[site_systems]]
name = "dp5"
address = "10.9.0.15"
roles = ["DP"]
[[site_systems]]
name = "sup1"
address = "10.9.0.21"
roles = ["SUP"]
[[site_systems]]
name = "sup2"
address = "10.9.0.22"
roles = ["SUP"]
[[boundary_groups]]
name = "HQ"
boundaries = ["10.1.0.0/16"]
site_systems = ["mp1", "mp2", "dp1", "dp2", "sup1", "sup2"]
neighbors = [{ group = "Berlin", fallback = { DP = 30 } }]
[[boundary_groups]]
name = "Floor2"
boundaries = ["10.1.2.0/24"]
site_systems = ["dp2"]
[[boundary_groups]]
name = "Berlin"
boundaries = ["10.2.0.0/16"]
site_systems = ["dp3"]
[[boundary_groups]]
name = "Paris"
boundaries = ["10.3.0.0/16"]
site_systems = ["dp5"]
[default_boundary_group]
site_systems = ["dp4"]
"#;

const FILE: &str = "/SMS_DP_SMSPKG$/ABC00012/x.msi";
/// Ten minutes of the process clock.
const NOW_MS: u64 = 600_000;

fn world() -> World {
    let mut world = World::new(SITE);
    world.all_up();
    world
}

fn endpoint_id(snapshot: &Snapshot, system: &str) -> u32 {
    let endpoints = || snapshot.clusters.iter().flat_map(|cluster| &cluster.topology.endpoints);
    endpoints().find(|endpoint| &*endpoint.system == system).unwrap().state.id
}

fn learn(snapshot: &Snapshot, content: &str, system: &str, verdict: Verdict) {
    let key = snapshot.live.content_key(&format!("/SMS_DP_SMSPKG$/{content}"));
    snapshot.live.learn(Owner::NONE, key, endpoint_id(snapshot, system), verdict, Live::ticks(NOW_MS));
}

/// What an explanation says of a pick must be that pick.
fn same(told: &Explanation, decision: &Decision<'_>, picked: Result<Pick, Nobody>) {
    match picked {
        Ok(pick) => {
            let (endpoint, said) = (decision.cluster.endpoint(pick.endpoint), told.pick.as_ref().unwrap());
            assert_eq!((&*said.site_system, &said.address), (&*endpoint.system, &endpoint.address.to_string()));
            assert_eq!((said.tier.as_str(), said.how.as_str()), (pick.tier.kind.as_str(), pick.how.as_str()));
            assert!(told.nobody.is_none() && !said.sentence.is_empty());
        }
        Err(nobody) => {
            let said = told.nobody.as_ref().unwrap();
            let error = decision.turned_away(nobody).error;
            assert_eq!((said.reason.as_str(), said.details.as_str()), (error.reason(), error.details()));
            assert!(told.pick.is_none());
        }
    }
    let open = |tier: &rolegate::explain::TierFacts| tier.open;
    let tiers: Vec<bool> = decision.location.tiers().map(|tier| decision.opening.is_open(tier)).collect();
    assert!(told.tiers.len() <= tiers.len());
    assert_eq!(told.tiers.iter().any(open), tiers.contains(&true));
    let mut addresses: Vec<&String> = told.servers().map(|server| &server.address).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), decision.cluster.topology.endpoints.len(), "every server is in the explanation");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5eed_0002),
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_sites_are_explained_as_they_are_served(site in site(), dice in any::<u64>()) {
        let mut world = World::new(&site.toml());
        let mut leases = Vec::new();
        for (place, server) in site.servers.iter().enumerate() {
            world.stand(place as u32, server.standing);
            let cluster = world.cluster();
            leases.extend((0..server.in_flight).map(|_| Lease::take(&cluster.endpoint(place as u32).state)));
        }
        world.publisher.publish();
        let snapshot = world.snapshot();
        let facts = facts(CLIENT, "/pages/P0100001/x");
        let told = Explanation::new(&snapshot, &facts, NOW_MS, dice);
        let decision = Decision::new(&snapshot, &facts, NOW_MS).unwrap();
        let picked = decision.pick(&Tried::new(), NOW_MS, dice);
        same(&told, &decision, picked);
        // Whoever is picked can serve, unless it is asked once more.
        if let Some(pick) = told.pick.as_ref().filter(|pick| pick.how != "asked-again") {
            let tier = told.tiers.iter().find(|tier| tier.kind == pick.tier && tier.open).unwrap();
            let picked = tier.servers.iter().find(|server| server.address == pick.address).unwrap();
            prop_assert!(picked.eligible, "{picked:?}");
        }
    }
}

/// Requests of many clients against a site where much has happened.
#[test]
fn many_clients_are_explained_as_they_are_served() {
    let mut world = world();
    world.stand_system("mp2", DEGRADED);
    world.stand_system("dp1", EJECTED);
    world.publisher.publish();
    let snapshot = world.snapshot();
    learn(&snapshot, "ABC00012", "dp2", Verdict::Lacks);
    learn(&snapshot, "ABC00013", "dp3", Verdict::Lacks);
    let mut fields = Fields::default();
    fields.append(Known::UserAgent, HeaderValue::from_static("SMS CCM 5.0 TS"));
    fields.append(Known::Range, HeaderValue::from_static("bytes=100-"));
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut picks, mut nobodies) = (0, 0);
    for round in 0..3000_u64 {
        let client = IpAddr::V4(Ipv4Addr::new(10, dice.u8(1..5), dice.u8(0..4), dice.u8(..)));
        let (method, path) = [
            ("GET", "/SMS_MP/.sms_aut"),
            ("GET", FILE),
            ("HEAD", "/SMS_DP_SMSPKG$/ABC00013"),
            ("POST", "/ClientWebService/x"),
            ("BITS_POST", "/CCM_Incoming/x"),
        ][dice.usize(..5)];
        let fields = dice.bool().then_some(&fields);
        let facts = Facts { listener: 0, host: Some("mp1"), method, path, query: None, client, fields, subject: None };
        let (now_ms, dice) = (NOW_MS + round, dice.u64(..));
        let decision = Decision::new(&snapshot, &facts, now_ms).unwrap();
        let picked = decision.pick(&Tried::new(), now_ms, dice);
        let told = Explanation::new(&snapshot, &facts, now_ms, dice);
        same(&told, &decision, picked);
        assert_eq!(decision.pick(&Tried::new(), now_ms, dice), picked, "the explanation has changed nothing");
        match picked {
            Ok(pick) => {
                // Now something does change: the next explanations meet clients and downloads that stay.
                decision.served(&pick, rolegate::model::content::Said::Content(Verdict::Has), http::StatusCode::OK);
                picks += 1;
            }
            Err(_) => {
                decision.unserved(Unserved::Unable);
                nobodies += 1;
            }
        }
    }
    assert!(picks > 500 && nobodies > 500, "{picks} {nobodies}");
    let (now, idle) = (Live::ticks(NOW_MS), snapshot.site.fallback.idle_ticks());
    let clocks = snapshot.live.running_clocks(now, idle);
    assert!(clocks > 0);
    Explanation::new(&snapshot, &facts("10.1.9.9", FILE), NOW_MS, 0);
    assert_eq!(snapshot.live.running_clocks(now, idle), clocks, "explaining starts no clock");
}

fn question(pairs: &[(&str, &str)]) -> Question {
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Question::parse(&pairs).unwrap()
}

#[test]
fn an_explanation_says_what_decided() {
    let mut world = world();
    world.stand_system("dp1", DOWN);
    world.publisher.publish();
    let snapshot = world.snapshot();
    learn(&snapshot, "ABC00012", "dp2", Verdict::Lacks);
    learn(&snapshot, "ABC00012", "dp3", Verdict::Has);
    let facts = facts("10.1.2.3", FILE);
    let told = Explanation::new(&snapshot, &facts, NOW_MS + 5000, 1);
    let role = told.role.as_ref().unwrap();
    assert_eq!((role.name.as_str(), role.prefix.as_deref()), ("distribution-point", Some("/sms_dp_smspkg$/")));
    let groups: Vec<(&str, &str)> =
        told.boundary_groups.iter().map(|group| (group.name.as_str(), group.boundaries[0].as_str())).collect();
    assert_eq!(groups, [("HQ", "10.1.0.0-10.1.255.255"), ("Floor2", "10.1.2.0-10.1.2.255")]);
    let content = told.content.as_ref().unwrap();
    assert_eq!((content.id.as_str(), content.part.as_str()), ("ABC00012", "file"));
    let kinds: Vec<(&str, u32, bool)> =
        told.tiers.iter().map(|tier| (tier.kind.as_str(), tier.minutes, tier.open)).collect();
    assert_eq!(kinds, [("current", 0, true), ("neighbor", 30, false), ("default", 120, false)]);
    assert_eq!(told.tiers[1].opens_in, Some(30.0), "half an hour, sixty times as fast");
    let [dp1, dp2] = told.tiers[0].servers.as_slice() else { panic!("{:?}", told.tiers[0]) };
    assert_eq!((dp1.why_not.as_deref(), dp1.boundary_groups.as_slice()), (Some("down"), &["HQ".to_owned()][..]));
    assert_eq!(dp2.boundary_groups, ["HQ", "Floor2"]);
    assert!(dp2.why_not.as_ref().unwrap().starts_with("it lacks the content (it said so 5s ago"), "{dp2:?}");
    let known = told.tiers[1].servers[0].content.as_ref().unwrap();
    assert_eq!((known.verdict.as_str(), known.ago), ("has", Some(5.0)));
    assert_eq!(told.others.iter().map(|server| server.site_system.as_str()).collect::<Vec<_>>(), ["dp5"]);
    // dp1 is down and may have it: nobody knows that all lack it.
    let nobody = told.nobody.as_ref().unwrap();
    assert_eq!((nobody.status, nobody.retry_after), (Some(503), Some((30, 30))));
    let clock = told.clock.as_ref().unwrap();
    assert!(clock.honored && clock.minutes.is_none() && clock.sentence.contains("60 times as fast"), "{clock:?}");

    Decision::new(&snapshot, &facts, NOW_MS).unwrap().unserved(Unserved::Unable).unwrap();
    let told = Explanation::new(&snapshot, &facts, NOW_MS + 31_000, 1);
    assert!((told.clock.as_ref().unwrap().minutes.unwrap() - 31.0).abs() < 0.2);
    assert_eq!(told.pick.as_ref().map(|pick| (&*pick.site_system, &*pick.tier)), Some(("dp3", "neighbor")));
    assert_eq!(told.pick.as_ref().unwrap().sentence, "it is the only one in its tier that can serve");

    let again: Explanation = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
    assert_eq!((again.pick, again.clock), (told.pick, told.clock));
}

#[test]
fn requests_that_belong_nowhere_and_connections_are_explained() {
    let world = world();
    let snapshot = world.snapshot();
    let ask = |pairs: &[(&str, &str)]| question(pairs).explain(&snapshot, None, NOW_MS, 1);
    let told = ask(&[("client", "10.1.2.3"), ("target", "/nowhere")]).unwrap();
    assert_eq!(told.refusal.as_ref().unwrap().status, Some(404));
    assert!(told.refusal.unwrap().sentence.contains("management-point"));
    let told = ask(&[("client", "10.1.2.3"), ("method", "PUT"), ("target", "/SMS_MP/x")]).unwrap();
    assert_eq!(told.refusal.as_ref().unwrap().status, Some(405));
    assert!(told.refusal.unwrap().sentence.contains("CCM_POST"));

    let told = ask(&[("client", "10.1.2.3"), ("listener", "notify")]).unwrap();
    assert_eq!(told.role.as_ref().unwrap().name, "client-notification");
    assert!(told.pick.is_some() && told.request.target.is_empty());
    let wrong = ask(&[("client", "10.1.2.3"), ("listener", "notfy"), ("why-not", "mp9x")]).unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("did you mean \"notify\"") && wrong[1].starts_with("target is missing"), "{wrong:?}");
}

#[test]
fn one_server_is_explained_in_a_sentence() {
    let mut world = world();
    world.stand_system("dp1", DOWN);
    world.stand_system("sup1", EJECTED);
    world.publisher.publish();
    let snapshot = world.snapshot();
    learn(&snapshot, "ABC00013", "dp2", Verdict::Lacks);
    let dp2 = snapshot.clusters.iter().find(|cluster| cluster.topology.role.short == "DP").unwrap();
    let full = Lease::take(&dp2.endpoint(1).state);
    let why = |target: &str, system: &str| {
        let pairs = [("client", "10.1.2.3"), ("target", target), ("why-not", system)];
        question(&pairs).explain(&snapshot, None, NOW_MS, 1).map(|told| told.why_not.unwrap())
    };
    let mp = "/SMS_MP/x";
    for (target, system, answer, words) in [
        (FILE, "dp1", Answer::CannotServe, "down"),
        (FILE, "DP2", Answer::CannotServe, "as many requests as it may have (max_requests = 1)"),
        ("/SMS_DP_SMSPKG$/ABC00013", "10.9.0.12", Answer::CannotServe, "it lacks the content"),
        (FILE, "dp3", Answer::TierClosed, "opens at 30 min of the fallback clock, 30s after that clock has started"),
        (FILE, "dp4", Answer::TierClosed, "Default-Site-Boundary-GroupP01"),
        (FILE, "dp5", Answer::InNoTier, "only Paris names it"),
        (FILE, "mp1", Answer::OtherRole, "does not hold the role Distribution point"),
        ("/ClientWebService/x", "sup2", Answer::Picked, "the only one"),
        ("/ClientWebService/x", "sup1", Answer::CannotServe, "taken out by live traffic"),
        ("/nowhere", "dp1", Answer::Refused, "no role of this listener"),
    ] {
        let told = why(target, system).unwrap();
        assert_eq!(told.answer, answer, "{target} {system}: {}", told.sentence);
        assert!(told.sentence.contains(words), "{target} {system}: {}", told.sentence);
    }
    let both = [why(mp, "mp1").unwrap(), why(mp, "mp2").unwrap()];
    assert!(both.iter().any(|told| told.answer == Answer::Picked));
    let other = both.iter().find(|told| told.answer == Answer::AnotherPicked).unwrap();
    assert!(other.sentence.contains("this is a draw"), "{}", other.sentence);
    assert!(why(mp, "mp11").unwrap_err()[0].contains("did you mean \"mp1\"?"));
    drop(full);
}

#[test]
fn a_file_is_explained_with_every_server_well() {
    let text = SITE.replace("address = \"10.9.0.1\"\n", "").replace("address = \"10.9.0.2\"\n", "");
    let (snapshot, assumed) = assume(&compiled(&text), "rolegate.toml");
    let placeholders: Vec<(&str, &str)> =
        assumed.placeholders.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    assert_eq!(placeholders, [("mp1", "198.18.0.1"), ("mp2", "198.18.0.2")]);
    for (target, servers) in [("/SMS_MP/x", 2), (FILE, 5)] {
        let told = question(&[("client", "10.1.2.3"), ("target", target)]).explain(&snapshot, None, 0, 1).unwrap();
        assert!(told.pick.is_some() && told.servers().all(|server| server.health == "up"));
        assert_eq!(told.servers().count(), servers);
    }
}

#[test]
fn a_device_is_explained_by_its_certificate() {
    let text = format!("{SITE}\n[roles.MP]\nbalance = \"device\"\nclient_field = \"X-Device\"\n");
    let (snapshot, _) = assume(&compiled(&text), "rolegate.toml");
    let pick = |client: &str, more: (&str, &str)| {
        let asked = question(&[("client", client), ("target", "/SMS_MP/x"), more]);
        asked.explain(&snapshot, None, 0, 1).unwrap().pick.unwrap()
    };
    let mut used = std::collections::BTreeSet::new();
    for number in 0..20 {
        let subject = format!("CN=PC{number}, O=Lab");
        let told = pick("10.1.2.3", ("subject", &subject));
        assert!(told.sentence.contains("the hash of the subject of its certificate"), "{}", told.sentence);
        for same in [subject.clone(), subject.replace("=", " = "), subject.to_lowercase()] {
            assert_eq!(pick("10.1.9.9", ("subject", &same)).site_system, told.site_system, "{same}");
        }
        used.insert(told.site_system);
    }
    assert_eq!(used.len(), 2);
    assert!(pick("10.1.2.3", ("field", "X-Device: 7")).sentence.contains("the hash of its x-device"));
    assert!(pick("10.1.2.3", ("field", "X-Other: 7")).sentence.contains("the hash of its address"));
}
