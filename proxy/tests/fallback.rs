//! Boundary groups to the letter: when the tiers of a client open, role by role, minute by minute.
//!
//! The clock is a number that the tests pass in. A request does what the request path does, with servers that are a table:
//! who is up, and who has which content.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use std::collections::{BTreeMap, BTreeSet};

use control_support::minutes::{Got, MINUTE, PACKAGE, Site, from, worked_example};
use control_support::world::EJECTED;
use http::HeaderValue;
use rolegate::model::audience::audiences;
use rolegate::wire::known::Known;

/// The servers that serve somebody of many clients at a moment; their requests do not move the clock.
fn pool(site: &mut Site, now_ms: u64) -> BTreeSet<String> {
    let mut pool = BTreeSet::new();
    for client in 0..64 {
        match site.get(&format!("10.1.0.{client}"), PACKAGE, now_ms) {
            Got::From(server) => drop(pool.insert(server)),
            Got::Missing | Got::Wait(_) | Got::Nobody => {}
        }
    }
    pool
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_worked_example_minute_by_minute() {
    // The servers of earlier tiers lack the content one after the other, so that the pool shows what has opened.
    let mut site = Site::new(&worked_example(""));
    site.lack(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 1), Got::Missing, "the clock starts");
    assert_eq!(site.asked.len(), 2, "both servers of the group were asked");
    for minute in 1..=130_u64 {
        let now = minute * MINUTE + 200;
        let found = pool(&mut site, now);
        let expected: &[&str] = match minute {
            ..10 => &[],
            _ => &["b1", "b2"],
        };
        assert_eq!(found, set(expected), "minute {minute}");
    }
    // C opens behind B, and the default group behind both.
    let mut site = Site::new(&worked_example(""));
    site.lack(&["a1", "a2", "b1", "b2"]);
    site.get("10.1.0.1", PACKAGE, 1);
    for minute in 1..=130_u64 {
        let found = pool(&mut site, minute * MINUTE + 200);
        let expected: &[&str] = if minute < 20 { &[] } else { &["c1", "c2"] };
        assert_eq!(found, set(expected), "minute {minute}");
    }
    let mut site = Site::new(&worked_example(""));
    site.lack(&["a1", "a2", "b1", "b2", "c1", "c2"]);
    site.get("10.1.0.1", PACKAGE, 1);
    for minute in 1..=130_u64 {
        let found = pool(&mut site, minute * MINUTE + 200);
        let expected: &[&str] = if minute < 120 { &[] } else { &["d1"] };
        assert_eq!(found, set(expected), "minute {minute}");
    }
}

