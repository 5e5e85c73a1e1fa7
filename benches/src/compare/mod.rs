//! rolegate and other proxies at the same works, in one sitting.
//!
//! The proxies run on one core, the origins (two site systems, each a process) and the load generator on the others. One
//! proxy is measured at a time. The others of the same work run on that core too and have no requests then, but they probe,
//! and may collect garbage: that takes a little of the core, and is not in the CPU time of the one that is measured. A round
//! starts every proxy anew and measures it once, in any order. What counts most is the CPU time of a proxy's processes divided by what they did: it holds on a busy machine, where requests a second do not.
//!
//! Peers and their configurations are in `benches/peers`. A [`forwarder`] that knows no HTTP is measured beside them. The
//! program that runs a comparison is also the origin and the forwarder, when it is started with other arguments.

mod build;
mod control;
mod cores;
mod estimate;
mod find;
pub mod forwarder;
mod keeper;
mod measure;
mod options;
pub mod origin;
mod probe;
mod process;
mod proxies;
mod rates;
mod sheet;
mod sitting;
mod stage;
mod targets;
mod template;
mod tools;
mod usage;
mod works;

use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use fastrand::Rng;

pub use control::{Control, Named, control};
pub use estimate::{Cast, minutes};
pub use keeper::keep;
pub use options::{Builds, GeneratorName, Options, Peer, Set, WorkName, list};

use crate::hold::raise_open_files;
use crate::record::Machine;
use crate::report::comparison::{self, Comparison};
use cores::Cores;
use proxies::Found;
use sheet::Sheet;
use stage::Stage;
use works::Run;

/// Open files that this process and its children need at most.
const OPEN_FILES: u64 = 19_800;
/// From how many cores on two data threads are compared with one.
const CORES_FOR_THREADS: usize = 4;

/// Compares, and says meanwhile how it goes, line by line. It runs on a runtime of one thread, pins that thread meanwhile, and kills
/// everything that it started when it is dropped. When `stopped` is ready, it ends with what there is. A peer that does not
/// start is left out, and a work that fails ends, but those that follow are done; both is told in [`Comparison::doubts`].
///
/// # Errors
/// rolegate is not there, the system does not let this process measure, or nothing was measured at all.
pub async fn run(
    options: Options,
    stopped: impl Future<Output = ()>,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Comparison> {
    anyhow::ensure!(options.rounds > 0 && options.seconds > 0, "there has to be a round and a second");
    let all = cores::allowed().context("asking for the cores of this process")?;
    let spare = options.works.contains(&WorkName::Threads) && all.len() >= CORES_FOR_THREADS;
    let cores = Cores::split(&all, usize::from(spare)).map_err(anyhow::Error::msg)?;
    let started_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let machine = Machine::here();
    let found = proxies::find(&options).map_err(anyhow::Error::msg)?;
    let tool = tools::wanted(&options).map_err(anyhow::Error::msg)?;
    introduce(&found, tell);
    // Until the end: there may be another sitting.
    let _pinned = cores::Pinned::on(&cores.others).context("pinning this process")?;
    let mut sitting = sitting::facts(&options, &found.programs, &cores, tool.as_ref());
    sitting.extend(found.missing.iter().map(|why| format!("{why}.")));
    sitting.iter().for_each(|fact| tell(fact));
    let stage = Stage::new(options, found.programs, cores)?;
    tell(&estimate::of_all(&stage));
    let dice = Rng::with_seed(stage.options.seed);
    let mut run =
        Run { stage: &stage, tool, sheet: Sheet::default(), more: Vec::new(), doubts: found.unfit, dice, tell };
    let interrupted = all_works(&mut run, stopped).await;
    let doubts = run.doubts;
    let set = stage.options.set;
    let mut proxies: Vec<_> = stage.programs.iter().map(|program| program.describe(set)).chain(run.more).collect();
    let mut works = run.sheet.finish();
    for figures in works.iter_mut().map(|work| &mut work.figures) {
        // Not as they were measured, which is any order.
        figures.sort_by_key(|figures| proxies.iter().position(|proxy| proxy.name == figures.proxy));
    }
    anyhow::ensure!(!works.is_empty(), "nothing was measured. {}", doubts.join(" "));
    // What never started has no column.
    proxies.retain(|proxy| works.iter().any(|work| !work.rounds(&proxy.name).is_empty()));
    let started_unix_ms = u64::try_from(started_unix_ms).unwrap_or_default();
    let format = comparison::FORMAT;
    Ok(Comparison { format, started_unix_ms, machine, sitting, proxies, works, interrupted, doubts })
}

/// Says what takes part.
fn introduce(found: &Found, tell: &mut dyn FnMut(&str)) {
    for program in &found.programs {
        tell(&format!("{:9} {:10} {}", program.name(), program.version, program.path.display()));
        let (flags, tls) = (&program.build.flags, &program.build.tls);
        for (what, fact) in [("built", flags), ("TLS", tls)].into_iter().filter(|(_, fact)| !fact.is_empty()) {
            tell(&format!("          {what}: {fact}"));
        }
    }
    found.unfit.iter().for_each(|why| tell(why));
    if let Ok(files) = raise_open_files(OPEN_FILES)
        && files < OPEN_FILES
    {
        tell(&format!("this process may open {files} files only: not all idle connections will be"));
    }
}

/// Does all works, or as many as there is time for. Says whether one of them did not come to its end.
async fn all_works(run: &mut Run<'_>, stopped: impl Future<Output = ()>) -> bool {
    let mut stopped = pin!(stopped);
    let mut interrupted = false;
    for work in &run.stage.options.works {
        (run.tell)(&estimate::of_one(run.stage, *work));
        let result = tokio::select! {
            biased;
            () = &mut stopped => None,
            // What runs until now is dropped, and its children are killed.
            result = run.work(*work) => Some(result),
        };
        let doubt = match &result {
            Some(Ok(())) => continue,
            Some(Err(error)) => format!("The work '{work}' did not come to its end: {error:#}."),
            None => format!("Stopped at the work '{work}': it and those that follow are not complete."),
        };
        (run.tell)(&doubt);
        run.doubts.push(doubt);
        interrupted = true;
        if result.is_none() {
            break;
        }
    }
    interrupted
}
