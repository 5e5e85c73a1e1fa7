//! An explanation for a person.

use std::fmt::Write;

use super::say;
use super::show::ago;
use crate::explain::{
    AnswerFacts, Assumed, ContentFacts, Explanation, KnownContent, PickFacts, ServerFacts, TierFacts,
};
use crate::text::{span, wrapped};

/// Servers in no tier that are listed; `--json` has all.
const OTHERS: usize = 10;
/// Width of the names of facts.
const NAMES: usize = 17;
/// Where a line of a sentence ends, unless the output is narrower.
const WIDTH: usize = 100;
/// Columns that a remark behind a server needs; where there are fewer it comes below.
const REMARK: usize = 20;
/// Spaces before a remark below its server.
const BELOW: usize = 8;

/// The explanation as text.
pub(super) fn render(told: &Explanation) -> String {
    render_in(width(), told)
}

fn width() -> usize {
    say::width().map_or(WIDTH, |width| usize::from(width).min(WIDTH))
}

fn render_in(width: usize, told: &Explanation) -> String {
    let mut out = Page { text: String::new(), width };
    // Writing to a String cannot fail.
    let request = &told.request;
    let line = [request.method.as_str(), request.target.as_str()].join(" ");
    let line = if line == " " { "a connection" } else { &line };
    let _ = writeln!(out.text, "{line}");
    out.fact("client", &request.client);
    let host = request.host.as_ref().map(|host| format!(", host {host}")).unwrap_or_default();
    out.fact("listener", &format!("{}{host}, snapshot {}", request.listener, told.snapshot));
    for (name, value) in &request.fields {
        out.fact("field", &format!("{name}: {value}"));
    }
    facts(&mut out, told);
    if !told.tiers.is_empty() || !told.others.is_empty() {
        let _ = write!(out.text, "\n{}", servers(told, width));
    }
    if told.others.len() > OTHERS {
        let _ = writeln!(out.text, "    and {} more; --json lists them", told.others.len() - OTHERS);
    }
    out.text.push('\n');
    if let Some(pick) = &told.pick {
        out.picked(pick);
    }
    for answer in told.refusal.iter().chain(&told.nobody) {
        out.answered(answer);
    }
    if let Some(why_not) = &told.why_not {
        let _ = writeln!(out.text, "\n{}", wrapped(&why_not.sentence, width).join("\n"));
    }
    if let Some(note) = &told.assumed {
        let _ = write!(out.text, "\n{}", assumed_in(width, note));
    }
    out.text
}

fn facts(out: &mut Page, told: &Explanation) {
    if let Some(site) = &told.site {
        let primary =
            site.primary.as_ref().map(|primary| format!(" (secondary site of {primary})")).unwrap_or_default();
        out.fact("site", &format!("{}{primary}: {}", site.code, site.why));
    }
    if let Some(role) = &told.role {
        let prefix = role.prefix.as_ref().map(|prefix| format!(", by the path {prefix}")).unwrap_or_default();
        let host = role.host.as_ref().map(|host| format!(" and the host {host}")).unwrap_or_default();
        let panic = if role.panic { " (panic: nobody is well)" } else { "" };
        out.fact("role", &format!("{}{prefix}{host}{panic}{}", role.title, described(role.description.as_deref())));
    }
    for (place, group) in told.boundary_groups.iter().enumerate() {
        let name = if place == 0 { "boundary groups" } else { "" };
        let about = described(group.description.as_deref());
        out.fact(name, &format!("{}, by {}{about}", group.name, group.boundaries.join(", ")));
    }
    if let Some(why) = &told.no_boundary_group {
        out.fact("boundary groups", why);
    }
    if let Some(subnet) = &told.subnet {
        out.fact("own subnet", subnet);
    }
    if let Some(content) = &told.content {
        out.fact("content", &format!("{}, {}", content.id, part(content)));
    }
    if let Some(clock) = &told.clock {
        out.fact("fallback clock", &clock.sentence);
    }
    if let Some(named) = &told.named {
        out.fact("named", named);
    }
    if let Some(stays) = &told.stays {
        out.fact("stays", stays);
    }
}

/// What people have written about something.
fn described(description: Option<&str>) -> String {
    description.map(|text| format!(": {text}")).unwrap_or_default()
}

fn part(content: &ContentFacts) -> &'static str {
    match content.part.as_str() {
        "folder" => "its folder",
        "filtered" => "a file in it that IIS hides by default",
        "signature" => "its signature",
        _ => "a file in it",
    }
}

