//! `wrk`: closed loops without TLS on connections that are kept.

use std::process::Command;

use super::super::measure::Load;
use super::super::targets::HOST;
use super::{Said, seconds};

pub(super) fn arguments(command: &mut Command, load: &Load, connections: usize, seconds: u64) {
    let threads = load.threads.min(connections).max(1);
    command.args([format!("-t{threads}"), format!("-c{connections}"), format!("-d{seconds}s")]);
    command.arg(format!("http://{}{}", load.to, load.target)).args(["-H", &format!("Host: {HOST}")]);
}

/// Reads `12345 requests in 1.10s, 15.04MB read` and the lines about failures, which are there only if there were some.
pub(super) fn read(said: &str) -> Result<Said, String> {
    let line = said.lines().find_map(|line| line.trim().split_once(" requests in "));
    let (requests, rest) = line.ok_or("no line has ' requests in '")?;
    let requests: u64 = requests.parse().map_err(|_| format!("'{requests}' is no number of requests"))?;
    let time = rest.split(',').next().unwrap_or_default();
    let seconds = seconds(time).ok_or_else(|| format!("'{time}' is no time"))?;
    let errors = said.lines().find_map(|line| line.trim().strip_prefix("Socket errors:"));
    let [connect, read, write, timeout] = errors.map_or(Ok([0; 4]), socket_errors)?;
    let bad = said.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:")).map(str::trim);
    let bad = bad.map_or(Ok(0), |bad| bad.parse::<u64>().map_err(|_| format!("'{bad}' is no number of answers")))?;
    // Those that were answered badly or too late are among the requests; those that were not answered are not.
    let failed = connect + read + write + timeout + bad;
    Ok(Said { good: requests.saturating_sub(bad + timeout), failed, seconds })
}

/// Reads ` connect 1, read 20, write 0, timeout 300`.
fn socket_errors(text: &str) -> Result<[u64; 4], String> {
    let parts: Vec<_> = text.split(',').map(|part| part.trim().split_once(' ')).collect();
    let mut numbers = [0; 4];
    let names = ["connect", "read", "write", "timeout"];
    let all = parts.len() == names.len();
    for ((part, name), number) in parts.into_iter().zip(names).zip(&mut numbers) {
        let value = part.filter(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok());
        *number = value.ok_or_else(|| format!("there is no number of '{name}' in '{}'", text.trim()))?;
    }
    if all { Ok(numbers) } else { Err(format!("'{}' are not the four kinds of errors", text.trim())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
                        12345 requests in 1.10s, 15.04MB read\nRequests/sec:  11222.72\n";
    const BAD: &str = "  5000 requests in 1.50m, 1MB read\n  Socket errors: connect 1, read 20, write 0, timeout 300\n  \
                       Non-2xx or 3xx responses: 4000\n";

    #[test]
    fn what_it_says_is_read() {
        assert_eq!(read(GOOD), Ok(Said { good: 12_345, failed: 0, seconds: 1.1 }));
        assert_eq!(read(BAD), Ok(Said { good: 700, failed: 4_321, seconds: 90.0 }));
    }

    #[test]
    fn what_is_not_as_it_was_is_an_error() {
        for (text, word) in [
            ("unable to connect to 127.0.0.1:1 Connection refused".to_owned(), "requests in"),
            (GOOD.replace("12345", "many"), "'many'"),
            (GOOD.replace("1.10s", "1.10 fortnights"), "no time"),
            (BAD.replace("read 20", "reads 20"), "'read'"),
            (BAD.replace(", timeout 300", ""), "four kinds"),
            (BAD.replace("timeout 300", "timeout 300, tls 1"), "four kinds"),
            (BAD.replace("4000", "4k"), "'4k'"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
