//! Management points, and client notification, which follows them.

use http::HeaderValue;
use rolegate::model::name::Name;
use rolegate::wire::known::Known;

use super::{LATE, LIST, example_with, explain, group, set, used};
use crate::control_support::minutes::{Got, MINUTE, Site, from, worked_example};
use crate::control_support::world::{DEGRADED, decide};

const A: [&str; 2] = ["a1", "a2"];
const ALL_BUT_C: [&str; 5] = ["a1", "a2", "b1", "b2", "d1"];
/// The place of the listener for client notification.
const NOTIFY: u16 = 1;

fn example() -> Site {
    Site::new(&worked_example(""))
}

/// Microsoft's example with client notification on every management point.
fn notifying(old: &str, new: &str) -> Site {
    let text = worked_example("").replace(old, new);
    let (listeners, rest) = text.split_once("[[site_systems]]").unwrap();
    let rest = rest.replace("\"SUP\"]", "\"SUP\", \"client-notification\"]");
    let notify = "[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"client-notification\"]\n";
    Site::new(&format!("{listeners}{notify}[[site_systems]]{rest}"))
}

#[test]
fn mp_server_down() {
    let mut site = example();
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", LIST, 0), set(["a2"]), "at once");
    assert_eq!(site.named(Some("a1"), "10.1.7.1", LIST, 0), from("a2"));
    site.up(&["a1"]);
    assert_eq!(site.named(Some("a1"), "10.1.7.1", LIST, 0), from("a1"), "and back at once");
}

