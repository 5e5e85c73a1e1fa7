use std::collections::HashSet;
use std::sync::Arc;

use super::*;

/// Everything that is due in a run, in its order.
fn all(fleet: &Fleet) -> Vec<Occasion> {
    let mut crowd = Crowd::new(&Arc::new(Schedule::new(fleet)), fleet.clients, 0, 1);
    let mut due = Vec::new();
    while let Some(next) = crowd.next_due() {
        due.extend(crowd.pop(next));
    }
    due
}

fn seconds(occasion: &Occasion) -> f64 {
    occasion.due.time().as_secs_f64()
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    // What has no schedule of its own gets one.
    let seldom = ["content", "registration", "full-policy", "full-scan", "client-logs", "fallback-status"];
    let often: String =
        seldom.iter().map(|name| format!("[activities.{name}]\nperiod = \"7d\"\nchance = 1\n")).collect();
    let text = |seed| format!("clients = 200\nspeedup = 3600\nseed = {seed}\n{often}");
    let [one, same, other] = [1, 1, 2].map(|seed| all(&fleet(&text(seed))));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let activities: HashSet<_> = one.iter().map(|occasion| occasion.activity).collect();
    assert_eq!(activities.len(), Activity::ALL.len(), "60 hours have everything");
    assert!(one.is_sorted_by_key(|occasion| occasion.due));
}

#[test]
fn threads_share_the_clients_and_change_nothing() {
    let fleet = fleet("clients = 101\nspeedup = 600");
    let schedule = Arc::new(Schedule::new(&fleet));
    let mut shared: Vec<Occasion> = Vec::new();
    for first in 0..3 {
        let mut crowd = Crowd::new(&schedule, fleet.clients, first, 3);
        shared.extend(std::iter::from_fn(|| crowd.pop(Tick(u32::MAX - 1))));
    }
    let key = |occasion: &Occasion| (occasion.due, occasion.client, occasion.activity);
    let mut alone = all(&fleet);
    shared.sort_by_key(key);
    alone.sort_by_key(key);
    assert_eq!(shared, alone);
}

#[test]
fn a_poll_is_once_in_its_period_at_a_phase_of_its_own() {
    // Ten hours in a minute.
    let due = all(&fleet("clients = 1000\nspeedup = 600"));
    let polls: Vec<_> = due.iter().filter(|occasion| occasion.activity == Activity::Policy).collect();
    assert_eq!(polls.len(), 10_000);
    let mine: Vec<_> = polls.iter().filter(|poll| poll.client == 7).map(|poll| poll.due.0).collect();
    assert!(mine.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(60_000) <= 1), "6 s apart: {mine:?}");
    let early = polls.iter().filter(|poll| poll.due.0 < 30_000).count();
    assert!((400..600).contains(&early), "{early} of a thousand in the first half of the first hour");
    let messages = due.iter().filter(|occasion| occasion.activity == Activity::StateMessage).count();
    assert!((9_000..11_000).contains(&messages), "{messages}: a quarter of 40 for each");
}

#[test]
fn a_random_delay_puts_off_and_a_share_leaves_out() {
    let text = "clients = 1000\nspeedup = 3600\nduration = \"48s\"\nschedules = false\n\
                [activities.scan]\nperiod = \"24h\"\ndelay = \"24h\"\nshare = 0.5\n";
    let scans = all(&fleet(text));
    let clients: HashSet<_> = scans.iter().map(|scan| scan.client).collect();
    assert!((400..600).contains(&clients.len()), "{}", clients.len());
    // Two days of a scan a day.
    assert!((900..1100).contains(&scans.len()), "{}", scans.len());
}

#[test]
fn a_storm_is_within_its_time_in_its_order_and_its_groups() {
    let text = "clients = 1000\nspeedup = 2\nduration = \"100s\"\nschedules = false\n\
                [[groups]]\nname = \"HQ\"\nshare = 3\n[[groups]]\nname = \"Branch\"\n\
                [[storms]]\nat = \"10s\"\nwithin = \"80s\"\nshare = 0.5\ngroups = [\"HQ\"]\n\
                activities = [\"policy\", \"scan\"]\napart = \"4s\"\n";
    let due = all(&fleet(text));
    let polls: Vec<_> = due.iter().filter(|occasion| occasion.activity == Activity::Policy).collect();
    assert!((320..430).contains(&polls.len()) && due.len() == 2 * polls.len(), "{} of {}", polls.len(), due.len());
    assert!(due.iter().all(|occasion| occasion.client < 750), "only HQ");
    assert!(polls.iter().all(|poll| (5.0..=45.0).contains(&seconds(poll))));
    for poll in polls {
        let scan = due.iter().find(|its| its.client == poll.client && its.activity == Activity::Scan).unwrap();
        assert!((seconds(scan) - seconds(poll) - 2.0).abs() < 0.001);
    }
}

