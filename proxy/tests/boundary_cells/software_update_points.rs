//! Software update points.

use super::{LATE, SCAN, example_with, explain, group, set, used};
use crate::control_support::minutes::{Got, MINUTE, Site, from, worked_example};

const A: [&str; 2] = ["a1", "a2"];

fn example() -> Site {
    Site::new(&worked_example(""))
}

/// The server that a client gets at first, and the other one of its group.
fn first(site: &mut Site, client: &str) -> (String, &'static str) {
    let Got::From(first) = site.get(client, SCAN, 0) else { panic!("all are well") };
    let other = if first == "a1" { "a2" } else { "a1" };
    (first, other)
}

#[test]
fn sup_new_client() {
    let mut site = example();
    assert_eq!(used(&mut site, None, "10.1.7", SCAN, 0), set(A), "those of its groups");
    assert_eq!(site.named(Some("a2"), "10.1.8.1", SCAN, 0), from("a2"), "the one that its site has given it");
    site.down(&A);
    assert_eq!(site.get("10.1.9.1", SCAN, 0), Got::Wait(600), "it has none to keep to, and the times count");
    assert_eq!(group(site.get("10.1.9.1", SCAN, 10 * MINUTE)), "b");
}

#[test]
fn sup_group_without_one() {
    let mut site = example_with("site_systems = [\"a1\", \"a2\"]", "");
    assert_eq!(site.get("10.1.0.1", SCAN, 0), Got::Wait(600), "there is nothing to keep to");
    assert_eq!(group(site.get("10.1.0.1", SCAN, 10 * MINUTE)), "b");
    assert_eq!(site.named(Some("c1"), "10.1.0.2", SCAN, 0), from("c1"));
}

#[test]
fn sup_server_down() {
    let mut site = example();
    let (first, other) = first(&mut site, "10.1.0.1");
    site.down(&[&first]);
    assert_eq!(site.get("10.1.0.1", SCAN, 0), Got::Wait(7200), "only the last known-good one");
    assert_eq!(site.get("10.1.0.1", SCAN, 119 * MINUTE), Got::Wait(60));
    assert_eq!(site.get("10.1.0.1", SCAN, 120 * MINUTE), from(other));
    site.up(&[&first]);
    assert_eq!(site.get("10.1.0.1", SCAN, 121 * MINUTE), from(other), "and it stays there");
    // By name another one answers at once, unless the role says that names are to be taken to the letter.
    let mut site = example();
    site.down(&["a1"]);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", SCAN, 0), from("a2"));
    let mut site = example();
    assert_eq!(site.named(Some("a1"), "10.1.0.1", SCAN, 0), from("a1"));
    site.down(&["a1"]);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", SCAN, 0), Got::Wait(7200), "one that was served there keeps it");
    assert_eq!(site.named(Some("a2"), "10.1.0.1", SCAN, 0), from("a2"), "until its site names another");
    let mut site = Site::new(&worked_example("[roles.SUP]\nnamed = \"only\"\n"));
    assert_eq!(site.named(Some("a1"), "10.1.0.1", SCAN, 0), from("a1"));
    site.down(&["a1"]);
    for minute in [0, 119, 600] {
        assert_eq!(site.named(Some("a1"), "10.1.0.1", SCAN, minute * MINUTE), Got::Nobody, "the client's clock alone");
    }
    assert_eq!(site.named(Some("a2"), "10.1.0.1", SCAN, 120 * MINUTE), from("a2"), "until its site names another");
    let shared = explain(&site, Some("sup.contoso.com"), "10.1.0.1", SCAN);
    assert_eq!(shared.refusal.and_then(|refusal| refusal.status), Some(421));
}

#[test]
fn sup_fallback_times() {
    // B is at 10 and C at 130, as in Microsoft's example.
    let mut site = example();
    first(&mut site, "10.1.0.1");
    site.down(&A);
    assert_eq!(site.get("10.1.0.1", SCAN, 0), Got::Wait(7200), "10 minutes do not make 120 shorter");
    assert_eq!(group(site.get("10.1.0.1", SCAN, 120 * MINUTE)), "b");
    let mut site = example();
    first(&mut site, "10.1.0.1");
    site.down(&["a1", "a2", "b1", "b2", "d1"]);
    site.get("10.1.0.1", SCAN, 0);
    assert_eq!(site.get("10.1.0.1", SCAN, 129 * MINUTE), Got::Wait(60));
    assert_eq!(group(site.get("10.1.0.1", SCAN, 130 * MINUTE)), "c", "counted from the first failure");
    let mut site = example();
    for server in ["b1", "c1", "d1"] {
        assert_eq!(site.named(Some(server), "10.1.0.1", SCAN, 0), from(server), "whoever names it has waited");
    }
}

#[test]
fn sup_never() {
    let mut site = example_with("SUP = 130", "SUP = \"never\"");
    first(&mut site, "10.1.0.1");
    site.down(&["a1", "a2", "b1", "b2", "d1"]);
    assert_eq!(site.get("10.1.0.1", SCAN, 0), Got::Wait(7200));
    assert_eq!(site.get("10.1.0.1", SCAN, LATE), Got::Nobody);
    assert_eq!(site.named(Some("c1"), "10.1.0.1", SCAN, LATE), from("c1"), "who has it already keeps it");
    let told = explain(&site, Some("c1"), "10.1.0.1", SCAN);
    assert!(told.named.as_ref().unwrap().ends_with("because a client keeps the one that it has"), "{:?}", told.named);
    site.down(&["c1"]);
    assert_eq!(site.named(Some("c1"), "10.1.0.2", SCAN, LATE), Got::Nobody, "and no further one of its group");
}

