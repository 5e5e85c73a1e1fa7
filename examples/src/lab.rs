//! The lab: a small site, a rolegate in front of it and clients, all in one process, and a story that tries them.
//!
//! [`story`] says what happens when, [`traffic`] what the clients do, [`watch`] tells what changes meanwhile, and
//! [`summary`] what it comes to. The configuration is [`config`]'s template, `lab.toml`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rolegate::app::App;
use rolegate_bench::say;
use tokio::runtime::Runtime;

mod advice;
pub mod config;
mod options;
pub mod screen;
pub mod site;
pub mod story;
pub mod summary;
pub mod tally;
pub mod traffic;
pub mod watch;

pub use options::Options;

use config::{Frame, Table};
use screen::Screen;
use site::{Place, Site};
use summary::Summary;
use tally::Tally;
use traffic::Fleet;

/// What a client may still need for what it has begun.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that runs.
#[derive(Debug)]
pub struct Lab {
    /// The servers.
    pub site: Site,
    /// The proxy.
    pub app: App,
    /// What does not change in its configuration.
    pub frame: Frame,
    /// What the clients saw.
    pub tally: Arc<Tally>,
    /// Where it is shown.
    pub screen: Screen,
}

/// Runs the lab; says whether the promise held.
///
/// # Errors
/// The lab could not be started, in a sentence for the user.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    check_loopback()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lab = runtime.block_on(start(options))?;
    let performed = runtime.block_on(perform(&lab, options));
    lab.screen.finish();
    let (summary, to_its_end) = performed?;
    say::out(format_args!("\n{}", summary.render()));
    if options.keep && to_its_end {
        keep(&runtime, &lab)?;
    } else {
        say::out(advice::farewell(lab.app.admin()));
    }
    lab.app.shutdown();
    Ok(summary.promise_held())
}

async fn start(options: &Options) -> anyhow::Result<Lab> {
    let site = Site::start().await?;
    let frame = Frame::new(options.listen, options.admin, options.threads, options.duration, &site);
    let app = App::start(&frame.render(Table::after(0)), None)?;
    let proxy = listener(&app)?;
    if let Some(path) = &options.config_out {
        let bound = app.listener("http").unwrap_or(proxy);
        let bound = Frame { listen: bound, admin: app.admin(), ..frame.clone() };
        let written = std::fs::write(path, bound.render(Table::after(0)).text);
        written.with_context(|| format!("cannot write the configuration to {}", path.display()))?;
    }
    say::out(advice::introduction(options, proxy, app.admin()));
    Ok(Lab { site, app, frame, tally: Arc::default(), screen: Screen::new(options.duration) })
}

/// Plays the story among traffic; says too whether it came to its end.
async fn perform(lab: &Lab, options: &Options) -> anyhow::Result<(Summary, bool)> {
    let started = Instant::now();
    let fleet = Fleet::start(listener(&lab.app)?, options.clients, options.seed, &lab.site.content, &lab.tally);
    let to_its_end = tokio::select! {
        end = story::play(lab) => end.map(|()| true)?,
        () = watch::watch(lab) => true,
        signal = tokio::signal::ctrl_c() => {
            signal.context("Ctrl-C cannot be listened for")?;
            lab.screen.event("Ctrl-C: the clients finish what they have begun");
            false
        }
    };
    let late = fleet.stop(PATIENCE).await;
    if late > 0 {
        lab.tally.fail(format!("{late} clients were still waiting {} s after the end", PATIENCE.as_secs()));
    }
    let arrived = lab.site.messages().map(|messages| {
        let twice = messages.values().filter(|times| **times > 1).count();
        (messages.len() as u64, twice as u64)
    });
    Ok((Summary::new(started.elapsed(), lab.tally.read(), lab.app.metrics(), arrived), to_its_end))
}

fn keep(runtime: &Runtime, lab: &Lab) -> anyhow::Result<()> {
    say::out(advice::commands(listener(&lab.app)?, lab.app.admin(), &lab.site.content));
    runtime.block_on(tokio::signal::ctrl_c()).context("Ctrl-C cannot be listened for")
}

/// Where the clients find the proxy.
fn listener(app: &App) -> anyhow::Result<SocketAddr> {
    let mut address = app.listener("http").context("the proxy has no listener")?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(address)
}

/// Clients need addresses of their own, which is how a proxy tells boundary groups apart.
fn check_loopback() -> anyhow::Result<()> {
    for place in Place::ALL {
        let address = place.address(0);
        TcpListener::bind((address, 0)).with_context(|| {
            format!(
                "the clients need addresses like {address}, which this system does not give its loopback; Linux does"
            )
        })?;
    }
    Ok(())
}
