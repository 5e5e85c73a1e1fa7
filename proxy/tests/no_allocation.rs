//! Route, locate and pick cost no allocation, whatever the policy, the boundary groups and the state of the servers; counting
//! costs none either.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::hint::black_box;

use control_support::world::{DEGRADED, DOWN, World};
use rolegate::metrics::{EndpointMetrics, GroupMetrics, Metrics, RoleMetrics};
use rolegate::model::balance::{NoPick, Tried};
use rolegate::model::decision::{Decision, Refusal};
use rolegate::model::facts::Facts;
use rolegate::model::snapshot::Snapshot;
use rolegate::model::tier::TierKind;
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;

const BALANCES: [&str; 5] = ["least-requests", "random", "client", "content", "device"];

/// Three groups that contain 10.1.1.1, each with two servers and neighbors, and a fallback source.
fn config(balance: &str, groups: bool) -> String {
    let locality = if groups { "boundary-groups" } else { "site" };
    let mut text = format!(
        "[site]\ncode = \"P01\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"pages\", \"DP\"]\n\
         [roles.pages]\npreset = \"plain\"\npaths = [\"/Pages\"]\nmethods = [\"GET\"]\n\
         locality = \"{locality}\"\nbalance = \"{balance}\"\n"
    );
    for server in 0..12 {
        let source = server == 11;
        text.push_str(&format!(
            "[[site_systems]]\nname = \"s{server}\"\naddress = \"10.9.0.{server}\"\nroles = [\"pages\", \"DP\"]\n\
             fallback_source = {source}\n"
        ));
    }
    if groups {
        for group in 0..5 {
            let boundary = if group < 3 { "\"10.1.0.0/16\"" } else { "" };
            let (a, b) = (group * 2, group * 2 + 1);
            text.push_str(&format!(
                "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [{boundary}]\nsite_systems = [\"s{a}\", \"s{b}\"]\n\
                 neighbors = [{{ group = \"g{}\", fallback = {{ DP = 30 }} }}]\n",
                (group + 3) % 5
            ));
        }
        text.push_str("[default_boundary_group]\nsite_systems = [\"s10\"]\n");
    }
    text
}

fn facts<'a>(path: &'a str, client: &str) -> Facts<'a, 'static> {
    Facts { host: Some("S3"), ..control_support::world::facts(client, path) }
}

/// What a request does: the decision once, then attempts until nobody is left.
fn request(snapshot: &Snapshot, facts: &Facts<'_, '_>) -> Result<(usize, NoPick), Refusal> {
    let decision = Decision::new(snapshot, facts, 1000)?;
    let mut tried = Tried::new();
    loop {
        match decision.pick(&tried, 1000, 4711 + tried.len() as u64) {
            Ok(pick) if !tried.is_full() => tried.push(pick.endpoint),
            Ok(_) => return Ok((tried.len(), NoPick::AllTried)),
            Err(nobody) => return Ok((tried.len(), nobody.why)),
        }
    }
}

