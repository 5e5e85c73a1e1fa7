//! What the admin listener changes, each logged.

use serde::{Deserialize, Serialize};

use super::Admin;
use super::query::Query;
use crate::learned::content;
use crate::learned::forget::{self, ClockFilter, ContentFilter};
use crate::lookup;
use crate::text::count;

/// What was changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Changed {
    /// How many.
    pub changed: usize,
    /// The same in words.
    pub sentence: String,
}

/// Collects what is wrong with the names that somebody gives.
#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn keep<T>(&mut self, found: Option<Result<T, String>>) -> Option<T> {
        found?.map_err(|mistake| self.0.push(mistake)).ok()
    }

    fn or<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

impl Admin {
    pub(super) fn reset_clocks(&self, query: &Query) -> Result<Changed, Vec<String>> {
        query.only(&["role", "group", "content"])?;
        let snapshot = self.handles.snapshots.current();
        let mut mistakes = Mistakes::default();
        let role = mistakes.keep(query.one("role").map(|name| lookup::role(&snapshot, name)));
        let group = mistakes.keep(query.one("group").map(|name| lookup::boundary_group(&snapshot, name)));
        let filter = mistakes.or(ClockFilter {
            role: role.map(|cluster| cluster.topology.role.name.clone()),
            group: group.map(str::to_owned),
            content: query.one("content").map(str::to_owned),
        })?;
        let changed = forget::reset_clocks(&snapshot, &mut self.ledger(), self.now(), &filter);
        let ClockFilter { role, group, content } = filter;
        tracing::info!(changed, ?role, ?group, ?content, "fallback clocks were reset");
        Ok(Changed { changed, sentence: format!("reset: {}", count(changed, "fallback clock")) })
    }

    pub(super) fn forget_content(&self, query: &Query) -> Result<Changed, Vec<String>> {
        query.only(&["content", "server", "all"])?;
        let snapshot = self.handles.snapshots.current();
        let server = query.one("server").map(|name| lookup::site_system(&snapshot, name)).transpose();
        let server = server.map_err(|mistake| vec![mistake])?;
        let filter = match (query.one("content"), server, query.one("all")) {
            (Some(id), server, None) => ContentFilter::Content(id.to_owned(), server),
            (None, Some(server), None) => ContentFilter::Server(server),
            (None, None, Some("true")) => ContentFilter::Everything,
            _ => return Err(vec!["say what to forget: content, server, both of them, or all=true alone".to_owned()]),
        };
        let names = content::names(&self.ledger());
        let changed = forget::forget_content(&snapshot, &names, &filter);
        tracing::info!(changed, ?filter, "what is known of contents was forgotten");
        let sentence = format!("forgotten: {} about contents, and all about single files", count(changed, "answer"));
        Ok(Changed { changed, sentence })
    }

    pub(super) fn forget_affinity(&self, query: &Query) -> Result<Changed, Vec<String>> {
        query.only(&["server"])?;
        let snapshot = self.handles.snapshots.current();
        let Some(name) = query.one("server") else {
            return Err(vec!["server is missing: the site system whose clients are distributed anew".to_owned()]);
        };
        let system = lookup::site_system(&snapshot, name).map_err(|mistake| vec![mistake])?;
        let changed = forget::forget_affinity(&snapshot, &system);
        tracing::info!(changed, %system, "its clients are distributed anew");
        let sentence = format!("forgotten: {} at {system} (clients, downloads, uploads)", count(changed, "stay"));
        Ok(Changed { changed, sentence })
    }
}