#[test]
fn a_group_that_is_down_waits_too_and_says_until_when() {
    let mut site = Site::new(&worked_example(""));
    site.down(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    assert_eq!(site.get("10.1.0.2", PACKAGE, 4 * MINUTE), Got::Wait(360), "one clock for the whole group");
    assert_eq!(site.get("10.1.0.2", "/SMS_DP_SMSPKG$/XYZ00001", 4 * MINUTE), Got::Wait(600), "and for one content");
    assert!(matches!(site.get("10.1.0.2", PACKAGE, 10 * MINUTE), Got::From(server) if server.starts_with('b')));
    site.down(&["b1", "b2"]);
    assert_eq!(site.get("10.1.0.3", PACKAGE, 11 * MINUTE), Got::Wait(540), "the clock goes on: C opens at 20");
    site.up(&["a1"]);
    assert_eq!(site.get("10.1.0.4", PACKAGE, 12 * MINUTE), from("a1"), "and that ends the clock");
    site.down(&["a1"]);
    assert_eq!(site.get("10.1.0.4", PACKAGE, 13 * MINUTE), Got::Wait(600), "so it begins anew");
}

#[test]
fn fallback_sources_come_when_every_time_has_passed() {
    let source = "[[site_systems]]\nname = \"f1\"\naddress = \"10.9.0.9\"\nfallback_source = true\nroles = [\"DP\"]\n\
                  [[boundary_groups]]\nname = \"A\"";
    let text = worked_example("").replacen("[[boundary_groups]]\nname = \"A\"", source, 1);
    let mut site = Site::new(&text);
    site.down(&["a1", "a2", "b1", "b2", "c1", "c2", "d1"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600), "the neighbors first, though they are down too");
    for minute in [10, 20, 119] {
        assert!(matches!(site.get("10.1.0.1", PACKAGE, minute * MINUTE), Got::Wait(_)), "minute {minute}");
    }
    assert_eq!(site.get("10.1.0.1", PACKAGE, 120 * MINUTE), from("f1"), "the last resort, with the default group");
    assert_eq!(site.get("10.77.0.1", PACKAGE, 0), from("f1"), "a client in no group has nobody else, and no time");
}

#[test]
fn fallback_goes_to_direct_neighbors_only_and_not_back() {
    let mut site = Site::new(&worked_example(""));
    // B has C at once, and A is no neighbor of B.
    site.down(&["b1", "b2"]);
    assert!(matches!(site.get("10.2.0.1", PACKAGE, 0), Got::From(server) if server.starts_with('c')));
    site.down(&["c1", "c2"]);
    assert_eq!(site.get("10.2.0.1", PACKAGE, 0), Got::Wait(7200), "the default group after 120 minutes, never A");
    assert_eq!(site.get("10.2.0.1", PACKAGE, 120 * MINUTE), from("d1"));
    assert_eq!(site.get("10.200.0.1", PACKAGE, 0), from("d1"), "a client in no group starts in the default group");
}

#[test]
fn a_clock_that_nobody_asks_is_forgotten() {
    let mut site = Site::new(&worked_example(""));
    site.down(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    // Failed downloads are tried again after four hours; after six the clock is idle.
    assert!(
        matches!(site.get("10.1.0.1", PACKAGE, 240 * MINUTE), Got::From(_)),
        "every group is open after four hours"
    );
    assert_eq!(site.get("10.1.0.1", PACKAGE, 601 * MINUTE), Got::Wait(600), "six hours later");
}

#[test]
fn a_lab_may_hurry() {
    let mut site = Site::new(&worked_example("[fallback]\nspeedup = 120"));
    site.down(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(5), "ten minutes are five seconds");
    assert!(matches!(site.get("10.1.0.1", PACKAGE, 5000), Got::From(server) if server.starts_with('b')));
}

#[test]
fn clocks_can_be_switched_off() {
    for more in ["[fallback]\nclock = \"immediate\"", "[roles.DP]\nclock = \"immediate\""] {
        let mut site = Site::new(&worked_example(more));
        site.down(&["a1", "a2", "b1", "b2", "c1", "c2"]);
        assert_eq!(site.get("10.1.0.1", PACKAGE, 0), from("d1"), "{more}");
    }
    let more = "[fallback]\nclock = \"immediate\"\n[roles.DP]\nclock = \"honor\"";
    let mut site = Site::new(&worked_example(more));
    site.down(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600), "the role has the last word");
}

#[test]
fn task_sequences_and_the_client_package_wait_for_no_clock() {
    let mut site = Site::new(&worked_example("[fallback]\nexempt_content = [\"p0100002\"]"));
    site.down(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    let client_package = "/SMS_DP_SMSPKG$/P0100002";
    assert!(matches!(site.get("10.1.0.1", client_package, 0), Got::From(server) if server.starts_with('b')));
    site.fields.set(Known::UserAgent, HeaderValue::from_static("SMS CCM 5.0 TS"));
    let Got::From(server) = site.get("10.1.0.1", PACKAGE, 0) else { panic!("a task sequence does not wait") };
    // Its ranges are asked by BITS, under another name: the download stays where it began.
    site.fields.set(Known::UserAgent, HeaderValue::from_static("Microsoft BITS/7.8"));
    for minute in 0..5 {
        assert_eq!(site.get("10.1.0.1", PACKAGE, minute * MINUTE), from(&server));
    }
    assert_eq!(site.get("10.1.0.2", PACKAGE, 0), Got::Wait(600), "another client waits");
    site.fields.set(Known::UserAgent, HeaderValue::from_static("SMS CCM 5.0"));
    assert_eq!(site.get("10.1.0.3", PACKAGE, 0), Got::Wait(600), "the name must be the whole one");
}

#[test]
fn management_points_are_ordered_and_wait_for_nothing() {
    let policy = "/SMS_MP/.sms_pol";
    let mut site = Site::new(&worked_example(""));
    site.down(&["a1", "a2"]);
    assert!(matches!(site.get("10.1.0.1", policy, 0), Got::From(server) if server.starts_with('b')), "neighbor, 0");
    site.down(&["b1", "b2"]);
    assert_eq!(site.get("10.1.0.1", policy, 0), from("d1"), "C is never, the default group at once");
    site.down(&["d1"]);
    assert!(matches!(site.get("10.1.0.1", policy, 0), Got::From(server) if server.starts_with('c')), "C is not on top");
    let walled = "[roles.MP]\nlocality = \"boundary-groups\"\n";
    let mut site = Site::new(&worked_example(walled));
    site.down(&["a1", "a2", "b1", "b2", "d1"]);
    assert_eq!(site.get("10.1.0.1", policy, 0), Got::Nobody);
    assert_eq!(site.get("10.1.0.1", policy, 600 * MINUTE), Got::Nobody, "never is never");
}

#[test]
fn software_update_points_that_share_a_database_are_used_at_once() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example("[roles.SUP]\nfallback_rule = \"shared\"\n"));
    let Got::From(first) = site.get("10.1.0.1", scan, 0) else { panic!("all are well") };
    assert!(first.starts_with('a'), "{first}");
    let other = if first == "a1" { "a2" } else { "a1" };
    site.down(&[&first]);
    assert_eq!(site.get("10.1.0.1", scan, 0), from(other), "nothing is kept to");
    site.down(&["a1", "a2"]);
    assert!(matches!(site.get("10.1.0.1", scan, 0), Got::From(server) if !server.starts_with('d')), "B and C are 0");
}

