//! The commands that make load.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rolegate_bench::client::Tls;
use rolegate_bench::content::Package;
use rolegate_bench::fleet::{self, Address, Fleet, Kind, Running, Scenario, Target, TlsFiles};
use rolegate_bench::load::Spacing;
use rolegate_bench::pki::Identity;
use rolegate_bench::say;
use tokio::runtime::Runtime;

use crate::flags::{Judge, Out, Plain, Run, To};
use crate::several::{Repeats, Shown};
use crate::{read, several};

/// How long a connection may take before a run.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn scenario(flags: &Run) -> anyhow::Result<ExitCode> {
    let is_plain = matches!(read(&flags.scenario, &[])?.kind, Kind::Plain(_));
    let mut scenario = read(&flags.scenario, &settings(flags, is_plain))?;
    demand(&mut scenario, &flags.judge, &flags.to)?;
    match &scenario.kind {
        Kind::Plain(plain) => {
            let useless = [("--notification", flags.notification.is_some()), ("--content", !flags.content.is_empty())];
            if let Some((flag, _)) = useless.iter().find(|(_, given)| *given) {
                bail!("{flag} is of no use here: {} is plain load, without clients", scenario.name);
            }
            let source = plain.source.filter(|_| !flags.no_sources);
            let plain = fleet::Plain { source, ..fleet::Plain::clone(plain) };
            let shown = Shown { judge: &flags.judge, metrics: flags.metrics_listen };
            let repeats = Repeats { flags: &flags.several, seed: flags.seed, shown };
            let how = How { to: &flags.to, out: &flags.out, repeats };
            plainly(&scenario, plain, &how, if flags.no_check { First::Begun } else { First::Reached })
        }
        Kind::Fleet(fleet) => {
            let mut fleet = Fleet::clone(fleet);
            change(&mut fleet, flags)?;
            simulate(&scenario, fleet, flags)
        }
    }
}

/// The flags that are keys of a scenario too, so that they are checked as those are.
fn settings(flags: &Run, is_plain: bool) -> Vec<String> {
    let mut set = flags.set.clone();
    let [clients, duration, seed_key] =
        if is_plain { ["plain.connections", "plain.duration", "plain.seed"] } else { ["clients", "duration", "seed"] };
    set.extend(flags.clients.map(|number| format!("{clients}={number}")));
    set.extend(flags.duration.map(|time| format!("{duration}=\"{}\"", humantime::format_duration(time))));
    set.extend(flags.speedup.map(|speedup| format!("speedup={speedup}")));
    set.extend(flags.seed.map(|seed| format!("{seed_key}={seed}")));
    set
}

/// Adds the thresholds of the flags to those of the scenario.
fn demand(scenario: &mut Scenario, judge: &Judge, to: &To) -> anyhow::Result<()> {
    let target = address(to)?.target;
    let names = scenario.kind.names(Some(&target));
    // Of plain load without paths, this is the first time that its message types are known.
    let wrong: Vec<_> = scenario.thresholds.iter().filter_map(|threshold| threshold.unknown(&names)).collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    scenario.thresholds.extend(judge.thresholds(&names)?);
    Ok(())
}

fn change(fleet: &mut Fleet, flags: &Run) -> anyhow::Result<()> {
    if let Some(address) = &flags.notification {
        fleet.notification.address = Some(address.clone());
    }
    if !flags.content.is_empty() {
        let packages = flags.content.iter().map(|text| Package::parse_all(text));
        let packages = packages.collect::<Result<Vec<_>, _>>().map_err(|error| anyhow!("--content: {error}"))?;
        fleet.content = packages.into_iter().flatten().map(Arc::new).collect();
    }
    if flags.no_sources {
        fleet.groups.iter_mut().for_each(|group| group.source.clear());
    }
    Ok(())
}

fn simulate(scenario: &Scenario, mut fleet: Fleet, flags: &Run) -> anyhow::Result<ExitCode> {
    let mut address = address(&flags.to)?;
    if !address.others.is_empty() && !flags.no_check {
        address.settle(PATIENCE).map_err(|error| anyhow!("--target: {error}"))?;
    }
    if let (None, Some(host)) = (&flags.to.host, &fleet.host) {
        address.host.clone_from(host);
    }
    let notification = fleet.notification.address.as_deref().map(Address::parse_socket).transpose();
    let tls = tls(&address, &flags.to, &fleet.tls)?;
    let target = Target {
        address: address.socket,
        host: address.host,
        tls: tls
            .map(|tls| if fleet.tls.resume { tls } else { tls.without_resumption() }.connector())
            .transpose()
            .map_err(|error| anyhow!("TLS: {error}"))?,
        notification: notification.map_err(|error| anyhow!("client notification: {error}"))?,
    };
    let shown = Shown { judge: &flags.judge, metrics: flags.metrics_listen };
    let repeats = Repeats { flags: &flags.several, seed: flags.seed, shown };
    fleet.part = several::part(repeats.flags, fleet.clients, "clients")?;
    let files = repeats.files(&flags.out, &scenario.name, &running(&flags.to, &flags.out).label)?;
    let runtime = runtime()?;
    if !flags.no_check {
        let found = runtime.block_on(fleet::check(&fleet, &target));
        if !found.wrong.is_empty() {
            bail!("{}", found.wrong.join("\n"));
        }
        for note in &found.notes {
            say::err(format_args!("note: {note}"));
        }
        fleet.content = found.content;
        found.left_out.into_iter().for_each(|activity| fleet.leave_out(activity));
    }
    let running = running(&flags.to, &flags.out);
    say::err(format_args!(
        "{}: {} clients for {} at {} times the speed against {}; Ctrl-C ends it with a report",
        scenario.name,
        fleet.own_clients(),
        humantime::format_duration(fleet.total()),
        fleet.speedup,
        running.address
    ));
    several::wait(fleet.part, Duration::ZERO)?;
    repeats.run(&runtime, fleet.duration, &files, |repeat, watch| {
        let seed = repeats.seed(repeat, fleet.seed);
        fleet::run(scenario, &Fleet { seed, ..fleet.clone() }, &target, &running, watch)
    })
}