#[test]
fn mp_group_down() {
    let mut site = example();
    site.down(&A);
    assert_eq!(used(&mut site, None, "10.1.7", LIST, 0), set(["b1", "b2"]), "the neighbor, within the same request");
    assert_eq!(group(site.named(Some("a1"), "10.1.7.1", LIST, 0)), "b");
    site.up(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", LIST, MINUTE), set(["a1"]), "and back at once");
    site.down(&["a1", "b1", "b2", "d1"]);
    assert_eq!(group(site.get("10.1.7.1", LIST, MINUTE)), "c", "every management point of the site is in the list");
}

#[test]
fn mp_without_its_database() {
    let mut site = example();
    for server in A {
        site.world.stand_system(server, DEGRADED);
    }
    site.world.publisher.publish();
    assert_eq!(used(&mut site, None, "10.1.7", LIST, 0), set(["b1", "b2"]), "a neighbor that is well");
    assert_eq!(used(&mut site, Some("a1"), "10.1.7", LIST, 0), set(["b1", "b2"]), "also for one that names it");
    site.down(&["b1", "b2", "c1", "c2", "d1"]);
    assert_eq!(used(&mut site, None, "10.1.7", LIST, 0), set(A), "better than nobody");
    assert_eq!(used(&mut site, Some("a1"), "10.1.7", LIST, 0), set(["a1"]), "and then the one that is named");
}

#[test]
fn mp_client_installation_and_windows_pe() {
    for agent in ["ccmsetup", "SMS CCM 5.0 TS"] {
        let mut site = example();
        site.fields.set(Known::UserAgent, HeaderValue::from_static(agent));
        assert_eq!(used(&mut site, None, "10.1.7", "/CCM_Client", 0), set(A), "{agent}: near ones first");
        assert_eq!(site.named(Some("c1"), "10.1.7.1", "/CCM_Client", 0), from("c1"), "{agent}");
        site.down(&ALL_BUT_C);
        assert_eq!(used(&mut site, None, "10.1.7", "/CCM_Client", 0), set(["c1", "c2"]), "{agent}: all of the site");
    }
}

#[test]
fn mp_fallback_times() {
    // Another time than 0 and "never" counts as 0.
    let mut site = example_with("MP = 0", "MP = 45");
    site.down(&A);
    assert_eq!(group(site.get("10.1.0.1", LIST, 0)), "b");
    assert_eq!(group(site.named(Some("a1"), "10.1.0.1", LIST, 0)), "b");
    assert_eq!(site.named(Some("c1"), "10.1.0.1", LIST, 0), from("c1"));
}

#[test]
fn mp_never() {
    let mut site = example();
    site.down(&["a1", "a2", "b1", "b2"]);
    assert_eq!(site.get("10.1.0.1", LIST, 0), from("d1"), "C is not put in front");
    assert_eq!(site.named(Some("c1"), "10.1.0.1", LIST, 0), from("c1"), "a client that names it can use it");
    site.down(&["d1"]);
    assert_eq!(group(site.get("10.1.0.1", LIST, 0)), "c", "it is the last one, and the proxy can reach it");
    let mut site = Site::new(&worked_example("[roles.MP]\nlocality = \"boundary-groups\"\n"));
    site.down(&ALL_BUT_C);
    assert_eq!(site.get("10.1.0.1", LIST, LATE), Got::Nobody, "with this, never is a wall");
    assert_eq!(site.named(Some("c1"), "10.1.0.1", LIST, LATE), Got::Nobody);
}

#[test]
fn mp_default_group() {
    let mut site = example();
    site.down(&["a1", "a2", "b1", "b2"]);
    assert_eq!(used(&mut site, None, "10.1.7", LIST, 0), set(["d1"]), "after the neighbors, before all others");
    assert_eq!(site.named(Some("d1"), "10.1.7.1", LIST, 0), from("d1"));
}

#[test]
fn mp_in_no_group() {
    let mut site = example();
    assert_eq!(used(&mut site, None, "10.77.0", LIST, 0), set(["d1"]), "those of the default group first");
    assert_eq!(site.named(Some("b1"), "10.77.0.1", LIST, 0), from("b1"), "any of the site by name");
    site.down(&["d1"]);
    assert_eq!(used(&mut site, None, "10.77.0", LIST, 0), set(["a1", "a2", "b1", "b2", "c1", "c2"]));
    // Without one in the default group it has the whole list at once.
    let mut site = example_with("[default_boundary_group]\nsite_systems = [\"d1\"]", "[default_boundary_group]");
    let all = set(["a1", "a2", "b1", "b2", "c1", "c2", "d1"]);
    assert!(used(&mut site, None, "10.77.0", LIST, 0).is_subset(&all));
    assert!(used(&mut site, None, "10.77.0", LIST, 0).len() > 2);
}

#[test]
fn mp_group_without_one() {
    let mut site = example_with(
        "boundaries = [\"10.3.0.0/16\"]\nsite_systems = [\"c1\", \"c2\"]",
        "boundaries = [\"10.3.0.0/16\"]",
    );
    assert_eq!(used(&mut site, None, "10.3.0", LIST, 0), set(["d1"]), "the default group first");
    site.down(&["d1"]);
    assert_eq!(
        used(&mut site, None, "10.3.0", LIST, 0),
        set(["a1", "a2", "b1", "b2", "c1", "c2"]),
        "then the whole list"
    );
    assert_eq!(site.named(Some("a2"), "10.3.0.1", LIST, 0), from("a2"));
}

#[test]
fn mp_overlapping_groups() {
    let mut site = example_with("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.1.5.0/24\"");
    let mut seen = used(&mut site, None, "10.1.5", LIST, 0);
    for round in 1..8 {
        seen.extend(used(&mut site, None, "10.1.5", LIST, round));
    }
    assert_eq!(seen, set(["a1", "a2", "c1", "c2"]), "the union");
    assert_eq!(site.named(Some("c1"), "10.1.5.1", LIST, 0), from("c1"));
    site.down(&["a1", "a2", "c1", "c2"]);
    assert_eq!(group(site.get("10.1.5.1", LIST, 0)), "b");
}

#[test]
fn mp_one_way_and_direct() {
    let mut site = example();
    site.down(&["b1", "b2", "c1", "c2"]);
    assert_eq!(site.get("10.2.0.1", LIST, 0), from("d1"), "A is no neighbor of B: the default group comes first");
    site.down(&["d1"]);
    assert_eq!(group(site.get("10.2.0.1", LIST, 0)), "a", "as one of the site");
    assert_eq!(site.named(Some("a2"), "10.2.0.1", LIST, 0), from("a2"));
}

#[test]
fn mp_roaming() {
    let mut site = example();
    assert_eq!(group(site.get("10.1.0.1", LIST, 0)), "a");
    assert_eq!(group(site.get("10.2.0.1", LIST, 0)), "b", "the next request is a near one's");
    assert_eq!(site.named(Some("a1"), "10.2.0.1", LIST, 0), from("a1"), "its own, until it takes another");
}

#[test]
fn mp_in_no_boundary_group_at_all() {
    let text = worked_example("");
    let cut = text.find("[[boundary_groups]]").unwrap();
    let text = text[..cut].replace("roles = [\"DP\", \"MP\", \"SUP\"]", "roles = [\"MP\"]");
    let mut site = Site::new(&text);
    assert!(used(&mut site, None, "10.1.7", LIST, 0).len() > 2, "any of them");
    let snapshot = site.world.snapshot();
    assert_eq!(decide(&snapshot, "10.1.0.1", LIST).unwrap().name, Name::Ignored);
    site.down(&["a1"]);
    assert!(!matches!(site.named(Some("a1"), "10.1.0.1", LIST, 0), Got::Nobody), "any MP of a site answers");
    assert!(
        explain(&site, Some("a2"), "10.1.0.1", LIST).named.unwrap().contains("means nothing"),
        "any of them answers"
    );
}

#[test]
fn mp_database_replica() {
    // a2 and b1 have replicas: their user deployments are the others'.
    let user = "/CMUserService/applicationviewservice.asmx";
    let mut text = worked_example("");
    for replica in ["10.9.0.1", "10.9.0.2"] {
        let before = format!("address = \"{replica}\"\nroles = [\"DP\", \"MP\",");
        assert!(text.contains(&before), "{text}");
        let with = format!("address = \"{replica}\"\nroles = [\"DP\", {{ role = \"MP\", replica = true }},");
        text = text.replace(&before, &with);
    }
    let mut site = Site::new(&text);
    assert_eq!(used(&mut site, None, "10.1.7", user, 0), set(["a1"]));
    assert_eq!(used(&mut site, Some("a2"), "10.1.7", user, 0), set(["a1"]), "also of clients that name a replica");
    assert_eq!(site.named(Some("a2"), "10.1.7.1", LIST, 0), from("a2"), "which serves all the rest");
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", user, 0), set(["b2"]));
}

#[test]
fn mp_enrolled_device() {
    let mut site = Site::new(&worked_example("[roles.MP]\nbalance = \"device\"\nlocality = \"site\"\n"));
    site.subject = Some(7);
    let Got::From(own) = site.get("10.1.0.1", LIST, 0) else { panic!("all are well") };
    for client in ["10.2.0.1", "10.77.0.1"] {
        assert_eq!(site.get(client, LIST, LATE), from(&own), "{client}");
        assert_eq!(site.named(Some("d1"), client, LIST, LATE), from(&own), "{client}");
    }
    site.down(&[&own]);
    assert_eq!(site.get("10.1.0.1", LIST, LATE), Got::Nobody, "it is enrolled at one");
}

#[test]
fn notification_server_down() {
    let mut site = notifying("", "");
    site.down(&["a1"]);
    assert_eq!(site.connect(NOTIFY, "10.1.0.1", 0), from("a2"));
    site.down(&["a2"]);
    assert_eq!(group(site.connect(NOTIFY, "10.1.0.1", 0)), "b", "neighbors at once, though only MP has a time");
    site.down(&["b1", "b2", "d1"]);
    assert_eq!(group(site.connect(NOTIFY, "10.1.0.1", 0)), "c", "then all of the site");
}

#[test]
fn notification_never() {
    let mut site = notifying("", "");
    site.down(&["a1", "a2", "b1", "b2"]);
    assert_eq!(site.connect(NOTIFY, "10.1.0.1", 0), from("d1"), "what is said of MP holds: C is not in front");
    let mut site = notifying("MP = \"never\"", "MP = \"never\", client-notification = 0");
    site.down(&["a1", "a2", "b1", "b2"]);
    assert_eq!(group(site.connect(NOTIFY, "10.1.0.1", 0)), "c", "unless it has a time of its own");
}

#[test]
fn notification_location() {
    let mut site = notifying("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.1.5.0/24\"");
    assert_eq!(group(site.connect(NOTIFY, "10.1.0.1", 0)), "a");
    assert_eq!(group(site.connect(NOTIFY, "10.2.0.1", 0)), "b", "a client that roams connects anew");
    assert_eq!(site.connect(NOTIFY, "10.77.0.1", 0), from("d1"), "in no group");
    site.down(&A);
    assert_eq!(group(site.connect(NOTIFY, "10.1.5.1", 0)), "c", "in two groups");
    let login = "/bgb/handler.ashx";
    site.up(&A);
    assert_eq!(group(site.get("10.1.0.1", login, 0)), "a", "over HTTP it is the management point's");
    assert_eq!(site.named(Some("a2"), "10.1.0.1", login, 0), from("a2"));
}
