//! What others may read of the Director's state.

use std::sync::Arc;
use std::time::SystemTime;

use rolegate_health::Checker;

use super::changes::Changes;
use super::listening::{FailedUpgrade, Listening};
use super::registry::Leaving;
use super::resolve::Names;
use super::versions::Versions;

/// What others may read of the Director's state. No data thread does.
#[derive(Debug)]
pub struct View {
    /// Histories of probes.
    pub checker: Checker,
    /// Names and their addresses.
    pub names: Names,
    /// Endpoints that left and still have requests.
    pub leaving: Vec<Leaving>,
    /// The last reload.
    pub reload: Reload,
    /// The listeners that are served.
    pub listening: Vec<Listening>,
    /// The text of the configuration that is served.
    pub text: Arc<str>,
    /// How the health of endpoints has changed.
    pub changes: Changes,
    /// Configurations that were served or rejected.
    pub versions: Versions,
    /// Why the last upgrade came to nothing, and when.
    pub upgrade: Option<FailedUpgrade>,
}

impl View {
    /// A configuration is served: what it changes.
    pub(super) fn accepted(&mut self, generation: u64, text: Arc<str>, changes: Vec<String>) {
        self.text = text;
        self.reload = Reload { at: SystemTime::now(), accepted: true, errors: None };
        self.versions.taken(self.reload.at, generation, changes);
    }

    /// A configuration was rejected, and this generation goes on.
    pub(super) fn rejected(&mut self, generation: u64, errors: &str) {
        self.reload = Reload { at: SystemTime::now(), accepted: false, errors: Some(errors.to_owned()) };
        self.versions.rejected(self.reload.at, generation, errors);
    }
}

/// How the last reload went.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When.
    pub at: SystemTime,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Rendered errors of a rejected one.
    pub errors: Option<String>,
}
