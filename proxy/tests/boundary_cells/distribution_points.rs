//! Distribution points.

use http::HeaderValue;
use rolegate::model::balance::How;
use rolegate::wire::known::Known;

use super::{LATE, example_with, explain, group, set, used};
use crate::control_support::minutes::{Got, MINUTE, PACKAGE, Site, from, worked_example};

const A: [&str; 2] = ["a1", "a2"];
const A_AND_B: [&str; 4] = ["a1", "a2", "b1", "b2"];
const ALL_BUT_D: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];

fn example() -> Site {
    Site::new(&worked_example(""))
}

#[test]
fn dp_choice_within_a_group() {
    let mut site = example();
    assert_eq!(used(&mut site, None, "10.1.7", PACKAGE, 0), set(A), "both have clients");
    for client in 1..=32 {
        let client = format!("10.1.7.{client}");
        let first = site.get(&client, PACKAGE, 0);
        assert_eq!(site.get(&client, PACKAGE, MINUTE), first, "and a client stays where it is");
        for name in A {
            assert_eq!(site.named(Some(name), &client, PACKAGE, 0), from(name), "or goes where it says");
        }
    }
}

#[test]
fn dp_server_down() {
    let mut site = example();
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", PACKAGE, 0), set(["a2"]));
    assert_eq!(used(&mut site, Some("a1"), "10.1.8", PACKAGE, 0), set(["a2"]));
}

#[test]
fn dp_group_down() {
    let mut site = example();
    site.down(&A);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", PACKAGE, 0), Got::Nobody, "it has a clock of its own");
    assert_eq!(site.get("10.1.0.1", PACKAGE, MINUTE), Got::Wait(600), "which has started none of ours");
    assert_eq!(site.named(Some("b1"), "10.1.0.9", PACKAGE, 2 * MINUTE), from("b1"), "the client's clock has passed");
    assert_eq!(site.get("10.1.0.1", PACKAGE, 10 * MINUTE), Got::Wait(60), "ours has not");
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 11 * MINUTE)), "b");
    site.down(&["b1"]);
    assert_eq!(site.named(Some("b1"), "10.1.0.2", PACKAGE, 12 * MINUTE), from("b2"), "its own tier first");
    site.up(&["a2"]);
    site.down(&["b2"]);
    assert_eq!(site.named(Some("b1"), "10.1.0.3", PACKAGE, 12 * MINUTE), from("a2"), "then the earlier ones");
}

#[test]
fn dp_group_without_one() {
    let mut site = example_with("site_systems = [\"a1\", \"a2\"]", "");
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600), "the time counts from the first search");
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 10 * MINUTE)), "b");
    assert_eq!(site.named(Some("c1"), "10.1.0.2", PACKAGE, 0), from("c1"));
}

#[test]
fn dp_fallback_times() {
    for (down, opens, by) in [(&A[..], 10, "b"), (&A_AND_B[..], 20, "c"), (&ALL_BUT_D[..], 120, "d")] {
        let mut site = example();
        site.down(down);
        assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
        assert_eq!(site.get("10.1.0.1", PACKAGE, (opens - 1) * MINUTE), Got::Wait(60), "minute {opens} comes");
        assert_eq!(group(site.get("10.1.0.1", PACKAGE, opens * MINUTE)), by, "minute {opens}");
    }
    let mut site = example();
    for server in ["a1", "b2", "c1", "d1"] {
        assert_eq!(site.named(Some(server), "10.1.0.1", PACKAGE, 0), from(server), "whoever names it has waited");
    }
    site.down(&["a1", "a2", "c1", "c2"]);
    let got = site.named(Some("c1"), "10.1.0.2", PACKAGE, 0);
    assert_eq!(group(got), "b", "it has waited for what comes before C too");
}

#[test]
fn dp_default_times() {
    let mut site = example_with("DP = 10, SUP = 10, MP = 0", "");
    site.down(&["a1", "a2", "c1", "c2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(1200), "C has its 20 minutes");
    assert_eq!(site.get("10.1.0.1", PACKAGE, 119 * MINUTE), Got::Wait(60), "B and the default group have 120");
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 120 * MINUTE)), "b", "a neighbor comes first");
    assert_eq!(site.named(Some("b1"), "10.1.0.2", PACKAGE, 0), from("b1"));
}

#[test]
fn dp_time_of_zero() {
    let mut site = example();
    site.down(&["b1", "b2"]);
    assert_eq!(group(site.get("10.2.0.1", PACKAGE, 0)), "c", "at once");
    assert_eq!(group(site.named(Some("b1"), "10.2.0.2", PACKAGE, 0)), "c", "for one that names its own too");
    let mut site = example();
    site.lack(&["b1", "b2"]);
    assert_eq!(group(site.get("10.2.0.1", PACKAGE, 0)), "c", "and within the same request");
    assert_eq!(site.asked.len(), 3);
}

