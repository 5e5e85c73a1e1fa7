//! Measures rolegate and other proxies at the same works, in one sitting.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use rolegate_bench::chaos;
use rolegate_bench::compare::{self, Builds, GeneratorName, Options, Peer, Set, WorkName, forwarder, list, origin};
use rolegate_bench::report::comparison::{Comparison, SAME};
use rolegate_bench::report::{
    comparison_markdown, comparison_text, replace, try_folder, write_comparison_html, write_comparison_json,
};
use rolegate_bench::say;
use tokio::signal::unix::{SignalKind, signal};

/// Measures rolegate and other proxies at the same works, in one sitting.
///
/// The peers' programs are those that benches/peers/install.sh installs, or those on the path. A peer that is not there, or
/// does not start, is left out and said so. Needs two cores: one for the proxies, the others for origins and load.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = works_help())]
struct Flags {
    #[command(subcommand)]
    helper: Option<Helper>,
    #[command(flatten)]
    compare: Compare,
}

/// What this program does besides, and what it is for its own children.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Helper {
    /// Compares rolegate with itself, sitting after sitting, and counts the winners that are named: there should be none
    Control(Control),
    /// Runs rolegate under faults that come at random, and checks all the while that it keeps its promises
    Chaos(Chaos),
    /// A site system with the files that are asked for
    #[command(hide = true)]
    Origin { name: String, address: SocketAddr },
    /// What client notification ends at
    #[command(hide = true)]
    Lines { address: SocketAddr },
    /// A forwarder that knows no HTTP
    #[command(hide = true)]
    Forwarder {
        listen: SocketAddr,
        #[arg(required = true)]
        origins: Vec<SocketAddr>,
    },
    /// Kills what is left of a comparison that was killed
    #[command(hide = true)]
    Keeper,
    /// Another program, which ends when the one that started it does
    #[command(hide = true)]
    Child {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct Compare {
    /// Which peers, with commas between; 'all', or 'none' for rolegate and the forwarder alone
    #[arg(long, default_value = "all")]
    peers: String,
    /// So many more of the same rolegate instead of peers: a winner that is named then is a mistake
    #[arg(long, value_name = "N", conflicts_with = "peers", value_parser = clap::value_parser!(u8).range(1..=SAME.len() as i64))]
    same: Option<u8>,
    /// Which works, with commas between; 'all' for every one
    #[arg(long, default_value_t = default_works())]
    works: String,
    #[command(flatten)]
    shared: Shared,
    /// Another build of rolegate, measured beside it
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// Measures builds of peers too that no user would run: too old, for debugging, or not optimized
    #[arg(long)]
    any_build: bool,
}

#[derive(Debug, Args)]
struct Control {
    /// How many sittings
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    sittings: u16,
    /// How many more of the same rolegate there are, besides the control of each sitting
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=SAME.len() as i64))]
    same: u8,
    /// Which works, with commas between; 'all' for every one
    #[arg(long, default_value_t = WorkName::Small.name().to_owned())]
    works: String,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct Chaos {
    /// What happens follows from it; any, and printed, if not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How long faults come and go
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many clients there are
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// rolegate's program; beside this one if not given
    #[arg(long, value_name = "FILE")]
    rolegate: Option<PathBuf>,
    /// Prints what would happen, and runs nothing
    #[arg(long)]
    schedule: bool,
}

/// How it is measured, whatever it is.
#[derive(Debug, Args)]
struct Shared {
    /// How often each proxy is measured at each work; with fewer than 6 nothing is decided
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long one measurement takes, in seconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Which configurations: plain, or full (with access log, health checks and retries)
    #[arg(long, default_value_t = Set::Plain, value_name = "SET")]
    set: Set,
    /// rolegate's program; beside this one, or on the path, if not given
    #[arg(long, value_name = "FILE")]
    rolegate: Option<PathBuf>,
    /// Where programs of others are looked for first; may come several times
    #[arg(long, value_name = "FOLDER")]
    find: Vec<PathBuf>,
    /// What makes the load: own; wrk or h2load for the closed loops that they can make
    #[arg(long, default_value_t = GeneratorName::Own, value_name = "NAME")]
    generator: GeneratorName,
    /// Decides in which order the proxies are measured in each round; any, and printed, if not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Where the reports go; a dated folder in benches/results if not given
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn default_works() -> String {
    names(WorkName::DEFAULT)
}

fn names(works: &[WorkName]) -> String {
    works.iter().map(|work| work.name()).collect::<Vec<_>>().join(",")
}

fn works_help() -> String {
    let peers: Vec<_> = Peer::ALL.iter().map(|peer| peer.name()).collect();
    format!("Works: {}\nPeers: {}", names(WorkName::ALL).replace(',', ", "), peers.join(", "))
}

fn wrong(flag: &'static str) -> impl Fn(String) -> anyhow::Error {
    move |error| anyhow::anyhow!("{flag}: {error}")
}

impl Compare {
    fn options(&self) -> anyhow::Result<Options> {
        let peers = if self.peers == "none" || self.same.is_some() {
            Vec::new()
        } else {
            list(&self.peers, Peer::ALL).map_err(wrong("--peers"))?
        };
        Ok(Options {
            peers,
            same: self.same.unwrap_or_default().into(),
            works: list(&self.works, WorkName::ALL).map_err(wrong("--works"))?,
            before: self.before.as_deref().map(absolute).transpose()?,
            builds: if self.any_build { Builds::Any } else { Builds::Fit },
            ..self.shared.options()?
        })
    }
}

impl Control {
    fn options(&self) -> anyhow::Result<Options> {
        Ok(Options {
            peers: Vec::new(),
            same: self.same.into(),
            works: list(&self.works, WorkName::ALL).map_err(wrong("--works"))?,
            ..self.shared.options()?
        })
    }

