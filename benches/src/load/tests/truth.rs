//! What is reported against what a server itself has counted.

use super::*;
use crate::scripted::{Act, Asked, Scripted, strict};

/// What a server does with its requests, one after the other, and what each comes to.
fn act(asked: &Asked) -> (&'static str, Act) {
    match asked.number % 10 {
        0 => ("status 503", Act::status("503 Service Unavailable", b"no")),
        1 => ("reset", Act::Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel".to_vec())),
        2 => ("closed", Act::Close(Vec::new())),
        3 => ("short", Act::Close(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel".to_vec())),
        4 => ("protocol", Act::Close(b"SSH-2.0-OpenSSH\r\n".to_vec())),
        5 => ("tls wanted", Act::Close(b"\x15\x03\x03\0\x02\x02\x32".to_vec())),
        6 => ("good", Act::status("302 Found", b"elsewhere")),
        _ => ("good", Act::ok()),
    }
}

/// What became of the requests that were sent, by kind.
fn outcomes(measured: &Measured) -> BTreeMap<String, u64> {
    let mut outcomes = BTreeMap::new();
    for series in &measured.series {
        *outcomes.entry("good".to_owned()).or_default() += series.done;
        for (kind, count) in &series.errors {
            *outcomes.entry(kind.clone()).or_default() += count;
        }
        // What failed has no latency.
        assert_eq!((series.latency.count(), series.service.count()), (series.done, series.done));
    }
    // What this machine had no time to send is no request.
    outcomes.remove("unsent");
    outcomes.retain(|_, count| *count > 0);
    outcomes
}

fn expected(server: &Scripted, of: impl Fn(&Asked) -> &'static str) -> BTreeMap<String, u64> {
    let mut expected = BTreeMap::new();
    for asked in server.asked() {
        *expected.entry(of(&asked).to_owned()).or_default() += 1;
    }
    expected
}

#[test]
fn requests_and_outcomes_are_those_that_the_server_counted() {
    for mode in
        [Mode::Rate { per_second: 200.0, connections: 8 }, Mode::Ramp { from: 100.0, to: 300.0, connections: 8 }]
    {
        let server = Scripted::start(|asked| act(asked).1);
        let duration = Duration::from_secs(1);
        let measured = quiet(&Plan { mode, duration, threads: 2, ..plan(server.address) });
        assert_eq!(outcomes(&measured), expected(&server, |asked| act(asked).0), "{measured:?}");
        let unsent = failed(&measured, "unsent");
        assert!((server.asked().len() as u64 + unsent).abs_diff(200) <= 1, "{measured:?}");
        let seconds = measured.timeline.iter().map(|second| second.done + second.errors).sum::<u64>();
        assert_eq!((seconds, measured.dropped), (server.asked().len() as u64 + unsent, 0));
        let elsewhere = measured.generator.doubts.iter().filter(|doubt| doubt.contains("ask elsewhere")).count();
        assert_eq!(elsewhere, 1, "{measured:?}");
    }
    // In a closed loop what is under way in the end is told by itself.
    let server = Scripted::start(|asked| act(asked).1);
    let measured = quiet(&plan(server.address));
    let outcomes = outcomes(&measured).values().sum::<u64>();
    let asked = server.asked().len() as u64;
    assert!((outcomes..=outcomes + measured.dropped).contains(&asked), "{asked} asked: {measured:?}");
}

#[test]
fn percentiles_are_those_of_the_delays_that_the_server_made() {
    // So far apart that no machine takes the one for the other.
    const LONG: Duration = Duration::from_secs(4);
    let slow = |asked: &Asked| asked.number % 10 == 3;
    let server = Scripted::start(move |asked| match Act::ok() {
        Act::Say(text) if slow(asked) => Act::SayAfter(LONG, text),
        act => act,
    });
    let mode = Mode::Rate { per_second: 200.0, connections: 120 };
    let measured = quiet(&Plan { mode, duration: Duration::from_secs(1), ..plan(server.address) });
    let asked = server.asked();
    let (all, its) = (asked.len() as u64, asked.iter().filter(|asked| slow(asked)).count() as u64);
    let us = u64::try_from(LONG.as_micros()).unwrap();
    let latency = &measured.series[0].latency;
    // Three digits are right.
    let counted = latency.histogram().count_between(us - us / 1000, u64::MAX);
    assert_eq!((done(&measured), latency.count(), counted), (all, all, its), "{measured:?}");
    let edge = 100.0 * (all - its) as f64 / all as f64;
    let (below, above) = (latency.percentile(edge - 0.1), latency.percentile(edge + 0.1));
    assert!(below < us / 2 && above >= us - us / 1000, "{below} and {above} at {edge} %");
    // Each in the second in which it was due.
    assert_eq!(measured.timeline.len(), 1);
    assert!(measured.timeline[0].p99_us >= us - us / 1000 && measured.timeline[0].p50_us < us / 2, "{measured:?}");
}

/// What becomes of all requests to a server of TLS.
fn over_tls(address: SocketAddr, tls: Tls) -> Vec<String> {
    let mode = Mode::Rate { per_second: 50.0, connections: 2 };
    let host = "localhost".to_owned();
    let measured = quiet(&Plan { tls: Some(tls), mode, host, ..plan(address) });
    outcomes(&measured).into_keys().collect()
}

#[test]
fn what_goes_wrong_over_tls_says_its_reason() {
    let authority = Authority::new("Lab Root CA");
    let trusting = Tls::new().trusting(authority.certificate_pem());
    let server = Scripted::secured(strict(&authority), |_| Act::ok());
    let shown = trusting.clone().identity(&authority.client("PC00001"));
    assert_eq!(over_tls(server.address, shown), ["good"]);
    assert_eq!(over_tls(server.address, trusting.clone()), ["tls certificate required"]);
    let other = Authority::new("Another CA");
    let strange = trusting.clone().identity(&other.client("PC00001"));
    assert_eq!(over_tls(server.address, strange), ["tls certificate refused"]);
    let strange = Tls::new().trusting(other.certificate_pem());
    assert_eq!(over_tls(server.address, strange), ["tls unknown authority"]);
    let elsewhere = Scripted::secured(strict(&authority), |_| Act::Reset(b"HTTP/1.1 200 OK\r\n".to_vec()));
    let shown = trusting.clone().identity(&authority.client("PC00001"));
    assert_eq!(over_tls(elsewhere.address, shown), ["reset"]);
    for (say, is_reset, kind) in [
        (b"".as_slice(), false, "tls closed"),
        (b"", true, "tls reset"),
        // The first bytes of a record.
        (b"\x16\x03\x03\0\x7a\x02", false, "tls closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", false, "tls not spoken"),
    ] {
        let rude = Scripted::rude(say, is_reset);
        assert_eq!(over_tls(rude.address, trusting.clone()), [kind]);
    }
    let mode = Mode::Rate { per_second: 50.0, connections: 2 };
    let names = Plan { tls: Some(trusting), mode, ..plan(server.address) };
    assert_eq!(outcomes(&quiet(&names)).into_keys().collect::<Vec<_>>(), ["tls wrong name"]);
}