#[test]
fn software_update_points_keep_to_the_last_known_good_one() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example(""));
    let Got::From(good) = site.get("10.1.0.1", scan, 0) else { panic!("all are up") };
    let other = if good == "a1" { "a2" } else { "a1" };
    site.down(&[&good]);
    for minute in 0..120 {
        let left = (120 - minute) * 60;
        assert_eq!(site.get("10.1.0.1", scan, minute * MINUTE), Got::Wait(left), "minute {minute}: only the known one");
    }
    // Two hours after its first failure: its own group and B (10) together; C (130) later.
    assert_eq!(site.get("10.1.0.1", scan, 120 * MINUTE), from(other));
    site.down(&[other]);
    assert_eq!(site.get("10.1.0.1", scan, 121 * MINUTE), Got::Wait(7200), "the new one has a clock of its own");
    assert!(matches!(site.get("10.1.0.1", scan, 241 * MINUTE), Got::From(server) if server.starts_with('b')));
    // It stays there when the old ones are back: a move costs a full scan.
    let Got::From(now) = site.get("10.1.0.1", scan, 242 * MINUTE) else { panic!("it is up") };
    site.up(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", scan, 243 * MINUTE), from(&now));
    // A client that has none takes one of its group.
    assert!(matches!(site.get("10.1.0.9", scan, 243 * MINUTE), Got::From(server) if server.starts_with('a')));
}

#[test]
fn a_software_update_point_that_comes_back_in_time_ends_the_clock() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example(""));
    let Got::From(good) = site.get("10.1.0.1", scan, 0) else { panic!("all are up") };
    site.down(&[&good]);
    assert_eq!(site.get("10.1.0.1", scan, 0), Got::Wait(7200));
    site.up(&[&good]);
    assert_eq!(site.get("10.1.0.1", scan, 60 * MINUTE), from(&good));
    site.down(&[&good]);
    assert_eq!(site.get("10.1.0.1", scan, 90 * MINUTE), Got::Wait(7200));
}

