//! Scenarios that contradict themselves, and values that are set.

use super::*;

fn told(text: &str) -> Vec<String> {
    Scenario::parse(text).map(|_| Vec::new()).unwrap_or_else(|told| told.iter().map(ToString::to_string).collect())
}

#[test]
fn what_contradicts_itself_is_told_with_its_place_and_all_at_once() {
    let text = "clients = 10\n\
                duration = \"60s\"\n\
                speedup = 60\n\
                connection = \"per-activity\"\n\
                keep = \"10s\"\n\
                [[groups]]\n\
                name = \"HQ\"\n\
                [[groups]]\n\
                name = \"Empty\"\n\
                share = 0\n\
                [activities.scan]\n\
                share = 0\n\
                [activities.content]\n\
                ranges = 2\n\
                concurrency = 4\n\
                [[storms]]\n\
                at = \"0s\"\n\
                [[storms]]\n\
                activities = [\"policy\", \"scan\", \"policy\"]\n\
                groups = [\"Empty\"]\n\
                [notification]\n\
                needed = true\n\
                share = 0\n";
    let told = told(text);
    for (line, what) in [
        (5, "keeps no connection: leave out keep"),
        (15, "4 ranges at a time are more than the 2"),
        (16, "storms.0 does nothing: give it activities"),
        (19, "'policy' is named twice"),
        (19, "nobody does 'scan': activities.scan.share is 0"),
        (20, "nobody is in the group 'Empty'"),
    ] {
        let place = format!("line {line}, ");
        assert!(told.iter().any(|told| told.starts_with(&place) && told.contains(what)), "{what}: {told:#?}");
    }
    assert!(told.iter().any(|told| told.contains("notification.needed is true")), "{told:#?}");
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn what_begins_when_the_run_is_over_is_told() {
    let run = "duration = \"60s\"\nspeedup = 60\n";
    for (events, what) in [
        ("[[storms]]\nat = \"1h\"\nactivities = [\"policy\"]\n", "storms.0 begins at 1h, and the run is over after 1h"),
        ("[start]\nat = \"2h\"\n", "start begins at 2h"),
        (
            "[[storms]]\nat = \"30min\"\napart = \"20min\"\nactivities = [\"policy\", \"scan\", \"heartbeat\"]\n",
            "'heartbeat' is due at 1h 10m at the soonest",
        ),
    ] {
        let told = told(&format!("{run}{events}"));
        assert!(told.len() == 1 && told[0].contains(what), "{what}: {told:#?}");
    }
    // One in which nobody takes part is off, whatever it says.
    assert_eq!(told(&format!("{run}[[storms]]\nat = \"9h\"\nshare = 0\n")), [""; 0]);
    // Of a run whose length is wrong nothing more is said.
    let told = told("duration = \"soon\"\nspeedup = 0.5\n[[storms]]\nat = \"1h\"\nactivities = [\"policy\"]\n");
    assert!(told.len() == 1 && told[0].contains("'soon'"), "{told:#?}");
}

#[test]
fn a_scenario_in_which_nobody_does_anything_is_told() {
    let told = told("schedules = false\n[notification]\nshare = 0\n");
    assert!(told.len() == 1 && told[0].contains("nobody ever does anything"), "{told:#?}");
}

fn with(text: &str, values: &[&str]) -> Result<Fleet, String> {
    let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    let scenario = Scenario::parse_with(text, &values).map_err(|told| told[0].to_string())?;
    match scenario.kind {
        Kind::Fleet(fleet) => Ok(*fleet),
        Kind::Plain(plain) => panic!("{plain:?}"),
    }
}

const STORMS: &str = "[[groups]]\nname = \"HQ\"\n[[groups]]\nname = \"Branch\"\n\
                      [[storms]]\nname = \"first\"\nactivities = [\"policy\", \"content\"]\n\
                      [[storms]]\nactivities = [\"content\"]\n[start]\nactivities = [\"content\", \"policy\"]\n";

#[test]
fn values_reach_elements_of_lists_by_number_and_by_name() {
    let set = ["storms.0.share=0.5", "storms.first.within=5s", "storms.0.activities.1=scan", "groups.Branch.share=3"];
    let fleet = with(STORMS, &set).unwrap();
    let first = &fleet.storms[0];
    assert_eq!((first.share, first.within.as_secs()), (0.5, 5));
    assert_eq!(first.activities, [Activity::Policy, Activity::Scan]);
    assert_eq!(fleet.groups[1].share, 3.0);
    for (value, what) in [
        ("storms.2.share=1", "'storms.2.share': there is no element 2 in this list: there are 0 to 1, by name first"),
        ("groups.Moon.share=1", "there is no element Moon in this list: there are 0 to 1, by name HQ, Branch"),
        ("storms.0.activities.5=scan", "there is no element 5 in this list: there are 0 to 1"),
        ("storms.0.share.x=1", "with the values that were set: storms.share: "),
        ("storms.first.name.x=1", "there is nothing below a string, and so no x"),
        ("content.0.id=A", "with the values that were set: write [[content]] for each"),
    ] {
        let error = with(STORMS, &[value]).unwrap_err();
        assert!(error.contains(what), "{value}: {error}");
    }
}

#[test]
fn what_is_left_out_is_left_out_of_storms_too() {
    let fleet = with(STORMS, &["activities.content.share=0"]).unwrap();
    assert_eq!(fleet.storms.len(), 1, "the other has nothing else to do");
    assert_eq!(fleet.storms[0].activities, [Activity::Policy]);
    assert_eq!(fleet.start.unwrap().activities, [Activity::Policy]);
    for name in ["patch-day", "content", "rollout"] {
        let left_out = find(name).map(|text| with(&text, &["activities.content.share=0"])).unwrap();
        assert!(left_out.is_ok(), "{name}: {left_out:?}");
    }
}