#[test]
fn sup_default_group() {
    let mut site = example();
    first(&mut site, "10.1.0.1");
    site.down(&["a1", "a2", "b1", "b2", "c1", "c2"]);
    site.get("10.1.0.1", SCAN, 0);
    assert_eq!(site.get("10.1.0.1", SCAN, 120 * MINUTE), from("d1"));
    assert_eq!(site.named(Some("d1"), "10.1.0.2", SCAN, 0), from("d1"));
    // A new site has no software update point there.
    let text = worked_example("[roles.SUP]\npanic = \"refuse\"\n");
    let d1 = "address = \"10.9.0.6\"\nroles = [\"DP\", \"MP\"";
    let mut site = Site::new(&text.replace(&format!("{d1}, \"SUP\"]"), &format!("{d1}]")));
    first(&mut site, "10.1.0.1");
    site.down(&["a1", "a2", "b1", "b2", "c1", "c2"]);
    site.get("10.1.0.1", SCAN, 0);
    assert_eq!(site.get("10.1.0.1", SCAN, LATE), Got::Nobody);
}

#[test]
fn sup_in_no_group() {
    let mut site = example();
    assert_eq!(used(&mut site, None, "10.77.0", SCAN, 0), set(["d1"]));
    assert_eq!(site.named(Some("d1"), "10.77.1.1", SCAN, 0), from("d1"));
    assert_eq!(site.named(Some("a1"), "10.77.1.2", SCAN, 0), from("a1"), "it had it before");
}

#[test]
fn sup_overlapping_groups() {
    let mut site = example_with("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.1.5.0/24\"");
    assert_eq!(used(&mut site, None, "10.1.5", SCAN, 0), set(["a1", "a2", "c1", "c2"]));
    assert_eq!(site.named(Some("c1"), "10.1.5.40", SCAN, 0), from("c1"));
    site.down(&["a1", "a2", "c1", "c2"]);
    assert_eq!(site.get("10.1.5.50", SCAN, 0), Got::Wait(600));
    assert_eq!(group(site.get("10.1.5.50", SCAN, 10 * MINUTE)), "b");
}

#[test]
fn sup_one_way_and_direct() {
    let mut site = example();
    site.down(&["b1", "b2", "c1", "c2"]);
    assert_eq!(site.named(Some("b1"), "10.2.0.2", SCAN, 0), Got::Nobody, "the tiers up to its own are open");
    assert_eq!(site.get("10.2.0.1", SCAN, 0), Got::Wait(7200));
    assert_eq!(site.get("10.2.0.1", SCAN, LATE), from("d1"), "B does not fall back to A");
    assert_eq!(
        site.named(Some("a1"), "10.2.0.3", SCAN, LATE),
        from("a1"),
        "by name it is the client's last known-good one"
    );
}

#[test]
fn sup_roaming() {
    // A client is its address, so behind another one it is a new client.
    let mut site = example();
    assert_eq!(group(site.get("10.1.0.1", SCAN, 0)), "a");
    assert_eq!(group(site.get("10.2.0.1", SCAN, MINUTE)), "b");
    // A client that shows a certificate stays itself, and keeps its server outside of its groups.
    site.subject = Some(7);
    let good = site.get("10.1.0.2", SCAN, 0);
    assert_eq!(group(good.clone()), "a");
    for client in ["10.2.0.2", "10.3.0.2", "10.77.0.2"] {
        assert_eq!(site.get(client, SCAN, MINUTE), good, "{client}");
    }
    site.subject = None;
    // By name it keeps it too, until that one fails.
    for client in ["10.2.0.3", "10.3.0.3", "10.77.0.3"] {
        assert_eq!(site.named(Some("a1"), client, SCAN, MINUTE), from("a1"), "{client}");
    }
    site.down(&["a1"]);
    assert_eq!(
        site.named(Some("a1"), "10.2.0.3", SCAN, 2 * MINUTE),
        Got::Nobody,
        "for the 120 minutes of its own clock"
    );
    assert_eq!(
        site.named(Some("b1"), "10.2.0.3", SCAN, 122 * MINUTE),
        from("b1"),
        "after which its site names another"
    );
    let mut site = example();
    site.down(&["b1", "b2"]);
    assert_eq!(site.get("10.2.0.4", SCAN, 0), Got::Wait(7200));
    assert_eq!(site.named(Some("a1"), "10.2.0.5", SCAN, MINUTE), from("a1"));
    assert_eq!(site.get("10.2.0.4", SCAN, 2 * MINUTE), Got::Wait(7080), "the clock of B's clients goes on");
}

#[test]
fn sup_switching() {
    let mut site = example();
    let (first, other) = first(&mut site, "10.1.0.1");
    assert_eq!(site.get("10.1.0.1", SCAN, MINUTE), from(&first), "by a shared name nobody sees a switch");
    assert_eq!(site.named(Some(other), "10.1.0.1", SCAN, MINUTE), from(other), "by name it is done at once");
    assert_eq!(site.get("10.1.0.1", SCAN, 2 * MINUTE), from(other), "and holds");
}

#[test]
fn sup_shared_database() {
    let mut site = Site::new(&worked_example("[roles.SUP]\nfallback_rule = \"shared\"\n"));
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", SCAN, 0), set(["a2"]), "any of them goes on with a scan");
    assert_eq!(site.named(Some("a1"), "10.1.8.1", SCAN, 0), from("a2"));
    site.down(&["a2"]);
    assert_eq!(group(site.get("10.1.7.1", SCAN, 0)), "b", "at once, in the order of the groups");
}
