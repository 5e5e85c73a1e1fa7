//! `h2load` of nghttp2, made to speak HTTP/1.1: closed loops with and without TLS.
//!
//! It is told how many requests to make, and not for how long: in a run of a given time, version 1.52 counts no connection that
//! breaks, and does not always end when connections close. In a run of a given number each request is good or has failed: of a
//! connection that breaks, all that were left to it.

use std::process::Command;

use super::super::measure::Load;
use super::super::targets::HOST;
use super::{Said, seconds};

pub(super) fn arguments(command: &mut Command, load: &Load, connections: usize, requests: u64) {
    let threads = load.threads.min(connections).max(1);
    command.args(["--h1".to_owned(), format!("-t{threads}"), format!("-c{connections}"), format!("-n{requests}")]);
    command.arg(format!("--connect-to={}", load.to));
    if load.tls {
        // As our generator: all proxies do the same work.
        command.arg("--tls13-ciphers=TLS_AES_256_GCM_SHA384");
    }
    if !load.keep_alive {
        command.args(["-H", "Connection: close"]);
    }
    let scheme = if load.tls { "https" } else { "http" };
    command.arg(format!("{scheme}://{HOST}{}", load.target));
}

const FINISHED: &str = "finished in";
const REQUESTS: &str = "requests:";
const STATUS: &str = "status codes:";

/// Reads three lines of its summary:
///
/// ```text
/// finished in 582.09ms, 34359.07 req/s, 42.14MB/s
/// requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout
/// status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx
/// ```
///
/// Each has to be as it is here: what has changed may mean something else.
pub(super) fn read(said: &str) -> Result<Said, String> {
    let time = line(said, FINISHED)?.split(',').next().unwrap_or_default().trim();
    let seconds = seconds(time).ok_or_else(|| format!("'{time}' is no time"))?;
    let names = ["total", "started", "done", "succeeded", "failed", "errored", "timeout"];
    let [total, _, done, succeeded, failed, errored, timeout] = numbers(line(said, REQUESTS)?, names)?;
    let [_, redirected, ..] = numbers(line(said, STATUS)?, ["2xx", "3xx", "4xx", "5xx"])?;
    if total == 0 || succeeded + failed != total || succeeded > done || errored > failed || timeout > errored {
        return Err(format!("its numbers do not fit together: {}", line(said, REQUESTS)?.trim()));
    }
    // A redirection is no success here.
    let good = succeeded.checked_sub(redirected).ok_or("it has more redirections than successes")?;
    Ok(Said { good, failed: failed + redirected, seconds })
}

/// The rest of the only line that begins so.
fn line<'a>(said: &'a str, begin: &str) -> Result<&'a str, String> {
    let mut lines = said.lines().filter_map(|line| line.strip_prefix(begin));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line),
        (None, _) => Err(format!("no line begins with '{begin}'")),
        (Some(_), Some(_)) => Err(format!("more than one line begins with '{begin}'")),
    }
}

/// Reads ` 12 total, 3 started`: the numbers of these names, in this order, and no others.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Result<[u64; N], String> {
    let wrong = || format!("'{}' should be the numbers of: {}", text.trim(), names.join(", "));
    let parts: Vec<_> = text.split(',').collect();
    if parts.len() != N {
        return Err(wrong());
    }
    let mut numbers = [0; N];
    for ((part, name), number) in parts.into_iter().zip(names).zip(&mut numbers) {
        let (value, _) = part.trim().split_once(' ').filter(|(_, found)| *found == name).ok_or_else(wrong)?;
        *number = value.parse().map_err(|_| wrong())?;
    }
    Ok(numbers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of version 1.52.0: 1 KiB from a site system on 64 connections.
    const GOOD: &str = "\
starting benchmark...
spawning thread #0: 64 total client(s). 20000 total requests
Application protocol: http/1.1
progress: 10% done
progress: 100% done

finished in 582.09ms, 34359.07 req/s, 42.14MB/s
requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 24.53MB (25720000) total, 3.84MB (4024560) headers (space savings 0.00%), 19.53MB (20480000) data
                     min         max         mean         sd        +/- sd
time for request:       55us      9.48ms       599us      1.03ms    91.77%
time for connect:        0us         0us         0us         0us     0.00%
time to 1st byte:        0us         0us         0us         0us     0.00%
req/s           :    1656.88     1666.89     1661.79        3.71    50.00%
";
    /// A server that says 302 to one of ten and 503 to another.
    const STATUS: &str = "\
finished in 1.09s, 2741.83 req/s, 107.91KB/s
requests: 3000 total, 3000 started, 3000 done, 2700 succeeded, 300 failed, 0 errored, 0 timeout
status codes: 2400 2xx, 300 3xx, 0 4xx, 300 5xx
";
    /// A server that closes connections before and within answers.
    const BROKEN: &str = "\
finished in 1.04s, 25.10 req/s, 1.15KB/s
requests: 3000 total, 34 started, 26 done, 22 succeeded, 2978 failed, 2974 errored, 0 timeout
status codes: 22 2xx, 4 3xx, 0 4xx, 4 5xx
";
    /// A port that is closed.
    const REFUSED: &str = "\
finished in 1.67ms, 0.00 req/s, 0B/s
requests: 100 total, 0 started, 0 done, 0 succeeded, 100 failed, 100 errored, 0 timeout
status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn what_it_says_is_read() {
        for (text, good, failed, seconds) in [
            (GOOD, 20_000, 0, 0.58209),
            (STATUS, 2_400, 600, 1.09),
            (BROKEN, 18, 2_982, 1.04),
            (REFUSED, 0, 100, 0.00167),
        ] {
            let said = read(text).unwrap();
            assert_eq!((said.good, said.failed), (good, failed), "{text}");
            assert!((said.seconds - seconds).abs() < 1e-9, "{said:?}");
        }
    }

    #[test]
    fn what_is_not_as_it_was_is_an_error() {
        for (from, to, word) in [
            ("finished in 582.09ms", "finished after 582.09ms", "no line begins with 'finished in'"),
            ("582.09ms", "soon", "no time"),
            ("0 errored, 0 timeout", "0 errored", "should be the numbers of: total, started"),
            ("0 timeout", "0 timeout, 0 retried", "should be the numbers of"),
            ("20000 succeeded, 0 failed", "0 failed, 20000 succeeded", "should be the numbers of"),
            ("20000 succeeded", "20k succeeded", "should be the numbers of"),
            ("20000 total", "20001 total", "do not fit together"),
            ("0 errored", "1 errored", "do not fit together"),
            ("20000 total, 20000 started, 20000 done, 20000 succ", "0 total, 0 started, 0 done, 0 succ", "do not fit"),
            ("20000 2xx, 0 3xx", "20000 2xx, 20001 3xx", "more redirections"),
            ("status codes:", "statuses:", "no line begins with 'status codes:'"),
            ("traffic:", "requests: 1 total\ntraffic:", "more than one line"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(word), "{from}: {error}");
        }
    }
}
