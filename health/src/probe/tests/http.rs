use ::http::Method;

use super::*;
use crate::verdict::Failure;

const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";
const MPCERT: &str = "/SMS_MP/.sms_aut?MPCERT";

/// A probe that expects 200 and nothing more.
fn plain(target: &str) -> HttpProbe {
    HttpProbe {
        method: Method::GET,
        target: target.to_owned(),
        host: "mp1.corp.example".to_owned(),
        status: vec![(200, 200)],
        body_contains: None,
        second_opinion: None,
        user_agent: "rolegate".to_owned(),
        tls: None,
        greeting: b"",
    }
}

pub(super) fn question(target: &str) -> Probe {
    Probe::Http(Box::new(plain(target)))
}

/// The probe of a management point.
fn mp() -> HttpProbe {
    HttpProbe { body_contains: Some("<MPList".to_owned()), second_opinion: Some(MPCERT.to_owned()), ..plain(MPLIST) }
}

async fn ask(probe: HttpProbe, site: &Site, deadline: Duration) -> Attempt {
    Probe::Http(Box::new(probe)).attempt(site.address, deadline).await
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn answers_are_judged_by_status_and_body() {
    let list = "<MPList><MP Name=\"MP1\"/></MPList>";
    let far = format!("{}<MPList>", "x".repeat(70_000));
    for (answer, expected, status) in [
        (Answer::new(200, list), None, Some(200)),
        (Answer::new(200, utf16(list)), None, Some(200)),
        (Answer::chunked(200, list.as_bytes(), 1), None, Some(200)),
        (Answer::chunked(200, &utf16(list), 3), None, Some(200)),
        (Answer::Bytes(format!("HTTP/1.0 200 OK\r\n\r\n{list}").into_bytes()), None, Some(200)),
        (Answer::new(200, "<html>login</html>"), Some(FailureKind::Body), Some(200)),
        (Answer::new(200, ""), Some(FailureKind::Body), Some(200)),
        (Answer::new(200, far), Some(FailureKind::Body), Some(200)),
        (Answer::new(201, list), Some(FailureKind::Status), Some(201)),
        (Answer::new(500, list), Some(FailureKind::Status), Some(500)),
        // The rest of a body is not waited for when the text is there or nothing more can change.
        (Answer::Open(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{list}").into_bytes()), None, Some(200)),
        (Answer::Open(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nn".to_vec()), Some(FailureKind::Status), Some(503)),
        // Not an answer.
        (Answer::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()), Some(FailureKind::Protocol), None),
        (Answer::Bytes(b"\0\xff\x80garbage\r\n\r\n".to_vec()), Some(FailureKind::Protocol), None),
        (Answer::Bytes(format!("HTTP/1.1 200 {}", "x".repeat(200_000)).into()), Some(FailureKind::Protocol), None),
        (Answer::Bytes(Vec::new()), Some(FailureKind::Reset), None),
        (Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-".to_vec()), Some(FailureKind::Reset), None),
        (
            Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhm".to_vec()),
            Some(FailureKind::Reset),
            Some(200),
        ),
        (Answer::Reset, Some(FailureKind::Reset), None),
    ] {
        let shown = if let Answer::Bytes(bytes) | Answer::Open(bytes) = &answer { bytes.clone() } else { Vec::new() };
        let shown = String::from_utf8_lossy(&shown[..shown.len().min(80)]).into_owned();
        let site = Site::open(vec![("*", answer)]).await;
        let attempt = ask(HttpProbe { second_opinion: None, ..mp() }, &site, LONG).await;
        assert_eq!((kind(&attempt), attempt.status), (expected, status), "{shown:?}: {:?}", attempt.verdict);
        assert!(!matches!(attempt.verdict, Verdict::Degraded(_)), "without a second opinion nothing is degraded");
    }
}

#[tokio::test]
async fn statuses_come_in_ranges() {
    let expected = vec![(200, 299), (401, 401), (403, 403)];
    for (status, good) in [(200, true), (207, true), (299, true), (300, false), (401, true), (402, false), (403, true)]
    {
        let site = Site::open(vec![("*", Answer::new(status, ""))]).await;
        let attempt = ask(HttpProbe { status: expected.clone(), ..plain("/") }, &site, LONG).await;
        assert_eq!(kind(&attempt).is_none(), good, "{status}");
        if !good {
            assert_eq!(detail(&attempt), format!("GET / answered {status}, expected 200-299, 401, 403"));
        }
    }
}

#[tokio::test]
async fn a_failure_says_what_was_seen() {
    let answer = |answer| Site::open(vec![("*", answer)]);
    let alone = || HttpProbe { second_opinion: None, ..mp() };

    let site = answer(Answer::new(500, "<html>\r\nno database")).await;
    let attempt = ask(alone(), &site, LONG).await;
    assert_eq!(detail(&attempt), "GET /SMS_MP/.sms_aut?MPLIST answered 500, expected 200: <html>  no database");

    let site = answer(Answer::new(200, "<html>")).await;
    let attempt = ask(alone(), &site, LONG).await;
    assert_eq!(detail(&attempt), "GET /SMS_MP/.sms_aut?MPLIST answered 200 without \"<MPList\", but: <html>");

    let site = answer(Answer::new(200, "")).await;
    let attempt = ask(alone(), &site, LONG).await;
    assert_eq!(detail(&attempt), "GET /SMS_MP/.sms_aut?MPLIST answered 200 without \"<MPList\", but an empty body");

    let site = answer(Answer::new(500, "x".repeat(500))).await;
    let long = HttpProbe { target: format!("/{}", "y".repeat(500)), ..alone() };
    let attempt = ask(long, &site, LONG).await;
    let expected = format!("GET /{}... answered 500, expected 200: {}", "y".repeat(95), "x".repeat(64));
    assert_eq!(detail(&attempt), expected, "a long target leaves room for the evidence");

    let site = answer(Answer::Stall).await;
    let attempt = ask(alone(), &site, SHORT).await;
    assert_eq!(detail(&attempt), "GET /SMS_MP/.sms_aut?MPLIST: no answer within 200 ms");
}

#[tokio::test]
async fn a_silent_server_costs_the_deadline_and_no_more() {
    let mut site = Site::open(vec![("*", Answer::Stall)]).await;
    let attempt = ask(plain("/"), &site, SHORT).await;
    assert_eq!((kind(&attempt), attempt.status), (Some(FailureKind::Timeout), None));
    assert!(attempt.took >= SHORT && attempt.took < LONG, "{:?}", attempt.took);
    // Nothing of the attempt is left: the server sees the connection end.
    site.closed().await;
}

#[tokio::test]
async fn a_body_that_hangs_does_not_hide_a_wrong_status() {
    let head = b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n".to_vec();
    let site = Site::open(vec![("*", Answer::Open(head))]).await;
    let attempt = ask(HttpProbe { second_opinion: None, ..mp() }, &site, SHORT * 5).await;
    assert_eq!(detail(&attempt), "GET /SMS_MP/.sms_aut?MPLIST answered 503, expected 200");
}

#[tokio::test]
async fn an_attempt_that_is_dropped_closes_its_connection() {
    let mut site = Site::open(vec![("*", Answer::Stall)]).await;
    let probe = question("/");
    tokio::select! {
        _ = probe.attempt(site.address, LONG) => panic!("answered"),
        () = async { while site.heads().is_empty() { tokio::task::yield_now().await } } => {}
    }
    site.closed().await;
}

#[tokio::test]
async fn a_second_opinion_tells_a_sick_database_from_a_sick_server() {
    use FailureKind::{Body, Reset, Status, Timeout};
    let good = || Answer::new(200, "<MPList/>");
    let open = || Answer::Open(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<MP".to_vec());
    let degraded: fn(Failure) -> Verdict = Verdict::Degraded;
    let fail: fn(Failure) -> Verdict = Verdict::Fail;
    for (name, list, cert, verdict, status, asked) in [
        ("well", good(), Answer::new(500, ""), None, Some(200), 1),
        ("no database", Answer::new(500, ""), Answer::new(200, "3082"), Some((degraded, Status)), Some(500), 2),
        ("wrong page", Answer::new(200, "hm"), Answer::new(200, "3082"), Some((degraded, Body)), Some(200), 2),
        ("database hangs", Answer::Stall, Answer::new(200, "3082"), Some((degraded, Timeout)), None, 2),
        ("body hangs", open(), Answer::new(200, "3082"), Some((degraded, Timeout)), Some(200), 2),
        ("both wrong", Answer::new(500, ""), Answer::new(503, ""), Some((fail, Status)), Some(500), 2),
        ("then nothing", Answer::new(500, ""), Answer::Reset, Some((fail, Status)), Some(500), 2),
        ("then silence", Answer::new(500, ""), Answer::Stall, Some((fail, Status)), Some(500), 2),
        ("reset", Answer::Reset, Answer::new(200, "3082"), Some((fail, Reset)), None, 1),
    ] {
        let site = Site::open(vec![(MPLIST, list), (MPCERT, cert)]).await;
        let attempt = ask(mp(), &site, Duration::from_secs(2)).await;
        assert_eq!(attempt.status, status, "{name}");
        assert_eq!(site.targets(), [MPLIST, MPCERT][..asked], "{name}");
        let failure = attempt.verdict.clone().into_failure();
        assert_eq!(failure.as_ref().map(|failure| failure.kind), verdict.map(|(_, kind)| kind), "{name}");
        let expected = verdict.zip(failure).map_or(Verdict::Pass, |((verdict, _), failure)| verdict(failure));
        assert_eq!(attempt.verdict, expected, "{name}");
        if attempt.verdict != Verdict::Pass {
            assert!(detail(&attempt).starts_with("GET /SMS_MP/.sms_aut?MPLIST"), "the first failure is the reason");
        }
    }
}

#[tokio::test]
async fn nobody_is_asked_twice_where_there_is_no_connection() {
    let (_socket, address) = refusing();
    let attempt = Probe::Http(Box::new(mp())).attempt(address, LONG).await;
    assert_eq!(kind(&attempt), Some(FailureKind::Refused));
    assert!(matches!(attempt.verdict, Verdict::Fail(_)));
}

#[tokio::test]
async fn the_target_is_sent_byte_for_byte() {
    for target in [
        "/SMS_MP/.sms_aut?MPLIST1&P01",
        "/SMS_MP/.sms_pol?{c6fe32fb-7e9c-4776-abe3-2a6d107447f1}.2_00",
        "/SMS_DP_SMSPKG$/Content_{0F}.1/sccm?/Tools%20x86/a.msi",
        "/AdminService/v1.0/$metadata",
        "/a//b/../c;d?",
        "/?%7b|^`",
    ] {
        let site = Site::open(vec![("*", Answer::new(200, ""))]).await;
        let attempt = ask(plain(target), &site, LONG).await;
        assert_eq!(attempt.verdict, Verdict::Pass, "{target}");
        assert_eq!(site.targets(), [target]);
    }
}

#[tokio::test]
async fn the_request_head_is_plain_and_complete() {
    let site = Site::open(vec![("*", Answer::new(200, ""))]).await;
    ask(plain("/a"), &site, LONG).await;
    let post = Method::from_bytes(b"CCM_POST").unwrap();
    ask(HttpProbe { method: post, user_agent: String::new(), ..plain("/b") }, &site, LONG).await;
    assert_eq!(
        site.heads(),
        [
            "GET /a HTTP/1.1\r\nhost: mp1.corp.example\r\naccept: */*\r\nuser-agent: rolegate\r\nconnection: close\r\n\r\n",
            "CCM_POST /b HTTP/1.1\r\nhost: mp1.corp.example\r\naccept: */*\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_without_asking() {
    let site = Site::open(vec![("*", Answer::new(200, ""))]).await;
    for (target, host) in [
        ("", "h"),
        ("*", "h"),
        ("SMS_MP", "h"),
        ("http://elsewhere/", "h"),
        ("/a b", "h"),
        ("/a#b", "h"),
        ("/a\r\nEvil: 1", "h"),
        ("/", "h\r\nEvil: 1"),
    ] {
        let attempt = ask(HttpProbe { host: host.to_owned(), ..plain(target) }, &site, LONG).await;
        assert_eq!(kind(&attempt), Some(FailureKind::Protocol), "{target:?} {host:?}");
        assert!(detail(&attempt).contains("cannot be asked"), "{}", detail(&attempt));
    }
    assert!(site.heads().is_empty());
}
