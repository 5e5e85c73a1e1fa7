//! The works, one after the other.

mod death;
mod faults;
mod generator;
pub(super) mod idle;
mod latency;
mod own;
mod paced;
mod plain;
mod scale;
mod steady;
mod swap;

use std::time::Duration;

use fastrand::Rng;

use super::measure::{self, Load, Outcome};
use super::options::{Set, WorkName};
use super::probe;
use super::proxies::Kind;
use super::rates;
use super::sheet::Sheet;
use super::stage::{Bed, Running, Setup, Stage};
use super::template::Bodies;
use super::tools::Tool;
use crate::pki::Algorithm;
use crate::report::comparison::Proxy;

/// How long a proxy has load that is not measured when it was started, besides the warm-up of each measurement.
pub(super) const FIRST: Duration = Duration::from_millis(500);

/// A comparison on its way.
pub(super) struct Run<'a> {
    pub(super) stage: &'a Stage,
    /// What makes the load instead of our generator, where it can.
    pub(super) tool: Option<Tool>,
    pub(super) sheet: Sheet,
    /// What takes part besides the proxies.
    pub(super) more: Vec<Proxy>,
    /// In sentences, what went wrong.
    pub(super) doubts: Vec<String>,
    /// They say in which order the proxies are measured.
    pub(super) dice: Rng,
    /// Takes lines for people.
    pub(super) tell: &'a mut dyn FnMut(&str),
}

