//! A server that the client names, and a site system that asks for something itself.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use control_support::minutes::{PACKAGE, worked_example};
use control_support::world::{DEGRADED, DOWN, World, compiled, facts};
use http::{HeaderValue, Method, StatusCode};
use rolegate::control::config::Source;
use rolegate::control::director;
use rolegate::model::balance::{How, Tried};
use rolegate::model::decision::Decision;
use rolegate::model::facts::Facts;
use rolegate::model::learn::Unserved;
use rolegate::model::name::Name;
use rolegate::model::role::Fallback;
use rolegate::wire::fields::Fields;
use rolegate::wire::known::Known;

const SCAN: &str = "/ClientWebService/client.asmx";
const LIST: &str = "/SMS_MP/.sms_aut";

/// Who serves a request that names `host`, and how; what it teaches is learned.
fn ask(world: &World, client: &str, host: &str, path: &str) -> Result<(String, How), bool> {
    let snapshot = world.snapshot();
    let facts = Facts { host: Some(host), ..facts(client, path) };
    let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
    match decision.pick(&Tried::new(), 1000, 7) {
        Ok(pick) => {
            let said = decision.learn(&pick, &Method::GET, StatusCode::OK).said;
            decision.served(&pick, said, StatusCode::OK);
            Ok((decision.cluster.endpoint(pick.endpoint).system.to_string(), pick.how))
        }
        Err(_) => Err(decision.unserved(Unserved::Unable).is_some()),
    }
}

fn world() -> World {
    let mut world = World::new(&worked_example(""));
    world.all_up();
    world
}

fn down(world: &mut World, servers: &[&str]) {
    for server in servers {
        world.stand_system(server, DOWN);
    }
    world.publisher.publish();
}

#[test]
fn a_named_server_of_a_later_tier_is_not_waited_for_a_second_time() {
    let mut world = world();
    for server in ["c1", "c2", "b1", "d1"] {
        let client = format!("10.1.0.{}", server.len());
        assert_eq!(ask(&world, &client, server, PACKAGE), Ok((server.to_owned(), How::Named)), "{server}");
        assert_eq!(ask(&world, "10.1.9.1", server, SCAN), Ok((server.to_owned(), How::Named)), "{server}");
    }
    down(&mut world, &["c1"]);
    assert_eq!(ask(&world, "10.1.0.77", "c1", PACKAGE), Ok(("c2".to_owned(), How::Drawn)), "its own tier first");
    down(&mut world, &["c2", "a1", "a2"]);
    let (server, _) = ask(&world, "10.1.0.78", "c1", PACKAGE).unwrap();
    assert!(server.starts_with('b'), "earlier tiers are open too: {server}");
    down(&mut world, &["b1", "b2"]);
    assert_eq!(ask(&world, "10.1.0.79", "c1", PACKAGE), Err(false), "and no clock of ours is started");
    assert_eq!(ask(&world, "10.1.0.79", "dp.contoso.com", PACKAGE), Err(true), "a shared name waits for our clock");
}

#[test]
fn a_client_that_is_told_to_use_another_update_point_goes_there_and_stays() {
    let world = world();
    let (first, _) = ask(&world, "10.1.0.1", "sup.contoso.com", SCAN).unwrap();
    let other = if first == "a1" { "a2" } else { "a1" };
    assert_eq!(ask(&world, "10.1.0.1", other, SCAN), Ok((other.to_owned(), How::Named)));
    assert_eq!(ask(&world, "10.1.0.1", "sup.contoso.com", SCAN), Ok((other.to_owned(), How::Stays)), "it has moved");
    assert_eq!(
        ask(&world, "10.2.0.9", "c1", SCAN),
        Ok(("c1".to_owned(), How::Named)),
        "one that roams names its old one"
    );
}

#[test]
fn clients_that_name_the_server_with_version_2_all_get_version_2() {
    let world = world();
    for host in 1..50 {
        let client = format!("10.1.0.{host}");
        ask(&world, &client, "shared", PACKAGE).unwrap();
        for name in ["a2", "A2", "a2."] {
            assert_eq!(ask(&world, &client, name, PACKAGE), Ok(("a2".to_owned(), How::Named)), "also in a download");
        }
    }
}

