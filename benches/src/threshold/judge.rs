//! From a run to verdicts.

use super::{Figure, Scope, Threshold};
use crate::record::{Judged, Latencies, Outcome, Run, Series};

/// Judges a run, threshold by threshold.
#[must_use]
pub fn judge(thresholds: &[Threshold], run: &Run) -> Vec<Judged> {
    thresholds.iter().map(|threshold| threshold.judge(run)).collect()
}

/// The requests that a threshold is about.
#[derive(Debug, Default)]
struct Concerned {
    done: u64,
    failed: u64,
    latency: Latencies,
}

impl Concerned {
    fn requests(&self) -> u64 {
        self.done.saturating_add(self.failed)
    }
}

impl Scope {
    fn has(&self, series: &Series) -> bool {
        match self {
            Self::Whole => true,
            Self::Message(name) => series.message == *name,
            Self::Role(name) => series.role == *name,
            Self::Group(name) => series.group == *name,
        }
    }

    fn of(&self, run: &Run) -> Concerned {
        let mut all = Concerned::default();
        for series in run.series.iter().filter(|series| self.has(series)) {
            all.done = all.done.saturating_add(series.done);
            all.failed = series.errors.values().fold(all.failed, |sum, count| sum.saturating_add(*count));
            all.latency.merge(&series.latency);
        }
        all
    }
}

impl Threshold {
    fn judge(&self, run: &Run) -> Judged {
        let concerned = self.scope.of(run);
        let (value, why) = match self.figure.of(&concerned, run.measured_s) {
            Ok(value) => (Some(value), String::new()),
            Err(why) => (None, why),
        };
        let outcome = match value {
            Some(value) if self.operator.holds(value, self.limit) => Outcome::Met,
            Some(_) => Outcome::Missed,
            None => Outcome::NotJudged,
        };
        let samples = match self.figure {
            Figure::Percentile(_) | Figure::Mean => concerned.latency.count(),
            Figure::Rate => concerned.done,
            Figure::FailedPart | Figure::Failed | Figure::Requests => concerned.requests(),
        };
        Judged { threshold: self.text.clone(), value, unit: self.figure.unit(), samples, outcome, why }
    }
}

