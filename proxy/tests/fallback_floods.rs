//! Fallback clocks when servers are full, and when there are more of them than anyone needs.
#![allow(clippy::unwrap_used, missing_docs)]

mod control_support;

use control_support::minutes::{Got, MINUTE, PACKAGE, Site, worked_example};

#[test]
fn clients_of_a_full_group_fall_back_like_those_of_one_that_is_down() {
    let mut site = Site::new(&worked_example("[roles.DP]\nmax_requests = 2"));
    let mut full = site.fill(&["a1", "a2"]);
    full.extend(site.fill(&["a1", "a2"]));
    assert_eq!(site.get("10.1.0.1", PACKAGE, 0), Got::Wait(600));
    assert_eq!(site.get("10.1.0.2", PACKAGE, 4 * MINUTE), Got::Wait(360));
    // One place is free, and is taken: others are still turned away.
    full.pop();
    assert!(matches!(site.get("10.1.0.3", PACKAGE, 5 * MINUTE), Got::From(server) if server.starts_with('a')));
    full.extend(site.fill(&["a2"]));
    assert_eq!(site.get("10.1.0.4", PACKAGE, 6 * MINUTE), Got::Wait(240), "the clock goes on");
    assert!(matches!(site.get("10.1.0.5", PACKAGE, 10 * MINUTE), Got::From(server) if server.starts_with('b')));
    // There is room for more than one.
    full.clear();
    assert!(matches!(site.get("10.1.0.6", PACKAGE, 11 * MINUTE), Got::From(server) if server.starts_with('a')));
    full.extend(site.fill(&["a1", "a2"]));
    full.extend(site.fill(&["a1", "a2"]));
    assert_eq!(site.get("10.1.0.7", PACKAGE, 12 * MINUTE), Got::Wait(600), "that was the end of the clock");
}

#[test]
fn as_many_clocks_run_as_there_may_be() {
    let mut site = Site::new(&worked_example("[fallback]\nmax_clocks = 2000"));
    site.down(&["a1", "a2"]);
    let package = |number: u32| format!("/SMS_DP_SMSPKG$/ABC{number:05}");
    for number in 0..2000 {
        assert_eq!(site.get("10.1.0.1", &package(number), 0), Got::Wait(600));
    }
    for number in 0..2000 {
        let found = site.get("10.1.0.2", &package(number), 10 * MINUTE);
        assert!(matches!(&found, Got::From(server) if server.starts_with('b')), "{number}: {found:?}");
    }
}

#[test]
fn made_up_names_of_one_group_end_no_clock_of_another() {
    let mut site = Site::new(&worked_example("[fallback]\nmax_clocks = 2000"));
    site.down(&["a1", "a2", "c1", "c2"]);
    let package = |number: u32| format!("/SMS_DP_SMSPKG$/ABC{number:05}");
    for number in 0..500 {
        assert_eq!(site.get("10.1.0.1", &package(number), 0), Got::Wait(600));
    }
    for number in 0..50_000_u64 {
        let made_up = format!("/SMS_DP_SMSPKG$/X{number:07}");
        assert_eq!(site.get("10.3.0.66", &made_up, MINUTE + number), Got::Wait(7200));
    }
    // One that begins during the flood has room too.
    assert_eq!(site.get("10.1.0.1", &package(500), 2 * MINUTE), Got::Wait(600));
    for number in 0..=500 {
        let found = site.get("10.1.0.2", &package(number), 12 * MINUTE);
        assert!(matches!(&found, Got::From(server) if server.starts_with('b')), "{number}: {found:?}");
    }
    let snapshot = site.world.snapshot();
    let running = snapshot.live.running_clocks(7300, snapshot.site.fallback.idle_ticks());
    assert!(running <= 2000, "{running}");
}
