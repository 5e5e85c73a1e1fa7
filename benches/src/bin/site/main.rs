//! Starts simulated site systems and runs until Ctrl-C.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod secure;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Parser;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::say;
use rolegate_bench::site::{
    Faults, MAX_ANSWER, MAX_POLICIES, MAX_ROUNDS, Names, Role, ScanRounds, SiteSystem, Spec, names,
};
use rolegate_bench::spread::Sizes;
use tokio::signal::unix::{SignalKind, signal};

/// Simulated Configuration Manager site systems.
#[derive(Debug, Parser)]
#[command(version, after_help = faults_help())]
struct Flags {
    /// A site system: NAME=ROLE[+ROLE...]@ADDRESS, for example mp1=MP@127.0.0.1:8101
    #[arg(long = "system", value_name = "SYSTEM")]
    systems: Vec<String>,

    /// What is wrong with one: NAME:FAULT[=VALUE], for example dp1:latency=20ms
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,

    /// Packages on every distribution point: ID:COUNTxSIZE, for example PKG00001:5x10MiB, or NAME*COUNT:SIZES, for example
    /// APP*20:1MiB..64MiB
    #[arg(long = "content", value_name = "PACKAGE")]
    packages: Vec<String>,

    /// How many policies each client is assigned
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_POLICIES)))]
    policies: u32,

    /// How large a policy is, or between which sizes; each doubling is as likely as any other
    #[arg(long, value_name = "SIZES", default_value = "1KiB..64KiB", value_parser = answer_sizes)]
    policy_size: Sizes,

    /// In how many rounds of its first scan a client finds something new
    #[arg(long, value_name = "ROUNDS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ROUNDS)))]
    first_scan: u32,

    /// In how many rounds of later scans
    #[arg(long, value_name = "ROUNDS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ROUNDS)))]
    scan: u32,

    /// How large the answer of such a round is, or between which sizes
    #[arg(long, value_name = "SIZES", default_value = "10KiB..500KiB", value_parser = answer_sizes)]
    scan_size: Sizes,

    /// The site code
    #[arg(long, default_value = "P01")]
    site_code: String,

    /// Worker threads; one thread runs everything without handing work over
    #[arg(long, default_value_t = 1)]
    threads: usize,

    /// Keep the last requests: costs a lock and copies per request
    #[arg(long)]
    record: bool,

    #[command(flatten)]
    secure: secure::Secure,
}

fn answer_sizes(text: &str) -> Result<Sizes, String> {
    Sizes::parse(text, &(1..=MAX_ANSWER))
}

fn faults_help() -> String {
    let lines = Faults::NAMES.iter().map(|(name, form, what)| {
        let flag = format!("{name}={form}");
        format!("  {flag:<26} {what}\n")
    });
    let roles: Vec<_> = Role::NAMES.iter().map(|(name, _)| *name).collect();
    format!("Roles: {}\n\nFaults (off turns each off):\n{}", roles.join(", "), lines.collect::<String>())
}

/// Everything that the flags say, checked.
struct Plan {
    specs: Vec<Spec>,
    faults: Vec<(usize, String, String)>,
}

fn system(text: &str) -> Result<(String, Vec<Role>, SocketAddr), String> {
    let form = "expected NAME=ROLE[+ROLE...]@ADDRESS, for example mp1=MP@127.0.0.1:8101";
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("no '='; {form}"))?;
    let (roles, address) = rest.split_once('@').ok_or_else(|| format!("no '@'; {form}"))?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        return Err(format!("'{name}' cannot be a name; {form}"));
    }
    let roles = roles.split('+').map(str::parse).collect::<Result<Vec<Role>, _>>()?;
    if roles.contains(&Role::ClientNotification) && roles.len() > 1 {
        return Err("BGB has a listener of its own: give it a --system of its own".to_owned());
    }
    let address = address.parse().map_err(|_| format!("'{address}' is not an address such as 127.0.0.1:8101"))?;
    Ok((name.to_owned(), roles, address))
}