impl Run<'_> {
    /// Does one work.
    pub(super) async fn work(&mut self, name: WorkName) -> anyhow::Result<()> {
        match name {
            WorkName::Small => plain::small(self).await,
            WorkName::Small1000 => plain::small_1000(self).await,
            WorkName::Large => plain::large(self).await,
            WorkName::New => plain::new(self).await,
            WorkName::Tls => plain::tls(self).await,
            WorkName::Latency => latency::latency(self).await,
            WorkName::Rates => steady::rates(self).await,
            WorkName::Idle => idle::idle(self).await,
            WorkName::Death => death::death(self).await,
            WorkName::Faults => faults::faults(self).await,
            WorkName::Swap => swap::swap(self).await,
            WorkName::Scale => scale::scale(self).await,
            WorkName::Threads => own::threads(self).await,
            WorkName::Generator => generator::generator(self).await,
        }
    }

    fn say(&mut self, line: impl AsRef<str>) {
        (self.tell)(line.as_ref());
    }

    /// Says it, and has it in the report, where it would be missed otherwise.
    fn left_out(&mut self, why: &str) {
        self.say(why);
        self.doubts.push(why.to_owned());
    }

    /// The order of so many proxies in one round.
    fn order(&mut self, count: usize) -> Vec<usize> {
        rates::order(count, &mut self.dice)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.stage.options.seconds)
    }

    fn threads(&self) -> usize {
        // The origins need some of these cores too.
        self.stage.cores.others.len().div_ceil(2)
    }

    /// Starts proxies for small answers, and says who did not.
    async fn bed(&mut self) -> anyhow::Result<Bed<'static>> {
        let setup = Setup::of(self.stage.options.set);
        self.bed_of(setup, |_| true).await
    }

    /// Starts proxies for bodies of 10 MiB.
    async fn bed_for_downloads(&mut self) -> anyhow::Result<Bed<'static>> {
        let setup = Setup { bodies: Bodies::Large, ..Setup::of(self.stage.options.set) };
        self.bed_of(setup, |_| true).await
    }

    /// Starts proxies that speak TLS with a key of this kind: the forwarder does not.
    async fn bed_of_tls(&mut self, key: Algorithm, bodies: Bodies) -> anyhow::Result<Bed<'static>> {
        let setup = Setup { bodies, key, ..Setup::of(self.stage.options.set) };
        self.bed_of(setup, |kind| kind != Kind::Forwarder).await
    }

    async fn bed_of<'a>(&mut self, setup: Setup<'a>, wanted: impl Fn(Kind) -> bool) -> anyhow::Result<Bed<'a>> {
        let mut bed = Bed::start(self.stage, setup, wanted).await?;
        self.tell_failed(&mut bed);
        Ok(bed)
    }

    fn tell_failed(&mut self, bed: &mut Bed<'_>) {
        for why in std::mem::take(&mut bed.failed) {
            self.left_out(&format!("left out: {why}"));
        }
    }

    /// Every proxy of the bed once a round, after a short warm-up of all; in each round they are started anew. `take` gets
    /// each outcome, fills in the rows and says what to tell.
    async fn rounds(
        &mut self,
        bed: &mut Bed<'_>,
        (work, rows): (&'static str, &[&'static str]),
        load: impl Fn(&Running) -> Load,
        take: impl Fn(&mut Sheet, &Running, usize, &Outcome) -> String,
    ) -> anyhow::Result<()> {
        let (duration, threads) = (self.duration(), self.threads());
        let load = |proxy: &Running| Load { threads, ..load(proxy) };
        for round in 0..self.stage.options.rounds {
            if round > 0 {
                bed.renew(self.stage).await?;
                self.tell_failed(bed);
            }
            for proxy in &bed.proxies {
                measure::of_group(&load(proxy), duration.min(FIRST), proxy.id()).await?;
            }
            for at in self.order(bed.proxies.len()) {
                let proxy = &mut bed.proxies[at];
                let name = proxy.name();
                if !proxy.lives() {
                    self.say(format!("{work:13} round {:2}  {name:9} has ended", round + 1));
                    continue;
                }
                let load = load(proxy);
                let mut outcome = of_one(self.tool.as_ref(), &load, duration, proxy.id()).await?;
                outcome.doubts.extend(outcome.short_of(load.mode, name));
                let told = take(&mut self.sheet, proxy, round, &outcome);
                let failed = outcome.failed_words();
                self.say(format!("{work:13} round {:2}  {name:9} {told}{failed}", round + 1));
                for row in rows {
                    self.sheet.busy(row, name, outcome.busy());
                }
                self.note(rows, name, &outcome);
                self.dropped(rows, proxy).await;
            }
        }
        Ok(())
    }

    /// Notes at the rows what rolegate's access log left out since this was last asked: it did less than it should have.
    async fn dropped(&mut self, rows: &[&'static str], proxy: &mut Running) {
        if !proxy.kind.is_rolegate() || self.stage.options.set == Set::Plain {
            return;
        }
        let doubt = match probe::admin(proxy.admin, "/metrics").await {
            Ok((200, metrics)) => {
                let before = std::mem::replace(&mut proxy.dropped, dropped_records(&metrics));
                match proxy.dropped.saturating_sub(before) {
                    0 => return,
                    records => format!("{}'s access log dropped {records} records.", proxy.name()),
                }
            }
            _ => format!("{} did not say whether its access log dropped records.", proxy.name()),
        };
        self.doubt(rows, &doubt);
    }

    fn doubt(&mut self, rows: &[&'static str], doubt: &str) {
        let new = rows.iter().filter(|row| self.sheet.doubt(row, doubt)).count();
        if new > 0 {
            self.say(format!("              {doubt}"));
        }
    }

    /// Notes at the rows what failed and what is doubtful, and says a doubt that is new.
    fn note(&mut self, rows: &[&'static str], proxy: &'static str, outcome: &Outcome) {
        for row in rows {
            self.sheet.failed(row, proxy, outcome.failed, outcome.failed + outcome.done);
        }
        for doubt in &outcome.doubts {
            self.doubt(rows, doubt);
        }
    }
}

/// Makes load on one proxy: by a generator of others, if that is wanted and possible.
async fn of_one(tool: Option<&Tool>, load: &Load, duration: Duration, group: u32) -> anyhow::Result<Outcome> {
    match tool.filter(|tool| tool.name.connections(load).is_some()) {
        Some(tool) => tool.of_group(load, duration, group).await,
        None => measure::of_group(load, duration, group).await,
    }
}

/// The records that the access log has dropped since the start.
fn dropped_records(metrics: &str) -> u64 {
    let sink = "rolegate_telemetry_dropped_total{sink=\"access_log\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(sink)?.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_records_are_counted() {
        let metrics = "rolegate_telemetry_dropped_total{sink=\"notes\"} 3\r\n\
                       rolegate_telemetry_dropped_total{sink=\"access_log\"} 42\r\n";
        assert_eq!((dropped_records(metrics), dropped_records("")), (42, 0));
    }
}
