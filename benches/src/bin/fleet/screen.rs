//! How it goes: live lines in a terminal, plain lines every few seconds elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rolegate_bench::record::{Interval, RoleInterval};
use rolegate_bench::say;

/// From one plain line to the next.
const PLAIN: f64 = 5.0;

/// Shows each second that comes until the run is over.
pub(crate) fn show(seconds: &Receiver<Interval>, total: Duration) {
    let mut screen = Screen::new(total);
    while let Ok(interval) = seconds.recv() {
        screen.show(&interval);
    }
    screen.finish();
}

enum Screen {
    Terminal { all: MultiProgress, head: ProgressBar, roles: BTreeMap<String, ProgressBar>, total: Duration },
    Plain { next: f64, done: u64, errors: u64 },
}

impl Screen {
    fn new(total: Duration) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Plain { next: 0.0, done: 0, errors: 0 };
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let head = all.add(ProgressBar::new(total.as_secs().max(1)));
        // The templates are constants; a wrong one would only look plainer.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {msg}") {
            head.set_style(style);
        }
        head.enable_steady_tick(Duration::from_millis(120));
        Self::Terminal { all, head, roles: BTreeMap::new(), total }
    }

    fn show(&mut self, interval: &Interval) {
        match self {
            Self::Terminal { all, head, roles, total } => {
                let at = interval.at_s + interval.length_s;
                head.set_position(Duration::from_secs_f64(at.max(0.0)).min(*total).as_secs());
                head.set_message(format!("{at:.0} of {} s   {}", total.as_secs(), line(interval)));
                for (role, part) in interval.roles.iter().filter(|(role, _)| !role.is_empty()) {
                    let bar = roles.entry(role.clone()).or_insert_with(|| {
                        let bar = all.add(ProgressBar::new_spinner());
                        // See above.
                        if let Ok(style) = ProgressStyle::with_template("  {prefix:4} {msg}") {
                            bar.set_style(style);
                        }
                        bar.set_prefix(role.clone());
                        bar
                    });
                    bar.set_message(role_line(part, interval.length_s));
                }
            }
            Self::Plain { next, done, errors } => {
                *done += interval.done;
                *errors += interval.errors;
                let at = interval.at_s + interval.length_s;
                if at >= *next {
                    *next = at + PLAIN;
                    let so_far = format!("{} so far, {} errors", HumanCount(*done), HumanCount(*errors));
                    say::err(format_args!("{at:5.0} s  {}   {so_far}", line(interval)));
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Terminal { all, head, .. } = self {
            head.disable_steady_tick();
            // A terminal that has gone away is nobody to tell.
            drop(all.clear());
        }
    }
}

fn line(interval: &Interval) -> String {
    let length = interval.length_s.max(0.001);
    let rate = |count: u64| u64_of(precise(count) / length);
    format!(
        "{}/s   p50 {}   p99 {}   {} errors   {}/s   {} open, {} under way",
        HumanCount(rate(interval.done)),
        milliseconds(interval.p50_us),
        milliseconds(interval.p99_us),
        HumanCount(interval.errors),
        HumanBytes(rate(interval.received)),
        HumanCount(interval.open),
        HumanCount(interval.under_way),
    )
}

fn role_line(part: &RoleInterval, length_s: f64) -> String {
    let rate = u64_of(precise(part.done) / length_s.max(0.001));
    let (p50, p99) = (milliseconds(part.p50_us), milliseconds(part.p99_us));
    format!("{}/s   p50 {p50}   p99 {p99}   {} errors", HumanCount(rate), HumanCount(part.errors))
}

fn milliseconds(us: u64) -> String {
    format!("{:.1} ms", precise(us) / 1000.0)
}

/// Counts of a second are far below what a float counts exactly.
#[allow(clippy::cast_precision_loss)]
const fn precise(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn u64_of(rate: f64) -> u64 {
    rate.round() as u64
}
