//! What the Director does with another configuration: it is read, compiled, and served whole or not at all.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Director, read_with};
use crate::control::assemble::assemble_steered;
use crate::control::certificates;
use crate::control::compile::Files;
use crate::control::config::Source;
use crate::control::difference::difference;
use crate::control::doubts;
use crate::control::listening;
use crate::control::origin::Look;
use crate::control::settle::Settling;
use crate::control::told::Told;

impl Director {
    /// Something has changed: it is read when it has come to rest.
    pub(super) fn settle(&mut self) {
        if self.settling.is_none() {
            self.settling = Some(Settling::begin(self.origin.stamps()));
        }
    }

    pub(super) fn look_when_settled(&mut self) {
        let (stamps, writers) = (self.origin.stamps(), self.origin.writers());
        if self.settling.as_mut().is_some_and(|settling| settling.is_over(stamps, writers)) {
            self.settling = None;
            drop(self.look(false));
        }
    }

    /// Reads again what has changed; gives the generation that is served then. `forced`: also when nothing has changed.
    pub(super) fn look(&mut self, forced: bool) -> Result<u64, String> {
        let told = match self.origin.look(forced) {
            Look::Same => Ok(self.publisher.generation()),
            Look::Changed(source) => {
                let files = Files::new();
                let told = self.reload(&source, &files);
                self.origin.tried(source, files.named());
                told
            }
            Look::Unreadable(error) => self.reject(error),
            Look::Nothing => {
                let error = "there is no configuration file to read again";
                tracing::warn!("{error}");
                Err(error.to_owned())
            }
        };
        // Also when nothing has changed: a link may lead to another folder with the same files.
        self.origin.follow(&self.inbox.file_changed, self.compiled.watch);
        told
    }

    pub(super) fn reload(&mut self, source: &Source, files: &Files) -> Result<u64, String> {
        self.held = None;
        let (mut compiled, warnings) = match read_with(source, files, false) {
            Ok(read) => read,
            Err(errors) => return self.reject(errors),
        };
        let planned = listening::plan(&self.compiled, &compiled, self.publisher.departed());
        listening::identify(&mut compiled, &planned);
        let now = SystemTime::now();
        if let Some((text, held)) = certificates::refusal(&self.compiled.site, &compiled.site, now) {
            self.held = held;
            return self.reject(text);
        }
        // The last that can fail.
        if let Some(Err(errors)) = self.sockets.as_mut().map(|sockets| sockets.prepare(&planned)) {
            return self.reject(errors);
        }
        if compiled.fixed != self.compiled.fixed {
            tracing::warn!(
                "[proxy] threads, drain_timeout, shutdown_delay, upgrade_timeout and state_file, [admin] address and socket, a new \
                 [access_log] and its buffer, max_clocks and max_entries take effect at the next start"
            );
        }
        warnings.iter().for_each(|warnings| warnings.log("the new configuration has warnings"));
        certificates::keep_sessions(&self.compiled.site, &mut compiled.site);
        certificates::warn(&compiled.site, now);
        doubts::warn(&compiled);
        self.expiries.show(&compiled.site);
        let steering = (&**self.steerer.steering(), self.steerer.now());
        let assembled = assemble_steered(&compiled, &self.addresses, &mut self.registry, steering);
        self.circles.look(&compiled, &assembled.topologies);
        self.publisher.depart(listening::leaving(&self.compiled, &planned));
        self.publisher.replace_site(Arc::clone(&compiled.site), assembled.topologies);
        let changes = difference(&self.compiled, &compiled);
        self.compiled = compiled;
        self.end_foreign_ejections();
        self.reconsider = true;
        self.view().checker.set_targets(assembled.targets);
        self.ask_for_names();
        self.publisher.publish();
        // Clients that come from here on find their listener in the snapshot.
        if let Some(listening) = self.sockets.as_mut().map(|sockets| sockets.commit()) {
            self.view().listening = listening;
        }
        self.accepted.increment(1);
        self.last_success.set(1.0);
        let generation = self.publisher.generation();
        self.view().accepted(generation, Arc::clone(&self.compiled.text), changes);
        tracing::info!(generation, "the new configuration is served");
        Ok(generation)
    }

    fn reject(&self, errors: impl Into<Told>) -> Result<u64, String> {
        let errors = errors.into();
        self.rejected.increment(1);
        self.last_success.set(0.0);
        errors.log("the new configuration is rejected, the old one goes on serving");
        self.view().rejected(self.publisher.generation(), &errors.text);
        Err(errors.text)
    }
}