#[test]
fn dp_never() {
    let mut site = example_with("DP = 20", "DP = \"never\"");
    site.down(&["a1", "a2", "b1", "b2", "d1"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    assert_eq!(site.get("10.1.0.1", PACKAGE, LATE), Got::Nobody);
    assert_eq!(site.named(Some("c1"), "10.1.0.1", PACKAGE, LATE), Got::Nobody, "its name does not open it");
    site.up(&["a1"]);
    assert_eq!(site.named(Some("c1"), "10.1.0.2", PACKAGE, LATE), from("a1"), "the client is located by its address");
    let told = explain(&site, Some("c1"), "10.1.0.2", PACKAGE);
    assert!(told.named.as_ref().unwrap().starts_with("c1, which the client may never use"), "{:?}", told.named);
    assert!(told.others.iter().any(|server| server.site_system == "c1"));
}

#[test]
fn dp_default_group() {
    let text = worked_example("") + "fallback = { DP = 60 }\n";
    let mut site = Site::new(&text.replace(
        "neighbors = [{ group = \"B\"",
        "neighbors = [{ group = \"default\", fallback = { DP = 5 } }, { group = \"B\"",
    ));
    site.down(&ALL_BUT_D);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(300), "A has a link of its own");
    assert_eq!(site.get("10.2.0.1", PACKAGE, 0), Got::Wait(3600), "for B the default behavior counts");
    site.up(&["b1"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 5 * MINUTE), from("d1"), "before B, which comes at 10");
    assert_eq!(site.named(Some("d1"), "10.1.0.9", PACKAGE, 0), from("d1"));
    assert_eq!(site.named(Some("d1"), "10.2.0.9", PACKAGE, 0), from("d1"));
}

#[test]
fn dp_in_no_group() {
    let mut site = example();
    assert_eq!(used(&mut site, None, "10.77.0", PACKAGE, 0), set(["d1"]));
    assert_eq!(site.named(Some("a1"), "10.77.0.40", PACKAGE, 0), from("d1"), "a1 is not for it");
    site.down(&["d1"]);
    assert_eq!(site.get("10.77.0.1", PACKAGE, 0), Got::Nobody);
    assert_eq!(site.get("10.77.0.1", PACKAGE, LATE), Got::Nobody, "the default group falls back to nobody");
}

#[test]
fn dp_overlapping_groups() {
    let mut site = example_with("\"10.3.0.0/16\"", "\"10.3.0.0/16\", \"10.1.5.0/24\"");
    assert_eq!(used(&mut site, None, "10.1.5", PACKAGE, 0), set(["a1", "a2", "c1", "c2"]), "the union, in no order");
    for server in ["a1", "c2"] {
        assert_eq!(site.named(Some(server), "10.1.5.40", PACKAGE, 0), from(server));
    }
    site.down(&["a1", "a2", "c1", "c2"]);
    assert_eq!(site.get("10.1.5.50", PACKAGE, 0), Got::Wait(600), "the neighbor of A is one of the union");
    assert_eq!(group(site.get("10.1.5.50", PACKAGE, 10 * MINUTE)), "b");
    // Of two times to the same group the shorter one counts, and a time before never.
    for (of_a, opens) in [("10", 240), ("\"never\"", 240), ("2", 120)] {
        let with =
            "boundaries = [\"10.3.0.0/16\", \"10.1.5.0/24\"]\nneighbors = [{ group = \"B\", fallback = { DP = 4 } }]";
        let text = worked_example("").replace("boundaries = [\"10.3.0.0/16\"]", with);
        let mut site =
            Site::new(&text.replace("DP = 10", &format!("DP = {of_a}")).replace("DP = 20", "DP = \"never\""));
        assert!(used(&mut site, None, "10.1.5", PACKAGE, 0).contains("c1"), "C is its own, whatever A says of it");
        site.down(&["a1", "a2", "c1", "c2"]);
        assert_eq!(site.get("10.1.5.50", PACKAGE, MINUTE), Got::Wait(opens), "{of_a}");
    }
}

#[test]
fn dp_one_way_and_direct() {
    let mut site = example();
    site.down(&["b1", "b2", "c1", "c2"]);
    assert_eq!(site.get("10.2.0.1", PACKAGE, 0), Got::Wait(7200));
    assert_eq!(site.get("10.2.0.1", PACKAGE, LATE), from("d1"), "A falls back to B, and B not to A");
    site.up(&["b1"]);
    assert_eq!(site.named(Some("a1"), "10.2.0.2", PACKAGE, 0), from("b1"), "whatever it names");
    let mut site = example_with(", { group = \"C\", fallback = { DP = 20, SUP = 130, MP = \"never\" } }", "");
    site.down(&A_AND_B);
    site.get("10.1.0.1", PACKAGE, 0);
    assert_eq!(site.get("10.1.0.1", PACKAGE, LATE), from("d1"), "never the neighbor of a neighbor");
    assert_eq!(group(site.named(Some("c1"), "10.1.0.2", PACKAGE, LATE)), "d");
}

#[test]
fn dp_roaming() {
    let mut site = example();
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 0)), "a");
    assert_eq!(group(site.get("10.2.0.1", PACKAGE, MINUTE)), "b", "the new network counts");
    assert_eq!(group(site.named(Some("b2"), "10.2.0.1", PACKAGE, MINUTE)), "b");
    assert_eq!(group(site.named(Some("a1"), "10.2.0.1", PACKAGE, MINUTE)), "b", "an old name leads to near servers");
    assert_eq!(site.named(Some("c1"), "10.1.0.1", PACKAGE, MINUTE), from("c1"), "one that may be used is used");
}