/// A text whose lines are not too long.
struct Page {
    text: String,
    width: usize,
}

impl Page {
    /// A name and what is behind it.
    fn fact(&mut self, name: &str, value: &str) {
        let mut name = name;
        for line in wrapped(value, self.width - NAMES - 2) {
            let _ = writeln!(self.text, "  {name:NAMES$}{line}");
            name = "";
        }
    }

    fn picked(&mut self, pick: &PickFacts) {
        let (system, address, tier) = (&pick.site_system, &pick.address, pick.tier.replace('_', " "));
        self.conclude("PICKED", &[format!("{system} at {address}, tier {tier}"), pick.sentence.clone()]);
    }

    fn answered(&mut self, answer: &AnswerFacts) {
        let status = answer.status.map_or("the connection is closed".to_owned(), |status| status.to_string());
        let mut sentences = vec![format!("{status} {}: {}", answer.reason, answer.details), answer.sentence.clone()];
        sentences.extend(answer.retry_after.map(|(from, to)| {
            let range = if from == to { span(from as f64) } else { format!("{from} to {to} s") };
            format!("the client is told to come back after {range} (Retry-After)")
        }));
        self.conclude("NOBODY", &sentences);
    }

    /// A word, and sentences behind it.
    fn conclude(&mut self, word: &str, sentences: &[String]) {
        let mut word = word;
        for line in sentences.iter().flat_map(|sentence| wrapped(sentence, self.width - 8)) {
            let _ = writeln!(self.text, "{word:8}{line}");
            word = "";
        }
    }
}

/// One line of the list of servers.
enum Line {
    Heading(String),
    Server { cells: Vec<String>, remark: String },
}

fn servers(told: &Explanation, width: usize) -> String {
    let with_content = told.servers().any(|server| server.content.is_some());
    let mut header = ["SERVER", "ADDRESS", "HEALTH", "WEIGHT", "IN FLIGHT"].map(str::to_owned).to_vec();
    header.extend(with_content.then(|| "CONTENT".to_owned()));
    let mut lines = vec![Line::Server { cells: header, remark: String::new() }];
    let running = told.clock.as_ref().is_some_and(|clock| clock.minutes.is_some());
    for tier in &told.tiers {
        lines.push(Line::Heading(tier_name(tier, running)));
        lines.extend(tier.servers.iter().map(|server| {
            let picked = told
                .pick
                .as_ref()
                .is_some_and(|pick| pick.address == server.address && pick.site_system == server.site_system);
            let remark = if picked { "<- picked".to_owned() } else { remark(tier, server) };
            Line::Server { cells: cells(server), remark }
        }));
    }
    if !told.others.is_empty() {
        lines.push(Line::Heading("in no tier of this client".to_owned()));
    }
    lines.extend(told.others.iter().take(OTHERS).map(|server| {
        let remark = match server.boundary_groups.as_slice() {
            [] => "no boundary group names it".to_owned(),
            groups => format!("only for {}", groups.join(", ")),
        };
        Line::Server { cells: cells(server), remark }
    }));
    aligned(&lines, width)
}

/// Columns of equal width, and remarks behind them in as many lines as they need.
fn aligned(lines: &[Line], width: usize) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        let Line::Server { cells, .. } = line else { continue };
        widths.resize(widths.len().max(cells.len()), 0);
        cells.iter().zip(&mut widths).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let used: usize = widths.iter().map(|width| width + 2).sum::<usize>() + 4;
    let room = width.saturating_sub(used);
    let mut out = String::new();
    for line in lines {
        match line {
            Line::Heading(heading) => {
                let _ = writeln!(out, "  {heading}");
            }
            Line::Server { cells, remark } => {
                let mut text = "    ".to_owned();
                for (cell, width) in cells.iter().zip(&widths) {
                    let _ = write!(text, "{cell:width$}  ");
                }
                let below = room < REMARK;
                if below {
                    let _ = writeln!(out, "{}", text.trim_end());
                    text = " ".repeat(BELOW);
                }
                let remarks = if below { wrapped(remark, width - BELOW) } else { wrapped(remark, room) };
                for remark in remarks.iter().filter(|remark| !(below && remark.is_empty())) {
                    text.push_str(remark);
                    let _ = writeln!(out, "{}", text.trim_end());
                    text = " ".repeat(if below { BELOW } else { used });
                }
            }
        }
    }
    out
}

