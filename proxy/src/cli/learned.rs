//! `rolegate clocks`, `content` and `affinity`: what is known, and forgetting it.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ask::{self, Where};
use super::{say, show};
use crate::admin::Changed;
use crate::learned::clocks::{ClockStatus, Clocks};
use crate::learned::content::{Audit, Listed, Loss, RoleContent};
use crate::text::{at_speed, count, span};

/// Contents that are listed as text; `--json` has more.
const LINES: usize = 20;

/// `rolegate clocks`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ClocksArgs {
    #[command(subcommand)]
    command: Option<ClocksCommand>,
    #[command(flatten)]
    at: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ClocksCommand {
    /// End clocks: their clients begin at their own servers again. Without a filter, all of them.
    Reset {
        /// Only clocks of this role.
        #[arg(long)]
        role: Option<String>,
        /// Only clocks of clients in this boundary group.
        #[arg(long)]
        group: Option<String>,
        /// Only clocks for this content.
        #[arg(long, value_name = "ID")]
        content: Option<String>,
        #[command(flatten)]
        at: Where,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `rolegate content`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ContentArgs {
    #[command(subcommand)]
    command: Option<ContentCommand>,
    /// What would be lost to whom without this site system.
    #[arg(long, value_name = "SITE SYSTEM")]
    if_lost: Option<String>,
    #[command(flatten)]
    at: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ContentCommand {
    /// Forget what is known of contents: servers are asked again.
    Forget {
        /// Only this content.
        #[arg(long, value_name = "ID", required_unless_present_any = ["server", "all"])]
        content: Option<String>,
        /// Only at this site system.
        #[arg(long, value_name = "SITE SYSTEM")]
        server: Option<String>,
        /// Everything.
        #[arg(long, conflicts_with_all = ["content", "server"])]
        all: bool,
        #[command(flatten)]
        at: Where,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `rolegate affinity`
#[derive(Args, Debug)]
pub(super) struct AffinityArgs {
    #[command(subcommand)]
    command: AffinityCommand,
}

#[derive(Debug, Subcommand)]
enum AffinityCommand {
    /// Forget who stays at a site system: its clients are distributed anew.
    Forget {
        /// The site system.
        #[arg(long, value_name = "SITE SYSTEM")]
        server: String,
        #[command(flatten)]
        at: Where,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn clocks(args: &ClocksArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => show(&args.at, "/clocks", &[], args.json, render_clocks),
        Some(ClocksCommand::Reset { role, group, content, at, json }) => {
            change(at, "/clocks/reset", &given([("role", role), ("group", group), ("content", content)]), *json)
        }
    }
}

pub(super) fn content(args: &ContentArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => show(&args.at, "/content", &given([("server", &args.if_lost)]), args.json, render_audit),
        Some(ContentCommand::Forget { content, server, all, at, json }) => {
            let mut query = given([("content", content), ("server", server)]);
            query.extend(all.then(|| ("all", "true".to_owned())));
            change(at, "/content/forget", &query, *json)
        }
    }
}

pub(super) fn affinity(args: &AffinityArgs) -> anyhow::Result<ExitCode> {
    let AffinityCommand::Forget { server, at, json } = &args.command;
    change(at, "/affinity/forget", &[("server", server.clone())], *json)
}

fn given<const N: usize>(pairs: [(&'static str, &Option<String>); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

fn show<T: DeserializeOwned + Serialize>(
    at: &Where,
    path: &str,
    query: &[(&str, String)],
    json: bool,
    render: fn(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let body = ask::get(at, path, query)?;
    let answer: T = ask::read(at, &body)?;
    if json { say::json(body) } else { say::out(render(&answer)) }?;
    Ok(ExitCode::SUCCESS)
}

fn change(at: &Where, path: &str, query: &[(&str, String)], json: bool) -> anyhow::Result<ExitCode> {
    let body = ask::post(at, path, query)?;
    let changed: Changed = ask::read(at, &body)?;
    if json { say::json(body) } else { say::out(changed.sentence) }?;
    Ok(ExitCode::SUCCESS)
}

fn render_clocks(clocks: &Clocks) -> String {
    let mut out = format!("{}{}\n", count(clocks.running, "fallback clock"), at_speed(clocks.speedup));
    // Writing to a String cannot fail.
    if !clocks.clocks.is_empty() {
        let mut table = show::table(&["ROLE", "BOUNDARY GROUPS", "CONTENT", "STARTED", "CLOCK", "NEXT TIER"]);
        for clock in &clocks.clocks {
            table.add_row(clock_row(clock));
        }
        let _ = writeln!(out, "\n{table}");
    }
    let left_out = clocks.running.saturating_sub(clocks.clocks.len() + clocks.unnamed);
    if left_out > 0 {
        let _ = writeln!(out, "\nand {left_out} more");
    }
    if clocks.unnamed > 0 {
        let _ = writeln!(out, "\n{} of them run without a name: what they are about is not known", clocks.unnamed);
    }
    out
}

fn clock_row(clock: &ClockStatus) -> [String; 6] {
    let groups = match clock.boundary_groups.as_slice() {
        [] => "(no boundary group)".to_owned(),
        groups => groups.join(", "),
    };
    let next = match &clock.next {
        Some(next) => format!("{} at {} min, in {}", next.kind.replace('_', " "), next.minutes, span(next.opens_in)),
        None => "all are open".to_owned(),
    };
    [
        clock.site.as_ref().map_or_else(|| clock.role.clone(), |site| format!("{}@{site}", clock.role)),
        groups,
        clock.content.clone().unwrap_or_default(),
        format!("{} ago", span(clock.started_ago)),
        format!("{:.1} min", clock.minutes),
        next,
    ]
}

fn render_audit(audit: &Audit) -> String {
    if audit.roles.is_empty() {
        return "no role here has content\n".to_owned();
    }
    audit.roles.iter().map(render_role).collect::<Vec<_>>().join("\n")
}

fn render_role(role: &RoleContent) -> String {
    let mut out = format!("{}: {} known\n", role.title, count(role.contents.total, "content"));
    let mut servers = show::table(&["SITE SYSTEM", "HAS", "LACKS", "NOT KNOWN", "THE ONLY ONE THAT HAS"]);
    for server in &role.servers {
        let numbers = [server.has, server.lacks, server.unknown, server.alone].map(|number| number.to_string());
        servers.add_row([vec![server.site_system.clone()], numbers.to_vec()].concat());
    }
    let _ = writeln!(out, "\n{servers}");
    if let Some(loss) = &role.if_lost {
        out.push_str(&render_loss(loss));
        return out;
    }
    if role.contents.total > 0 {
        let mut table = show::table(&["CONTENT", "HAS IT", "LACKS IT", "NOT KNOWN", "LAST HEARD OF"]);
        for content in role.contents.first.iter().take(LINES) {
            table.add_row([
                content.id.clone(),
                few(&content.has),
                few(&content.lacks),
                content.unknown.to_string(),
                format!("{} ago", span(content.heard_ago)),
            ]);
        }
        let _ = writeln!(out, "\n{table}");
        more(&mut out, role.contents.total, LINES.min(role.contents.first.len()));
    }
    if role.single.total > 0 {
        let _ = writeln!(out, "\nKnown on one site system only: {}", count(role.single.total, "content"));
        for (id, system) in role.single.first.iter().take(LINES) {
            let _ = writeln!(out, "  {id}  {system}");
        }
        more(&mut out, role.single.total, LINES.min(role.single.first.len()));
    }
    out
}

fn render_loss(loss: &Loss) -> String {
    let mut out = format!("\nWithout {}, ", loss.site_system);
    if loss.groups.total == 0 {
        out.push_str("nothing that is known would be lost to anybody.\n");
        return out;
    }
    out.push_str("as far as is known, these clients would have lost:\n");
    for group in &loss.groups.first {
        let name = group.boundary_group.as_deref().unwrap_or("(no boundary group)");
        let _ = writeln!(out, "  {name}: {}", count(group.contents.total, "content"));
        let Listed { total, first } = &group.contents;
        let shown: Vec<&str> = first.iter().take(LINES).map(String::as_str).collect();
        let rest = if shown.len() < *total { format!(" and {} more", total - shown.len()) } else { String::new() };
        let _ = writeln!(out, "    {}{rest}", shown.join(" "));
    }
    more(&mut out, loss.groups.total, loss.groups.first.len());
    out
}

/// The beginning of a list of site systems.
fn few(systems: &[String]) -> String {
    const FEW: usize = 4;
    let shown = systems.iter().take(FEW).cloned().collect::<Vec<_>>().join(", ");
    if systems.len() > FEW { format!("{shown} and {} more", systems.len() - FEW) } else { shown }
}

fn more(out: &mut String, total: usize, shown: usize) {
    if total > shown {
        let _ = writeln!(out, "  and {} more; --json lists the first hundred", total - shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learned::clocks::NextTier;
    use crate::learned::content::{ContentStatus, GroupLoss, ServerContent};

    /// A table ends its lines with spaces.
    fn trimmed(text: &str) -> String {
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn clocks_as_text() {
        let next = NextTier { kind: "neighbor".to_owned(), minutes: 30, opens_in: 25.0 };
        let clock = ClockStatus {
            role: "distribution-point".to_owned(),
            site: None,
            boundary_groups: vec!["HQ".to_owned(), "Floor2".to_owned()],
            content: Some("ABC00012".to_owned()),
            started_ago: 5.0,
            minutes: 5.0,
            open: Vec::new(),
            next: Some(next),
        };
        let nowhere =
            ClockStatus { boundary_groups: Vec::new(), content: None, next: None, started_ago: 90.0, ..clock.clone() };
        let clocks = Clocks { speedup: 60, running: 4, unnamed: 2, clocks: vec![clock, nowhere] };
        let expected = "\
4 fallback clocks (60 times as fast as real time)

 ROLE                BOUNDARY GROUPS      CONTENT   STARTED     CLOCK    NEXT TIER
 distribution-point  HQ, Floor2           ABC00012  5s ago      5.0 min  neighbor at 30 min, in 25s
 distribution-point  (no boundary group)            1m 30s ago  5.0 min  all are open

2 of them run without a name: what they are about is not known";
        assert_eq!(trimmed(&render_clocks(&clocks)), expected);
        assert_eq!(render_clocks(&Clocks { speedup: 1, ..Clocks::default() }), "0 fallback clocks\n");
    }

    #[test]
    fn an_audit_as_text() {
        let systems = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let server = |name: &str, has| ServerContent { site_system: name.to_owned(), has, ..ServerContent::default() };
        let content = ContentStatus {
            id: "ABC00012".to_owned(),
            has: systems(&["dp1", "dp2", "dp3", "dp4", "dp5", "dp6"]),
            lacks: systems(&["dp7"]),
            unknown: 3,
            heard_ago: 60.0,
        };
        let mut role = RoleContent {
            title: "Distribution point".to_owned(),
            servers: vec![server("dp1", 2), server("dp2", 1)],
            contents: Listed { total: 2, first: vec![content] },
            single: Listed { total: 1, first: vec![("ABC00013".to_owned(), "dp1".to_owned())] },
            ..RoleContent::default()
        };
        let servers = "\
Distribution point: 2 contents known

 SITE SYSTEM  HAS  LACKS  NOT KNOWN  THE ONLY ONE THAT HAS
 dp1          2    0      0          0
 dp2          1    0      0          0
";
        let expected = format!(
            "{servers}
 CONTENT   HAS IT                         LACKS IT  NOT KNOWN  LAST HEARD OF
 ABC00012  dp1, dp2, dp3, dp4 and 2 more  dp7       3          1m ago
  and 1 more; --json lists the first hundred

Known on one site system only: 1 content
  ABC00013  dp1"
        );
        assert_eq!(trimmed(&render_role(&role)), expected);

        let contents = Listed { total: 3, first: systems(&["ABC00013", "ABC00014"]) };
        let groups = Listed { total: 1, first: vec![GroupLoss { boundary_group: None, contents }] };
        role.if_lost = Some(Loss { site_system: "dp1".to_owned(), groups });
        let expected = format!(
            "{servers}
Without dp1, as far as is known, these clients would have lost:
  (no boundary group): 3 contents
    ABC00013 ABC00014 and 1 more"
        );
        assert_eq!(trimmed(&render_role(&role)), expected);
        role.if_lost = Some(Loss { site_system: "dp1".to_owned(), groups: Listed::default() });
        let expected = format!("{servers}\nWithout dp1, nothing that is known would be lost to anybody.");
        assert_eq!(trimmed(&render_role(&role)), expected);
    }
}