#[test]
fn dp_content_arrives() {
    let mut site = example();
    site.lack(&A_AND_B);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Missing, "the clock starts");
    site.lack(&["a2", "b1", "b2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 6 * MINUTE), from("a1"), "asked again after missing_ttl");
    site.down(&A);
    assert_eq!(site.get("10.1.0.2", PACKAGE, 7 * MINUTE), Got::Wait(600), "the clock had ended");
    let mut site = example();
    site.lack(&A);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", PACKAGE, 0), Got::Missing);
    site.lack(&["a2"]);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", PACKAGE, 6 * MINUTE), from("a1"));
}

#[test]
fn dp_one_clock_for_a_group_and_a_content() {
    let mut site = example();
    site.down(&A);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    assert_eq!(site.get("10.1.0.2", PACKAGE, 4 * MINUTE), Got::Wait(360), "another client finds it running");
    assert_eq!(site.get("10.1.0.2", "/SMS_DP_SMSPKG$/XYZ00001", 4 * MINUTE), Got::Wait(600), "another content not");
    for client in ["10.1.0.1", "10.1.0.2"] {
        assert_eq!(site.named(Some("b1"), client, PACKAGE, 5 * MINUTE), from("b1"), "each has its own by name");
    }
}

#[test]
fn dp_package_versions() {
    let mut site = example();
    used(&mut site, None, "10.1.7", PACKAGE, 0);
    assert_eq!(used(&mut site, Some("a2"), "10.1.7", PACKAGE, 0), set(["a2"]), "also in a download that is elsewhere");
}

#[test]
fn dp_pull_distribution_point() {
    // a1 is at 10.9.0.0, in the boundaries of A, whose clients never fall back to C.
    let text = worked_example("").replace("\"10.1.0.0/16\"", "\"10.1.0.0/16\", \"10.9.0.0/24\"");
    let mut site = Site::new(&text.replace("DP = 20", "DP = \"never\""));
    let pull = "10.9.0.0";
    assert_eq!(site.get(pull, PACKAGE, 0), from("a2"), "by a shared name it is not sent to itself");
    assert_eq!(site.named(Some("a1"), pull, PACKAGE, 0), from("a2"), "its own name leads to another");
    for source in ["a2", "b1", "c1", "d1"] {
        assert_eq!(site.named(Some(source), pull, PACKAGE, 0), from(source), "its source, whatever its groups say");
    }
    let told = explain(&site, Some("c1"), pull, PACKAGE);
    assert!(told.named.as_ref().unwrap().contains("a site system, which has sources of its own"), "{:?}", told.named);
    assert_eq!(told.pick.unwrap().how, How::Named.as_str());
    assert_ne!(site.named(Some("c1"), "10.1.0.1", PACKAGE, 0), from("c1"), "no client may do so");
    // What it gets says nothing about the clients of A.
    site.down(&A);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    assert_eq!(site.named(Some("c1"), pull, PACKAGE, MINUTE), from("c1"));
    assert_eq!(site.get("10.1.0.1", PACKAGE, 2 * MINUTE), Got::Wait(480), "their clock goes on");
    site.down(&["c1"]);
    assert_eq!(group(site.named(Some("c1"), pull, PACKAGE, 3 * MINUTE)), "b", "and it waits for none");
}

#[test]
fn dp_client_on_a_server() {
    let mut site = example_with("\"10.1.0.0/16\"", "\"10.1.0.0/16\", \"10.9.0.0/24\"");
    let (a1, content) = ("10.9.0.0", "/SMS_DP_SMSPKG$/XYZ00001");
    assert_eq!(site.get(a1, PACKAGE, 0), from("a2"));
    assert_eq!(site.named(Some("a1"), a1, content, 0), from("a2"));
    site.down(&["a2"]);
    assert_eq!(group(site.get(a1, PACKAGE, 0)), "b", "another tier, at once");
    site.down(&["b1", "b2", "c1", "c2", "d1"]);
    assert_eq!(site.get(a1, PACKAGE, 0), from("a1"), "better than a 503");
    assert_eq!(site.named(Some("a1"), a1, content, 0), from("a1"));
}

#[test]
fn dp_task_sequence() {
    for (down, by) in [(&A[..], "b"), (&A_AND_B[..], "c"), (&ALL_BUT_D[..], "d")] {
        let mut site = example();
        site.down(down);
        assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
        site.fields.set(Known::UserAgent, HeaderValue::from_static("SMS CCM 5.0 TS"));
        assert_eq!(group(site.get("10.1.0.1", PACKAGE, 0)), by, "times only order the groups");
        assert_eq!(group(site.named(Some("a1"), "10.1.0.2", PACKAGE, 0)), by);
    }
    let mut site = example_with("DP = 20", "DP = \"never\"");
    site.down(&A_AND_B);
    site.fields.set(Known::UserAgent, HeaderValue::from_static("SMS CCM 5.0 TS"));
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 0)), "d", "never is never");
}