fn assert_none(snapshot: &Snapshot, facts: &Facts<'_, '_>, what: &str) -> Result<(usize, NoPick), Refusal> {
    let mut result = None;
    let counted = allocation_counter::measure(|| result = Some(black_box(request(snapshot, facts))));
    assert_eq!(counted.count_total, 0, "{what}: {} bytes", counted.bytes_total);
    result.unwrap()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn a_request_is_routed_located_and_picked_without_an_allocation() {
    for balance in BALANCES {
        for groups in [false, true] {
            let mut world = World::new(&config(balance, groups));
            world.all_up();
            for down in 0..12 {
                let snapshot = world.snapshot();
                for client in ["10.1.1.1", "10.200.0.1", "::ffff:10.1.1.1", "2001:db8::1"] {
                    for path in ["/Pages/x", "/pages", "/SMS_DP_SMSPKG$/ABC00012/setup.msi"] {
                        let what = format!("{balance}, groups {groups}, {down} down, {client}, {path}");
                        let served = assert_none(&snapshot, &facts(path, client), &what);
                        assert!(served.is_ok(), "{what}: {served:?}");
                    }
                }
                let standing = if down % 3 == 2 { DEGRADED } else { DOWN };
                world.stand_system(&format!("s{down}"), standing);
                world.publisher.publish();
            }
        }
    }
}

#[test]
fn a_server_in_the_clients_own_subnet_is_found_without_an_allocation() {
    let text = config("content", true).replace("[\"10.1.0.0/16\"]", "[\"10.1.0.0/16\", \"10.9.0.0/24\"]");
    let mut world = World::new(&text);
    world.all_up();
    let path = "/SMS_DP_SMSPKG$/ABC00012/setup.msi";
    for down in ["s0", "s1", "s2", "s3", "s4", "s5", "s10"] {
        let snapshot = world.snapshot();
        let near = facts(path, "10.9.0.77");
        assert!(Decision::new(&snapshot, &near, 1000).unwrap().subnet.is_some());
        assert_none(&snapshot, &near, &format!("up to {down}")).unwrap();
        world.stand_system(down, DOWN);
        world.publisher.publish();
    }
}

#[test]
fn several_tiers_down_still_cost_nothing() {
    let mut world = World::new(&(config("content", true) + "[fallback]\nclock = \"immediate\"\n"));
    world.all_up();
    for server in 0..11 {
        world.stand_system(&format!("s{server}"), DOWN);
    }
    world.publisher.publish();
    let snapshot = world.snapshot();
    let facts = facts("/SMS_DP_SMSPKG$/ABC00012", "10.1.1.1");
    let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
    assert_eq!(decision.groups.len(), 3);
    let pick = decision.pick(&Tried::new(), 0, 0).unwrap();
    assert_eq!(pick.tier.kind, TierKind::FallbackSource, "five tiers were walked through");
    assert_eq!(assert_none(&snapshot, &facts, "all but the last tier down"), Ok((1, NoPick::AllTried)));
}

#[test]
fn clocks_content_and_affinity_cost_nothing() {
    let mut world = World::new(&config("content", true));
    world.all_up();
    let snapshot = world.snapshot();
    let mut fields = Fields::default();
    fields.append(Known::UserAgent, http::HeaderValue::from_static("Microsoft BITS/7.8"));
    fields.append(Known::Range, http::HeaderValue::from_static("bytes=100-199"));
    let path = "/SMS_DP_SMSPKG$/ABC00012/setup.msi";
    let facts = Facts { fields: Some(&fields), ..facts(path, "10.1.1.1") };
    let ok = http::StatusCode::PARTIAL_CONTENT;
    for (step, (now, status)) in
        [(1000, 404), (1100, 404), (2000, 206), (3_000_000, 206), (3_000_100, 404)].into_iter().enumerate()
    {
        let decision = Decision::new(&snapshot, &facts, now).unwrap();
        let status = http::StatusCode::from_u16(status).unwrap();
        let counted = allocation_counter::measure(|| {
            let mut tried = Tried::new();
            while let Ok(pick) = decision.pick(&tried, now, 1) {
                let said = decision.learn(&pick, &http::Method::GET, status).said;
                tried.push(pick.endpoint);
                if status == ok {
                    black_box(decision.served(&pick, said, status));
                    return;
                }
            }
            black_box(decision.unserved(rolegate::model::learn::Unserved::Unable));
        });
        assert_eq!(counted.count_total, 0, "learning, step {step}");
        assert_none(&snapshot, &facts, &format!("with what was learned, step {step}")).unwrap();
    }
}

#[test]
fn a_site_is_found_without_an_allocation() {
    let text = config("client", true).replacen(
        "[site]\ncode = \"P01\"\n",
        "[[sites]]\ncode = \"P01\"\nhosts = [\"cm1\"]\ndefault_boundary_group = { site_systems = [\"s10\"] }\n[[sites]]\ncode = \"P02\"\n",
        1,
    );
    let text = text.replace("[default_boundary_group]\nsite_systems = [\"s10\"]\n", "");
    let text = text.replace("fallback_source = ", "site = \"P01\"\nfallback_source = ").replacen(
        "site = \"P01\"",
        "site = \"P02\"",
        3,
    );
    let mut world = World::new(&text);
    world.all_up();
    let snapshot = world.snapshot();
    for (host, client) in [("cm1", "10.1.1.1"), ("S1", "10.1.1.1"), ("other", "10.1.1.1"), ("other", "10.200.0.1")] {
        for path in ["/Pages/x", "/SMS_DP_SMSPKG$/ABC00012/setup.msi"] {
            let facts = Facts { host: Some(host), ..facts(path, client) };
            let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
            assert!(decision.placed.is_some());
            assert_none(&snapshot, &facts, &format!("{host} {client} {path}")).unwrap();
        }
    }
}

#[test]
fn refusals_cost_nothing() {
    let world = World::new(&(config("random", true).replace("[roles.pages]", "[roles.pages]\nnamed = \"only\"")));
    let snapshot = world.snapshot();
    let nowhere = facts("/nowhere", "10.1.1.1");
    assert_eq!(assert_none(&snapshot, &nowhere, "no route"), Err(Refusal::NoRoute));
    let unnamed = Facts { host: Some("stranger"), ..facts("/pages", "10.1.1.1") };
    assert!(matches!(assert_none(&snapshot, &unnamed, "not named"), Err(Refusal::NotNamed(_))));
    let method = Facts { method: "DELETE", ..facts("/pages", "10.1.1.1") };
    assert!(matches!(assert_none(&snapshot, &method, "method"), Err(Refusal::Method(_))));
}

#[test]
fn whose_request_it_was_is_found_without_an_allocation() {
    let mut world = World::new(&config("content", true));
    world.all_up();
    let snapshot = world.snapshot();
    for (client, groups) in [("10.1.1.1", 3), ("10.200.0.1", 0)] {
        let facts = facts("/SMS_DP_SMSPKG$/ABC00012", client);
        let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
        assert_eq!(decision.groups.len(), groups);
        let pick = decision.pick(&Tried::new(), 1000, 7).unwrap();
        let counted = allocation_counter::measure(|| {
            for answered in [Some(&pick), None] {
                let metrics = black_box(decision.group_metrics(answered)).unwrap();
                metrics.answered(pick.tier.kind);
            }
        });
        assert_eq!(counted.count_total, 0, "{client}");
    }
}

#[test]
fn counting_costs_nothing() {
    let metrics = Metrics::new();
    let role = RoleMetrics::new(&metrics, "pages", None);
    let endpoint = EndpointMetrics::new(&metrics, "pages", "s1", "10.0.0.1:80");
    let group = GroupMetrics::new(&metrics, "pages", Some("Berlin"));
    let counted = allocation_counter::measure(|| {
        for step in 0..10_000 {
            role.requests[1].increment(1);
            role.duration.record(f64::from(step) / 10.0);
            endpoint.duration.record(f64::from(step) / 1e6);
            endpoint.inflight.set(f64::from(step));
            group.answered(TierKind::Neighbor);
            group.sent(1000);
            group.failed();
        }
    });
    assert_eq!(counted.count_total, 0);
}