#[test]
fn a_server_that_the_client_may_never_use_is_no_choice() {
    let world = world();
    let snapshot = world.snapshot();
    let named = |client: &str, host: &'static str, path| {
        let facts = Facts { host: Some(host), ..facts(client, path) };
        Decision::new(&snapshot, &facts, 1000).unwrap().name
    };
    assert!(matches!(named("10.3.0.1", "b1", PACKAGE), Name::Never(_)), "C does not fall back to B");
    assert_eq!(named("10.3.0.1", "shared", PACKAGE), Name::Stranger);
    let (server, how) = ask(&world, "10.3.0.1", "b1", PACKAGE).unwrap();
    assert!(server.starts_with('c') && how == How::Drawn, "{server}");
    assert!(matches!(named("10.1.0.1", "a1", LIST), Name::Allowed { .. }), "groups tell management points apart");
}

#[test]
fn management_points_that_no_group_names_are_all_the_same() {
    let text = worked_example("")
        .replace("site_systems = [", "protected = [")
        .replace("\"DP\", \"MP\", \"SUP\"]\n[[site", "\"MP\"]\n[[site");
    let cut = text.find("[[boundary_groups]]").unwrap();
    let mut world = World::new(&text[..cut]);
    world.all_up();
    let snapshot = world.snapshot();
    let facts = Facts { host: Some("a1"), ..facts("10.1.0.1", LIST) };
    assert_eq!(Decision::new(&snapshot, &facts, 1000).unwrap().name, Name::Ignored);
}

#[test]
fn a_site_system_gets_its_own_request_only_when_no_other_can_serve() {
    // The servers are in the boundaries of A, as pull distribution points are.
    let text = worked_example("").replace("\"10.1.0.0/16\"", "\"10.1.0.0/16\", \"10.9.0.0/24\"");
    let mut world = World::new(&text);
    world.all_up();
    for path in [PACKAGE, LIST] {
        for _ in 0..3 {
            assert_eq!(ask(&world, "10.9.0.0", "shared", path).unwrap().0, "a2", "{path}");
        }
        assert_eq!(ask(&world, "::ffff:10.9.0.1", "shared", path).unwrap().0, "a1", "{path}");
        assert_eq!(ask(&world, "10.9.0.0", "a1", path).unwrap().0, "a2", "its own name leads to another: {path}");
    }
    assert_eq!(ask(&world, "10.9.0.0", "b1", PACKAGE), Ok(("b1".to_owned(), How::Named)), "its source, by name");
    down(&mut world, &["a2", "b1", "b2", "c1", "c2", "d1"]);
    for path in [PACKAGE, LIST] {
        assert_eq!(ask(&world, "10.9.0.0", "shared", path).unwrap().0, "a1", "better than nobody: {path}");
    }
}

#[test]
fn names_that_mean_two_site_systems_are_errors_at_both_places() {
    let read = |text: String| director::read(&Source { name: "test.toml".to_owned(), text }, false);
    let alias =
        worked_example("").replace("address = \"10.9.0.0\"\n", "address = \"10.9.0.0\"\nhost_names = [\"A2\"]\n");
    let errors = read(alias).unwrap_err().to_string();
    assert!(errors.contains("\"A2\" means \"a1\" and is the name of \"a2\" too"), "{errors}");
    assert!(errors.contains("\"a2\" is in the host_names of \"a1\" too"), "{errors}");
    let smp = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"SMP\"]\n\
               [[site_systems]]\nname = \"SMP 1\"\naddress = \"10.9.0.1\"\nroles = [\"SMP\"]\n\
               [[site_systems]]\nname = \"SMP 2\"\naddress = \"10.9.0.1\"\nroles = [{ role = \"SMP\", port = 81 }]\n";
    let errors = read(smp.to_owned()).unwrap_err().to_string();
    assert!(errors.contains("no Host can name \"SMP 1\"") && errors.contains("no Host can name \"SMP 2\""), "{errors}");
    compiled(&smp.replace("SMP 1", "smp1.contoso.com").replace("SMP 2", "smp2.contoso.com"));
}