#[test]
fn dp_client_installation() {
    let mut site = example();
    site.down(&A_AND_B);
    site.fields.set(Known::UserAgent, HeaderValue::from_static("ccmsetup"));
    assert_eq!(group(site.get("10.1.0.1", PACKAGE, 0)), "c");
    assert_eq!(group(site.named(Some("a1"), "10.1.0.2", PACKAGE, 0)), "c");
}

#[test]
fn dp_same_subnet() {
    // b1 is beside the clients, in a group that is only a neighbor of theirs.
    let mut site = example_with("address = \"10.9.0.2\"", "address = \"10.1.7.200\"");
    assert_eq!(used(&mut site, None, "10.1.7", PACKAGE, 0), set(A), "groups decide before subnets");
    assert_eq!(used(&mut site, Some("b1"), "10.1.7", PACKAGE, 0), set(["b1"]), "the client has chosen it");
    // a1 is beside the clients, in their own group.
    let mut site = example_with("address = \"10.9.0.0\"", "address = \"10.1.7.200\"");
    assert_eq!(used(&mut site, None, "10.1.7", PACKAGE, 0), set(["a1"]));
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.8", PACKAGE, 0), set(["a2"]), "then the others of its group");
}

#[test]
fn dp_slow_connections() {
    // As the upgrade to 1610 makes it: what was slow in A is in a group of its own, a neighbor with time 0.
    let slow = "[[boundary_groups]]\nname = \"A-slow\"\nsite_systems = [\"c1\"]\n[default_boundary_group]";
    let text = worked_example("").replace("[default_boundary_group]", slow);
    let mut site = Site::new(&text.replace(
        "neighbors = [{ group = \"B\"",
        "neighbors = [{ group = \"A-slow\", fallback = { DP = 0 } }, { group = \"B\"",
    ));
    assert_eq!(used(&mut site, None, "10.1.7", PACKAGE, 0), set(A));
    site.down(&A);
    assert_eq!(used(&mut site, None, "10.1.8", PACKAGE, 0), set(["c1"]));
    assert_eq!(site.named(Some("a1"), "10.1.9.1", PACKAGE, 0), from("c1"));
    // The older model itself.
    let older = "[site]\ncode = \"P01\"\n[fallback]\nmodel = \"preferred\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                 roles = [\"DP\"]\n[[site_systems]]\nname = \"fast\"\naddress = \"10.9.0.1\"\nroles = [\"DP\"]\n\
                 [[site_systems]]\nname = \"slow\"\naddress = \"10.9.0.2\"\nroles = [\"DP\"]\n\
                 [[site_systems]]\nname = \"last\"\naddress = \"10.9.0.3\"\nroles = [\"DP\"]\nfallback_source = true\n\
                 [[boundary_groups]]\nname = \"A\"\nboundaries = [\"10.1.0.0/16\"]\n\
                 site_systems = [\"fast\", { name = \"slow\", connection = \"slow\" }]\n";
    let mut site = Site::new(older);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), from("fast"));
    assert_eq!(site.named(Some("slow"), "10.1.0.1", PACKAGE, 0), from("slow"));
    site.down(&["fast"]);
    assert_eq!(site.get("10.1.0.2", PACKAGE, 0), from("slow"));
    site.down(&["slow"]);
    assert_eq!(site.get("10.1.0.3", PACKAGE, 0), from("last"));
}
