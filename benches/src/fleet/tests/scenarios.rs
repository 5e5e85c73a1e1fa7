use std::time::Duration;

use super::*;
use crate::load::Spacing;

#[test]
fn every_shipped_scenario_is_fine_and_listed() {
    let listed = listed();
    assert_eq!(listed.lines().count(), SHIPPED.len());
    for (name, text) in SHIPPED {
        let scenario = Scenario::parse(text).unwrap_or_else(|mistakes| panic!("{name}: {mistakes:#?}"));
        assert_eq!(scenario.name, *name);
        assert!(listed.contains(&format!("{name} ")) && !scenario.about.is_empty(), "{name}");
        assert_eq!(find(name).unwrap(), *text);
        assert_eq!(matches!(scenario.kind, Kind::Plain(_)), name.starts_with("plain-"), "{name}");
    }
}

#[test]
fn every_scenario_file_is_shipped() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), SHIPPED.len());
}

#[test]
fn an_unknown_scenario_is_told_what_there_is() {
    let error = find("stedy").unwrap_err().to_string();
    assert!(error.contains("did you mean 'steady'?"), "{error}");
    let error = find("nonsense").unwrap_err().to_string();
    assert!(error.contains("there are steady, morning"), "{error}");
}

#[test]
fn what_steady_writes_down_are_the_defaults() {
    let (_, steady) = SHIPPED.iter().find(|(name, _)| *name == "steady").unwrap();
    let (written, default) = (fleet(steady), fleet(""));
    for activity in Activity::ALL.into_iter().filter(|activity| *activity != Activity::Content) {
        assert_eq!(written.habits[activity.index()], default.habits[activity.index()], "{activity}");
    }
    assert_eq!(written.notification, default.notification);
    assert_eq!((&written.details, written.under_way), (&default.details, default.under_way));
    assert_eq!(
        (written.speedup, written.keep, written.keep_clock),
        (default.speedup, default.keep, default.keep_clock)
    );
    assert_eq!(written.token, default.token);
    assert_eq!((written.duration, written.timeout, written.seed), (default.duration, default.timeout, default.seed));
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = "clients = 0\n\
                durration = \"60s\"\n\
                speedup = \"fast\"\n\
                timeout = \"soon\"\n\
                connection = \"sometimes\"\n\
                [[groups]]\n\
                name = \"HQ\"\n\
                source = [\"127.1.0.0/99\"]\n\
                [[groups]]\n\
                name = \"HQ\"\n\
                [activities.scan]\n\
                share = 1.5\n\
                perod = \"7d\"\n\
                [activities.policy]\n\
                period = \"1h\"\n\
                delay = \"2h\"\n\
                [activities.dance]\n\
                share = 1\n\
                [[storms]]\n\
                activities = [\"polka\"]\n\
                groups = [\"Moon\"]\n\
                [tls]\n\
                key = \"a.key\"\n\
                [[content]]\n\
                id = \"PKG00001\"\n";
    let mistakes = Scenario::parse(text).unwrap_err();
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    for (line, what) in [
        (1, "clients: 0 is outside 1 to 2000000"),
        (2, "'durration' is not known here; did you mean 'duration'?"),
        (3, "speedup: invalid type: string"),
        (4, "timeout: 'soon' is not a time; write it as 90s"),
        (5, "connection: 'sometimes' is neither 'keep' nor 'per-activity'"),
        (8, "'127.1.0.0/99' is not a network such as 127.1.0.0/16"),
        (10, "there is a group 'HQ' already"),
        (12, "activities.scan.share: 1.5 is outside 0 to 1"),
        (13, "did you mean 'period'?"),
        (16, "a delay of 2h is longer than the period of 1h"),
        (17, "'activities.dance' is not known here; there are service-location, locations"),
        (20, "there is no activity 'polka'; there are service-location"),
        (21, "there is no group 'Moon'"),
        (22, "a certificate and its key belong together"),
        (24, "content is either package ="),
    ] {
        let place = format!("line {line}, ");
        assert!(told.iter().any(|told| told.starts_with(&place) && told.contains(what)), "{what}: {told:#?}");
    }
    assert_eq!(told.len(), 15, "{told:#?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let mistakes = Scenario::parse("clients = 5\n[[groups]\nname = \n").unwrap_err();
    assert_eq!(mistakes[0].place, Some((2, 10)), "{mistakes:?}");
    assert!(mistakes[0].what.contains("this is not TOML: unclosed array table"), "{mistakes:?}");
}

#[test]
fn plain_scenarios_are_checked_too() {
    let mistakes = Scenario::parse("clients = 5\n[plain]\nrate = 0\nramp = \"fast\"\n").unwrap_err();
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    let both = Scenario::parse("[plain]\nrate = 1\nramp = \"1..2\"\n").unwrap_err();
    assert!(both[0].what.contains("exclude each other"), "{both:?}");
}

#[test]
fn arrivals_at_random_have_a_seed_and_need_a_rate() {
    let spacing = |text: &str| match Scenario::parse(text).unwrap().kind {
        Kind::Plain(plain) => plain.spacing,
        Kind::Fleet(fleet) => panic!("{fleet:?}"),
    };
    assert_eq!(spacing("[plain]\nrate = 5\narrivals = \"poisson\"\nseed = 7"), Spacing::Poisson { seed: 7 });
    assert_eq!(spacing("[plain]\nramp = \"1..5\"\narrivals = \"poisson\""), Spacing::Poisson { seed: 1 });
    assert_eq!(spacing("[plain]\nrate = 5"), Spacing::Even);
    for (text, what) in [
        ("[plain]\narrivals = \"poisson\"", "plain.arrivals: \"poisson\" needs a rate or a ramp"),
        ("[plain]\nrate = 5\narrivals = \"often\"", "plain.arrivals: 'often' is neither \"even\" nor \"poisson\""),
    ] {
        let mistakes = Scenario::parse(text).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].what.starts_with(what), "{mistakes:?}");
        assert_eq!(mistakes[0].place.map(|(line, _)| line), Some(text.lines().count()), "{mistakes:?}");
    }
}

