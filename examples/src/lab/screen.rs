//! What is shown while the lab runs: live lines in a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rolegate_bench::say;

use super::site::Place;

/// Plain status lines in one run.
const PLAIN_LINES: u32 = 12;

/// Where the run is shown.
#[derive(Debug)]
pub struct Screen {
    started: Instant,
    total: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Terminal { all: MultiProgress, head: ProgressBar, places: Vec<ProgressBar> },
    Plain { next: Mutex<Duration> },
}

impl Screen {
    /// Standard output, for a run of this length that starts now.
    #[must_use]
    pub fn new(total: Duration) -> Self {
        let started = Instant::now();
        if !std::io::stdout().is_terminal() {
            return Self { started, total, kind: Kind::Plain { next: Mutex::new(total / PLAIN_LINES) } };
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let head = all.add(ProgressBar::new(u64::try_from(total.as_millis()).unwrap_or(u64::MAX)));
        let places = Place::ALL.iter().map(|_| all.add(ProgressBar::new_spinner())).collect::<Vec<_>>();
        // The templates are constants; a wrong one would only look plainer.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {msg}") {
            head.set_style(style);
        }
        if let Ok(style) = ProgressStyle::with_template("  {prefix:9} {msg}") {
            for (bar, place) in places.iter().zip(Place::ALL) {
                bar.set_style(style.clone());
                bar.set_prefix(place.title());
            }
        }
        head.enable_steady_tick(Duration::from_millis(120));
        Self { started, total, kind: Kind::Terminal { all, head, places } }
    }

    /// When the run started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Something happened.
    pub fn event(&self, text: &str) {
        self.say(&format!("{:6.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.kind {
            // A terminal that has gone away is nobody to tell.
            Kind::Terminal { all, .. } => drop(all.println(line)),
            Kind::Plain { .. } => say::out(line),
        }
    }

    /// How it goes: one line about everything and one for each place.
    pub fn refresh(&self, head: &str, places: &[String]) {
        let elapsed = self.started.elapsed();
        match &self.kind {
            Kind::Terminal { head: bar, places: bars, .. } => {
                bar.set_position(u64::try_from(elapsed.min(self.total).as_millis()).unwrap_or(u64::MAX));
                bar.set_message(head.to_owned());
                bars.iter().zip(places).for_each(|(bar, text)| bar.set_message(text.clone()));
            }
            Kind::Plain { next } => {
                let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                if elapsed >= *next {
                    *next = elapsed + (self.total / PLAIN_LINES).max(Duration::from_secs(1));
                    say::out(format_args!("{:6.1} s    {head}", elapsed.as_secs_f64()));
                }
            }
        }
    }

    /// Takes the live lines away.
    pub fn finish(&self) {
        if let Kind::Terminal { all, head, .. } = &self.kind {
            head.disable_steady_tick();
            // See `say`.
            drop(all.clear());
        }
    }
}