pub(crate) fn plain(flags: &Plain) -> anyhow::Result<ExitCode> {
    let mut scenario = crate::plain::scenario(flags)?;
    demand(&mut scenario, &flags.judge, &flags.to)?;
    let shown = Shown { judge: &flags.judge, metrics: flags.metrics_listen };
    let repeats = Repeats { flags: &flags.several, seed: flags.seed, shown };
    let how = How { to: &flags.to, out: &flags.out, repeats };
    match &scenario.kind {
        Kind::Plain(plain) => plainly(&scenario, fleet::Plain::clone(plain), &how, First::Reached),
        Kind::Fleet(_) => bail!("the flags are no plain load"),
    }
}

/// What both ways to plain load have.
struct How<'a> {
    to: &'a To,
    out: &'a Out,
    repeats: Repeats<'a>,
}

/// What is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// The target is reached once, without a request.
    Reached,
    /// It is begun.
    Begun,
}

fn plainly(scenario: &Scenario, mut plain: fleet::Plain, how: &How<'_>, first: First) -> anyhow::Result<ExitCode> {
    let How { to, out, repeats } = *how;
    let mut address = address(to)?;
    let tls = tls(&address, to, &TlsFiles::default())?;
    let runtime = runtime()?;
    let running = running(to, out);
    plain.part = several::part(repeats.flags, plain.connections, "connections")?;
    fleet::check_plain(&plain, &address, tls.as_ref(), running.threads)?;
    let files = repeats.files(out, &scenario.name, &running.label)?;
    if first == First::Reached {
        reach(&mut address, tls.as_ref(), &runtime)?;
    }
    say::err(format_args!(
        "{}: {} connections for {} against {}; Ctrl-C ends it with a report",
        scenario.name,
        plain.own_connections(),
        humantime::format_duration(plain.warm_up + plain.duration),
        running.address
    ));
    several::wait(plain.part, several::OPENING)?;
    repeats.run(&runtime, plain.duration, &files, |repeat, watch| {
        let spacing = match plain.spacing {
            Spacing::Poisson { seed } => Spacing::Poisson { seed: repeats.seed(repeat, seed) },
            Spacing::Even => Spacing::Even,
        };
        fleet::run_plain(scenario, &fleet::Plain { spacing, ..plain.clone() }, &address, tls.clone(), &running, watch)
    })
}

/// That somebody listens there, and comes together with us over TLS if that is wanted, before thousands find out that nobody
/// does. Nothing is asked.
pub(crate) fn reach(address: &mut Address, tls: Option<&Tls>, runtime: &Runtime) -> anyhow::Result<()> {
    address.settle(PATIENCE).map_err(|error| anyhow!("{error}: start the proxy or the site, or check --target"))?;
    if let Some(tls) = tls {
        let secured = runtime.block_on(fleet::secures(address, tls, PATIENCE));
        secured.map_err(|error| anyhow!("{} cannot be used: {error}", address.socket))?;
    }
    Ok(())
}

pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("starting the runtime")
}

pub(crate) fn address(to: &To) -> anyhow::Result<Address> {
    let mut address = Address::parse(&to.target).map_err(|error| anyhow!("--target: {error}"))?;
    if let Some(host) = &to.host {
        address.host.clone_from(host);
    }
    Ok(address)
}

pub(crate) fn running(to: &To, out: &Out) -> Running {
    let label = out.label.clone().unwrap_or_else(|| to.target.clone());
    Running { label, address: to.target.clone(), threads: to.threads() }
}

/// How connections are secured, if they are: the flags come before the scenario.
pub(crate) fn tls(address: &Address, flags: &To, files: &TlsFiles) -> anyhow::Result<Option<Tls>> {
    if !address.secure {
        return Ok(None);
    }
    let read =
        |file: &Path| std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()));
    let mut tls = Tls::new();
    if let Some(file) = flags.ca.as_ref().or(files.ca.as_ref()).filter(|_| !flags.insecure) {
        tls = tls.trusting(&read(file)?);
    }
    let certificate = flags.certificate.as_ref().or(files.certificate.as_ref());
    if let Some((certificate, key)) = certificate.zip(flags.key.as_ref().or(files.key.as_ref())) {
        tls = tls.identity(&Identity::from_pem(&read(certificate)?, &read(key)?));
    }
    Ok(Some(tls))
}
