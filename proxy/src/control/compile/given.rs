//! What the tables of a configuration are compiled with.

use super::files::Files;
use crate::control::config::Config;

/// What every listener is made of, besides its own table.
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    pub(super) files: &'a Files,
}