fn cells(server: &ServerFacts) -> Vec<String> {
    let since = server.since.map(|since| format!(" {}", ago(since))).unwrap_or_default();
    let ejected = if server.ejected { ", ejected" } else { "" };
    let mut cells = vec![
        server.site_system.clone(),
        server.address.clone(),
        format!("{}{since}{ejected}", server.health),
        server.weight.to_string(),
        server.in_flight.to_string(),
    ];
    cells.extend(server.content.as_ref().map(known));
    cells
}

/// Kind, boundary groups, and when it opens.
fn tier_name(tier: &TierFacts, running: bool) -> String {
    let mut groups: Vec<&str> =
        tier.servers.iter().flat_map(|server| &server.boundary_groups).map(String::as_str).collect();
    groups.sort_unstable();
    groups.dedup();
    let of = if groups.is_empty() { String::new() } else { format!(" ({})", groups.join(", ")) };
    let kind = tier.kind.replace('_', " ");
    let minutes = tier.minutes;
    match tier.opens_in.map(span) {
        None if minutes == 0 => format!("{kind}{of}"),
        None => format!("{kind}{of}: open since {minutes} min of the clock"),
        Some(left) if running => format!("{kind}{of}: opens at {minutes} min of the clock, in {left}"),
        Some(left) => format!("{kind}{of}: opens at {minutes} min of the clock, {left} after it has started"),
    }
}

fn known(content: &KnownContent) -> String {
    let ago = content.ago.map(span).unwrap_or_default();
    match content.verdict.as_str() {
        "has" => format!("has it, {ago} ago"),
        "lacks" => format!("lacks it, {ago} ago"),
        "lacks-file" => format!("lacks the file, {ago} ago"),
        _ => "not known".to_owned(),
    }
}

/// Why a server cannot be picked, where the other columns do not say it.
fn remark(tier: &TierFacts, server: &ServerFacts) -> String {
    let lacks = server.content.as_ref().is_some_and(|content| content.verdict.starts_with("lacks"));
    let said_by_columns = lacks || server.ejected || server.health == "down";
    match &server.why_not {
        Some(why) if !said_by_columns => why.clone(),
        Some(_) => "cannot serve".to_owned(),
        None if tier.open && server.same_subnet => "can serve, same subnet".to_owned(),
        None if tier.open => "can serve".to_owned(),
        None => String::new(),
    }
}

/// What was only assumed.
pub(super) fn assumed(note: &Assumed) -> String {
    assumed_in(width(), note)
}

