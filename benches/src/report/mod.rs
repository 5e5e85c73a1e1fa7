//! What was measured, for people: text for a terminal, Markdown for documents, pages for a browser.
//!
//! A page is one HTML file that needs nothing else: no script, no font, no network. Its drawings are SVG whose colours the
//! page's style sheet replaces in the dark.

mod chart;
pub mod comparison;
mod figures;
mod file;
mod format;
mod page;
mod parts;
mod repeats;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod text;

pub use comparison::{comparison_markdown, comparison_text, write_comparison_html};
pub use file::{ReadError, read, read_comparison, write_comparison_json, write_json};
pub use page::write_html;
pub use repeats::repeats_text;
pub use text::{compare_text, text};
