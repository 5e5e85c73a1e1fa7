//! `rolegate drain`, `undrain`, `maintenance` and `weight`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use super::ask::{self, Where};
use super::say;
use crate::steering::Steered;
use crate::steering::listing::Listing;
use crate::text::count;

/// How often is looked whether a site system is empty.
const LOOK: Duration = Duration::from_millis(500);
/// Who asks, as the environment says.
const USERS: [&str; 3] = ["SUDO_USER", "USER", "LOGNAME"];

/// Of whom it is asked.
#[derive(Args, Debug)]
struct Of {
    /// The site system: its name, or a host name or address of it.
    #[arg(value_name = "SITE SYSTEM")]
    name: String,
    /// Only this role of it.
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    at: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `rolegate drain`
#[derive(Args, Debug)]
pub(super) struct Drain {
    #[command(flatten)]
    of: Of,
    /// Why, for others to read.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Wait until nothing is under way there, but no longer than this.
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, default_missing_value = "1day", value_parser = duration)]
    wait: Option<Duration>,
}

/// `rolegate undrain`
#[derive(Args, Debug)]
pub(super) struct Undrain {
    #[command(flatten)]
    of: Of,
}

/// `rolegate maintenance`
#[derive(Args, Debug)]
pub(super) struct Maintenance {
    #[command(flatten)]
    of: Of,
    /// When it begins: RFC 3339, or so long from now. Without it: now.
    #[arg(long, value_name = "TIME")]
    begin: Option<String>,
    /// When it ends by itself: RFC 3339, or so long from now. Without a time: now, or it is not to be.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "now", conflicts_with = "lasts")]
    end: Option<String>,
    /// How long it lasts, such as 2h.
    #[arg(long = "for", value_name = "DURATION")]
    lasts: Option<String>,
    /// Why, for others to read.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// `rolegate weight`
#[derive(Args, Debug)]
pub(super) struct Weight {
    #[command(flatten)]
    of: Of,
    /// Its share of the traffic: 1 to 1000, or a percentage of the configured one such as 50%.
    #[arg(value_name = "WEIGHT", required_unless_present = "reset")]
    weight: Option<String>,
    /// The configured weight again.
    #[arg(long, conflicts_with = "weight")]
    reset: bool,
    /// Why, for others to read.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration such as 10min; the site system comes before --wait"))
}

pub(super) fn drain(args: &Drain) -> anyhow::Result<ExitCode> {
    change(&args.of, "/drain", &given([("comment", &args.comment)]))?;
    match args.wait {
        Some(patience) => wait(&args.of, patience),
        None => Ok(ExitCode::SUCCESS),
    }
}

pub(super) fn undrain(args: &Undrain) -> anyhow::Result<ExitCode> {
    change(&args.of, "/undrain", &[])
}

pub(super) fn maintenance(args: &Maintenance) -> anyhow::Result<ExitCode> {
    let Maintenance { of, begin, end, lasts, comment } = args;
    change(of, "/maintenance", &given([("begin", begin), ("end", end), ("for", lasts), ("comment", comment)]))
}

pub(super) fn weight(args: &Weight) -> anyhow::Result<ExitCode> {
    let reset = args.reset.then(|| "reset".to_owned());
    change(&args.of, "/weight", &given([("weight", &reset.or(args.weight.clone())), ("comment", &args.comment)]))
}

fn given<const N: usize>(pairs: [(&'static str, &Option<String>); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

/// What names the site system and its role.
fn whom(of: &Of) -> Vec<(&'static str, String)> {
    let mut query = vec![("server", of.name.clone())];
    query.extend(of.role.clone().map(|role| ("role", role)));
    query
}

fn change(of: &Of, path: &str, more: &[(&'static str, String)]) -> anyhow::Result<ExitCode> {
    let mut query = whom(of);
    query.extend_from_slice(more);
    query.extend(USERS.iter().find_map(|name| std::env::var(name).ok()).map(|user| ("by", user)));
    let body = ask::post(&of.at, path, &query)?;
    let steered: Steered = ask::read(&of.at, &body)?;
    if of.json {
        say::out(body)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{}\n", steered.sentence);
    for warning in &steered.warnings {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "warning: {warning}");
    }
    say::out(out)?;
    Ok(ExitCode::SUCCESS)
}

/// Says how much is under way whenever that has changed, until nothing is.
fn wait(of: &Of, patience: Duration) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        let listing: Listing = ask::read(&of.at, &ask::get(&of.at, "/steering", &whom(of))?)?;
        let (in_flight, signed_in) = (listing.in_flight(), listing.signed_in());
        let text = under_way(&of.name, in_flight, signed_in);
        if text != said && !of.json {
            say::out(&text)?;
        }
        if in_flight == 0 && signed_in == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        if begun.elapsed() >= patience {
            bail!("{text}, after {}", humantime::format_duration(patience));
        }
        said = text;
        std::thread::sleep(LOOK.min(patience.saturating_sub(begun.elapsed())));
    }
}

fn under_way(name: &str, in_flight: u32, signed_in: u32) -> String {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    match (in_flight, signed_in) {
        (0, 0) => format!("{name} is empty"),
        (requests, 0) => format!("under way at {name}: {}", count(number(requests), "request")),
        (requests, clients) => format!(
            "under way at {name}: {}, and {} signed in",
            count(number(requests), "request"),
            count(number(clients), "client")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_in_words() {
        for (numbers, expected) in [
            ((0, 0), "dp1 is empty"),
            ((1, 0), "under way at dp1: 1 request"),
            ((0, 2), "under way at dp1: 0 requests, and 2 clients signed in"),
        ] {
            assert_eq!(under_way("dp1", numbers.0, numbers.1), expected);
        }
    }
}
