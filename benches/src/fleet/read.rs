//! From the tables of a scenario to its values.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::activity::{Activity, Habit};
use super::details::Details;
use super::fields::{Fields, Notes};
use super::scenario::{Clock, Fleet, MAX_CLIENTS, Notification, Outage, Pace, Plain, Storm, TlsFiles};
use super::sense::{self, Event, Places, Rest};
use super::sources::Group;
use crate::content::Package;
use crate::load::Spacing;
use crate::load::bounds::{CONNECTIONS, LONGEST_RUN, LONGEST_WAIT, RATES};
use crate::threshold::{Names, Threshold};

const MINUTE: Duration = Duration::from_secs(60);
/// What the lab distributes.
const LAB_CONTENT: [(&str, &[(&str, u64)]); 3] = [
    ("LAB00001", &[("setup.exe", 12 * 1024 * 1024), ("read me.txt", 3000)]),
    ("LAB00002", &[("driver.cab", 2 * 1024 * 1024), ("driver.inf", 17_000)]),
    ("Content_4f1c7f2e-9f6d-4f0e-8f57-0d5a5a3c7b11.1", &[("app.msi", 5 * 1024 * 1024)]),
];
/// What the examples of `site` distribute.
const SITE_CONTENT: &str = "PKG00001:4x256KiB";

const fn any() -> RangeInclusive<Duration> {
    Duration::ZERO..=LONGEST_WAIT
}

const fn some() -> RangeInclusive<Duration> {
    Duration::from_millis(1)..=LONGEST_WAIT
}

/// How long is measured, and how long there is load before: together no longer than a run may take.
fn run_times(fields: &mut Fields<'_>, default: Duration, notes: &mut Notes<'_>) -> (Duration, Duration) {
    let place = fields.place("warm_up");
    let duration = fields.time("duration", &(Duration::from_millis(100)..=LONGEST_RUN), notes).unwrap_or(default);
    let warm_up = fields.time("warm_up", &(Duration::ZERO..=LONGEST_RUN), notes).unwrap_or_default();
    if warm_up + duration > LONGEST_RUN {
        let most = humantime::format_duration(LONGEST_RUN);
        notes.at(&place, format!("warm_up and duration are longer than {most} together: shorten one of them"));
    }
    (duration, warm_up)
}

