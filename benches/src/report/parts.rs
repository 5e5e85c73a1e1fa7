//! Parts of a load: which one a run is, or which ones it was merged of.

use super::figures::machine;
use super::format::{count, latency, length, moment};
use crate::record::{Contribution, Run};

/// The heads of the table of parts.
pub(super) const HEADS: [&str; 7] = ["part", "clients", "requests", "failed", "late p99", "processor", "open at most"];

/// A part's row in that table.
#[allow(clippy::cast_precision_loss)]
pub(super) fn row(part: &Contribution) -> [String; HEADS.len()] {
    [
        part.part.to_string(),
        count(part.clients),
        count(part.done.saturating_add(part.failed)),
        count(part.failed),
        latency(part.generator.late_p99_us as f64),
        length(part.generator.cpu_s),
        count(part.generator.open_max),
    ]
}

/// Which part a run is; `None` if it is a whole.
pub(super) fn which(run: &Run) -> Option<String> {
    let part = run.part?;
    let agreed = part.agreed_unix_ms.map(|ms| format!(", which were to begin at {}", moment(ms))).unwrap_or_default();
    Some(format!("Part {part} of the load of {} clients{agreed}; fleet merge puts them together.", count(part.clients)))
}

/// A sentence for each part: from where, and when.
pub(super) fn whence(part: &Contribution) -> String {
    let (began, from) = (moment(part.started_unix_ms), machine(&part.machine));
    format!("Part {} ({}) began at {began} and took {}, from {from}.", part.part, part.label, length(part.measured_s))
}