#[test]
fn a_page_that_is_missing_makes_no_last_known_good_software_update_point() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example(""));
    site.lack(&["a1", "a2"]);
    let Got::From(first) = site.get("10.1.0.1", scan, 0) else { panic!("all are up") };
    let other = if first == "a1" { "a2" } else { "a1" };
    site.down(&[&first]);
    assert_eq!(site.get("10.1.0.1", scan, 0), from(other), "it has served nothing, so there is nothing to keep to");
    site.lack(&[]);
    assert_eq!(site.get("10.1.0.1", scan, 0), from(other));
    site.up(&[&first]);
    site.down(&[other]);
    assert_eq!(site.get("10.1.0.1", scan, 0), Got::Wait(7200), "and now there is");
}

#[test]
fn a_guess_of_live_traffic_takes_no_software_update_point_from_its_clients() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example(""));
    let Got::From(good) = site.get("10.1.0.1", scan, 0) else { panic!("all are up") };
    site.world.stand_system(&good, EJECTED);
    site.world.publisher.publish();
    assert_eq!(site.get("10.1.0.1", scan, MINUTE), from(&good), "no other may serve it for two hours");
    let other = if good == "a1" { "a2" } else { "a1" };
    for client in 2..30 {
        assert_eq!(site.get(&format!("10.1.0.{client}"), scan, MINUTE), from(other), "new ones go elsewhere");
    }
}

#[test]
fn later_links_of_software_update_points_join_at_their_own_time() {
    let scan = "/ClientWebService/client.asmx";
    let mut site = Site::new(&worked_example(""));
    assert!(matches!(site.get("10.1.0.1", scan, 0), Got::From(_)));
    site.down(&["a1", "a2", "b1", "b2", "d1"]);
    assert_eq!(site.get("10.1.0.1", scan, 0), Got::Wait(7200), "B is at 10, and waits for 120 with the others");
    assert_eq!(site.get("10.1.0.1", scan, 125 * MINUTE), Got::Wait(300), "C is at 130");
    assert!(matches!(site.get("10.1.0.1", scan, 130 * MINUTE), Got::From(server) if server.starts_with('c')));
    // A client that never had one has nothing to keep to: B opens at its own time.
    assert_eq!(site.get("10.1.0.9", scan, 200 * MINUTE), Got::Wait(600));
    site.up(&["b1", "b2"]);
    assert!(matches!(site.get("10.1.0.9", scan, 210 * MINUTE), Got::From(server) if server.starts_with('b')));
}

#[test]
fn software_update_points_of_no_group_have_nothing_to_wait_for() {
    let scan = "/ClientWebService/client.asmx";
    let servers = |more: &str| {
        format!(
            "[site]\ncode = \"P01\"\n{more}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"SUP\"]\n\
             [[site_systems]]\nname = \"sup1\"\naddress = \"10.9.0.1\"\nroles = [\"SUP\"]\n\
             [[site_systems]]\nname = \"sup2\"\naddress = \"10.9.0.2\"\nroles = [\"SUP\"]\n"
        )
    };
    let group = "[[boundary_groups]]\nname = \"A\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"sup1\"]\n";
    for text in [servers(""), servers("[fallback]\nmodel = \"preferred\"") + group] {
        let mut site = Site::new(&text);
        let Got::From(good) = site.get("10.1.0.1", scan, 0) else { panic!("all are up") };
        let other = if good == "sup1" { "sup2" } else { "sup1" };
        site.down(&[&good]);
        assert_eq!(site.get("10.1.0.1", scan, MINUTE), from(other), "no group, no fallback time");
        site.up(&[&good]);
        assert_eq!(site.get("10.1.0.1", scan, 2 * MINUTE), from(other), "and it stays there");
    }
}

#[test]
fn a_clock_is_kept_while_it_is_asked_even_when_every_tier_has_opened() {
    let mut site = Site::new(&worked_example(""));
    site.down(&["a1", "a2", "b1", "b2", "c1", "c2", "d1"]);
    // Every quarter of an hour, for a whole day.
    for quarter in 0..96 {
        site.get("10.1.0.1", PACKAGE, quarter * 15 * MINUTE);
    }
    site.up(&["d1"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 96 * 15 * MINUTE), from("d1"));
}

