//! Whole runs, short ones, against simulated site systems.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::client::Subject;
use crate::content::{Content, Package};
use crate::load::Watch;
use crate::pki::Authority;
use crate::record::{Interval, Run};
use crate::site::{ClientCertificate, Role, ScanRounds, SiteSystem, Spec, Tls};
use crate::spread::Sizes;

/// Any machine does what a test waits for in this time.
const LONGEST: Duration = Duration::from_secs(60);
const PACKAGE: &str = "PKG00001:2x10KiB";

/// A site that holds every role that a fleet needs, on one address, and client notification on another.
async fn site() -> SiteSystem {
    let content = Arc::new(Content::new([Package::parse(PACKAGE).unwrap()]));
    let roles =
        [Role::DistributionPoint, Role::SoftwareUpdatePoint, Role::FallbackStatusPoint, Role::ClientNotification];
    let rounds = ScanRounds { first: 2, again: 1 };
    let spec = Spec::management_point("all").content(&content).recording(false).scans(rounds, Sizes::fixed(4096));
    SiteSystem::start(roles.into_iter().fold(spec, Spec::role)).await.unwrap()
}

fn target(site: &SiteSystem) -> Target {
    let address = site.address();
    Target { address, host: address.to_string(), tls: None, notification: site.notification_address() }
}

/// An hour of the clients is a tenth of a second, and everything is done every two days.
fn busy(clients: u32, duration: &str) -> String {
    let mut text = format!(
        "clients = {clients}\nduration = \"{duration}\"\nspeedup = 36000\n\
         [notification]\nping = \"1h\"\nwithin = \"1h\"\n\
         [[content]]\npackage = \"{PACKAGE}\"\n\
         [[groups]]\nname = \"HQ\"\nsource = [\"127.1.0.0/16\"]\n\
         [[groups]]\nname = \"Branch\"\nsource = [\"127.2.0.0/16\"]\n"
    );
    for activity in Activity::ALL {
        let more = match activity {
            Activity::Policy | Activity::UserPolicy => "changed = 0.5\n",
            Activity::ClientLogs => "size = \"20KiB\"\n",
            _ => "",
        };
        text +=
            &format!("[activities.{activity}]\nperiod = \"2d\"\ndelay = \"1h\"\nchance = 1\nretry = \"2d\"\n{more}");
    }
    text
}

fn start(text: &str, target: Target, watch: Watch) -> thread::JoinHandle<Run> {
    let (scenario, fleet) = (Scenario::parse(text).unwrap(), fleet(text));
    let running = Running { label: "site".to_owned(), address: "here".to_owned(), threads: 2 };
    thread::spawn(move || run(&scenario, &fleet, &target, &running, &watch).unwrap())
}

async fn finished(running: thread::JoinHandle<Run>) -> Run {
    tokio::task::spawn_blocking(move || running.join().unwrap()).await.unwrap()
}

/// Runs it until `enough` of the seconds that were told so far, however long that takes on this machine.
async fn until(text: &str, target: Target, enough: impl Fn(&[Interval]) -> bool + Send + 'static) -> Run {
    let (watch, seconds) = Watch::new();
    let stop = watch.clone();
    let running = start(text, target, watch);
    let waiting = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        let until = Instant::now() + 2 * LONGEST;
        while !enough(&told) {
            told.push(seconds.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap());
        }
    });
    waiting.await.unwrap();
    stop.stop();
    drop(stop);
    finished(running).await
}

fn of_role(told: &[Interval], role: &str) -> u64 {
    told.iter().filter_map(|interval| interval.roles.get(role)).map(|part| part.done).sum()
}

fn errors(run: &Run, kind: &str) -> u64 {
    run.series.iter().filter_map(|series| series.errors.get(kind)).sum()
}