#[test]
fn a_named_server_that_is_not_proven_well_comes_after_those_that_are() {
    let mut world = world();
    for degraded in ["a1", "c1"] {
        world.stand_system(degraded, DEGRADED);
    }
    world.publisher.publish();
    assert_eq!(ask(&world, "10.1.0.5", "a1", LIST), Ok(("a2".to_owned(), How::Drawn)));
    assert_eq!(ask(&world, "10.1.0.5", "c1", PACKAGE).unwrap().0, "c2", "its own tier first");
    down(&mut world, &["a2", "b1", "b2", "c2", "d1"]);
    assert_eq!(ask(&world, "10.1.0.5", "a1", LIST), Ok(("a1".to_owned(), How::Named)), "better than none");
}

#[test]
fn a_file_that_has_begun_elsewhere_is_not_begun_again_at_the_named_server() {
    let mut world = world();
    let begin = |world: &World, range: &'static str| {
        let mut fields = Fields::default();
        fields.append(Known::Range, HeaderValue::from_static(range));
        let snapshot = world.snapshot();
        let facts = Facts { host: Some("a1"), fields: Some(&fields), ..facts("10.1.0.6", PACKAGE) };
        let decision = Decision::new(&snapshot, &facts, 1000).unwrap();
        let pick = decision.pick(&Tried::new(), 1000, 7).unwrap();
        let said = decision.learn(&pick, &Method::GET, StatusCode::PARTIAL_CONTENT).said;
        decision.served(&pick, said, StatusCode::PARTIAL_CONTENT);
        decision.cluster.endpoint(pick.endpoint).system.to_string()
    };
    down(&mut world, &["a1"]);
    assert_eq!(begin(&world, "bytes=0-99"), "a2");
    world.all_up();
    assert_eq!(begin(&world, "bytes=100-199"), "a2", "in the middle of a file");
    assert_eq!(begin(&world, "bytes=0-99"), "a1", "the next file");
}

#[test]
fn a_client_that_names_its_last_known_good_server_waits_for_it_as_without_a_proxy() {
    let mut world = world();
    assert_eq!(ask(&world, "10.1.0.7", "a1", SCAN), Ok(("a1".to_owned(), How::Named)));
    down(&mut world, &["a1"]);
    assert_eq!(ask(&world, "10.1.0.7", "a1", SCAN), Err(true), "a full scan at another one is not worth some seconds");
    assert_eq!(ask(&world, "10.1.0.7", "a2", SCAN), Ok(("a2".to_owned(), How::Named)), "unless it is told to");
    assert_eq!(ask(&world, "10.1.0.8", "a1", SCAN).unwrap().0, "a2", "one that has been nowhere goes on at once");
}

#[test]
fn a_named_server_without_an_address_counts_as_one_that_is_down() {
    let text = worked_example("").replace("address = \"10.9.0.4\"", "address = \"c1.contoso.com\"");
    assert!(text.contains("c1.contoso.com"), "{text}");
    let mut world = World::new(&text);
    world.all_up();
    assert_eq!(ask(&world, "10.1.0.9", "c1", PACKAGE).unwrap().0, "c2", "the others of its tier, without a wait");
}

#[test]
fn an_alias_that_is_the_short_name_of_another_is_an_error() {
    let read = |text: String| director::read(&Source { name: "test.toml".to_owned(), text }, false);
    let smp = |first: &str, second: &str| {
        format!(
            "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"SMP\"]\n\
             [[site_systems]]\nname = \"smp1.contoso.com\"\nroles = [\"SMP\"]\n{first}\
             [[site_systems]]\nname = \"smp2.contoso.com\"\nroles = [\"SMP\"]\n{second}"
        )
    };
    let errors = read(smp("", "host_names = [\"SMP1\"]\n")).unwrap_err().to_string();
    assert!(errors.contains("\"SMP1\" means \"smp2.contoso.com\" and is the short name of \"smp1.contoso.com\" too"));
    let both = smp("host_names = [\"usmt.contoso.com\"]\n", "host_names = [\"usmt\"]\n");
    let errors = read(both).unwrap_err().to_string();
    assert!(errors.contains("the short name of \"smp1.contoso.com\" too"), "{errors}");
    read(smp("host_names = [\"smp1\"]\n", "")).unwrap();
    let odd = ["", "smp1:8080", "*.contoso.com", "http://smp1", "smp 1", "x..y"];
    let errors = read(smp(&format!("host_names = {odd:?}\n"), "")).unwrap_err().to_string();
    for alias in odd {
        assert!(errors.contains(&format!("{alias:?} is")), "{alias}: {errors}");
    }
}

