//! What was measured, for people: text for a terminal, Markdown for documents, pages for a browser.
//!
//! A page is one HTML file that needs nothing else: no script, no font, no network. Its drawings are SVG whose colours the
//! page's style sheet replaces in the dark.

mod annotations;
mod chart;
pub mod comparison;
mod figures;
mod file;
mod format;
mod junit;
mod page;
mod parts;
mod prometheus;
mod repeats;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod text;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod threshold_tests;
mod thresholds;

pub use annotations::annotations;
pub use comparison::{comparison_markdown, comparison_text, write_comparison_html};
pub use file::{ReadError, read, read_comparison, replace, try_folder, write_comparison_json, write_json};
pub use junit::write_junit;
pub use page::write_html;
pub use prometheus::prometheus;
pub use repeats::repeats_text;
pub use text::{compare_text, text};
