//! `rolegate status --watch`: a block of lines again and again, with rates between two of them.

use std::collections::HashMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use comfy_table::CellAlignment;
use tokio::runtime::Runtime;

use super::ask::{self, Where};
use super::filter::{Filter, is_unwell};
use super::say::{Channel, Reader};
use super::{say, show};
use crate::status::{EndpointStatus, RoleStatus, Status};

/// Site systems that are shown; filters show others.
const ROWS: usize = 30;
/// Puts the cursor into the corner of an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Counters of an endpoint, a role, or all roles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    requests: f64,
    errors: f64,
    bytes: f64,
}

/// What the metrics said at a time.
#[derive(Debug)]
struct Sample {
    at: Instant,
    roles: HashMap<String, Counts>,
    /// By role, site system and address.
    endpoints: HashMap<[String; 3], Counts>,
}

/// Asks until Ctrl-C, or until the reader of the output has gone.
pub(super) fn watch(at: &Where, filter: &Filter, seconds: u64) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pause = Duration::from_secs(seconds);
    let steps = if Channel::Out.is_terminal() { CLEAR } else { "" };
    let mut before = None;
    let mut shown = false;
    loop {
        // Nothing that is asked holds up the end.
        let (asked, filter) = (at.clone(), filter.clone());
        let look = runtime.spawn_blocking(move || look(&asked, &filter));
        let Some(looked) = until_end(&runtime, look)? else { break };
        let block = match looked? {
            Ok((status, sample)) => {
                let text = render(&status, &sample, before.as_ref());
                before = Some(sample);
                shown = true;
                text
            }
            // It may be started again; a mistake at the first time is one of the command line.
            Err(error) if shown => format!("error: {error:#}\n"),
            Err(error) => return Err(error),
        };
        if say::next(steps, format_args!("{block}\n"))? == Reader::Gone {
            break;
        }
        if until_end(&runtime, async { tokio::time::sleep(pause).await })?.is_none() {
            break;
        }
    }
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// `None`: Ctrl-C came before.
fn until_end<T>(runtime: &Runtime, other: impl Future<Output = T>) -> anyhow::Result<Option<T>> {
    runtime.block_on(async {
        tokio::select! {
            end = tokio::signal::ctrl_c() => end.map(|()| None).map_err(Into::into),
            done = other => Ok(Some(done)),
        }
    })
}

fn look(at: &Where, filter: &Filter) -> anyhow::Result<(Status, Sample)> {
    let status: Status = ask::read(at, &ask::get(at, "/status", &[])?)?;
    let metrics = ask::get(at, "/metrics", &[])?;
    let sample = Sample::read(&metrics, Instant::now());
    Ok((filter.apply(status)?, sample))
}

impl Sample {
    /// Reads what rates are made of from the text of the metrics.
    fn read(metrics: &str, at: Instant) -> Self {
        let mut sample = Self { at, roles: HashMap::new(), endpoints: HashMap::new() };
        for line in metrics.lines().filter(|line| line.starts_with("rolegate_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Some((name, labels)) = series.split_once('{') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let label = |wanted: &str| label(labels, wanted).unwrap_or_default();
            let is_error = || label("code") == "5xx";
            match name {
                "rolegate_requests_total" => {
                    let counts = sample.roles.entry(label("role")).or_default();
                    counts.requests += value;
                    counts.errors += if is_error() { value } else { 0.0 };
                }
                "rolegate_response_bytes_total" => sample.roles.entry(label("role")).or_default().bytes += value,
                "rolegate_endpoint_requests_total" => {
                    let key = [label("role"), label("site_system"), label("endpoint")];
                    let counts = sample.endpoints.entry(key).or_default();
                    counts.requests += value;
                    counts.errors += if is_error() { value } else { 0.0 };
                }
                _ => {}
            }
        }
        sample
    }
}

/// The value of a label; what is escaped in it is written out.
fn label(labels: &str, wanted: &str) -> Option<String> {
    let mut rest = labels;
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, c) => value.push(c),
            }
        };
        if name.trim_start_matches(',').trim() == wanted {
            return Some(value);
        }
        rest = after.get(end..)?;
    }
}

/// How much a counter has grown each second. `None`: there was none before, or it began anew.
fn rate(now: f64, before: Option<f64>, seconds: f64) -> Option<f64> {
    before.filter(|before| seconds > 0.0 && *before <= now).map(|before| (now - before) / seconds)
}

fn number(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate >= 99.95 => format!("{rate:.0}"),
        Some(rate) => format!("{rate:.1}"),
    }
}

fn volume(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| bytesize::ByteSize(rate as u64).to_string())
}

fn render(status: &Status, sample: &Sample, before: Option<&Sample>) -> String {
    let seconds = before.map_or(0.0, |before| sample.at.duration_since(before.at).as_secs_f64());
    let mut out = String::new();
    // Writing to a String cannot fail.
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    let (site, version) = (&status.site, status.snapshot);
    let _ = writeln!(out, "site {site}   {now}   snapshot {version} (configuration {})", status.generation);
    if !status.reload.accepted {
        let _ = writeln!(out, "THE LAST RELOAD WAS REJECTED: `rolegate status` says why");
    }
    let mut roles = show::table(&["ROLE", "WELL", "REQUESTS/S", "5XX/S", "SENT/S"]);
    for role in &status.roles {
        roles.add_row(role_row(role, sample, before, seconds));
    }
    right(&mut roles, 1..=4);
    let _ = writeln!(out, "\n{roles}");
    let mut rows: Vec<(&RoleStatus, &EndpointStatus)> =
        status.roles.iter().flat_map(|role| role.endpoints.iter().map(move |endpoint| (role, endpoint))).collect();
    // Those that need somebody first.
    rows.sort_by_key(|(_, endpoint)| !is_unwell(endpoint));
    let header = ["ROLE", "SITE SYSTEM", "ADDRESS", "HEALTH", "FOR", "IN FLIGHT", "REQUESTS/S", "5XX/S"];
    let mut table = show::table(&header);
    for (role, endpoint) in rows.iter().take(ROWS) {
        table.add_row(endpoint_row(role, endpoint, sample, before, seconds));
    }
    right(&mut table, 5..=7);
    show::keep_whole(&mut table, 2, rows.iter().take(ROWS).map(|(_, endpoint)| &endpoint.address));
    let _ = writeln!(out, "\n{table}");
    if rows.len() > ROWS {
        let _ = writeln!(out, "and {} more: filters show them", rows.len() - ROWS);
    }
    out
}