#[test]
fn a_fallback_source_is_no_reason_to_do_without_a_groups_last_server() {
    // A client of A alone may use the source at once; one that is in B too waits for B's neighbor first.
    let text = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
                [[site_systems]]\nname = \"a1\"\naddress = \"10.9.0.1\"\nroles = [\"DP\"]\n\
                [[site_systems]]\nname = \"c1\"\naddress = \"10.9.0.2\"\nroles = [\"DP\"]\n\
                [[site_systems]]\nname = \"f1\"\naddress = \"10.9.0.3\"\nfallback_source = true\nroles = [\"DP\"]\n\
                [[boundary_groups]]\nname = \"A\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"a1\"]\n\
                [[boundary_groups]]\nname = \"B\"\nboundaries = [\"10.1.5.0/24\"]\n\
                neighbors = [{ group = \"C\", fallback = { DP = 30 } }]\n\
                [[boundary_groups]]\nname = \"C\"\nboundaries = []\nsite_systems = [\"c1\"]\n";
    let mut site = Site::new(text);
    let lists = audiences(&site.world.cluster().topology);
    assert!(lists.contains(&vec![0]), "a1 alone: {lists:?}");
    site.down(&["a1"]);
    assert_eq!(site.get("10.1.4.1", PACKAGE, 0), from("f1"));
    assert_eq!(site.get("10.1.5.1", PACKAGE, 0), Got::Wait(1800), "without a1 it has nobody");
}

#[test]
fn state_migration_points_fall_back_to_nobody() {
    let text = "[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"SMP\"]\n\
                [roles.SMP]\nlocality = \"boundary-groups\"\n\
                [[site_systems]]\nname = \"smp1\"\naddress = \"10.9.0.1\"\nroles = [\"SMP\"]\n\
                [[boundary_groups]]\nname = \"A\"\nboundaries = [\"10.1.0.0/16\"]\n\
                neighbors = [{ group = \"B\", fallback = { SMP = 0 } }]\n\
                [[boundary_groups]]\nname = \"B\"\nboundaries = [\"10.2.0.0/16\"]\nsite_systems = [\"smp1\"]\n";
    let mut site = Site::new(text);
    assert_eq!(site.get("10.2.0.1", "/SMSSMP/x", 0), from("smp1"));
    for minute in [0, 200] {
        assert_eq!(site.get("10.1.0.1", "/SMSSMP/x", minute * MINUTE), Got::Nobody, "whatever the relationship says");
    }
}

#[test]
fn clocks_and_knowledge_survive_a_reload() {
    let mut site = Site::new(&worked_example(""));
    site.lack(&["a1", "a2"]);
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Missing);
    // Another group in front moves all others to other places.
    let text = worked_example("").replace(
        "[[boundary_groups]]\nname = \"A\"",
        "[[boundary_groups]]\nname = \"new\"\nboundaries = []\n[[boundary_groups]]\nname = \"A\"",
    );
    site.world.reload(&text);
    site.world.publisher.publish();
    assert!(matches!(site.get("10.1.0.1", PACKAGE, 10 * MINUTE), Got::From(server) if server.starts_with('b')));
    assert_eq!(site.asked.len(), 3, "the verdicts are older than five minutes: both are asked again");
    site.get("10.1.0.2", PACKAGE, 11 * MINUTE);
    assert_eq!(site.asked.len(), 1, "and now they are known");
}

#[test]
fn overlapping_groups_open_at_the_earliest_time() {
    let text =
        worked_example("").replace("boundaries = [\"10.3.0.0/16\"]", "boundaries = [\"10.3.0.0/16\", \"10.1.5.0/24\"]");
    // In A and C at once: C's servers are current, its implied link to the default group is the same as A's.
    let mut site = Site::new(&text);
    site.down(&["a1", "a2"]);
    assert!(matches!(site.get("10.1.5.1", PACKAGE, 0), Got::From(server) if server.starts_with('c')));
    assert_eq!(site.get("10.1.4.1", PACKAGE, 0), Got::Wait(600), "a client of A alone has a clock of its own");
}