fn done(run: &Run) -> u64 {
    run.series.iter().map(|series| series.done).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_live_through_everything_without_an_error() {
    let site = site().await;
    // Slow enough for any machine to keep up.
    let text = busy(20, "10min").replace("speedup = 36000", "speedup = 3600").replace("2d", "3h");
    let enough = |told: &[Interval]| {
        of_role(told, "MP") > 500
            && of_role(told, "SUP") > 120
            && of_role(told, "DP") > 120
            && of_role(told, "FSP") > 20
            && of_role(told, "BGB") > 40
    };
    let run = until(&text, target(&site), enough).await;
    let errors: Vec<_> = run.series.iter().filter(|series| !series.errors.is_empty()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let messages: BTreeSet<_> =
        run.series.iter().map(|series| (series.message.as_str(), series.role.as_str())).collect();
    let all: BTreeSet<_> = Subject::ALL.iter().map(|subject| (subject.name(), subject.role())).collect();
    assert_eq!(messages, all);
    let groups: BTreeSet<_> = run.series.iter().map(|series| series.group.as_str()).collect();
    assert_eq!(groups, BTreeSet::from(["Branch", "HQ"]));
    assert_eq!((run.clients, run.interrupted, run.generator.threads), (20, true, 2));
    let requests = run.series.iter().filter(|series| series.role != "BGB").map(|series| series.done).sum::<u64>();
    assert!(requests > 500 && site.counters().requests() >= requests, "{requests} of {}", site.counters().requests());
    assert!(run.generator.open_max >= 20, "everybody holds a connection: {}", run.generator.open_max);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_speak_tls_with_a_certificate_and_on_new_connections() {
    let authority = Authority::new("Lab Root CA");
    let clients = ClientCertificate::Required(authority.certificate_pem().to_owned());
    let secure = Spec::management_point("mp1").tls(Tls::new(authority.server(&["mp.lab.test"])).clients(clients));
    let site = SiteSystem::start(secure).await.unwrap();
    let text = "clients = 20\nduration = \"10min\"\nspeedup = 36000\nconnection = \"per-activity\"\n\
                schedules = false\n[activities.policy]\nperiod = \"1h\"\nchanged = 0\n";
    let trusting = crate::client::Tls::new().trusting(authority.certificate_pem());
    let over = |tls: &crate::client::Tls| Target {
        address: site.address(),
        host: "mp.lab.test".to_owned(),
        tls: Some(tls.connector().unwrap()),
        notification: None,
    };
    let shown = trusting.clone().identity(&authority.client("PC00001"));
    let enough = |told: &[Interval]| told.iter().map(|interval| interval.done).sum::<u64>() >= 20;
    let run = until(text, over(&shown), enough).await;
    assert!(run.series.len() == 1 && run.series[0].errors.is_empty() && done(&run) >= 20, "{run:?}");
    assert!(site.counters().connections() >= done(&run), "a connection for each");

    let strange = crate::client::Tls::new().trusting(Authority::new("Another CA").certificate_pem());
    let enough = |told: &[Interval]| told.iter().any(|interval| interval.errors > 0);
    let run = until(text, over(&strange), enough).await;
    assert_eq!(run.series[0].errors.keys().collect::<Vec<_>>(), ["tls unknown authority"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_seen_as_errors_by_kind() {
    let site = site().await;
    let (watch, seconds) = Watch::new();
    let stop = watch.clone();
    let running = start(&busy(60, "10min"), target(&site), watch);
    let connected = move || {
        let mut told = Vec::new();
        while of_role(&told, "BGB") < 100 || of_role(&told, "MP") < 100 {
            told.push(seconds.recv_timeout(LONGEST).unwrap());
        }
        seconds
    };
    let seconds = tokio::task::spawn_blocking(connected).await.unwrap();
    site.kill();
    let enough = move || {
        let mut errors = 0;
        while errors < 500 {
            errors += seconds.recv_timeout(LONGEST).unwrap().errors;
        }
    };
    tokio::task::spawn_blocking(enough).await.unwrap();
    stop.stop();
    drop(stop);
    let run = finished(running).await;
    let kinds: BTreeSet<_> = run.series.iter().flat_map(|series| series.errors.keys()).map(String::as_str).collect();
    assert!(kinds.contains("connect refused"), "{kinds:?}");
    assert!(kinds.is_subset(&BTreeSet::from(["connect refused", "connect", "reset", "closed", "short"])), "{kinds:?}");
    let pings = run.series.iter().filter(|series| series.message == "notification ping");
    assert!(
        pings
            .map(|series| ["reset", "closed"].iter().filter_map(|kind| series.errors.get(*kind)).sum::<u64>())
            .sum::<u64>()
            >= 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_interrupted_reports_what_there_was() {
    let site = site().await;
    let (watch, seconds) = Watch::new();
    let stop = watch.clone();
    let running = start(&busy(50, "10min"), target(&site), watch);
    tokio::task::spawn_blocking(move || seconds.recv_timeout(LONGEST).unwrap()).await.unwrap();
    stop.stop();
    drop(stop);
    let run = finished(running).await;
    assert!(run.interrupted && run.measured_s < run.planned_s && done(&run) > 0, "{run:?}");
    assert!(!run.timeline.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_place_waits_and_says_so() {
    let site = site().await;
    site.faults().set("latency", "20ms").unwrap();
    let text = format!("under_way = 2\nconnection = \"per-activity\"\n{}", busy(50, "600ms"));
    let run = finished(start(&text, target(&site), Watch::default())).await;
    let doubts = run.generator.doubts.join("\n");
    assert!(doubts.contains("activities had to wait because"), "{doubts}");
    let slowest = run.series.iter().map(|series| series.latency.percentile(100.0)).max();
    assert!(slowest > Some(60_000), "the waiting is in the latencies: {slowest:?}");
}

#[tokio::test]
async fn the_target_is_asked_first_what_it_has() {
    let site = site().await;
    let fleet = fleet(&busy(10, "1s"));
    let found = check(&fleet, &target(&site)).await;
    assert!(found.wrong.is_empty() && found.content.len() == 1, "{found:?}");

    let bare = SiteSystem::start(Spec::new("fsp").role(Role::FallbackStatusPoint)).await.unwrap();
    let found = check(&fleet, &target(&bare)).await;
    for what in ["for the role MP", "for the role SUP", "no distribution point has any of the content: PKG00001"] {
        assert!(found.wrong.iter().any(|wrong| wrong.contains(what)), "{what}: {found:?}");
    }
    let gone = target(&bare);
    bare.kill();
    let found = check(&fleet, &gone).await;
    assert!(found.wrong.len() == 1 && found.wrong[0].contains("nothing listens there"), "{found:?}");

    let needed = super::fleet("schedules = false\n[notification]\nneeded = true\n");
    let found = check(&needed, &Target { notification: None, ..target(&site) }).await;
    assert!(found.wrong[0].contains("--notification"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notification_is_secured_as_the_target_is_unless_it_says_otherwise() {
    let authority = Authority::new("Lab Root CA");
    let listening = || Spec::new("bgb1").role(Role::ClientNotification);
    let secure = listening().notification_tls(Tls::new(authority.server(&["bgb.lab.test"])));
    let (secure, plain) = (SiteSystem::start(secure).await.unwrap(), SiteSystem::start(listening()).await.unwrap());
    let trusting = crate::client::Tls::new().trusting(authority.certificate_pem()).connector().unwrap();
    let over =
        |site: &SiteSystem| Target { host: "bgb.lab.test".to_owned(), tls: Some(trusting.clone()), ..target(site) };
    let text = "clients = 20\nduration = \"10min\"\nspeedup = 100\nschedules = false\n\
                [notification]\nping = \"10s\"\nwithin = \"1s\"\n";
    let pinged = |told: &[Interval]| of_role(told, "BGB") >= 40;
    let secure = Arc::new(secure);
    let site = Arc::clone(&secure);
    let all_pinged = move |told: &[Interval]| pinged(told) && site.counters().handshakes().len() >= 20;
    let run = until(text, over(&secure), all_pinged).await;
    assert!(run.series.iter().all(|series| series.role == "BGB" && series.errors.is_empty()), "{run:?}");
    let seen = secure.counters().handshakes();
    assert!(seen.len() == 20 && seen.iter().all(|seen| seen.sni.as_deref() == Some("bgb.lab.test")), "{seen:?}");

    let run = until(text, over(&plain), |told| told.iter().any(|interval| interval.errors > 0)).await;
    assert_eq!(done(&run), 0);
    assert_eq!(run.series[0].errors.keys().collect::<Vec<_>>(), ["tls not spoken"]);
    let off = format!("{text}tls = false\n");
    let run = until(&off, over(&plain), pinged).await;
    assert!(run.series.iter().all(|series| series.errors.is_empty()), "{run:?}");
}

#[tokio::test]
async fn who_is_refused_is_told_to_show_a_certificate() {
    let authority = Authority::new("Lab Root CA");
    let clients = ClientCertificate::Required(authority.certificate_pem().to_owned());
    let content = Arc::new(Content::new([Package::parse(PACKAGE).unwrap()]));
    let roles = [Role::DistributionPoint, Role::SoftwareUpdatePoint];
    let spec = Spec::management_point("all").content(&content);
    let spec = roles.into_iter().fold(spec, Spec::role);
    let secure = spec.tls(Tls::new(authority.server(&["all.lab.test"])).clients(clients));
    let site = SiteSystem::start(secure).await.unwrap();
    let trusting = crate::client::Tls::new().trusting(authority.certificate_pem());
    let over = |tls: &crate::client::Tls| Target {
        host: "all.lab.test".to_owned(),
        tls: Some(tls.connector().unwrap()),
        ..target(&site)
    };
    let fleet = fleet(&busy(10, "1s"));
    let found = check(&fleet, &over(&trusting)).await;
    assert_eq!((found.wrong.len(), found.content.len()), (3, 0), "{found:?}");
    for (role, wrong) in ["MP", "SUP", "DP"].into_iter().zip(&found.wrong) {
        assert!(wrong.starts_with(&format!("{role} refuses clients (403 Forbidden for ")), "{wrong}");
        assert!(wrong.contains("--certificate") && wrong.contains("--no-check"), "{wrong}");
    }
    assert!(found.wrong[2].contains("a listing of PKG00001"), "{found:?}");
    let found = check(&fleet, &over(&trusting.identity(&authority.client("PC00001")))).await;
    assert!(found.wrong.is_empty() && found.content.len() == 1, "{found:?}");
}

#[tokio::test]
async fn a_notification_server_without_tls_is_told_before_a_run() {
    let site = SiteSystem::start(Spec::new("bgb1").role(Role::ClientNotification)).await.unwrap();
    let secured = Target { tls: Some(crate::client::Tls::new().connector().unwrap()), ..target(&site) };
    let of_notification = async |text: &str| {
        let mut found = super::super::preflight::Found::default();
        found.notification(&fleet(text), &secured).await;
        found.wrong
    };
    let wrong = of_notification("").await;
    assert!(wrong.len() == 1 && wrong[0].contains("TLS: ") && wrong[0].contains("notification.tls=false"), "{wrong:?}");
    assert_eq!(of_notification("[notification]\ntls = false\n").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_makes_clients_poll_policy() {
    let site = site().await;
    let text = "clients = 20\nduration = \"10min\"\nspeedup = 100\nschedules = false\n\
                [notification]\nwithin = \"1s\"\npush_within = \"10s\"\n";
    let (watch, seconds) = Watch::new();
    let stop = watch.clone();
    let running = start(text, target(&site), watch);
    let heard = |seconds: std::sync::mpsc::Receiver<crate::record::Interval>, role: &'static str| {
        tokio::task::spawn_blocking(move || {
            let mut sum = 0;
            while sum < 20 {
                sum += seconds.recv_timeout(LONGEST).unwrap().roles.get(role).map_or(0, |part| part.done);
            }
            seconds
        })
    };
    let seconds = heard(seconds, "BGB").await.unwrap();
    assert_eq!(site.push("<BgbResponseMessage/>\n"), 20);
    heard(seconds, "MP").await.unwrap();
    stop.stop();
    drop(stop);
    let run = finished(running).await;
    let polls = run.series.iter().filter(|series| series.message == "policy request").map(|series| series.done);
    assert_eq!(polls.sum::<u64>(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_last_answers_is_not_measured_but_they_are() {
    let site = site().await;
    // Longer than the run: all answers come after its end.
    site.faults().set("latency", "700ms").unwrap();
    let text = "clients = 20\nduration = \"500ms\"\nspeedup = 1\nschedules = false\n\
                [notification]\nshare = 0\n[[storms]]\nwithin = \"0s\"\nactivities = [\"policy\"]\n";
    let run = finished(start(text, target(&site), Watch::default())).await;
    assert!((run.measured_s - 0.5).abs() < 1e-9, "{}", run.measured_s);
    assert!(done(&run) + errors(&run, "unfinished") + errors(&run, "unsent") >= 20 && !run.interrupted, "{run:?}");
    assert!(done(&run) > 0 && run.series[0].latency.percentile(0.0) >= 690_000, "{run:?}");
    let (of_seconds, seconds) = (run.timeline.iter().map(|interval| interval.done).sum::<u64>(), run.timeline.len());
    assert_eq!((of_seconds, seconds), (done(&run), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_never_answers_is_an_error() {
    let site = site().await;
    site.faults().set("stall-head", "on").unwrap();
    let text = "clients = 30\nduration = \"300ms\"\nspeedup = 1\nschedules = false\nunder_way = 20\n\
                [notification]\nshare = 0\n\
                [[storms]]\nwithin = \"0s\"\nactivities = [\"scan\"]\n";
    let run = finished(start(text, target(&site), Watch::default())).await;
    assert_eq!((done(&run), run.series.len(), run.series[0].message.as_str()), (0, 1, "scan version"));
    // Each client is counted once: it was asked for nothing else.
    assert_eq!(errors(&run, "unfinished") + errors(&run, "unsent") + run.dropped, 30, "{run:?}");
    assert_eq!(run.dropped, 0, "it had its time");
    assert!(errors(&run, "unsent") >= 10, "there was no place for them: {run:?}");
    let doubts = run.generator.doubts.join("\n");
    assert!(doubts.contains("under way at the end") && doubts.contains("had not begun"), "{doubts}");
    assert!((run.measured_s - 0.3).abs() < 1e-9, "{}", run.measured_s);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_held_connection_waits_for_at_the_end_is_no_error() {
    let site = site().await;
    // The system accepts, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target { notification: Some(silent.local_addr().unwrap()), ..target(&site) };
    let text = "clients = 5\nduration = \"300ms\"\nspeedup = 1\nschedules = false\n\
                [notification]\nwithin = \"0s\"\n";
    let began = Instant::now();
    let run = finished(start(text, target, Watch::default())).await;
    assert_eq!((run.dropped + errors(&run, "unfinished"), done(&run)), (5, 0), "{run:?}");
    // They are errors only on a machine that stood still for five seconds.
    assert!(run.dropped == 5 || began.elapsed() >= Duration::from_secs(5), "{run:?}");
    assert!(!run.interrupted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_a_run_early_is_told_no_errors_of_what_had_just_begun() {
    let site = site().await;
    let run = until(&busy(50, "10min"), target(&site), |told| of_role(told, "MP") > 100).await;
    // Something may have taken five seconds on a machine that stood still.
    assert!(errors(&run, "unfinished") <= 50 && errors(&run, "unsent") == 0, "{run:?}");
    assert!(run.interrupted && done(&run) > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_had_just_begun_when_a_run_is_ended_early_is_told_as_dropped() {
    let site = site().await;
    site.faults().set("stall-head", "on").unwrap();
    let text = "clients = 30\nduration = \"10min\"\nspeedup = 1\nschedules = false\n[notification]\nshare = 0\n\
                [[storms]]\nwithin = \"0s\"\nactivities = [\"scan\"]\n";
    let run = until(text, target(&site), |told| told.last().is_some_and(|last| last.under_way == 30)).await;
    // Each of them is told once, also on a machine that stood still for five seconds.
    assert_eq!((run.dropped + errors(&run, "unfinished"), done(&run)), (30, 0), "{run:?}");
    assert!(run.dropped > 0 || run.measured_s > 5.0, "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_warm_up_is_not_told_of() {
    let site = site().await;
    site.faults().set("latency", "5ms").unwrap();
    let text = "clients = 30\nwarm_up = \"300ms\"\nduration = \"200ms\"\nspeedup = 1\nschedules = false\nunder_way = 2\n\
                [notification]\nshare = 0\n[[storms]]\nwithin = \"0s\"\nactivities = [\"policy\"]\n";
    let run = finished(start(text, target(&site), Watch::default())).await;
    let doubts = run.generator.doubts.join("\n");
    assert!(!doubts.contains("had to wait"), "{doubts}");
    assert!((run.measured_s - 0.2).abs() < 1e-9, "{}", run.measured_s);
}

#[test]
fn sessions_are_resumed_only_if_the_scenario_says_so() {
    let off = fleet("");
    let on = fleet("[tls]\nresume = true\n");
    assert_eq!((off.tls.resume, on.tls.resume), (false, true));
}
