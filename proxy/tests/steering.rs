//! What drain, maintenance and weight mean to a decision, over reloads and by the clock on the wall. No sockets.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control_support::proxy::source;
use control_support::world::{DOWN, UP, World, compiled, facts};
use http::{HeaderValue, Method, StatusCode};
use rolegate::control::director::{Director, Handles, Order};
use rolegate::control::steering::{Change, Kept, Outcome, WallClock, Wanted};
use rolegate::explain::Explanation;
use rolegate::metrics::Metrics;
use rolegate::model::balance::{How, NoPick, Nobody, Tried};
use rolegate::model::cluster::{Class, Standing};
use rolegate::model::decision::Decision;
use rolegate::model::facts::Facts;
use rolegate::model::steering::{Override, Share, Steer, Steering, Wish};
use rolegate::steering::{self, Asked, Command};
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;
use tokio::sync::oneshot;

const NOW: u64 = 1000;
const FILE: &str = "/SMS_DP_SMSPKG$/ABC00012/setup.msi";
const SITE: &str = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";

fn wish(system: &str, role: Option<&str>, wish: Wish) -> Override {
    Override {
        site_system: Arc::from(system),
        role: role.map(Arc::from),
        wish,
        begin: None,
        end: None,
        since: 0,
        by: "anna".into(),
        from: "127.0.0.1:1".into(),
        comment: Some("new disks".into()),
    }
}

fn steering(overrides: impl IntoIterator<Item = Override>) -> Arc<Steering> {
    let mut steering = Steering::default();
    overrides.into_iter().for_each(|own| drop(steering.set(own)));
    Arc::new(steering)
}

/// These site systems, `dp0` and so on, with this role and these lines of it.
fn systems(count: usize, role: &str, lines: &str) -> String {
    let mut text = format!("{SITE}roles = [\"{role}\"]\n[roles.{role}]\n{lines}\n");
    for number in 0..count {
        text +=
            &format!("[[site_systems]]\nname = \"dp{number}\"\naddress = \"10.9.0.{number}\"\nroles = [\"{role}\"]\n");
    }
    text
}

fn world(text: &str) -> World {
    let mut world = World::new(text);
    world.all_up();
    world
}

fn steer(world: &mut World, overrides: impl IntoIterator<Item = Override>) {
    world.publisher.steer(steering(overrides), 100, NOW);
    world.publisher.publish();
}

/// Who serves a range of a file that begins here, or a request without one; an answer follows if `answered`.
fn pick(world: &World, client: &str, first: Option<u64>, answered: bool) -> Result<(String, How), Nobody> {
    let snapshot = world.snapshot();
    let mut fields = Fields::default();
    if let Some(first) = first {
        fields.append(Known::Range, HeaderValue::try_from(format!("bytes={first}-{}", first + 99)).unwrap());
    }
    let facts = Facts { fields: Some(&fields), ..facts(client, FILE) };
    let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
    let pick = decision.pick(&Tried::new(), NOW, 1)?;
    if answered {
        let said = decision.learn(&pick, &Method::GET, StatusCode::PARTIAL_CONTENT).said;
        decision.served(&pick, said, StatusCode::PARTIAL_CONTENT);
    }
    Ok((decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how))
}

fn clients() -> impl Iterator<Item = String> {
    (0..100).map(|number| format!("10.1.0.{number}"))
}

