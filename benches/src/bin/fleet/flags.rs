//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use rolegate_bench::record::Part;
use rolegate_bench::threshold::{Names, Threshold};

/// Simulated Configuration Manager clients as load, and plain load
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a scenario: a shipped one by its name, or a file
    Run(Box<Run>),
    /// Sends the same requests over and over: as many as are answered, or --rate, or --ramp
    Plain(Box<Plain>),
    /// Names the shipped scenarios
    List,
    /// Prints a scenario
    Show {
        /// Its name
        name: String,
    },
    /// Says everything that is wrong with a scenario
    Check {
        /// The file, or the name of a shipped one
        file: String,
        /// Another value for a key: activities.scan.share=0
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Makes certificates for tests: root, server and client, as NAME.crt and NAME.key
    Pki {
        /// Where they are written
        folder: PathBuf,
        /// Replaces the files that are there
        #[arg(long)]
        force: bool,
        /// A name or an address of the server
        #[arg(long = "name", value_name = "NAME", default_values_t = ["site.lab.test".to_owned(), "127.0.0.1".to_owned()])]
        names: Vec<String>,
    },
    /// Compares runs that were written with --json
    Compare {
        /// Their files
        #[arg(required = true, num_args = 1..)]
        runs: Vec<PathBuf>,
        /// Writes a page as well
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Makes one run of the parts of a load that were written with --part
    Merge {
        /// Their files
        #[arg(required = true, num_args = 1..)]
        runs: Vec<PathBuf>,
        /// Takes what there is if parts are missing
        #[arg(long)]
        partial: bool,
        /// What the whole is called in reports; what the parts are called if not given
        #[arg(long)]
        label: Option<String>,
        /// Writes the whole: for fleet compare and fleet report
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Writes a page for a browser
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Reports runs of one scenario as one sample: median and spread of each figure
    Repeats {
        /// Their files
        #[arg(required = true, num_args = 1..)]
        runs: Vec<PathBuf>,
    },
    /// Sends the requests of an access log again: of IIS (W3C), or of rolegate
    Replay(Box<Replay>),
    /// Reports a run that was written with --json
    Report {
        /// Its file
        run: PathBuf,
        /// Writes a page instead of text
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        judge: Judge,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A shipped scenario (fleet list), or a TOML file
    pub(crate) scenario: String,
    #[command(flatten)]
    pub(crate) to: To,
    #[command(flatten)]
    pub(crate) out: Out,
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// Where the figures can be read while it runs, as Prometheus does: 127.0.0.1:9100; port 0 is any
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) several: Several,
    /// How many clients; connections of a plain scenario
    #[arg(long)]
    pub(crate) clients: Option<u32>,
    /// How long it is measured
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Seconds of the clients in one of ours: 60 makes an hour a minute
    #[arg(long)]
    pub(crate) speedup: Option<f64>,
    /// The same seed, the same schedule; repeats have one each if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Where client notification is: 127.0.0.1:10123
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) notification: Option<String>,
    /// Packages to download instead of the scenario's: PKG00001:4x256KiB, or APP*20:1MiB..64MiB
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) content: Vec<String>,
    /// Clients have the address that the system gives them
    #[arg(long)]
    pub(crate) no_sources: bool,
    /// Begins without asking first whether everything is there
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Another value for a key of the scenario: activities.scan.share=0
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) to: To,
    #[command(flatten)]
    pub(crate) out: Out,
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// Where the figures can be read while it runs, as Prometheus does: 127.0.0.1:9100; port 0 is any
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) several: Several,
    /// So many requests a second, whatever the answers
    #[arg(long, conflicts_with = "ramp")]
    pub(crate) rate: Option<f64>,
    /// From so many requests a second to so many: 100..5000
    #[arg(long, value_name = "FROM..TO")]
    pub(crate) ramp: Option<String>,
    /// How requests that come at a rate are spaced: even, or poisson, as those of very many clients
    #[arg(long, default_value = "even")]
    pub(crate) arrivals: String,
    /// Where the dice of --arrivals poisson begin; repeats have a seed each if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many connections
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: u32,
    /// How long it is measured
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// How long there is load before
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) warm_up: Duration,
    /// How long an answer may take
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// A connection for each request
    #[arg(long)]
    pub(crate) new_connections: bool,
    /// No TLS session is resumed: every handshake is a full one
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// What to ask for in turn, a path on each line; else the path of the target
    #[arg(long, value_name = "FILE")]
    pub(crate) urls: Option<PathBuf>,
    /// The method
    #[arg(long, default_value = "GET")]
    pub(crate) method: String,
    /// A header field: "User-Agent: SMS CCM 5.0"
    #[arg(long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// The body of each request
    #[arg(long, default_value = "")]
    pub(crate) body: String,
    /// The network that connections come from: 127.1.0.0/16
    #[arg(long, value_name = "NETWORK")]
    pub(crate) source: Option<IpNet>,
}

