//! The commands that make load.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, anyhow, bail};
use rolegate_bench::client::Tls;
use rolegate_bench::content::Package;
use rolegate_bench::fleet::{self, Address, Fleet, Kind, Pace, Running, Scenario, Target, TlsFiles};
use rolegate_bench::load::Watch;
use rolegate_bench::pki::Identity;
use rolegate_bench::record;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::{Out, Plain, Run, To};
use crate::{outcome, read, screen};

pub(crate) fn scenario(flags: &Run) -> anyhow::Result<ExitCode> {
    let is_plain = matches!(read(&flags.scenario, &[])?.kind, Kind::Plain(_));
    let scenario = read(&flags.scenario, &settings(flags, is_plain))?;
    match &scenario.kind {
        Kind::Plain(plain) => plainly(&scenario, plain, &flags.to, &flags.out),
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
    let (clients, duration) = if is_plain { ("plain.connections", "plain.duration") } else { ("clients", "duration") };
    set.extend(flags.clients.map(|number| format!("{clients}={number}")));
    set.extend(flags.duration.map(|time| format!("{duration}=\"{}\"", humantime::format_duration(time))));
    set.extend(flags.speedup.map(|speedup| format!("speedup={speedup}")));
    set.extend(flags.seed.map(|seed| format!("seed={seed}")));
    set
}

fn change(fleet: &mut Fleet, flags: &Run) -> anyhow::Result<()> {
    if let Some(address) = &flags.notification {
        fleet.notification.address = Some(address.clone());
    }
    if !flags.content.is_empty() {
        let packages = flags.content.iter().map(|text| Package::parse(text).map(Arc::new));
        fleet.content = packages.collect::<Result<_, _>>().map_err(|error| anyhow!("--content: {error}"))?;
    }
    if flags.no_sources {
        fleet.groups.iter_mut().for_each(|group| group.source.clear());
    }
    Ok(())
}

fn simulate(scenario: &Scenario, mut fleet: Fleet, flags: &Run) -> anyhow::Result<ExitCode> {
    let mut address = address(&flags.to)?;
    if let (None, Some(host)) = (&flags.to.host, &fleet.host) {
        address.host.clone_from(host);
    }
    let notification = fleet.notification.address.as_deref().map(Address::parse_socket).transpose();
    let tls = tls(&address, &flags.to, &fleet.tls)?;
    let target = Target {
        address: address.socket,
        host: address.host,
        tls: tls.map(|tls| tls.connector()).transpose().map_err(|error| anyhow!("TLS: {error}"))?,
        notification: notification.map_err(|error| anyhow!("client notification: {error}"))?,
    };
    let runtime = runtime()?;
    if !flags.no_check {
        let found = runtime.block_on(fleet::check(&fleet, &target));
        if !found.wrong.is_empty() {
            bail!("{}", found.wrong.join("\n"));
        }
        for note in &found.notes {
            eprintln!("note: {note}");
        }
        fleet.content = found.content;
    }
    let running = running(&flags.to, &flags.out);
    eprintln!(
        "{}: {} clients for {} at {} times the speed against {}; Ctrl-C ends it with a report",
        scenario.name,
        fleet.clients,
        humantime::format_duration(fleet.total()),
        fleet.speedup,
        running.address
    );
    let (watch, seconds) = Watch::new();
    let total = fleet.duration;
    let run = watched(&runtime, watch, |watch| {
        let shown = std::thread::spawn(move || screen::show(&seconds, total));
        let run = fleet::run(scenario, &fleet, &target, &running, &watch);
        drop(watch);
        // What was drawn is of no interest any more.
        let _ = shown.join();
        run
    })?;
    outcome::tell(&run, &flags.out)
}

pub(crate) fn plain(flags: &Plain) -> anyhow::Result<ExitCode> {
    let pace = match (&flags.rate, &flags.ramp) {
        (Some(rate), _) => Pace::Rate(*rate),
        (None, Some(ramp)) => {
            let (from, to) = fleet::parse_ramp(ramp).map_err(|error| anyhow!("--ramp: {error}"))?;
            Pace::Ramp(from, to)
        }
        (None, None) => Pace::Closed,
    };
    if let Some(field) = flags.headers.iter().find(|field| !field.contains(':')) {
        bail!("--header '{field}' has no ':'; expected one such as \"User-Agent: SMS CCM 5.0\"");
    }
    let plan = fleet::Plain {
        pace,
        connections: flags.connections.max(1),
        duration: flags.duration,
        warm_up: flags.warm_up,
        new_connections: flags.new_connections,
        urls: flags.urls.as_deref().map(urls).transpose()?.unwrap_or_default(),
        method: flags.method.clone(),
        headers: flags.headers.clone(),
        body: flags.body.clone(),
        source: flags.source,
        timeout: flags.timeout,
    };
    let scenario = Scenario {
        name: "plain".to_owned(),
        about: String::new(),
        text: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        kind: Kind::Plain(plan.clone()),
    };
    plainly(&scenario, &plan, &flags.to, &flags.out)
}

fn plainly(scenario: &Scenario, plain: &fleet::Plain, to: &To, out: &Out) -> anyhow::Result<ExitCode> {
    let address = address(to)?;
    let tls = tls(&address, to, &TlsFiles::default())?;
    let running = running(to, out);
    reach(&address)?;
    eprintln!(
        "{}: {} connections for {} against {}; Ctrl-C ends it with a report",
        scenario.name,
        plain.connections,
        humantime::format_duration(plain.warm_up + plain.duration),
        running.address
    );
    let runtime = runtime()?;
    let (watch, seconds) = Watch::new();
    let total = plain.duration;
    let run = watched(&runtime, watch, |watch| {
        let shown = std::thread::spawn(move || screen::show(&seconds, total));
        let run = fleet::run_plain(scenario, plain, &address, tls, &running, &watch);
        drop(watch);
        // See above.
        let _ = shown.join();
        run
    })?;
    outcome::tell(&run, out)
}

/// That somebody listens there, before thousands find out that nobody does.
fn reach(address: &Address) -> anyhow::Result<()> {
    let tried = std::net::TcpStream::connect_timeout(&address.socket, std::time::Duration::from_secs(5));
    tried.map(drop).with_context(|| {
        format!("nothing can be reached at {}: start the proxy or the site, or check --target", address.socket)
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("starting the runtime")
}

/// Ready when somebody wants the end.
async fn ended() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Runs it while Ctrl-C or SIGTERM ends it early.
fn watched<E: Into<anyhow::Error>>(
    runtime: &Runtime,
    watch: Watch,
    run: impl FnOnce(Watch) -> Result<record::Run, E>,
) -> anyhow::Result<record::Run> {
    let stop = Arc::clone(&watch.stop);
    let waiting = runtime.spawn(async move {
        ended().await;
        stop.store(true, Ordering::Relaxed);
    });
    let run = run(watch).map_err(Into::into);
    waiting.abort();
    run
}

fn address(to: &To) -> anyhow::Result<Address> {
    let mut address = Address::parse(&to.target).map_err(|error| anyhow!("--target: {error}"))?;
    if let Some(host) = &to.host {
        address.host.clone_from(host);
    }
    Ok(address)
}

fn running(to: &To, out: &Out) -> Running {
    let label = out.label.clone().unwrap_or_else(|| to.target.clone());
    Running { label, address: to.target.clone(), threads: to.threads() }
}

/// How connections are secured, if they are: the flags come before the scenario.
fn tls(address: &Address, flags: &To, files: &TlsFiles) -> anyhow::Result<Option<Tls>> {
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

/// Paths, one on each line.
fn urls(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let urls: Vec<_> = lines.map(str::to_owned).collect();
    match urls.iter().find(|url| !url.starts_with('/')) {
        Some(wrong) => {
            bail!("{}: '{wrong}' does not begin with '/': write a path such as /SMS_MP/.sms_aut?MPLIST", file.display())
        }
        None if urls.is_empty() => bail!("{} names no path", file.display()),
        None => Ok(urls),
    }
}