#[test]
fn a_drained_server_gets_nothing_new_and_ends_the_files_that_have_begun() {
    let mut world = world(&systems(3, "DP", ""));
    let on = |world: &World, client: &str, first| pick(world, client, first, false).unwrap().0;
    for client in clients() {
        pick(&world, &client, Some(0), true).unwrap();
    }
    let of_dp0: Vec<String> = clients().filter(|client| on(&world, client, Some(500)) == "dp0").collect();
    assert!(of_dp0.len() > 10);
    steer(&mut world, [wish("DP0", None, Wish::Drain)]);
    for client in clients() {
        assert_ne!(on(&world, &client, Some(0)), "dp0", "a file that begins");
        assert_ne!(on(&world, &client, None), "dp0", "a whole file");
    }
    for client in &of_dp0 {
        assert_eq!(pick(&world, client, Some(500), false).unwrap(), ("dp0".to_owned(), How::Stays), "in mid-file");
    }
    // Its next file begins elsewhere, and stays there.
    let (other, _) = pick(&world, &of_dp0[0], Some(0), true).unwrap();
    assert_eq!(pick(&world, &of_dp0[0], Some(500), false).unwrap(), (other, How::Stays));
    // A drained server that is down ends nothing.
    world.stand(0, Standing { steer: Steer::Drain, ..DOWN });
    world.publisher.publish();
    assert_ne!(on(&world, &of_dp0[1], Some(500)), "dp0");
    world.stand(0, Standing { steer: Steer::Drain, ..UP });
    steer(&mut world, [wish("dp0", None, Wish::Maintenance)]);
    for client in &of_dp0 {
        assert_ne!(on(&world, client, Some(500)), "dp0", "maintenance moves downloads");
    }
    steer(&mut world, []);
    assert_eq!(on(&world, &of_dp0[2], Some(500)), "dp0", "as before");
}

#[test]
fn what_was_taken_out_is_no_last_resort_and_not_asked_in_panic() {
    let mut world = world(&systems(2, "DP", "panic = \"serve\""));
    steer(&mut world, [wish("dp0", None, Wish::Drain)]);
    world.stand(1, DOWN);
    world.publisher.publish();
    for client in clients() {
        assert_eq!(pick(&world, &client, None, false).unwrap().0, "dp1", "the one that is down is asked in panic");
    }
    let snapshot = world.snapshot();
    assert!(snapshot.clusters[0].panicking());
    let facts = facts("10.1.0.1", FILE);
    let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
    let tried = Tried::from_iter([1]);
    assert!(decision.last_resort(&tried, NOW, 1).is_none());
    steer(&mut world, [wish("dp0", None, Wish::Drain), wish("dp1", None, Wish::Maintenance)]);
    assert!(!world.snapshot().clusters[0].panicking(), "no one is left to be asked in panic");
    let nobody = pick(&world, "10.1.0.1", None, false).unwrap_err();
    assert_eq!(nobody.why, NoPick::TakenOut);
}

#[test]
fn a_name_in_host_does_not_force_it() {
    let get = |world: &World, host| {
        let snapshot = world.snapshot();
        let facts = Facts { host: Some(host), ..facts("10.1.0.1", FILE) };
        let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
        let pick = decision.pick(&Tried::new(), NOW, 1)?;
        Ok::<_, Nobody>(decision.cluster.endpoint(pick.endpoint).system.to_string())
    };
    let mut first = world(&systems(2, "DP", "named = \"first\""));
    assert_eq!(get(&first, "dp0").unwrap(), "dp0");
    steer(&mut first, [wish("dp0", None, Wish::Drain)]);
    assert_eq!(get(&first, "dp0").unwrap(), "dp1");
    let mut only = world(&systems(2, "DP", "named = \"only\""));
    steer(&mut only, [wish("dp0", None, Wish::Drain)]);
    assert_eq!(get(&only, "dp0").unwrap_err().why, NoPick::TakenOut);
    assert_eq!(get(&only, "dp1").unwrap(), "dp1");
}

#[test]
fn a_last_known_good_update_point_moves_at_once() {
    let text = systems(2, "SUP", "fallback_rule = \"last-known-good\"");
    let groups =
        "[[boundary_groups]]\nname = \"HQ\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"dp0\", \"dp1\"]\n";
    let mut world = world(&(text + groups));
    let get = |world: &World| {
        let snapshot = world.snapshot();
        let facts = facts("10.1.0.7", "/SimpleAuthWebService/SimpleAuth.asmx");
        let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
        let pick = decision.pick(&Tried::new(), NOW, 1).unwrap();
        let said = decision.learn(&pick, &Method::GET, StatusCode::OK).said;
        decision.served(&pick, said, StatusCode::OK);
        (decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how)
    };
    let (own, _) = get(&world);
    assert_eq!(get(&world), (own.clone(), How::Stays));
    steer(&mut world, [wish(&own, None, Wish::Drain)]);
    let (other, _) = get(&world);
    assert_ne!(other, own);
    steer(&mut world, []);
    assert_eq!(get(&world), (other, How::Stays), "and it stays where it is then");
}

