//! What is made of the lines of a log.

use super::*;

/// When each is due in microseconds, what it is, by whom, and what the log has of it.
fn told(log: &Log) -> Vec<(u64, String, String)> {
    let one = |request: &Request| {
        let shape = &log.shapes[request.shape as usize];
        let client = log.clients[request.client as usize];
        let more = (request.status, request.body, request.range);
        (request.at_us, format!("{} {} {client}", shape.method, shape.target), format!("{more:?}"))
    };
    log.requests.iter().map(one).collect()
}

fn due(log: &Log) -> Vec<u64> {
    log.requests.iter().map(|request| request.at_us).collect()
}

#[test]
fn columns_come_in_any_order_and_change_in_the_middle() {
    let log = read(
        "\u{feff}#Software: Microsoft Internet Information Services 10.0\r\n\
         #Fields: date time cs-method cs-uri-stem cs-uri-query c-ip cs(User-Agent) cs-host sc-status sc-bytes cs-bytes time-taken\r\n\
         2026-03-01 08:15:30 GET /SMS_MP/.sms_aut MPLIST 10.1.7.9 SMS+CCM+5.0 mp1 200 600 200 250\r\n\
         #Fields: c-ip time cs-uri-stem cs-method date sc-status x-more\r\n\
         10.1.7.10 08:15:31 /a%20b/\u{e9}?# CCM_POST 2026-03-01 403 -\r\n\
         \r\n\
         #Date: 2026-03-02 00:00:00\r\n\
         #Fields: time c-ip cs-method cs-uri-stem cs-bytes sc-bytes sc-status\r\n\
         00:00:01 10.1.7.9 BITS_POST /CCM_Incoming/{1} 3000 100 200\r\n\
         00:00:02 10.1.7.9 GET /SMS_DP_SMSPKG$/a.exe 300 5000 206\r\n",
    );
    let day = 1_000_000 * (15 * 3600 + 44 * 60 + 30 + 1);
    let expected = [
        (750_000, "GET /SMS_MP/.sms_aut?MPLIST 10.1.7.9", "(200, 0, 0)"),
        (2_000_000, "CCM_POST /a%20b/%C3%A9%3F%23 10.1.7.10", "(403, 0, 0)"),
        (day + 1_000_000, "BITS_POST /CCM_Incoming/{1} 10.1.7.9", "(200, 3000, 0)"),
        (day + 2_000_000, "GET /SMS_DP_SMSPKG$/a.exe 10.1.7.9", "(206, 0, 5000)"),
    ];
    assert_eq!(told(&log), expected.map(|(at, what, more)| (at, what.to_owned(), more.to_owned())));
    let first = &log.shapes[0];
    assert_eq!((first.agent.as_deref(), first.host.as_deref()), (Some("SMS CCM 5.0"), Some("mp1")));
    assert_eq!(humantime::format_rfc3339_seconds(log.began()).to_string(), "2026-03-01T08:15:29Z");
    assert_eq!(log.counts(), &Counts { lines: 4, ..Counts::default() });
}

const HEAD: &str = "#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n";

#[test]
fn what_was_in_one_second_is_spread_over_it_and_begins_before_it_is_over() {
    let line = |second: u32, took: u32| format!("2026-03-01 08:15:{second} 10.0.0.1 GET /{second} 200 {took}\n");
    let log = read(
        &[HEAD.to_owned(), line(30, 0), line(31, 0), line(31, 0), line(31, 0), line(31, 1500), line(33, 0)].concat(),
    );
    // The last of the four is at 31.75 and began 1.5 s earlier.
    assert_eq!(due(&log), [0, 250_000, 1_000_000, 1_250_000, 1_500_000, 3_000_000]);
    assert_eq!((log.counts().unsorted, log.length()), (0, Duration::from_secs(4)));
    // As in a log of ours, whose times are exact.
    let ours = |ts: &str, took: u64| {
        format!(
            r#"{{"ts":"2026-03-01T08:15:{ts}Z","client":"10.0.0.1","method":"GET","target":"/","status":200,"total_us":{took}}}"#
        )
    };
    let log = read(&[ours("30.500001", 400_000), ours("30.25", 0), ours("31.0", 5)].join("\n"));
    assert_eq!(due(&log), [100_001, 250_000, 999_995], "sorted by when they began");
    assert_eq!((log.counts().unsorted, log.length()), (1, Duration::from_secs(1)));
}

