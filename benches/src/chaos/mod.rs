//! rolegate under faults that come at random: whether what it promises holds all the time.
//!
//! A [`Plan`] is a seed, a length and a program. [`run`] starts simulated site systems, the program as a process of its own, and
//! clients of several kinds; then it lets faults come and go as the seed says, and looks all the while whether every answer
//! is the right one. Afterwards everything must be as it was before. This part of the crate knows rolegate, and no other proxy.

mod calm;
mod client;
mod config;
mod content;
mod ledger;
mod process;
mod report;
mod schedule;
mod server;
mod stage;
mod watch;
mod wire;

/// Servers that can be made ill, and how to tell which request they answer, for others in this crate.
pub(crate) mod faulty {
    pub(crate) use super::content::Content;
    pub(crate) use super::ledger::Ledger;
    pub(crate) use super::schedule::Ill;
    pub(crate) use super::server::Server;
    pub(crate) use super::wire::Reader;
}

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::stat::Mode;
use tokio::sync::{Mutex, watch as channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::client::Tls;
use crate::pki::Authority;
use client::{Client, Target};
use config::Config;
use ledger::{Ledger, Phase};
use process::{Admin, Process, Usage};
pub use report::Report;
use schedule::schedule;
use server::Server;
use stage::{Stage, State};

/// How long clients ask before anything goes wrong.
const WARM: Duration = Duration::from_millis(1500);
/// How long every request must be served when all is well again.
const CALM: Duration = Duration::from_secs(2);
/// No run goes on after so many violations.
const ENOUGH: u64 = 20;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What happens follows from it.
    pub seed: u64,
    /// How long faults come and go.
    pub duration: Duration,
    /// How many clients there are.
    pub clients: usize,
    /// The program under test, and what comes before it on the command line, if anything.
    pub program: Vec<PathBuf>,
}

/// The disturbances of a plan, a line each, with the time at which each begins.
#[must_use]
pub fn told(plan: &Plan) -> Vec<String> {
    let line = |event: schedule::Event| format!("{:9.3} s  {event}", event.at.as_secs_f64());
    schedule(plan.seed, plan.duration).into_iter().map(line).collect()
}

/// Clients that go on until they are stopped.
struct Crowd {
    stop: channel::Sender<bool>,
    clients: JoinSet<()>,
}

impl Crowd {
    fn start(count: usize, ledger: &Arc<Ledger>, target: &Target) -> Self {
        let stop = channel::Sender::new(false);
        let mut clients = JoinSet::new();
        for number in 0..count {
            clients.spawn(Client::new(number, ledger, target, stop.subscribe()).run());
        }
        Self { stop, clients }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.clients.join_all().await;
    }
}

/// Runs it. Returns early when the process has ended, when there are very many violations, or when `stopped` is ready.
///
/// # Errors
/// It could not be started, or the system does not tell what the process uses.
pub async fn run(plan: &Plan, stopped: impl Future<Output = ()>) -> anyhow::Result<Report> {
    let ledger = Arc::new(Ledger::new(plan.seed));
    let folder = tempfile::Builder::new().prefix("rolegate-chaos-").tempdir().context("a folder for files")?;
    let (stage, target) = set(plan, &ledger, folder.path()).await?;
    let addresses = stage.process().addresses;
    let begun = Instant::now();
    let ends = tokio::select! {
        ends = acts(plan, &stage, &target) => Some(ends?),
        () = watch::watch(&stage, addresses.admin) => None,
        () = enough(&ledger) => None,
        () = stopped => None,
    };
    Ok(Report::new(plan, &ledger, begun.elapsed(), ends))
}

/// All of a run, from the first client to the last look.
async fn acts(plan: &Plan, stage: &Arc<Stage>, target: &Target) -> anyhow::Result<Ends> {
    let (ledger, admin) = (&stage.ledger, stage.process().addresses.admin);
    // Memory grows to what the load needs before it is looked at.
    let crowd = Crowd::start(plan.clients, ledger, target);
    sleep(WARM).await;
    crowd.end().await;
    let before = calm::quiet(stage, admin).await?;
    let crowd = Crowd::start(plan.clients, ledger, target);
    disturb(stage, plan).await;
    ledger.event("all faults are over");
    stage.restore().await?;
    let again = calm::all_used(stage, admin).await;
    ledger.event(format_args!("every server is used again after {} ms", again.as_millis()));
    ledger.set_phase(Phase::Calm);
    sleep(CALM).await;
    ledger.set_phase(Phase::Disturbed);
    crowd.end().await;
    let after = calm::quiet(stage, admin).await?;
    calm::nothing_stays(stage, before, after);
    calm::counts_agree(stage, &Admin::new(admin).metrics().await?);
    Ok(Ends { before, after, again })
}

/// What was measured at both ends of a run.
#[derive(Debug)]
struct Ends {
    before: Usage,
    after: Usage,
    again: Duration,
}

async fn enough(ledger: &Ledger) {
    while ledger.violations() < ENOUGH {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn set(plan: &Plan, ledger: &Arc<Ledger>, folder: &std::path::Path) -> anyhow::Result<(Arc<Stage>, Target)> {
    let numbers = 0..schedule::SERVERS.len();
    let servers: Vec<_> = numbers.map(|number| Server::start(number, ledger)).collect::<Result<_, _>>()?;
    let config = Config::new(folder, servers.iter().map(|server| server.address).collect());
    let authority = Authority::new("Chaos");
    authority.server(&["listener.lab.test"]).write(folder, "listener")?;
    std::fs::write(config.file(), config.text())?;
    nix::unistd::mkfifo(&config.access_log(), Mode::S_IRWXU).context("a pipe for the access log")?;
    let access_log = channel::Sender::new(None);
    tokio::spawn(process::read_access_log(config.access_log(), access_log.subscribe()));
    let (program, before) = plan.program.split_first().context("no program")?;
    let process = Process::start(Command::new(program).args(before), &config.file(), ledger).await?;
    let connector = Tls::new().trusting(authority.certificate_pem()).connector().map_err(anyhow::Error::msg)?;
    let target = Target { plain: process.addresses.plain, tls: process.addresses.tls, connector };
    let stage = Arc::new(Stage {
        ledger: Arc::clone(ledger),
        servers,
        process: std::sync::Mutex::new(process),
        access_log,
        authority,
        config: Mutex::new(config),
        hold: Mutex::new(()),
        state: std::sync::Mutex::new(State::Free(Instant::now())),
    });
    Ok((stage, target))
}

/// All disturbances, each at its time, until the last one is over.
async fn disturb(stage: &Arc<Stage>, plan: &Plan) {
    let begun = tokio::time::Instant::now();
    let mut playing = JoinSet::new();
    for event in schedule(plan.seed, plan.duration) {
        sleep_until(begun + event.at).await;
        let stage = Arc::clone(stage);
        playing.spawn(async move { stage.play(event).await });
        // Those that are over need not be kept for an hour.
        while playing.try_join_next().is_some() {}
    }
    playing.join_all().await;
    sleep_until(begun + plan.duration).await;
}