fn right(table: &mut comfy_table::Table, columns: std::ops::RangeInclusive<usize>) {
    for place in columns {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn role_row(role: &RoleStatus, sample: &Sample, before: Option<&Sample>, seconds: f64) -> [String; 5] {
    let now = sample.roles.get(&role.name).copied().unwrap_or_default();
    let then = before.map(|before| before.roles.get(&role.name).copied().unwrap_or_default());
    let of = |pick: fn(Counts) -> f64| rate(pick(now), then.map(pick), seconds);
    let well = role.endpoints.iter().filter(|endpoint| !is_unwell(endpoint)).count();
    let site = role.site.as_ref().map(|site| format!(" @{site}")).unwrap_or_default();
    [
        format!("{}{site}{}", role.title, if role.panic { " (panic)" } else { "" }),
        format!("{well}/{}", role.endpoints.len()),
        number(of(|counts| counts.requests)),
        number(of(|counts| counts.errors)),
        volume(of(|counts| counts.bytes)),
    ]
}

fn endpoint_row(
    role: &RoleStatus,
    endpoint: &EndpointStatus,
    sample: &Sample,
    before: Option<&Sample>,
    seconds: f64,
) -> [String; 8] {
    let key = [role.name.clone(), endpoint.site_system.clone(), endpoint.address.clone()];
    let now = sample.endpoints.get(&key).copied().unwrap_or_default();
    let then = before.map(|before| before.endpoints.get(&key).copied().unwrap_or_default());
    let of = |pick: fn(Counts) -> f64| rate(pick(now), then.map(pick), seconds);
    [
        role.title.clone(),
        endpoint.site_system.clone(),
        endpoint.address.clone(),
        show::health(endpoint),
        endpoint.since.map(show::ago).unwrap_or_default(),
        endpoint.in_flight.to_string(),
        number(of(|counts| counts.requests)),
        number(of(|counts| counts.errors)),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE rolegate_requests_total counter
rolegate_requests_total{role=\"distribution-point\",code=\"2xx\"} 100
rolegate_requests_total{role=\"distribution-point\",code=\"5xx\"} 4
rolegate_response_bytes_total{role=\"distribution-point\"} 4096
rolegate_endpoint_requests_total{role=\"distribution-point\",site_system=\"d\\\"p,1=\",endpoint=\"[::1]:80\",code=\"2xx\"} 7
rolegate_endpoint_requests_total{role=\"distribution-point\",site_system=\"d\\\"p,1=\",endpoint=\"[::1]:80\",code=\"5xx\"} 1
rolegate_snapshot_version 3
";

    #[test]
    fn counters_become_rates() {
        let at = Instant::now();
        let sample = Sample::read(METRICS, at);
        let role = "distribution-point".to_owned();
        assert_eq!(sample.roles[&role], Counts { requests: 104.0, errors: 4.0, bytes: 4096.0 });
        let key = [role, "d\"p,1=".to_owned(), "[::1]:80".to_owned()];
        assert_eq!(sample.endpoints[&key], Counts { requests: 8.0, errors: 1.0, bytes: 0.0 });
        assert_eq!(rate(8.0, Some(2.0), 2.0), Some(3.0));
        assert_eq!((rate(8.0, None, 2.0), rate(1.0, Some(2.0), 2.0), rate(8.0, Some(2.0), 0.0)), (None, None, None));
        let numbers = [number(None), number(Some(0.24)), number(Some(1234.5))];
        assert_eq!(numbers, ["-", "0.2", "1234"]);
    }

    #[test]
    fn a_block_has_the_ill_first() {
        let endpoint = |name: &str, health: &str| EndpointStatus {
            site_system: name.to_owned(),
            address: "[::1]:80".to_owned(),
            health: health.to_owned(),
            available: health == "up",
            ..EndpointStatus::default()
        };
        let role = RoleStatus {
            name: "distribution-point".to_owned(),
            title: "Distribution point".to_owned(),
            endpoints: vec![endpoint("d\"p,1=", "up"), endpoint("dp2", "down")],
            ..RoleStatus::default()
        };
        let status = Status { roles: vec![role], ..Status::default() };
        let then = Instant::now();
        let sample = Sample::read(METRICS, then + Duration::from_secs(2));
        let before = Sample { at: then, roles: HashMap::new(), endpoints: HashMap::new() };
        let text = render(&status, &sample, Some(&before));
        let words = |of: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.contains(of)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("1/2")[2..], ["1/2", "52.0", "2.0", "2.0", "KiB"]);
        assert_eq!(words("d\"p,1=").last().unwrap(), "0.5");
        assert!(text.find("dp2").unwrap() < text.find("d\"p,1=").unwrap(), "{text}");
    }
}