fn fault(text: &str, systems: &[String]) -> Result<(usize, String, String), String> {
    let form = "expected NAME:FAULT[=VALUE], for example dp1:latency=20ms";
    let (system, rest) = text.split_once(':').ok_or_else(|| format!("no ':'; {form}"))?;
    let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
    let found = systems.iter().position(|known| known == system);
    let index = found.ok_or_else(|| format!("no --system is called '{system}' (there are: {})", systems.join(", ")))?;
    // A rehearsal on a healthy set of faults, so that a wrong value is told together with all other mistakes.
    Faults::rehearse(name, value)?;
    Ok((index, name.to_owned(), value.to_owned()))
}

impl Flags {
    /// Reads all flags, and says everything that is wrong with them at once.
    fn plan(&self) -> Result<Plan, Vec<String>> {
        let mut wrong = Vec::new();
        let mut note = |flag: &str, text: &str, error: String| wrong.push(format!("{flag} {text}: {error}"));
        let mut systems: Vec<(String, Vec<Role>, SocketAddr)> = Vec::new();
        for text in &self.systems {
            match system(text) {
                Ok((name, ..)) if systems.iter().any(|(known, ..)| *known == name) => {
                    note("--system", text, format!("there is a site system '{name}' already"));
                }
                Ok(system) => systems.push(system),
                Err(error) => note("--system", text, error),
            }
        }
        let known: Vec<_> = systems.iter().map(|(name, ..)| name.clone()).collect();
        let mut faults = Vec::new();
        for text in &self.faults {
            fault(text, &known).map_or_else(|error| note("--fault", text, error), |fault| faults.push(fault));
        }
        let mut packages = Vec::new();
        for text in &self.packages {
            Package::parse_all(text).map_or_else(|error| note("--content", text, error), |all| packages.extend(all));
        }
        if self.systems.is_empty() {
            note("--system", "", "at least one is needed, for example mp1=MP@127.0.0.1:8101".to_owned());
        }
        if !(1..=256).contains(&self.threads) {
            note("--threads", &self.threads.to_string(), "1 to 256".to_owned());
        }
        let specs = self.secure.apply(self.specs(&systems, &Arc::new(Content::new(packages))), &mut wrong);
        if wrong.is_empty() { Ok(Plan { specs, faults }) } else { Err(wrong) }
    }

    fn specs(&self, systems: &[(String, Vec<Role>, SocketAddr)], content: &Arc<Content>) -> Vec<Spec> {
        let holders = |role: Role| -> Names {
            names(systems.iter().filter(|(_, roles, _)| roles.contains(&role)).map(|(name, ..)| name.clone()))
        };
        let (mps, dps) = (holders(Role::ManagementPoint), holders(Role::DistributionPoint));
        let rounds = ScanRounds { first: self.first_scan, again: self.scan };
        let specs = systems.iter().map(|(name, roles, address)| {
            let spec = Spec::new(name).address(*address).site_code(&self.site_code).content(content);
            let spec = spec.policies(self.policies, self.policy_size).scans(rounds, self.scan_size);
            let spec = spec.management_points(&mps).distribution_points(&dps).recording(self.record);
            roles.iter().fold(spec, |spec, role| spec.role(*role))
        });
        specs.collect()
    }
}