#[test]
fn a_log_of_ours_has_bodies_hosts_and_ranges() {
    let log = read(
        r#"{"ts":"2026-03-01T08:15:30Z","snapshot":2,"listener":"http","peer":"10.1.7.9:54756","client":"fd00::9","http":"2","method":"PROPFIND","target":"https://dp1/SMS_DP_SMSPKG$/a?b","role":"distribution-point","boundary_groups":1,"attempts":1,"status":207,"bytes_up":7,"bytes_down":317,"first_byte_us":1182,"total_us":0}
{"ts":"2026-03-01T08:15:31Z","client":"10.1.7.9","method":"GET","target":"/\u007ba}","host":"dp2","status":206,"bytes_up":0,"bytes_down":317}"#,
    );
    let expected =
        [(0, "PROPFIND /SMS_DP_SMSPKG$/a?b fd00::9", "(207, 7, 0)"), (1_000_000, "GET /{a} 10.1.7.9", "(206, 0, 317)")];
    assert_eq!(told(&log), expected.map(|(at, what, more)| (at, what.to_owned(), more.to_owned())));
    assert_eq!(log.shapes.iter().map(|shape| shape.host.as_deref()).collect::<Vec<_>>(), [Some("dp1"), Some("dp2")]);
}

#[test]
fn tunnels_are_no_requests() {
    let json = r#"{"ts":"2026-03-01T08:15:30Z","kind":"tcp","client":"10.0.0.1","ended":"client_closed","bytes_up":7}
{"ts":"2026-03-01T08:15:31Z","client":"10.0.0.1","method":"GET","target":"/","user_agent":"ccm","status":200}"#;
    let w3c = format!("{HEAD}2026-03-01 08:15:30 10.0.0.1 - - - 7\n2026-03-01 08:15:31 10.0.0.1 GET / 200 0\n");
    for text in [json, &w3c] {
        let log = read(text);
        assert_eq!((log.len(), log.counts().broken), (1, 0), "{:?}", log.counts());
    }
}

#[test]
fn logs_that_were_rolled_are_one() {
    let line = |second: u32| format!("{HEAD}2026-03-01 08:15:{second} 10.0.0.1 GET / 200 0\n");
    let log = read_with(&[line(30).as_bytes(), line(32).as_bytes()], ALL).unwrap();
    assert_eq!((due(&log), log.shapes.len()), (vec![0, 2_000_000], 1));
    // A file has to say itself what its columns are.
    let second = line(32).replace(HEAD, "");
    let log = read_with(&[line(30).as_bytes(), second.as_bytes()], ALL).unwrap();
    let named: Vec<_> = log.counts().named.iter().map(|broken| (broken.file.ends_with("2.log"), broken.line)).collect();
    assert_eq!(named, [(true, 1)]);
}