#[test]
fn a_pull_distribution_point_fetches_from_its_source_and_waits_for_nothing() {
    let text = worked_example("").replace("\"10.1.0.0/16\"", "\"10.1.0.0/16\", \"10.9.0.0/24\"");
    let mut world = World::new(&text);
    world.all_up();
    down(&mut world, &["a2"]);
    let server = ask(&world, "10.9.0.0", "shared", PACKAGE).unwrap().0;
    assert!(server.starts_with('b'), "{server}: the next tier, at once");
    assert_eq!(ask(&world, "10.9.0.0", "d1", PACKAGE), Ok(("d1".to_owned(), How::Named)));
    assert_eq!(ask(&world, "10.9.0.2", "a1", PACKAGE), Ok(("a1".to_owned(), How::Named)), "a source of another group");
    down(&mut world, &["a1"]);
    let server = ask(&world, "10.9.0.2", "a1", PACKAGE).unwrap().0;
    assert!(server.starts_with('b') || server.starts_with('c'), "{server}: then as any client there");
    assert_eq!(ask(&world, "10.1.0.1", "shared", PACKAGE), Err(true), "none of this is a client's clock");
}

#[test]
fn a_client_whose_named_management_point_is_down_gets_one_of_its_own_groups() {
    let mut world = world();
    down(&mut world, &["c1"]);
    for host in 1..20 {
        let (server, _) = ask(&world, &format!("10.1.0.{host}"), "c1", LIST).unwrap();
        assert!(server.starts_with('a'), "{server}");
    }
}

#[test]
fn addresses_are_named_in_any_spelling() {
    let text = worked_example("").replace("address = \"10.9.0.5\"", "address = \"fd00::5\"");
    let mut world = World::new(&text);
    world.all_up();
    for host in ["[fd00::5]", "[fd00:0:0:0:0:0:0:5]", "[FD00::0005]"] {
        assert_eq!(ask(&world, "10.1.0.1", host, PACKAGE), Ok(("c2".to_owned(), How::Named)), "{host}");
    }
    assert_eq!(ask(&world, "10.1.0.1", "[::ffff:10.9.0.2]", PACKAGE), Ok(("b1".to_owned(), How::Named)));
}

#[test]
fn what_decides_twice_is_an_error() {
    let read = |text: String| director::read(&Source { name: "test.toml".to_owned(), text }, false);
    let errors = read(worked_example("[roles.MP]\nbalance = \"device\"\nnamed = \"only\"\n")).unwrap_err().to_string();
    assert!(errors.contains("both say which site system a request belongs to"), "{errors}");
    let twice = worked_example("").replace("DP = 10,", "DP = 10, \"Distribution point\" = 20,");
    let errors = read(twice).unwrap_err().to_string();
    assert!(errors.contains("there are two times for Distribution point"), "{errors}");
}

#[test]
fn a_default_time_holds_for_relatives() {
    let more = "[roles.MP]\nlocality = \"boundary-groups\"\ndefault_fallback = \"never\"\n\
                [roles.mine]\npreset = \"MP\"\npaths = [\"/mine\"]\n";
    let text = worked_example(more).replace("\"SUP\"]", "\"SUP\", \"mine\"]");
    let compiled = compiled(&text);
    let plan = compiled.roles.iter().find(|plan| plan.role.name == "mine").unwrap();
    assert_eq!(plan.role.default_fallback, Fallback::Never);
}