impl Figure {
    /// The value, or why there is none.
    #[allow(clippy::cast_precision_loss)]
    fn of(self, of: &Concerned, measured_s: f64) -> Result<f64, String> {
        let requests = of.requests();
        match self {
            Self::Requests => Ok(requests as f64),
            _ if requests == 0 => Err("there was no such request".to_owned()),
            Self::Percentile(_) | Self::Mean if of.latency.count() == 0 => Err("there was no good answer".to_owned()),
            Self::Percentile(percent) if !of.latency.is_enough(percent) => {
                Err(format!("of {} good answers none is slower than p{percent}", of.latency.count()))
            }
            Self::Percentile(percent) => Ok(of.latency.percentile(percent) as f64),
            Self::Mean => of.latency.mean().ok_or_else(|| "there was no good answer".to_owned()),
            Self::FailedPart => Ok(of.failed as f64 / requests as f64),
            Self::Failed => Ok(of.failed as f64),
            Self::Rate if measured_s > 0.0 => Ok(of.done as f64 / measured_s),
            Self::Rate => Err("nothing was measured".to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Names;
    use super::*;
    use crate::report::sample;

    /// 1,000 requests for policy, of which so many failed, and 50 for content, all good and slow.
    fn run(failed: u64) -> Run {
        let mut run = sample::run("a", 1, 0, 1.0);
        let series = |message: &str, role: &str, group: &str, done: u64, us: u64| {
            let mut latency = Latencies::default();
            (0..done).for_each(|_| latency.record(us));
            let (message, role, group) = (message.to_owned(), role.to_owned(), group.to_owned());
            Series { message, role, group, done, latency, ..Series::default() }
        };
        let mut policy = series("policy request", "MP", "HQ", 1_000 - failed, 1_000);
        policy.errors = [("reset".to_owned(), failed)].into();
        run.series = vec![policy, series("content range", "DP", "Branch", 50, 900_000)];
        run.measured_s = 10.0;
        run
    }

    fn judged(text: &str, run: &Run) -> Judged {
        judge(&[text.parse().unwrap()], run).remove(0)
    }

    #[test]
    fn figures_are_compared_with_their_limits() {
        let run = run(10);
        for (text, outcome, value, samples) in [
            ("requests >= 1050", Outcome::Met, 1050.0, 1050),
            ("requests > 1050", Outcome::Missed, 1050.0, 1050),
            ("errors < 10", Outcome::Missed, 10.0, 1050),
            ("errors <= 10", Outcome::Met, 10.0, 1050),
            ("role MP: errors < 1%", Outcome::Missed, 0.01, 1000),
            ("role MP: errors <= 1%", Outcome::Met, 0.01, 1000),
            ("group Branch: errors < 1%", Outcome::Met, 0.0, 50),
            ("rate > 104", Outcome::Missed, 104.0, 1040),
            ("rate >= 104/s", Outcome::Met, 104.0, 1040),
            ("policy request: p99 < 2ms", Outcome::Met, 1_000.0, 990),
            ("p90 < 2ms", Outcome::Met, 1_000.0, 1040),
        ] {
            let judged = judged(text, &run);
            assert_eq!((judged.outcome, judged.value, judged.samples), (outcome, Some(value), samples), "{text}");
            assert!(judged.why.is_empty() && judged.threshold == text, "{judged:?}");
        }
        // Three digits are right.
        let slow = judged("max < 900ms", &run);
        assert!(slow.value.is_some_and(|us| (us - 900_000.0).abs() < 900.0), "{slow:?}");
        let mean = judged("content range: mean < 1s", &run);
        assert!(
            mean.value.is_some_and(|us| (us - 900_000.0).abs() < 900.0) && mean.outcome == Outcome::Met,
            "{mean:?}"
        );
    }

    #[test]
    fn what_is_of_too_few_is_not_judged_and_fails() {
        let run = run(0);
        for (text, why) in [
            ("content range: p99 < 1s", "of 50 good answers none is slower than p99"),
            ("p99.99 < 1s", "of 1050 good answers"),
            ("role SUP: errors < 1%", "there was no such request"),
            ("role SUP: rate < 1", "there was no such request"),
            ("role SUP: max < 1s", "there was no such request"),
        ] {
            let judged = judged(text, &run);
            assert_eq!((judged.outcome, judged.value), (Outcome::NotJudged, None), "{text}");
            assert!(judged.why.contains(why) && judged.outcome.is_failure(), "{judged:?}");
        }
        let all_failed = self::run(1_000);
        assert_eq!(judged("role MP: max < 1s", &all_failed).why, "there was no good answer");
        assert_eq!(judged("role MP: errors < 100%", &all_failed).outcome, Outcome::Missed);
        assert_eq!(judged("role SUP: requests < 1", &run).outcome, Outcome::Met, "nothing is a number of requests");
        let nothing = Run { measured_s: 0.0, ..run };
        assert_eq!(judged("rate > 1", &nothing).outcome, Outcome::NotJudged);
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        let names = Names::of_run(&run(0));
        let unknown = |text: &str| text.parse::<Threshold>().unwrap().unknown(&names);
        assert_eq!(unknown("policy request: max < 1s"), None);
        let close = unknown("policy requst: max < 1s").unwrap();
        assert_eq!(
            close,
            "'policy requst: max < 1s': there is no message type 'policy requst'; did you mean 'policy request'?"
        );
        assert!(unknown("role SITE: max < 1s").unwrap().contains("no role 'SITE'; there are 'DP', 'MP'"));
        assert!(
            unknown("group Moon: max < 1s").unwrap().contains("no boundary group 'Moon'; there are 'Branch', 'HQ'")
        );
        let none = "group A: max < 1s".parse::<Threshold>().unwrap().unknown(&Names::default());
        assert!(none.unwrap().contains("there is none here"));
        let open = "any: max < 1s".parse::<Threshold>().unwrap().unknown(&Names::default());
        assert_eq!(open, None, "message types are not known yet");
    }
}