#[test]
fn values_can_be_set_and_are_checked() {
    let text = "[activities.policy]\nperiod = \"1h\"\n";
    let set = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        Scenario::parse_with(text, &values)
    };
    let scenario = set(&["activities.policy.period=30min", "clients=7", "activities.scan.share = 0"]).unwrap();
    let Kind::Fleet(fleet) = scenario.kind else { panic!("no fleet") };
    assert_eq!(fleet.clients, 7);
    assert_eq!(fleet.habits[Activity::Policy.index()].period, Some(Duration::from_secs(1800)));
    assert!(fleet.habits[Activity::Scan.index()].share <= 0.0);
    for (wrong, what) in [
        ("clients", "has no '='"),
        ("=5", "has no key"),
        ("clients.a=5", "is not known"),
        ("clients=-5", "with the values that were set"),
    ] {
        let mistakes = set(&["clients=7", wrong]).unwrap_err();
        assert!(mistakes[0].to_string().contains(what) || wrong == "clients.a=5", "{wrong}: {mistakes:?}");
    }
}

#[test]
fn what_a_fleet_does_depends_on_schedules_and_storms() {
    let only_storms = fleet("schedules = false\n[[storms]]\nactivities = [\"scan\"]\n");
    let does: Vec<_> = Activity::ALL.into_iter().filter(|activity| only_storms.does(*activity)).collect();
    assert_eq!(does, [Activity::Scan]);
    let mut left_out = only_storms.clone();
    left_out.leave_out(Activity::Scan);
    assert!(!left_out.does(Activity::Scan));
    let ordinary = fleet("[activities.scan]\nshare = 0\n");
    assert!(ordinary.does(Activity::Policy) && !ordinary.does(Activity::Scan) && !ordinary.does(Activity::Content));
}

#[test]
fn a_run_is_no_longer_than_its_clock() {
    for text in ["warm_up = \"3days\"\nduration = \"2days\"", "[plain]\nwarm_up = \"4days\"", "warm_up = \"90days\""] {
        let mistakes = Scenario::parse(text).unwrap_err();
        assert!(mistakes[0].what.contains("4days"), "{mistakes:?}");
    }
    let longest = fleet("warm_up = \"1day\"\nduration = \"3days\"");
    assert!(Tick::at(longest.total()) < Tick::NEVER);
}