/// One row of the table: content on a preferred point, on-demand distribution, fallback allowed, the deployment's setting for
/// slow or fallback locations; who serves at once, and who after distribution has brought the content to the preferred
/// point.
type Row = (bool, bool, bool, &'static str, Got, Got);

#[test]
fn the_nine_scenarios_of_the_older_model() {
    let (download, not) = ("download", "do-not-download");
    let rows: BTreeMap<u32, Vec<Row>> = BTreeMap::from([
        (
            1,
            vec![
                (true, false, false, not, from("preferred"), from("preferred")),
                (true, true, false, download, from("preferred"), from("preferred")),
            ],
        ),
        (2, vec![(true, false, true, not, from("preferred"), from("preferred"))]),
        (3, vec![(true, false, true, download, from("preferred"), from("preferred"))]),
        (
            4,
            vec![
                (false, false, false, not, Got::Missing, Got::Missing),
                (false, false, false, download, Got::Missing, Got::Missing),
            ],
        ),
        (5, vec![(false, false, true, not, Got::Missing, Got::Missing)]),
        (6, vec![(false, false, true, download, from("fallback"), from("fallback"))]),
        (
            7,
            vec![
                (false, true, false, not, Got::Missing, from("preferred")),
                (false, true, false, download, Got::Missing, from("preferred")),
            ],
        ),
        (8, vec![(false, true, true, not, Got::Missing, from("preferred"))]),
        (9, vec![(false, true, true, download, from("fallback"), from("preferred"))]),
    ]);
    for (number, rows) in rows {
        for (on_preferred, on_demand, fallback, setting, now, later) in rows {
            let what = format!("scenario {number}, fallback {fallback}, {setting}");
            let mut site = Site::new(&older_model(fallback, setting));
            site.lack(if on_preferred { &["protected"] } else { &["preferred", "protected"] });
            assert_eq!(site.get("10.1.0.1", PACKAGE, 0), now, "{what}");
            assert!(!site.asked.contains(&"protected".to_owned()), "{what}: a protected point of another group");
            // The hourly search, after distribution has had its time. Another client: a download would stay.
            if on_demand {
                site.lack(&["protected"]);
            }
            assert_eq!(site.get("10.1.0.2", PACKAGE, 60 * MINUTE), later, "{what}, an hour later");
        }
    }
}

fn older_model(fallback: bool, setting: &str) -> String {
    format!(
        "[site]\ncode = \"P01\"\n[fallback]\nmodel = \"preferred\"\nslow_or_fallback = \"{setting}\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
         [[site_systems]]\nname = \"preferred\"\naddress = \"10.9.0.1\"\nroles = [\"DP\"]\n\
         [[site_systems]]\nname = \"fallback\"\naddress = \"10.9.0.2\"\nroles = [\"DP\"]\nfallback_source = {fallback}\n\
         [[site_systems]]\nname = \"protected\"\naddress = \"10.9.0.3\"\nroles = [\"DP\"]\n\
         [[boundary_groups]]\nname = \"here\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"preferred\"]\n\
         [[boundary_groups]]\nname = \"there\"\nboundaries = [\"10.2.0.0/16\"]\nsite_systems = [\"fallback\", \"protected\"]\n"
    )
}

#[test]
fn slow_connections_come_after_fast_ones_or_not_at_all() {
    let text = |setting: &str| {
        older_model(true, setting).replace(
            "site_systems = [\"preferred\"]",
            "site_systems = [{ name = \"preferred\" }, { name = \"protected\", connection = \"slow\" }]",
        )
    };
    let mut site = Site::new(&text("download"));
    for client in 0..20 {
        assert_eq!(site.get(&format!("10.1.0.{client}"), PACKAGE, 0), from("preferred"), "the fast one");
    }
    site.down(&["preferred"]);
    assert_eq!(site.get("10.1.1.1", PACKAGE, 0), from("protected"), "the slow one before the fallback source");
    site.down(&["protected"]);
    assert_eq!(site.get("10.1.1.1", PACKAGE, 0), from("fallback"));
    let mut site = Site::new(&text("do-not-download"));
    site.down(&["preferred"]);
    assert_eq!(site.get("10.1.1.1", PACKAGE, 0), Got::Nobody);
    assert_eq!(site.get("10.77.0.1", PACKAGE, 0), Got::Nobody, "a client in no group has only fallback sources");
}