/// Runs that belong together.
#[derive(Debug, Args)]
pub(crate) struct Several {
    /// Makes one part of the load while other machines make the others: 2/5
    #[arg(long, value_name = "K/N")]
    pub(crate) part: Option<Part>,
    /// When all parts begin: 2026-03-01T08:00:00Z, or +30s from now
    #[arg(long, value_name = "TIME", requires = "part")]
    pub(crate) at: Option<String>,
    /// Runs it so many times and reports median and spread of each figure
    #[arg(long, value_name = "N", conflicts_with_all = ["part", "json", "html", "junit", "metrics_listen"], value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The logs, the oldest first
    #[arg(required = true, num_args = 1.., value_name = "LOG")]
    pub(crate) logs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) to: To,
    #[command(flatten)]
    pub(crate) out: Out,
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// Where the figures can be read while it runs, as Prometheus does: 127.0.0.1:9100; port 0 is any
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Seconds of the log in one of ours: 60 makes an hour a minute
    #[arg(long, default_value_t = 1.0, conflicts_with = "rate")]
    pub(crate) speedup: f64,
    /// So many requests a second in the order of the log, instead of at its times
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Only the first so many requests
    #[arg(long)]
    pub(crate) limit: Option<u64>,
    /// Only what is due within this, of our time
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// How long an answer may take, and how long a request may wait to be sent
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// How long a client keeps its connection between two requests
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) keep: Duration,
    /// The network that the clients' addresses are mapped into; 127.0.0.0/8 if not given and the target is on this machine
    #[arg(long, value_name = "NETWORK")]
    pub(crate) sources: Option<IpNet>,
    /// Clients have the address that the system gives them
    #[arg(long, conflicts_with = "sources")]
    pub(crate) no_sources: bool,
    /// Sends requests that change something too, such as PUT and DELETE
    #[arg(long)]
    pub(crate) all_methods: bool,
    /// Does not begin if more than this part of the lines cannot be read, 0 to 1
    #[arg(long, default_value_t = 0.01, value_name = "PART")]
    pub(crate) max_broken: f64,
    /// Requests under way at a time
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) under_way: u32,
}

#[derive(Debug, Args)]
pub(crate) struct To {
    /// Where to: http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) target: String,
    /// What to ask for instead of the host of the target
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The authorities that the server's certificate must come from (PEM); any will do if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Takes any certificate, whatever the scenario says
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// The certificate of all clients (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// Threads that make load; as many as there are cores, at most 4, if not given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: Option<u32>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Out {
    /// What the run is called in reports; the target if not given
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Writes NAME-LABEL.json and .html to this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Writes what was measured: for fleet compare and fleet report
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes a page for a browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What a run has to reach, and who hears of it.
#[derive(Debug, Default, Args)]
pub(crate) struct Judge {
    /// What has to hold, or the exit status is 3: 'p99 < 200ms', 'role MP: errors < 1%'
    #[arg(long = "threshold", value_name = "THRESHOLD")]
    pub(crate) thresholds: Vec<String>,
    /// Writes what became of the thresholds as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Prints missed thresholds and doubts as GitHub Actions reads them; there that is done unasked
    #[arg(long)]
    pub(crate) annotations: bool,
}

impl Judge {
    /// The thresholds, of which each has to be about something that there is.
    pub(crate) fn thresholds(&self, names: &Names) -> anyhow::Result<Vec<Threshold>> {
        let (mut thresholds, mut wrong) = (Vec::new(), Vec::new());
        for text in &self.thresholds {
            let read = text.parse::<Threshold>();
            match read.and_then(|threshold| threshold.unknown(names).map_or(Ok(threshold), Err)) {
                Ok(threshold) => thresholds.push(threshold),
                Err(what) => wrong.push(format!("--threshold: {what}")),
            }
        }
        if wrong.is_empty() { Ok(thresholds) } else { Err(anyhow!("{}", wrong.join("\n"))) }
    }

    /// Whether annotations are printed.
    pub(crate) fn annotations(&self) -> Annotations {
        let on_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        if self.annotations || on_github { Annotations::Printed } else { Annotations::No }
    }
}

/// Whether annotations are printed for GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Annotations {
    /// They are.
    Printed,
    /// They are not.
    No,
}

impl To {
    pub(crate) fn threads(&self) -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        self.threads.unwrap_or_else(|| u32::try_from(cores).unwrap_or(1))
    }
}