#[test]
fn in_a_storm_too_only_those_do_it_that_do_it_at_all() {
    let text = "clients = 1000\nduration = \"10s\"\nspeedup = 1\nschedules = false\n\
                [activities.scan]\nshare = 0.5\n\
                [[storms]]\nwithin = \"5s\"\nactivities = [\"policy\", \"scan\", \"heartbeat\"]\n";
    let mut fleet = fleet(text);
    fleet.leave_out(Activity::Policy);
    let due = all(&fleet);
    let of = |activity| due.iter().filter(|occasion| occasion.activity == activity).count();
    assert_eq!((of(Activity::Policy), of(Activity::Heartbeat)), (0, 1000));
    assert!((400..600).contains(&of(Activity::Scan)), "{}", of(Activity::Scan));
}

#[test]
fn before_its_start_a_client_does_nothing() {
    let text = "clients = 300\nspeedup = 60\n\
                [start]\nwithin = \"30min\"\nactivities = [\"service-location\", \"policy\"]\napart = \"10s\"\n";
    let due = all(&fleet(text));
    for client in 0..300 {
        let first = due.iter().find(|occasion| occasion.client == client).unwrap();
        assert_eq!(first.activity, Activity::ServiceLocation);
        assert!(seconds(first) <= 30.0);
    }
}

#[test]
fn in_an_outage_messages_are_held_and_come_all_at_once() {
    let text = "clients = 1000\nspeedup = 60\nduration = \"90s\"\n\
                [outage]\nat = \"20min\"\nlength = \"30min\"\nback = \"2min\"\n";
    let due = all(&fleet(text));
    let between = |from: f64, to: f64| due.iter().filter(|its| (from..to).contains(&seconds(its))).count();
    assert_eq!(between(20.0, 50.0), 0);
    let (before, burst) = (between(18.0, 20.0), between(50.0, 52.01));
    assert!(burst > 8 * before, "{before} before, {burst} after");
    let mut polls = HashSet::new();
    let burst = due.iter().filter(|its| its.activity == Activity::Policy && (50.0..52.01).contains(&seconds(its)));
    assert!(burst.into_iter().all(|its| polls.insert(its.client)), "held once, not twice");
}

#[test]
fn what_failed_is_tried_again_and_then_goes_on_as_before() {
    let fleet = fleet(
        "clients = 1\nspeedup = 600\nschedules = false\n\
                       [activities.policy]\nperiod = \"1h\"\nretry = \"10min\"\n",
    );
    let mut crowd = Crowd::new(&Arc::new(Schedule::new(&fleet)), 1, 0, 1);
    let first = crowd.next_due().unwrap();
    let regular = Crowd::new(&Arc::new(Schedule::new(&fleet)), 1, 0, 1);
    assert!(crowd.pop(first).is_some() && crowd.pop(first).is_none());
    let second = crowd.next_due().unwrap();
    crowd.failed(0, Activity::Policy, first);
    let retry = crowd.next_due().unwrap();
    // Ten minutes are a second, a quarter more or less.
    assert!((7_500..=12_500).contains(&(retry.0 - first.0)), "{retry:?} after {first:?}");
    assert!(crowd.pop(retry).is_some());
    assert_eq!(crowd.next_due(), Some(second));
    let mut times = 0;
    while let Some(next) = crowd.next_due() {
        times += u32::from(crowd.pop(next).is_some());
        crowd.failed(0, Activity::Policy, Tick(u32::MAX - 1));
    }
    assert_eq!(times, 9, "ten in a minute, and one has been");
    assert_eq!(regular.len(), 1);
}

#[test]
fn an_idle_client_takes_next_to_nothing() {
    assert_eq!(Crowd::bytes_per_client(), 4 * Activity::ALL.len() + 8);
}

#[test]
fn time_goes_on_however_fast() {
    let text = "clients = 1\nspeedup = 1000000\nduration = \"100ms\"\nschedules = false\n\
                [activities.policy]\nperiod = \"1s\"\n";
    let due = all(&fleet(text));
    assert!((998..=1000).contains(&due.len()), "{}: once in each tick of a hundred seconds", due.len());
}

