//! Series as the Prometheus text format writes them.

use std::fmt::{Display, Write};

use super::histogram::{BOUNDS, Buckets};

/// A label whose values are a closed list.
pub(super) type Label = (&'static str, &'static str);

/// What the lines of one series have in common.
pub(super) struct Line<'a> {
    pub(super) name: &'static str,
    pub(super) labels: &'a str,
    pub(super) label: Option<Label>,
}

impl Line<'_> {
    /// One line.
    pub(super) fn write(&self, out: &mut String, suffix: &str, value: impl Display) {
        self.begin(out, suffix, None);
        let _ = writeln!(out, " {value}");
    }

    /// All lines of a histogram.
    pub(super) fn write_histogram(&self, out: &mut String, buckets: &Buckets) {
        let counts = buckets.cumulative();
        for (bound, count) in BOUNDS.iter().zip(counts) {
            self.begin(out, "_bucket", Some(bound));
            let _ = writeln!(out, " {count}");
        }
        let all = counts[BOUNDS.len()];
        self.begin(out, "_bucket", Some(&"+Inf"));
        let _ = writeln!(out, " {all}");
        self.write(out, "_sum", buckets.sum());
        self.write(out, "_count", all);
    }

    /// The sum and the count of a histogram, unless it has counted nothing.
    pub(super) fn write_summary(&self, out: &mut String, buckets: &Buckets) {
        let all = buckets.cumulative()[BOUNDS.len()];
        if all > 0 {
            // Microseconds are exact enough, and shorter.
            self.begin(out, "_sum", None);
            let _ = writeln!(out, " {:.6}", buckets.sum());
            self.write(out, "_count", all);
        }
    }

    /// Name and labels.
    fn begin(&self, out: &mut String, suffix: &str, le: Option<&dyn Display>) {
        out.push_str(self.name);
        out.push_str(suffix);
        let mut before = '{';
        if !self.labels.is_empty() {
            out.push(before);
            out.push_str(self.labels);
            before = ',';
        }
        if let Some((name, value)) = self.label {
            out.push(before);
            out.push_str(name);
            out.push_str("=\"");
            out.push_str(value);
            out.push('"');
            before = ',';
        }
        if let Some(le) = le {
            let _ = write!(out, "{before}le=\"{le}\"");
            before = ',';
        }
        if before == ',' {
            out.push('}');
        }
    }
}

/// Labels as the text has them, without braces.
pub(super) fn labels(labels: &[(&'static str, &str)]) -> Box<str> {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.into_boxed_str()
}
