//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Below this the probes of the proxy are too slow to see what happens.
const SHORTEST: Duration = Duration::from_secs(4);

/// Starts a small Configuration Manager site on this machine's loopback, a rolegate in front of it, and clients.
/// Servers die, come back and lose their database, and the routing table is swapped, while the clients go on working.
/// The run ends with what they saw. The promise: no request that may be retried fails; exit code 1 if one did.
#[derive(Clone, Debug, Parser)]
#[command(name = "lab", version, verbatim_doc_comment)]
pub struct Options {
    /// How long the story takes, for example 20s or 5min
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub duration: Duration,

    /// Stay up afterwards, for requests of your own; Ctrl-C ends it
    #[arg(long)]
    pub keep: bool,

    /// Write the configuration of the proxy to this file
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,

    /// Clients, spread over three boundary groups; one of them is in none
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(4..=2000))]
    pub clients: u16,

    /// Data threads of the proxy
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,

    /// Where the proxy listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Where the proxy tells how it is (/status, /metrics); on loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,

    /// What the clients do follows from this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|_| "write a time such as 20s or 5min".to_owned())?;
    if duration < SHORTEST {
        return Err(format!("the story needs at least {}", humantime::format_duration(SHORTEST)));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_or_refused_with_a_hint() {
        assert_eq!(duration("5min"), Ok(Duration::from_secs(300)));
        assert!(duration("soon").is_err_and(|error| error.contains("20s")));
        assert!(duration("1s").is_err_and(|error| error.contains("4s")));
    }
}