#[test]
fn a_tiny_chance_takes_no_time() {
    // Very many rounds for each client, and next to nothing happens.
    let text = "clients = 1000\nspeedup = 1000000\nduration = \"4days\"\nschedules = false\n\
                [activities.policy]\nperiod = \"1ms\"\nchance = 0.000000000001\n\
                [activities.scan]\nperiod = \"1ms\"\ndelay = \"0s\"\nchance = 1e-300\n";
    let before = std::time::Instant::now();
    let schedule = Schedule::new(&fleet(text));
    // 345.6 times in all that time, and so once in 1000 s or so.
    let first = (0..1000).map(|client| schedule.first(client)[Activity::Policy.index()].time().as_secs_f64());
    let mean = first.sum::<f64>() / 1000.0;
    assert!((900.0..1100.0).contains(&mean), "{mean}");
    assert!((0..10).all(|client| schedule.first(client)[Activity::Scan.index()] == Tick::NEVER));
    assert!(before.elapsed().as_secs() < 30);
}

#[test]
fn a_chance_is_the_same_wherever_one_begins_to_look() {
    let text = "clients = 50\nspeedup = 600\nschedules = false\n\
                [activities.policy]\nperiod = \"5min\"\ndelay = \"2min\"\nchance = 0.3\n";
    let schedule = Schedule::new(&fleet(text));
    let mut times = 0;
    for client in 0..50 {
        let (mut before, mut next) = (Tick(0), schedule.first(client)[Activity::Policy.index()]);
        while next < Tick::NEVER {
            // From any time since the one before, it is what comes next.
            let earlier = Tick(next.0.saturating_sub(37)).max(before);
            assert_eq!(schedule.next(client, Activity::Policy, earlier), next);
            (before, next, times) = (next, schedule.next(client, Activity::Policy, next), times + 1);
        }
    }
    // 120 rounds each.
    assert!((1500..2100).contains(&times), "{times}");
}

#[test]
fn who_was_off_makes_up_for_what_came_due() {
    let text = |off: &str| {
        format!(
            "clients = 5000\nspeedup = 60\nduration = \"20s\"\n[start]\nwithin = \"10min\"\napart = \"1s\"\n{off}\
             activities = [\"policy\"]\n"
        )
    };
    let due = all(&fleet(&text("off = \"14h\"\n")));
    let of = |activity: Activity| due.iter().filter(|its| its.activity == activity).collect::<Vec<_>>();
    // 14 of 168 hours; some of what was due before the night was put off into it.
    let scans = of(Activity::Scan).len();
    assert!((340..500).contains(&scans), "{scans} of 417 expected");
    let located = of(Activity::ServiceLocation).len();
    assert!((2650..2950).contains(&located), "{located}: 14 of 25 hours");
    let start = |client| of(Activity::Policy).iter().find(|its| its.client == client).map(|its| seconds(its)).unwrap();
    let soon = of(Activity::HardwareInventory);
    let at_once = soon.iter().filter(|its| seconds(its) - start(its.client) < 19.0 / 60.0 + 0.001).count();
    assert!(at_once * 10 > soon.len() * 9, "{at_once} of {}: all of these come with the start", soon.len());
    let each: HashSet<_> = soon.iter().map(|its| its.client).collect();
    assert!(each.len() + 5 > soon.len(), "once, and hardly ever again in these minutes");
    let without = all(&fleet(&text("")));
    let scans = without.iter().filter(|its| its.activity == Activity::Scan).count();
    assert!(scans < 30, "{scans}");
}

#[test]
fn a_storm_finds_nobody_before_the_start() {
    let text = "clients = 100\nspeedup = 60\nschedules = false\n[start]\nwithin = \"10min\"\n\
                [[storms]]\nwithin = \"0s\"\nactivities = [\"scan\"]\n";
    let due = all(&fleet(text));
    let late = due.iter().filter(|its| seconds(its) > 1.0).count();
    assert_eq!(due.len(), 100);
    assert!((70..100).contains(&late), "{late}: each when it is switched on");
}

#[test]
fn what_fails_again_and_again_is_tried_more_and_more_seldom() {
    // Nothing in between: the period is longer than the run.
    let text = "clients = 1\nspeedup = 600\nduration = \"200s\"\nschedules = false\n\
                [[storms]]\nwithin = \"0s\"\nactivities = [\"state-message\"]\n";
    let mut crowd = Crowd::new(&Arc::new(Schedule::new(&fleet(text))), 1, 0, 1);
    let mut now = crowd.next_due().unwrap();
    let mut tried_again = |crowd: &mut Crowd, minutes: u32| {
        crowd.pop(now).unwrap();
        crowd.failed(0, Activity::StateMessage, now);
        let next = crowd.next_due().unwrap();
        // A minute is a tenth of a second; a quarter sooner or later.
        let (least, most) = (minutes * 750, minutes * 1250);
        assert!((least..=most).contains(&(next.0 - now.0)), "{next:?} after {now:?}, {minutes} min");
        now = next;
    };
    [1, 5, 30, 60, 60].into_iter().for_each(|minutes| tried_again(&mut crowd, minutes));
    crowd.succeeded(0, Activity::StateMessage);
    tried_again(&mut crowd, 1);
}
