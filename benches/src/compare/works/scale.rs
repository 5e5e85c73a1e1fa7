//! A very large configuration against a small one.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::measure::{self, Load};
use super::super::proxies::Kind;
use super::super::sheet::Line;
use super::super::stage::{Origins, Running, Setup};
use super::super::targets::SMALL;
use super::super::template;
use super::Run;
use super::plain::SOME;

const SYSTEMS: u32 = 10_000;
const BOUNDARIES: u32 = 100_000;
const GROUPS: u32 = 1_000;
/// Until every system was probed for the first time.
const SETTLE: Duration = Duration::from_secs(5);

/// Nobody but the two origins is there to be probed, and so it is done once, in both configurations.
const RARELY: &str = "\n[roles.DP]\nprobe = { interval = \"1h\", fast_interval = \"1h\", down_interval = \"1h\" }\n";

pub(super) async fn scale(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "1 KiB, 64 connections; the same clients and origins; probes of content once an hour.";
    run.sheet.row(Line::lower("scale-small", "CPU per request: 2 endpoints, 2 boundaries", "us").note(note));
    let title = "CPU per request: 10,000 endpoints, 100,000 boundaries in 1,000 groups";
    run.sheet.row(Line::lower("scale-large", title, "us").note(note));
    run.sheet.row(
        Line::lower("scale-ratio", "CPU per request of the large configuration, of the small one", "times")
            .goal("at most 1.05 times"),
    );
    let Some(program) = run.stage.program(Kind::Rolegate) else {
        run.say("scale: only with rolegate");
        return Ok(());
    };
    let origins = Origins::start(run.stage).await?;
    let little = format!("{}{RARELY}", template::ROLEGATE.text(run.stage.options.set));
    let much = format!("{little}{}", many());
    let mut proxies = Vec::new();
    for text in [&little, &much] {
        let setup = Setup { text: Some(text), ..Setup::of(run.stage.options.set) };
        proxies.push(Running::start(run.stage, program, origins.addresses(), setup).await.map_err(anyhow::Error::msg)?);
    }
    tokio::time::sleep(SETTLE).await;
    for round in 0..run.stage.options.rounds {
        let mut cpu = [f64::NAN; 2];
        for at in run.order(2) {
            let (row, proxy) = (["scale-small", "scale-large"][at], &proxies[at]);
            let load = Load { threads: run.threads(), ..Load::closed(proxy.http, SMALL, SOME) };
            let outcome = measure::of_group(&load, run.duration(), proxy.id()).await?;
            cpu[at] = outcome.cpu_us();
            run.sheet.put(row, proxy.name(), round, cpu[at]);
            run.note(&[row], proxy.name(), &outcome);
            let failed = outcome.failed_words();
            run.say(format!(
                "{row:13} round {:2}  {:9} {:8.2} us CPU/request{failed}",
                round + 1,
                proxy.name(),
                cpu[at]
            ));
        }
        run.sheet.put("scale-ratio", proxies[0].name(), round, cpu[1] / cpu[0]);
    }
    Ok(())
}

/// Site systems that nobody asks, and groups of networks that no client is in.
fn many() -> String {
    let mut text = String::with_capacity(4 << 20);
    let system = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 200, 0, 1)) + number);
    for number in 0..SYSTEMS - 2 {
        let address = system(number);
        // A string takes whatever is written.
        let _ = write!(
            text,
            "[[site_systems]]\nname = \"s{number}\"\naddress = \"{address}\"\nroles = [{{ role = \"DP\", port = @one@ }}]\n"
        );
    }
    let (networks, systems) = (BOUNDARIES / GROUPS, SYSTEMS / GROUPS);
    for group in 0..GROUPS {
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + group * networks * 128;
        let boundaries: Vec<_> =
            (0..networks).map(|at| format!("\"{}/25\"", Ipv4Addr::from(first + at * 128))).collect();
        let names: Vec<_> =
            (0..systems).map(|at| format!("\"s{}\"", (group * systems + at).min(SYSTEMS - 3))).collect();
        let mut names = names;
        names.dedup();
        let (boundaries, names) = (boundaries.join(", "), names.join(", "));
        let _ = write!(
            text,
            "[[boundary_groups]]\nname = \"g{group}\"\nboundaries = [{boundaries}]\nsite_systems = [{names}]\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_configuration_is_as_large_as_it_says() {
        let text = many();
        assert_eq!(text.matches("[[site_systems]]").count(), SYSTEMS as usize - 2);
        assert_eq!(text.matches("/25\"").count(), BOUNDARIES as usize);
        assert_eq!(text.matches("[[boundary_groups]]").count(), GROUPS as usize);
        assert!(text.contains("\"10.195.79.128/25\"") && text.len() < 16 << 20);
    }
}