#[test]
fn broken_lines_are_counted_and_the_first_are_named() {
    let good = "2026-03-01 08:15:30 10.0.0.1 GET / 200 0\n".repeat(30);
    let broken: Vec<(&[u8], &str)> = vec![
        (b"2026-03-01 08:15:30 10.0.0.1 GET / 200", "has 6 values, and #Fields names 7"),
        (b"2026-03-01 25:15:30 10.0.0.1 GET / 200 0", "'2026-03-01 25:15:30' is no date and time"),
        (b"2026-03-01 08:15:30 pc1 GET / 200 0", "'pc1' is no address of a client"),
        (b"2026-03-01 08:15:30 10.0.0.1 G(T / 200 0", "'G(T' is no method"),
        (b"2026-03-01 08:15:30 10.0.0.1 GET here 200 0", "'here' is no path"),
        (b"2026-03-01 08:15:30 10.0.0.1 GET / two 0", "'two' is no sc-status"),
        (b"2026-03-01 08:15:30 10.0.0.1 GET / 200 -1", "'-1' is no time-taken"),
        (b"2026-03-01 08:15:30 10.0.0.1 - / 200 0", "it has no method"),
        (b"2026-03-01 08:15:30 10.0.0.1 GET /\xff 200 0", "it is no UTF-8"),
        (b"2026-03-01 08:15:30 10.0.0.1 GET /\0\0 200 0", "bytes that no text has"),
        (b"{\"ts\":\"2026-03-01T08:15:30Z\"}", "no line of an access log: missing field"),
        (
            b"{\"ts\":\"today\",\"client\":\"10.0.0.1\",\"method\":\"GET\",\"target\":\"/\",\"status\":200}",
            "'today' is no date and time",
        ),
        (b"#Fields: date sc-status", "#Fields lacks time, cs-method, cs-uri-stem, c-ip"),
    ];
    for (line, why) in &broken {
        let log = read_with(&[&[HEAD.as_bytes(), good.as_bytes(), line, b"\n"].concat()], ALL).unwrap();
        let counts = log.counts();
        assert_eq!((log.len(), counts.broken, counts.named[0].line), (30, 1, 32), "{counts:?}");
        assert!(counts.named[0].why.contains(why), "{why}: {counts:?}");
        assert!(
            counts.doubts()[0].contains("1 of 31 lines of the log cannot be read") || why.contains("lacks"),
            "{counts:?}"
        );
    }
    // One that is too long, and after which the next is read.
    let long = format!("2026-03-01 08:15:30 10.0.0.1 GET /{} 200 0\n", "a".repeat(200_000));
    let log = read(&[HEAD, &long, &good].concat());
    assert_eq!((log.len(), log.counts().broken, log.counts().named[0].line), (30, 1, 2), "{:?}", log.counts());
    // Too many end it, and are told with their places.
    let lines: Vec<_> = broken.iter().map(|(line, _)| [line, &b"\n"[..]].concat()).collect();
    let all = [HEAD.as_bytes(), good.as_bytes(), &lines.concat()].concat();
    let told = read_with(&[&all], Reading { max_broken: 0.01, ..ALL }).unwrap_err();
    assert!(
        told.starts_with("13 of 42 lines cannot be read: 31.0 %, and at most 1.0 % may be (--max-broken)"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 6, "{told}");
    assert!(told.contains("1.log, line 34: 'pc1' is no address"), "{told}");
}

#[test]
fn what_may_change_something_is_left_out_and_counted() {
    let lines = ["GET", "PUT", "DELETE", "DELETE", "CONNECT", "CCM_POST"]
        .map(|method| format!("2026-03-01 08:15:30 10.0.0.1 {method} / 200 0\n"));
    let text = HEAD.to_owned() + &lines.concat();
    let log = read(&text);
    let doubts = log.counts().doubts();
    assert_eq!(log.len(), 2);
    assert!(doubts.len() == 1 && doubts[0].ends_with("CONNECT 1, DELETE 2, PUT 1."), "{doubts:?}");
    let log = read_with(&[text.as_bytes()], Reading { methods: Methods::All, ..ALL }).unwrap();
    assert_eq!((log.len(), log.counts().skipped.len()), (5, 1), "CONNECT cannot be sent again");
    let log = read_with(&[text.as_bytes()], Reading { limit: 1, ..ALL }).unwrap();
    assert_eq!((log.len(), log.counts().lines), (1, 1));
}

#[test]
fn what_is_no_log_is_told() {
    let told = |text: &str| read_with(&[text.as_bytes()], ALL).unwrap_err();
    assert!(told("").contains("no request that can be sent"));
    let common = r#"10.0.0.1 - - [01/Mar/2026:08:15:30 +0000] "GET / HTTP/1.1" 200 5"#;
    assert!(told(common).contains("IIS logs (W3C) and access logs of rolegate are read"), "{}", told(common));
    let missing = Log::read(&[PathBuf::from("/nowhere/a.log")], ALL).unwrap_err();
    assert!(missing.starts_with("/nowhere/a.log cannot be read"), "{missing}");
}

#[test]
fn a_request_takes_the_bytes_that_are_told() {
    assert_eq!(size_of::<Request>(), 32);
}