    /// All sittings. Whether the verdicts hold is the exit status.
    async fn run(&self) -> anyhow::Result<ExitCode> {
        let (options, out) = (self.options()?, self.shared.out("control"));
        let reports = || format!("writing reports to {}", out.display());
        try_folder(&out).with_context(reports)?;
        let mut keep =
            |number: usize, comparison: &Comparison| write(comparison, &out.join(format!("sitting-{number:02}")));
        let mut tell = |line: &str| say::out(line);
        let control = compare::control(options, self.sittings.into(), stopped()?, &mut tell, &mut keep).await?;
        let text = control.text() + "\n";
        replace(&out.join("control.txt"), |to| to.write_all(text.as_bytes())).with_context(reports)?;
        say::out(format_args!("\n{}", control.text()));
        say::out(format_args!("reports: {}", out.display()));
        Ok(if control.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Chaos {
    fn plan(&self) -> anyhow::Result<chaos::Plan> {
        let own = std::env::current_exe().context("finding this program")?;
        let rolegate = self.rolegate.clone().unwrap_or_else(|| own.with_file_name("rolegate"));
        // It ends with this program, even if that is killed.
        let program = vec![own, "child".into(), absolute(&rolegate)?];
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(chaos::Plan { seed, duration: self.duration, clients: self.clients.into(), program })
    }

    /// All of it. Whether everything held is the exit status.
    async fn run(&self) -> anyhow::Result<ExitCode> {
        let plan = self.plan()?;
        say::out(format_args!("seed {}", plan.seed));
        if self.schedule {
            chaos::told(&plan).into_iter().for_each(say::out);
            return Ok(ExitCode::SUCCESS);
        }
        let report = chaos::run(&plan, stopped()?).await?;
        say::out(format_args!("\n{report}"));
        Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Shared {
    fn options(&self) -> anyhow::Result<Options> {
        let usual = Options::new(std::env::current_exe().context("finding this program")?);
        Ok(Options {
            rounds: self.rounds.into(),
            seconds: self.seconds.into(),
            set: self.set,
            // Children run in other folders.
            rolegate: self.rolegate.as_deref().map(absolute).transpose()?,
            find: self.find.iter().map(|folder| absolute(folder)).collect::<Result<_, _>>()?,
            generator: self.generator,
            seed: self.seed.unwrap_or(usual.seed),
            ..usual
        })
    }

    fn out(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            let (date, time) = now.split_once('T').unwrap_or((&now, ""));
            let time = time.trim_end_matches('Z').replace(':', "");
            Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(date).join(format!("{name}-{time}"))
        })
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::canonicalize(path).with_context(|| path.display().to_string())
}

/// Writes all that can be written, and then says what cannot.
fn write(comparison: &Comparison, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)?;
    let [json, markdown, page] = ["json", "md", "html"].map(|kind| out.join("comparison").with_extension(kind));
    let written = [
        write_comparison_json(comparison, &json),
        replace(&markdown, |to| to.write_all(comparison_markdown(comparison).as_bytes())),
        replace(&page, |to| write_comparison_html(comparison, to)),
    ];
    let wrong: Vec<_> = [json, markdown, page]
        .iter()
        .zip(written)
        .filter_map(|(file, written)| Some(format!("{}: {}", file.display(), written.err()?)))
        .collect();
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Ends when one of the signals comes that end a process. They are heard from now on.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let hear = |kind| signal(kind).context("signals cannot be heard");
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    let mut hangup = hear(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        say::err("ending it, with a report of what was measured");
    })
}

/// Becomes another program. Returns only if it cannot.
fn become_child(command: &[OsString]) -> anyhow::Error {
    let Some((program, arguments)) = command.split_first() else { return anyhow::anyhow!("no program") };
    let error = Command::new(program).args(arguments).exec();
    anyhow::Error::new(error).context(program.display().to_string())
}

async fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    if !matches!(flags.helper, None | Some(Helper::Keeper | Helper::Control(_) | Helper::Chaos(_))) {
        // Even if whoever started this cannot kill it any more.
        set_pdeathsig(Signal::SIGKILL).context("asking to end with the parent")?;
    }
    match &flags.helper {
        Some(Helper::Keeper) => {
            compare::keep(std::io::stdin().lock());
            return Ok(ExitCode::SUCCESS);
        }
        Some(Helper::Control(control)) => return control.run().await,
        Some(Helper::Chaos(chaos)) => return chaos.run().await,
        Some(Helper::Child { command }) => return Err(become_child(command)),
        Some(Helper::Origin { name, address }) => {
            return origin::serve(name, *address).await.map(|()| ExitCode::SUCCESS);
        }
        Some(Helper::Lines { address }) => {
            return origin::serve_lines(*address).await.map(|()| ExitCode::SUCCESS);
        }
        Some(Helper::Forwarder { listen, origins }) => {
            let listener = forwarder::listen(*listen).with_context(|| listen.to_string())?;
            forwarder::serve(listener, origins.clone()).await?;
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    let (options, out) = (flags.compare.options()?, flags.compare.shared.out("compare"));
    let reports = || format!("writing reports to {}", out.display());
    // Before anything is measured that could not be written then.
    try_folder(&out).with_context(reports)?;
    // If nobody reads any more, the reports are written nevertheless.
    let comparison = compare::run(options, stopped()?, &mut |line| say::out(line)).await?;
    write(&comparison, &out).with_context(reports)?;
    say::out(format_args!("\n{}", comparison_text(&comparison)));
    say::out(format_args!("reports: {}", out.display()));
    Ok(if comparison.interrupted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime");
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(run(&flags));
        // Load that was stopped ends by itself.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            say::err(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let flags = Flags::try_parse_from([&["compare"], arguments].concat()).map_err(|error| error.to_string())?;
        flags.compare.options().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn flags_become_options() {
        let plain = options(&[]).unwrap();
        assert_eq!((plain.rounds, plain.seconds, plain.set), (6, 4, Set::Plain));
        assert_eq!((plain.peers.as_slice(), plain.works.as_slice()), (Peer::ALL, WorkName::DEFAULT));
        let some = options(&["--peers", "nginx", "--works", "all", "--set", "full", "--rounds", "1"]).unwrap();
        assert_eq!((some.peers, some.works.len(), some.set), (vec![Peer::Nginx], WorkName::ALL.len(), Set::Full));
        assert!(options(&["--peers", "none"]).unwrap().peers.is_empty());
        assert_eq!(options(&["--seed", "7"]).unwrap().seed, 7);
        let generator = |name| options(&["--generator", name]).unwrap().generator;
        assert_eq!(["wrk", "h2load"].map(generator), [GeneratorName::Wrk, GeneratorName::H2load]);
        assert_eq!((plain.generator, plain.same), (GeneratorName::Own, 0));
        let same = options(&["--same", "3"]).unwrap();
        assert!(same.peers.is_empty() && same.same == 3);
        assert_eq!((plain.builds, options(&["--any-build"]).unwrap().builds), (Builds::Fit, Builds::Any));
    }

    #[test]
    fn wrong_flags_are_refused_with_what_is_possible() {
        for (arguments, word) in [
            (["--peers", "squid"], "haproxy"),
            (["--works", "smal"], "small-1000"),
            (["--set", "half"], "plain, full"),
            (["--rounds", "0"], "1..=1000"),
            (["--same", "7"], "1..=6"),
            (["--generator", "ab"], "own, wrk, h2load"),
            (["--seconds", "x"], "--seconds"),
            (["--rolegate", "/nowhere/rolegate"], "/nowhere/rolegate"),
        ] {
            let error = options(&arguments).unwrap_err();
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_control_is_ten_sittings_of_rolegate_alone() {
        let parsed = |arguments: &[&str]| Flags::try_parse_from([&["compare"], arguments].concat());
        let Some(Helper::Control(control)) = parsed(&["control", "--rounds", "8"]).unwrap().helper else { panic!() };
        let options = control.options().unwrap();
        assert_eq!((control.sittings, options.same, options.rounds), (10, 2, 8));
        assert_eq!((options.works, options.peers), (vec![WorkName::Small], Vec::new()));
        for arguments in [&["control", "--peers", "nginx"][..], &["--same", "2", "--peers", "nginx"]] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_children_have_words_of_their_own() {
        let flags = Flags::parse_from(["compare", "origin", "one", "127.0.0.1:1"]);
        assert!(matches!(flags.helper, Some(Helper::Origin { .. })));
        assert!(matches!(Flags::parse_from(["compare", "keeper"]).helper, Some(Helper::Keeper)));
        assert!(Flags::try_parse_from(["compare", "forwarder", "127.0.0.1:1"]).is_err());
        let flags = Flags::parse_from(["compare", "child", "proxy", "-c", "file", "--help"]);
        let Some(Helper::Child { command }) = flags.helper else { panic!("no child") };
        assert_eq!(command, ["proxy", "-c", "file", "--help"]);
        assert!(become_child(&["/nowhere/proxy".into()]).to_string().contains("/nowhere/proxy"));
    }
}