async fn run(plan: Plan) -> anyhow::Result<()> {
    let mut running = Vec::new();
    let mut failed = Vec::new();
    for spec in plan.specs {
        let (name, address) = (spec.name().to_owned(), spec.listens_on());
        match SiteSystem::start(spec).await {
            Ok(system) => running.push(system),
            Err(error) => failed.push(format!("{name} cannot listen on {address}: {error}")),
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    for (index, name, value) in plan.faults {
        running[index].faults().set(&name, &value).map_err(anyhow::Error::msg)?;
    }
    // Who has read the addresses may send the signal.
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    for system in &running {
        say::out(format_args!("{} {}", system.name(), system.address()));
    }
    interrupt.recv().await;
    for system in &running {
        let counters = system.counters();
        let (requests, connections) = (counters.requests(), counters.connections());
        say::out(format_args!("{}: {requests} requests, {connections} connections", system.name()));
    }
    Ok(())
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    if threads == 1 {
        return tokio::runtime::Builder::new_current_thread().enable_all().build();
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let plan = match flags.plan() {
        Ok(plan) => plan,
        Err(wrong) => {
            for error in wrong {
                say::err(format_args!("error: {error}"));
            }
            return ExitCode::from(2);
        }
    };
    let ran = runtime(flags.threads).context("starting the runtime").and_then(|runtime| runtime.block_on(run(plan)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                say::err(format_args!("error: {line}"));
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, Vec<String>> {
        Flags::parse_from([&["site"], arguments].concat()).plan()
    }

    #[test]
    fn flags_make_a_plan() {
        let plan = plan(&[
            "--system=mp1=MP+FSP@127.0.0.1:0",
            "--system=dp1=dp@127.0.0.1:0",
            "--fault=dp1:latency=20ms",
            "--fault=mp1:database-down",
            "--content=PKG00001:5x10MiB",
        ])
        .unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(plan.specs.len(), 2);
        assert_eq!(plan.faults[0], (1, "latency".to_owned(), "20ms".to_owned()));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = plan(&[
            "--system=mp1=XX@127.0.0.1:0",
            "--system=dp1=DP@here",
            "--system=a=MP+BGB@127.0.0.1:0",
            "--system=b=MP@127.0.0.1:0",
            "--system=b=MP@127.0.0.1:0",
            "--fault=c:latency=1s",
            "--fault=b:latency=soon",
            "--fault=b:sleepy",
            "--content=PKG",
            "--threads=0",
        ]);
        let Err(wrong) = wrong else { panic!("this must not pass") };
        assert_eq!(wrong.len(), 9, "{wrong:#?}");
    }

    #[test]
    fn flags_for_tls_and_users_are_checked_with_all_others() {
        let system = "--system=mp1=MP@127.0.0.1:0";
        assert!(plan(&[system, "--tls", "--http2", "--client-certificate=optional", "--user=ann:secret"]).is_ok());
        let wrong = plan(&[
            "--system=mp1=XX@127.0.0.1:0",
            "--client-certificate=required",
            "--http2",
            "--user=ann",
            "--tls-certificate=/nowhere/mp1.crt",
            "--tls-key=/nowhere/mp1.key",
        ]);
        let Err(wrong) = wrong else { panic!("this must not pass") };
        assert_eq!(wrong.len(), 6, "{wrong:#?}");
        let wrong = plan(&[system, "--tls", "--client-ca=/nowhere/root.crt"]);
        assert_eq!(wrong.err().map(|wrong| wrong.len()), Some(2));
    }

    #[test]
    fn how_much_a_site_has_to_say_is_bounded() {
        for wrong in ["--policies=1001", "--policy-size=2MiB", "--scan=201", "--first-scan=-1", "--scan-size=big"] {
            assert!(Flags::try_parse_from(["site", wrong]).is_err(), "{wrong}");
        }
        let system = "--system=all=MP+DP+SUP@127.0.0.1:0";
        let large = ["--policies=300", "--policy-size=1KiB..1MiB", "--scan=4", "--content=APP*40:1MiB..4GiB"];
        assert!(plan(&[[system].as_slice(), &large].concat()).is_ok());
        assert_eq!(plan(&[system, "--content=APP*0:1MiB"]).err().map(|wrong| wrong.len()), Some(1));
    }

    #[tokio::test]
    async fn a_plan_runs() {
        let plan = plan(&["--system=mp1=MP@127.0.0.1:0", "--fault=mp1:status=503", "--tls"]);
        let plan = plan.unwrap_or_else(|errors| panic!("{errors:?}"));
        tokio::select! {
            biased;
            ended = run(plan) => panic!("{ended:?}"),
            () = async {} => {}
        }
    }
}
