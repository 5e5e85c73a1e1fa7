//! What happens to the site, and when.

use std::time::Duration;

use anyhow::Context as _;

use super::Lab;
use super::config::Table;

enum Scene {
    Kill(&'static str),
    Restart(&'static str),
    LoseContent(&'static str),
    RegainContent(&'static str),
    DatabaseDown(&'static str),
    DatabaseUp(&'static str),
    Swap,
    SwapOftenUntil(f64),
}

/// Parts of the whole run, so that every run tells the whole story.
const STORY: &[(f64, Scene)] = &[
    (0.08, Scene::Swap),
    (0.14, Scene::Kill("DP1")),
    (0.20, Scene::Swap),
    (0.25, Scene::Swap),
    (0.29, Scene::Restart("DP1")),
    (0.33, Scene::LoseContent("DP1")),
    (0.37, Scene::Swap),
    (0.40, Scene::RegainContent("DP1")),
    (0.42, Scene::Kill("MP1")),
    (0.48, Scene::Swap),
    (0.54, Scene::Restart("MP1")),
    (0.60, Scene::Swap),
    (0.65, Scene::DatabaseDown("MP2")),
    (0.70, Scene::Swap),
    (0.75, Scene::DatabaseUp("MP2")),
    (0.82, Scene::SwapOftenUntil(0.92)),
    (1.00, Scene::Swap),
];
const MOMENT: Duration = Duration::from_millis(1);
const MOMENTS: u32 = 250;
const BETWEEN_FREQUENT_SWAPS: Duration = Duration::from_millis(20);

/// Plays the story to its end.
///
/// # Errors
/// A server cannot listen again, or the proxy does not take a routing table.
pub async fn play(lab: &Lab) -> anyhow::Result<()> {
    let mut swaps = 0;
    let until = |part: f64| tokio::time::sleep_until((lab.screen.started() + lab.frame.duration.mul_f64(part)).into());
    for (part, scene) in STORY {
        until(*part).await;
        match scene {
            Scene::Kill(name) => {
                let requests = until_busy(lab, name).await;
                lab.site.system(name)?.kill();
                lab.screen.event(&format!("{name} is killed with {requests} requests under way"));
            }
            Scene::Restart(name) => {
                lab.site.system(name)?.restart().await.with_context(|| format!("{name} cannot start again"))?;
                lab.screen.event(&format!("{name} is back"));
            }
            Scene::LoseContent(name) => {
                let packages = lab.site.content.packages().map(rolegate_bench::content::Package::id);
                lab.site.system(name)?.faults().set_missing_content(packages);
                lab.screen.event(&format!("{name} loses its content and answers 404"));
            }
            Scene::RegainContent(name) => {
                lab.site.system(name)?.faults().set_missing_content::<&str>([]);
                lab.screen.event(&format!("{name} has its content again"));
            }
            Scene::DatabaseDown(name) => {
                lab.site.system(name)?.faults().set_database_down(true);
                lab.screen.event(&format!("{name} loses its database and answers 500"));
            }
            Scene::DatabaseUp(name) => {
                lab.site.system(name)?.faults().set_database_down(false);
                lab.screen.event(&format!("{name} has its database again"));
            }
            Scene::Swap => {
                let generation = swap(lab, &mut swaps).await?;
                let what = Table::after(swaps).difference(Table::after(swaps - 1));
                lab.screen.event(&format!("routing table swapped to generation {generation}: {what}"));
            }
            Scene::SwapOftenUntil(part) => {
                lab.screen.event("routing table swapped again and again");
                let (before, end) = (swaps, until(*part));
                tokio::pin!(end);
                let generation = loop {
                    let generation = swap(lab, &mut swaps).await?;
                    tokio::select! {
                        () = &mut end => break generation,
                        () = tokio::time::sleep(BETWEEN_FREQUENT_SWAPS) => {}
                    }
                };
                let count = swaps - before;
                lab.screen.event(&format!("routing table swapped {count} times, now generation {generation}"));
            }
        }
    }
    Ok(())
}

/// Waits for the worst moment, but not for long; gives the requests that are under way.
async fn until_busy(lab: &Lab, name: &str) -> u32 {
    let in_flight = || {
        let snapshot = lab.app.snapshot();
        let mut endpoints = snapshot.clusters.iter().flat_map(|cluster| &cluster.topology.endpoints[..]);
        endpoints.find(|endpoint| &*endpoint.system == name).map_or(0, |endpoint| endpoint.state.in_flight())
    };
    for _ in 0..MOMENTS {
        if in_flight() > 1 {
            break;
        }
        tokio::time::sleep(MOMENT).await;
    }
    in_flight()
}

async fn swap(lab: &Lab, swaps: &mut u64) -> anyhow::Result<u64> {
    *swaps += 1;
    let source = lab.frame.render(Table::after(*swaps));
    lab.app.reload_async(source).await.context("the proxy did not take a routing table")
}