#[test]
fn an_upload_in_its_session_ends_at_a_drained_server_and_not_in_maintenance() {
    let mut world = world(&systems(2, "MP", ""));
    let packet = |world: &World, session: Option<&str>| {
        let snapshot = world.snapshot();
        let mut fields = Fields::default();
        let session = session.map(|session| HeaderValue::from_str(session).unwrap());
        session.into_iter().for_each(|session| fields.append(Known::BitsSessionId, session));
        let facts = Facts { method: "BITS_POST", fields: Some(&fields), ..facts("10.1.0.7", "/CCM_Incoming/x") };
        let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
        let pick = decision.pick(&Tried::new(), NOW, 1)?;
        let mut answer = Fields::default();
        answer.append(Known::BitsSessionId, HeaderValue::from_static("{one}"));
        decision.uploaded(&pick, &answer);
        Ok::<_, Nobody>((decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how))
    };
    let (own, _) = packet(&world, None).unwrap();
    steer(&mut world, [wish(&own, None, Wish::Drain)]);
    assert_eq!(packet(&world, Some("{one}")).unwrap(), (own.clone(), How::Upload));
    steer(&mut world, [wish(&own, None, Wish::Maintenance)]);
    assert_eq!(packet(&world, Some("{one}")).unwrap_err().why, NoPick::UploadLost);
    steer(&mut world, [wish(&own, None, Wish::Drain)]);
    assert_ne!(packet(&world, None).unwrap().0, own, "a new one begins elsewhere");
}

#[test]
fn explanations_say_who_has_taken_it_out_and_why() {
    let mut world = world(&systems(2, "DP", ""));
    steer(&mut world, [wish("dp0", Some("distribution-point"), Wish::Drain)]);
    let snapshot = world.snapshot();
    let mut told = Explanation::new(&snapshot, &facts("10.1.0.1", FILE), NOW, 1);
    let server = told.servers().find(|server| server.site_system == "dp0").unwrap();
    let expected = "drained by anna since 1970-01-01T00:00:00Z: new disks";
    assert_eq!((server.why_not.as_deref(), server.steered.as_str()), (Some(expected), "drain"));
    told.ask_why_not(&snapshot, "dp0").unwrap();
    assert_eq!(told.why_not.unwrap().sentence, format!("dp0 cannot serve: {expected}"));
    steer(&mut world, [wish("dp0", None, Wish::Drain), wish("dp1", None, Wish::Drain)]);
    let told = Explanation::new(&world.snapshot(), &facts("10.1.0.1", FILE), NOW, 1);
    let nobody = told.nobody.unwrap();
    assert_eq!(nobody.sentence, "every server of the open tiers is drained or in maintenance");
    assert_eq!(nobody.status, Some(503));
}