pub(super) fn fleet(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> Fleet {
    let groups = groups(fields, notes);
    let (keep, keep_clock) = keep(fields, notes);
    let mut activities = fields.table("activities", notes);
    let only_storms = !fields.take("schedules", notes).unwrap_or(true);
    let mut details = Details::default();
    let habits = Activity::ALL.map(|activity| habit(activity, only_storms, activities.as_mut(), &mut details, notes));
    if let Some(activities) = activities {
        activities.end(notes);
    }
    let storms = fields.tables("storms", notes);
    let storms: Vec<_> =
        (0..).zip(storms).map(|(number, storm)| event(storm, &format!("storms.{number}"), &groups, notes)).collect();
    let start = fields.table("start", notes).map(|start| event(start, "start", &groups, notes));
    let (duration, warm_up) = run_times(fields, MINUTE, notes);
    let fleet = Fleet {
        clients: fields.number("clients", &(1..=MAX_CLIENTS), notes).unwrap_or(1000),
        duration,
        warm_up,
        speedup: fields.number("speedup", &(0.001..=1e6), notes).unwrap_or(60.0),
        seed: fields.number("seed", &(0..=i64::MAX), notes).map_or(1, i64::unsigned_abs),
        host: fields.take("host", notes),
        keep,
        keep_clock,
        token: fields.share("token", notes).unwrap_or(0.0),
        timeout: fields.time("timeout", &some(), notes).unwrap_or(Duration::from_secs(30)),
        under_way: fields.number("under_way", &(1..=1_000_000), notes).unwrap_or(10_000),
        habits,
        storms: storms.iter().map(|(storm, _)| storm.clone()).collect(),
        start: start.as_ref().map(|(start, _)| start.clone()),
        outage: fields.table("outage", notes).map(|outage| self::outage(outage, notes)),
        content: content(fields, notes),
        details,
        notification: notification(fields.table("notification", notes), notes),
        tls: tls(fields.table("tls", notes), notes),
        groups,
        part: None,
    };
    let end = notes.mistakes.is_empty().then(|| fleet.total().mul_f64(fleet.speedup));
    let rest = Rest { groups: &fleet.groups, habits: &fleet.habits, end };
    for (storm, places) in storms.iter().chain(&start) {
        let (groups, activities) = (&storm.groups, &storm.activities);
        let event = Event { at: storm.at, apart: storm.apart, share: storm.share, groups, activities };
        sense::event(&event, &rest, places, notes);
    }
    idle(&fleet, notes);
    fleet
}

/// Notes that nobody ever does anything.
fn idle(fleet: &Fleet, notes: &mut Notes<'_>) {
    let notifies = fleet.notification.share > 0.0;
    if fleet.notification.needed && !notifies {
        notes.whole("notification.needed is true and notification.share is 0: nobody would hold a connection");
    }
    if !notifies && !fleet.does_anything() {
        notes.whole(
            "nobody ever does anything: give an activity a period and a share, a storm activities, or notification a share",
        );
    }
}

fn habit(
    activity: Activity,
    only_storms: bool,
    activities: Option<&mut Fields<'_>>,
    details: &mut Details,
    notes: &mut Notes<'_>,
) -> Habit {
    let mut habit = activity.default_habit();
    if only_storms {
        habit.period = None;
    }
    let Some(mut fields) = activities.and_then(|fields| fields.table(activity.name(), notes)) else { return habit };
    let period = fields.read("period", notes, |text| match text {
        "never" => Ok(None),
        text => humantime::parse_duration(text)
            .ok()
            .filter(|period| some().contains(period))
            .map(Some)
            .ok_or_else(|| format!("'{text}' is not a time such as 15min, 25h or 7d, nor 'never'")),
    });
    habit.period = period.unwrap_or(habit.period);
    habit.share = fields.share("share", notes).unwrap_or(habit.share);
    let place = fields.place("delay");
    habit.delay = fields.time("delay", &any(), notes).unwrap_or(habit.delay);
    habit.chance = fields.share("chance", notes).unwrap_or(habit.chance);
    habit.retry = retries(&mut fields, notes).unwrap_or(habit.retry);
    details.read(activity, &mut fields, notes);
    if let Some(period) = habit.period.filter(|period| *period < habit.delay) {
        let [delay, period] = [habit.delay, period].map(humantime::format_duration);
        notes.at(&place, format!("a delay of {delay} is longer than the period of {period}: give a shorter delay"));
    }
    fields.end(notes);
    habit
}

/// When what failed is tried again: the times after the first failure, the second, and so on.
fn retries(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> Option<Vec<Duration>> {
    fields.read("retry", notes, |text| {
        let form = "write it as 10min, or as 1min 5min 30min, of which the last one is repeated";
        let time = |text: &str| {
            let time = humantime::parse_duration(text).ok().filter(|time| some().contains(time));
            time.ok_or_else(|| format!("'{text}' is no time; {form}"))
        };
        let times = text.split_whitespace().map(time).collect::<Result<Vec<_>, _>>()?;
        if times.is_empty() { Err(format!("there is no time; {form}")) } else { Ok(times) }
    })
}

fn groups(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for mut fields in fields.tables("groups", notes) {
        let place = fields.place("name");
        let name: String = fields.take("name", notes).unwrap_or_default();
        if groups.iter().any(|group| group.name == name) {
            notes.at(&place, format!("there is a group '{name}' already: names are used once"));
        }
        let source = networks(&mut fields, notes);
        let share = fields.number("share", &(0.0..=1e9), notes).unwrap_or(1.0);
        groups.push(Group { name, source, share });
        fields.end(notes);
    }
    if groups.is_empty() {
        groups.push(Group { name: String::new(), source: Vec::new(), share: 1.0 });
    } else if groups.iter().all(|group| group.share <= 0.0) {
        notes.whole("no group has a share of the clients: give one of them share = 1");
    }
    groups
}

fn networks(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> Vec<IpNet> {
    let place = fields.place("source");
    let texts: Vec<String> = fields.take("source", notes).unwrap_or_default();
    let mut networks = Vec::new();
    for text in texts {
        match text.parse::<IpNet>() {
            Ok(network) => networks.push(network),
            Err(_) => notes.at(&place, format!("'{text}' is not a network such as 127.1.0.0/16")),
        }
    }
    networks
}

/// How long connections are kept, and whose time that is.
fn keep(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> (Option<Duration>, Clock) {
    let per_activity = fields.read("connection", notes, |text| match text {
        "keep" => Ok(false),
        "per-activity" => Ok(true),
        other => Err(format!("'{other}' is neither 'keep' nor 'per-activity'")),
    });
    let place = fields.place("keep");
    let keep = fields.time("keep", &some(), notes);
    let clock = fields.read("keep_clock", notes, |text| match text {
        "clients" => Ok(Clock::Clients),
        "ours" => Ok(Clock::Ours),
        other => Err(format!("'{other}' is neither 'clients' nor 'ours'")),
    });
    let per_activity = per_activity.unwrap_or(false);
    if per_activity && (keep.is_some() || clock.is_some()) {
        notes.at(&place, "connection = \"per-activity\" keeps no connection: leave out keep and keep_clock, or it");
    }
    ((!per_activity).then_some(keep.unwrap_or(MINUTE)), clock.unwrap_or(Clock::Clients))
}

/// What many do at once, and where it says so.
fn event(mut fields: Fields<'_>, called: &str, groups: &[Group], notes: &mut Notes<'_>) -> (Storm, Places) {
    let places = Places {
        called: called.to_owned(),
        at: fields.place("at"),
        groups: fields.place("groups"),
        activities: fields.place("activities"),
    };
    let (is_start, whole) = (called == "start", fields.span.clone());
    let of: Vec<String> = fields.take("groups", notes).unwrap_or_default();
    for unknown in of.iter().filter(|name| groups.iter().all(|group| group.name != **name)) {
        notes.at(&places.groups, format!("there is no group '{unknown}': name it as one of [[groups]]"));
    }
    let names: Vec<String> = fields.take("activities", notes).unwrap_or_default();
    let (mut activities, does_nothing) = (Vec::new(), names.is_empty() && !is_start);
    for name in names {
        match Activity::find(&name) {
            Some(activity) => activities.push(activity),
            None => {
                let all = Activity::ALL.map(Activity::name).join(", ");
                notes.at(&places.activities, format!("there is no activity '{name}'; there are {all}"));
            }
        }
    }
    let storm = Storm {
        name: if is_start { None } else { fields.take("name", notes) }.unwrap_or_default(),
        at: fields.time("at", &any(), notes).unwrap_or_default(),
        within: fields.time("within", &any(), notes).unwrap_or(MINUTE),
        share: fields.share("share", notes).unwrap_or(1.0),
        groups: of,
        activities,
        apart: fields.time("apart", &any(), notes).unwrap_or(Duration::from_secs(2)),
        off: if is_start { fields.time("off", &any(), notes) } else { None }.unwrap_or_default(),
    };
    if does_nothing && storm.share > 0.0 {
        notes.at(&whole, format!("{called} does nothing: give it activities"));
    }
    fields.end(notes);
    (storm, places)
}

fn outage(mut fields: Fields<'_>, notes: &mut Notes<'_>) -> Outage {
    let outage = Outage {
        at: fields.time("at", &any(), notes).unwrap_or_default(),
        length: fields.time("length", &some(), notes).unwrap_or(10 * MINUTE),
        back: fields.time("back", &any(), notes).unwrap_or(MINUTE),
    };
    fields.end(notes);
    outage
}

/// The packages that the lab and the examples of `site` have.
fn default_content() -> Vec<Arc<Package>> {
    let lab = LAB_CONTENT.iter().map(|(id, files)| Package::new(id, files.iter().copied()));
    Package::parse(SITE_CONTENT).into_iter().chain(lab).map(Arc::new).collect()
}

fn content(fields: &mut Fields<'_>, notes: &mut Notes<'_>) -> Vec<Arc<Package>> {
    let mut packages: Vec<Arc<Package>> = Vec::new();
    for mut fields in fields.tables("content", notes) {
        let span = fields.span.clone();
        let parsed = fields.read("package", notes, Package::parse_all);
        let id: Option<String> = fields.take("id", notes);
        let mut files = Vec::new();
        for mut file in fields.tables("files", notes) {
            let name: Option<String> = file.take("name", notes);
            let size = file.size("size", &(0..=1 << 40), notes);
            files.extend(name.zip(size));
            file.end(notes);
        }
        match (parsed, id) {
            (Some(parsed), None) => packages.extend(parsed.into_iter().map(Arc::new)),
            (None, Some(id)) if !files.is_empty() => {
                let files = files.iter().map(|(name, size)| (name.as_str(), *size));
                packages.push(Arc::new(Package::new(&id, files)));
            }
            _ => notes.at(
                &span,
                "content is either package = \"PKG00001:5x10MiB\" or \"APP*20:1MiB..64MiB\", or an id and files",
            ),
        }
        fields.end(notes);
    }
    if packages.is_empty() { default_content() } else { packages }
}

fn notification(fields: Option<Fields<'_>>, notes: &mut Notes<'_>) -> Notification {
    // Pings come within five minutes; how exactly, Microsoft does not say.
    let mut notification = Notification {
        share: 1.0,
        address: None,
        needed: false,
        tls: true,
        ping: 5 * MINUTE,
        within: 2 * MINUTE,
        push_within: Duration::from_secs(80),
    };
    let Some(mut fields) = fields else { return notification };
    notification.needed = fields.take("needed", notes).unwrap_or(false);
    notification.tls = fields.take("tls", notes).unwrap_or(true);
    notification.share = fields.share("share", notes).unwrap_or(notification.share);
    notification.address = fields.take("address", notes);
    notification.ping = fields.time("ping", &some(), notes).unwrap_or(notification.ping);
    notification.within = fields.time("within", &any(), notes).unwrap_or(notification.within);
    notification.push_within = fields.time("push_within", &any(), notes).unwrap_or(notification.push_within);
    fields.end(notes);
    notification
}

fn tls(fields: Option<Fields<'_>>, notes: &mut Notes<'_>) -> TlsFiles {
    let Some(mut fields) = fields else { return TlsFiles::default() };
    let span = fields.span.clone();
    let mut file = |key, notes: &mut Notes<'_>| fields.take::<PathBuf>(key, notes);
    let (ca, certificate, key) = (file("ca", notes), file("certificate", notes), file("key", notes));
    let tls = TlsFiles { ca, certificate, key, resume: fields.take("resume", notes).unwrap_or(false) };
    if tls.certificate.is_some() != tls.key.is_some() {
        notes.at(&span, "a certificate and its key belong together: give both or none");
    }
    fields.end(notes);
    tls
}

pub(super) fn plain(mut fields: Fields<'_>, notes: &mut Notes<'_>) -> Plain {
    let span = fields.span.clone();
    let rate = fields.number("rate", &RATES, notes);
    let ramp = fields.read("ramp", notes, parse_ramp);
    let pace = match (rate, ramp) {
        (Some(_), Some(_)) => {
            notes.at(&span, "rate and ramp exclude each other: leave one out");
            Pace::Closed
        }
        (Some(rate), None) => Pace::Rate(rate),
        (None, Some((from, to))) => Pace::Ramp(from, to),
        (None, None) => Pace::Closed,
    };
    let spacing = spacing(&mut fields, pace, notes);
    let (duration, warm_up) = run_times(&mut fields, Duration::from_secs(10), notes);
    let place = fields.place("headers");
    let headers: Vec<String> = fields.take("headers", notes).unwrap_or_default();
    for field in headers.iter().filter(|field| !field.contains(':')) {
        notes.at(
            &place,
            format!("{}: '{field}' has no ':'; write it as \"User-Agent: SMS CCM 5.0\"", fields.called("headers")),
        );
    }
    let plain = Plain {
        pace,
        connections: fields.number("connections", &CONNECTIONS, notes).unwrap_or(64),
        duration,
        warm_up,
        new_connections: fields.take("new_connections", notes).unwrap_or(false),
        urls: fields.take("urls", notes).unwrap_or_default(),
        method: fields.take("method", notes).unwrap_or_else(|| "GET".to_owned()),
        headers,
        body: fields.take("body", notes).unwrap_or_default(),
        source: fields.read("source", notes, |text| text.parse().map_err(|_| format!("'{text}' is no network"))),
        timeout: fields.time("timeout", &some(), notes).unwrap_or(Duration::from_secs(30)),
        resume: fields.take("resume", notes).unwrap_or(true),
        spacing,
        part: None,
    };
    fields.end(notes);
    plain
}

/// What has to hold of a run, of what there is in it.
pub(super) fn thresholds(fields: &mut Fields<'_>, names: &Names, notes: &mut Notes<'_>) -> Vec<Threshold> {
    let texts: Vec<Spanned<String>> = fields.take("thresholds", notes).unwrap_or_default();
    let mut thresholds = Vec::new();
    for text in texts {
        let read = text.get_ref().parse::<Threshold>();
        match read.and_then(|threshold| threshold.unknown(names).map_or(Ok(threshold), Err)) {
            Ok(threshold) => thresholds.push(threshold),
            Err(what) => notes.at(&text.span(), format!("thresholds: {what}")),
        }
    }
    thresholds
}

/// How requests are spaced. A closed loop has none that are due.
fn spacing(fields: &mut Fields<'_>, pace: Pace, notes: &mut Notes<'_>) -> Spacing {
    let seed = fields.number("seed", &(0..=i64::MAX), notes).map_or(1, i64::unsigned_abs);
    let place = fields.place("arrivals");
    let spacing = fields.read("arrivals", notes, |text| match text {
        "even" => Ok(Spacing::Even),
        "poisson" => Ok(Spacing::Poisson { seed }),
        _ => Err(format!("'{text}' is neither \"even\" nor \"poisson\"")),
    });
    if pace == Pace::Closed && matches!(spacing, Some(Spacing::Poisson { .. })) {
        let called = fields.called("arrivals");
        notes.at(&place, format!("{called}: \"poisson\" needs a rate or a ramp: in a closed loop nothing is due"));
    }
    spacing.unwrap_or_default()
}

/// Reads `100..5000`, in requests a second.
///
/// # Errors
/// Says what is wrong with the text, in one sentence.
pub fn parse_ramp(text: &str) -> Result<(f64, f64), String> {
    let form = "expected FROM..TO in requests a second, for example 100..5000";
    let (from, to) = text.split_once("..").ok_or_else(|| format!("'{text}' has no '..'; {form}"))?;
    let number = |text: &str| {
        let number = text.trim().parse::<f64>().ok().filter(|number| RATES.contains(number));
        number.ok_or_else(|| format!("'{text}' is not a rate of 0.01 to 10000000; {form}"))
    };
    Ok((number(from)?, number(to)?))
}