fn assumed_in(width: usize, note: &Assumed) -> String {
    let mut text = format!("Nobody was asked: {} with every server well and nothing learned yet.", note.file);
    if !note.placeholders.is_empty() {
        text.push_str(
            " Names are not resolved: each has one placeholder address. A hash counts addresses, so the running rolegate \
             may pick another one of the servers that can serve.",
        );
    }
    wrapped(&text, width).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{ClockFacts, GroupFacts, RequestFacts, RoleFacts, SiteFacts};

    fn server(name: &str, health: &str, verdict: &str, why_not: Option<&str>) -> ServerFacts {
        let ago = (verdict != "unknown").then_some(5.0);
        ServerFacts {
            site_system: name.to_owned(),
            address: format!("10.1.1.{}:80", name.len()),
            health: health.to_owned(),
            weight: 100,
            boundary_groups: vec!["HQ".to_owned()],
            content: Some(KnownContent { verdict: verdict.to_owned(), ago, asked_again_in: None }),
            eligible: why_not.is_none(),
            why_not: why_not.map(str::to_owned),
            ..ServerFacts::default()
        }
    }

    fn tier(kind: &str, minutes: u32, servers: Vec<ServerFacts>) -> TierFacts {
        let opens_in = (minutes > 0).then_some(90.0);
        TierFacts { kind: kind.to_owned(), minutes, open: minutes == 0, opens_in, servers }
    }

    fn explanation() -> Explanation {
        let degraded = "degraded, so only used when no open tier has a server that is well";
        let current =
            vec![server("dp1", "down", "lacks", Some("down")), server("dp02", "degraded", "has", Some(degraded))];
        Explanation {
            site: Some(SiteFacts {
                code: "S01".to_owned(),
                primary: Some("P01".to_owned()),
                why: "the request names it".to_owned(),
            }),
            request: RequestFacts {
                client: "10.1.2.3".to_owned(),
                listener: "http".to_owned(),
                method: "GET".to_owned(),
                target: "/SMS_DP_SMSPKG$/ABC00012".to_owned(),
                host: Some("dp".to_owned()),
                fields: Vec::new(),
            },
            snapshot: 7,
            role: Some(RoleFacts { title: "Distribution point".to_owned(), ..RoleFacts::default() }),
            boundary_groups: vec![GroupFacts {
                name: "HQ".to_owned(),
                description: Some("all of Hamburg".to_owned()),
                boundaries: vec!["10.1.0.0-10.1.9.9".to_owned()],
            }],
            content: Some(ContentFacts { id: "ABC00012".to_owned(), part: "folder".to_owned() }),
            clock: Some(ClockFacts { minutes: Some(2.0), sentence: "at 2.0 min".to_owned(), ..ClockFacts::default() }),
            tiers: vec![
                tier("current", 0, current),
                tier("fallback_source", 30, vec![server("dp003", "up", "unknown", None)]),
            ],
            others: vec![server("dp00004", "up", "lacks-file", None); OTHERS + 2],
            ..Explanation::default()
        }
    }

    const FACTS: &str = "\
GET /SMS_DP_SMSPKG$/ABC00012
  client           10.1.2.3
  listener         http, host dp, snapshot 7
  site             S01 (secondary site of P01): the request names it
  role             Distribution point
  boundary groups  HQ, by 10.1.0.0-10.1.9.9: all of Hamburg
  content          ABC00012, its folder
  fallback clock   at 2.0 min

    SERVER   ADDRESS      HEALTH    WEIGHT  IN FLIGHT  CONTENT
  current (HQ)
    dp1      10.1.1.3:80  down      100     0          lacks it, 5s ago        cannot serve
    dp02     10.1.1.4:80  degraded  100     0          has it, 5s ago          degraded, so only
                                                                               used when no open
                                                                               tier has a server
                                                                               that is well
  fallback source (HQ): opens at 30 min of the clock, in 1m 30s
    dp003    10.1.1.5:80  up        100     0          not known
  in no tier of this client
    dp00004  10.1.1.7:80  up        100     0          lacks the file, 5s ago  only for HQ
";

    #[test]
    fn an_explanation_is_aligned_and_not_too_wide() {
        let mut told = explanation();
        told.nobody = Some(AnswerFacts {
            status: Some(503),
            reason: "destination_unavailable".to_owned(),
            details: "no server of this role is well".to_owned(),
            retry_after: Some((30, 59)),
            sentence: "no server of the open tiers is well; the next tier opens in 1m 30s".to_owned(),
        });
        let text = render_in(WIDTH, &told);
        assert!(text.starts_with(FACTS), "{text}");
        let end = "\
    and 2 more; --json lists them

NOBODY  503 destination_unavailable: no server of this role is well
        no server of the open tiers is well; the next tier opens in 1m 30s
        the client is told to come back after 30 to 59 s (Retry-After)
";
        assert!(text.ends_with(end), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn the_clients_own_subnet_is_said_and_who_is_in_it() {
        let mut told = explanation();
        told.subnet = Some("10.1.2.0/24, in which dp1 can be found".to_owned());
        let near = ServerFacts { same_subnet: true, ..server("dp1", "up", "has", None) };
        told.tiers[0].servers = vec![near, server("dp02", "up", "has", None)];
        let text = render_in(WIDTH, &told);
        assert!(text.contains("  own subnet       10.1.2.0/24, in which dp1 can be found\n"), "{text}");
        let remarks = text.lines().filter(|line| line.contains("can serve")).collect::<Vec<_>>();
        assert!(remarks.len() == 2 && remarks[1].ends_with("  can serve"), "{text}");
        assert!(remarks[0].contains("dp1 ") && remarks[0].ends_with("can serve, same subnet"), "{text}");
    }

    #[test]
    fn the_pick_is_marked() {
        let mut told = explanation();
        told.pick = Some(PickFacts {
            site_system: "dp02".to_owned(),
            address: "10.1.1.4:80".to_owned(),
            tier: "current".to_owned(),
            how: "drawn".to_owned(),
            sentence: "it is the only one in its tier that can serve".to_owned(),
        });
        let text = render_in(WIDTH, &told);
        let marked: Vec<&str> = text.lines().filter(|line| line.contains("<- picked")).collect();
        assert!(marked.len() == 1 && marked[0].contains("dp02"), "{text}");
        let end = "PICKED  dp02 at 10.1.1.4:80, tier current\n        it is the only one in its tier that can serve\n";
        assert!(text.ends_with(end), "{text}");
    }
}