const GROUPS: &str = "
[[boundary_groups]]
name = \"HQ\"
boundaries = [\"10.1.0.0/16\"]
site_systems = [\"dp0\", \"dp1\"]

[[boundary_groups]]
name = \"Branch\"
boundaries = [\"10.2.0.0/16\"]
site_systems = [\"dp2\"]
";

fn asked(server: &str) -> Asked {
    Asked { server: server.to_owned(), by: Some("anna".to_owned()), ..Asked::default() }
}

#[test]
fn who_is_left_without_a_server_is_told() {
    let mut world = world(&(systems(3, "DP", "") + GROUPS));
    let warned = |world: &World, server: &str| {
        steering::plan(&world.snapshot(), &asked(server), &Command::Drain, 100).unwrap().warnings
    };
    assert_eq!(warned(&world, "dp0"), Vec::<String>::new());
    let branch = warned(&world, "dp2");
    assert!(
        branch.len() == 1 && branch[0].contains("distribution-point") && branch[0].contains("Branch"),
        "{branch:?}"
    );
    assert!(!branch[0].contains("HQ"));
    world.stand(1, DOWN);
    world.publisher.publish();
    assert!(warned(&world, "dp0")[0].contains("HQ"), "the other one is down");
    steer(&mut world, [wish("dp1", None, Wish::Drain), wish("dp2", None, Wish::Maintenance)]);
    let all = warned(&world, "dp0");
    assert!(all.len() == 1 && all[0].starts_with("no server is left for the role distribution-point"), "{all:?}");
}

#[test]
fn names_and_wishes_that_are_not_there_are_refused_with_a_suggestion() {
    let mut world = world(&(systems(3, "DP", "") + GROUPS));
    let refused = |world: &World, asked: &Asked, command: &Command| {
        steering::plan(&world.snapshot(), asked, command, 100).unwrap_err().join("\n")
    };
    assert!(refused(&world, &asked("dp9"), &Command::Drain).contains("did you mean \"dp"));
    let role = |role: &str| Asked { role: Some(role.to_owned()), ..asked("dp0") };
    assert!(
        refused(&world, &role("distribution-pint"), &Command::Drain).contains("did you mean \"distribution-point\"")
    );
    assert!(refused(&world, &asked("dp0"), &Command::Weight("0".to_owned())).contains("rolegate drain"));
    assert_eq!(refused(&world, &asked("dp0"), &Command::Undrain), "dp0 is not drained");
    let both = refused(&world, &asked("dp9"), &Command::Weight("x".to_owned()));
    assert_eq!(both.lines().count(), 2, "every mistake at once: {both}");
    let lines = Asked { comment: Some("two\nlines".to_owned()), ..asked("dp0") };
    assert!(refused(&world, &lines, &Command::Drain).contains("control character"));
    steer(&mut world, [wish("dp0", Some("distribution-point"), Wish::Drain)]);
    let other = refused(&world, &asked("dp0"), &Command::Undrain);
    assert_eq!(other, "dp0 is not drained, but the distribution-point of dp0 is: name that");
    // One that is gone from the configuration can be undone.
    steer(&mut world, [wish("old", Some("management-point"), Wish::Drain)]);
    let gone = Asked { role: Some("MP".to_owned()), ..asked("OLD") };
    steering::plan(&world.snapshot(), &gone, &Command::Undrain, 100).unwrap();
}

#[test]
fn weights_shift_the_share_of_new_downloads() {
    let mut world = world(&systems(2, "DP", "balance = \"random\""));
    let share = |world: &World| {
        let snapshot = world.snapshot();
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for dice in 0..4000 {
            let facts = facts("10.1.0.1", FILE);
            let decision = Decision::new(&snapshot, &facts, NOW).unwrap();
            let pick = decision.pick(&Tried::new(), NOW, dice).unwrap();
            *counts.entry(decision.cluster.endpoint(pick.endpoint).system.to_string()).or_default() += 1;
        }
        f64::from(counts["dp0"]) / 4000.0
    };
    let even = share(&world);
    assert!((0.45..0.55).contains(&even), "{even}");
    let list = steering([wish("dp0", None, Wish::Weight(Share::Percent(25)))]);
    let assembled = rolegate::control::assemble::assemble_steered(
        &world.compiled,
        &world.addresses,
        &mut world.registry,
        (&*list, 100),
    );
    world.publisher.replace(assembled.topologies);
    world.publisher.publish();
    let less = share(&world);
    assert!((0.15..0.25).contains(&less), "25 of 125 is a fifth: {less}");
    let endpoint = world.cluster();
    assert_eq!((endpoint.endpoint(0).weight, endpoint.endpoint(0).configured_weight), (25, 100));
}

/// A Director with a clock of its own, which is that of tokio.
fn director(text: &str) -> Handles {
    let epoch = tokio::time::Instant::now();
    let (mut director, handles) = Director::new(compiled(text), None, Arc::new(Metrics::new()), epoch);
    director.set_wall_clock(WallClock::new(move || 10_000 + epoch.elapsed().as_secs()));
    tokio::spawn(director.run());
    handles
}

async fn order(handles: &Handles, change: Change) -> Outcome {
    let (reply, answer) = oneshot::channel();
    handles.orders.send(Order::Steer(Wanted { change, reply })).await.unwrap();
    answer.await.unwrap().unwrap()
}

fn class(handles: &Handles, system: &str) -> Class {
    let snapshot = handles.snapshots.current();
    let cluster = &snapshot.clusters[0];
    let place = cluster.topology.endpoints.iter().position(|endpoint| &*endpoint.system == system).unwrap();
    cluster.standing(place as u32).class()
}

const UNASKED: &str = "probe = { kind = \"none\" }";

#[tokio::test(start_paused = true)]
async fn planned_maintenance_begins_and_ends_by_itself() {
    let handles = director(&systems(2, "DP", UNASKED));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(class(&handles, "dp0"), Class::Well);
    let planned = Override { begin: Some(10_100), end: Some(10_400), ..wish("dp0", None, Wish::Maintenance) };
    let outcome = order(&handles, Change::Set(planned.clone())).await;
    assert_eq!(outcome, Outcome { before: None, kept: Kept::NoFile });
    for (until, expected) in [(90, Class::Well), (102, Class::Away), (390, Class::Away), (402, Class::Well)] {
        let now = handles.epoch.elapsed();
        tokio::time::sleep(Duration::from_secs(until).saturating_sub(now)).await;
        assert_eq!(class(&handles, "dp0"), expected, "after {until} seconds");
        assert_eq!(class(&handles, "dp1"), Class::Well);
    }
    assert!(handles.snapshots.current().steering.is_empty(), "nothing is left of it");
    let snapshot = handles.snapshots.current();
    assert!(snapshot.clusters[0].standing(0).ramp_from_ms > 0, "it has its slow start");
    let weight = Override { end: Some(10_500), ..wish("dp0", None, Wish::Weight(Share::Of(7))) };
    order(&handles, Change::Set(weight)).await;
    let weight = || handles.snapshots.current().clusters[0].endpoint(0).weight;
    assert_eq!(weight(), 7);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(weight(), 100);
}

#[tokio::test(start_paused = true)]
async fn overrides_hold_over_reloads_and_wait_for_what_is_gone() {
    let three = systems(3, "DP", UNASKED);
    let handles = director(&three);
    order(&handles, Change::Set(wish("DP0", None, Wish::Drain))).await;
    order(&handles, Change::Set(wish("dp2", Some("distribution-point"), Wish::Drain))).await;
    order(&handles, Change::Set(wish("dp1", None, Wish::Weight(Share::Percent(50))))).await;
    let reload = async |text: &str| {
        let (reply, answer) = oneshot::channel();
        handles.orders.send(Order::Reload(source(text), reply)).await.unwrap();
        answer.await.unwrap().unwrap();
    };
    let weight = || handles.snapshots.current().clusters[0].endpoint(1).weight;
    reload(&three.replace("10.9.0.0", "10.9.0.200")).await;
    assert_eq!((class(&handles, "dp0"), class(&handles, "dp2"), weight()), (Class::Away, Class::Away, 50));
    reload(&systems(2, "DP", UNASKED)).await;
    let snapshot = handles.snapshots.current();
    assert_eq!(snapshot.steering.len(), 3);
    let listed = rolegate::steering::listing::of(&snapshot, None, None);
    let states: Vec<(&str, &str)> =
        listed.overrides.iter().map(|own| (own.written.site_system.as_str(), own.state.as_str())).collect();
    assert_eq!(states, [("DP0", "holds"), ("dp1", "holds"), ("dp2", "not in the configuration")]);
    reload(&three).await;
    assert_eq!(class(&handles, "dp2"), Class::Away, "it comes back as it was");
    order(&handles, Change::Undo(wish("dp2", Some("distribution-point"), Wish::Drain).place())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((class(&handles, "dp2"), class(&handles, "dp0")), (Class::Well, Class::Away));
}

#[test]
fn a_site_system_without_roles_is_left_out_with_a_warning() {
    let text = systems(2, "DP", "") + "[[site_systems]]\nname = \"dp2\"\naddress = \"10.9.0.9\"\nroles = []\n" + GROUPS;
    let (compiled, warnings) = rolegate::control::director::read(&source(&text), false).unwrap();
    assert_eq!(compiled.roles[0].members.len(), 2);
    let warnings = warnings.unwrap();
    assert!(
        warnings.text.contains("site system \"dp2\" holds no role") && warnings.text.contains("rolegate drain"),
        "{}",
        warnings.text
    );
}
