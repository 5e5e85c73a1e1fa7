//! What was learned while serving (fallback clocks, content, affinity), and how it is forgotten.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, answered};
use crate::admin::change::{Change, Changed};
use crate::admin::described::{Questioned, Refused};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::learned::clocks::Clocks;
use crate::learned::content::{self, Audit};
use crate::learned::forget::{self, ClockFilter, ContentFilter};
use crate::lookup;
use crate::text::count;

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(clocks))
        .routes(routes!(reset_clocks))
        .routes(routes!(content))
        .routes(routes!(forget_content))
        .routes(routes!(forget_affinity))
}

/// The fallback clocks that run.
#[utoipa::path(get, path = "/clocks", tag = "learned", responses((status = 200, body = Clocks), Questioned))]
async fn clocks(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| answered(admin.clocks(&parameters))).await
}

/// Which content is known to be where.
#[utoipa::path(get, path = "/content", tag = "learned", params(
    ("server" = Option<String>, Query, description = "A site system: only what concerns it, and what would be lost without it."),
), responses((status = 200, body = Audit), Questioned))]
async fn content(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| answered(admin.content(&parameters))).await
}

/// Ends fallback clocks.
#[utoipa::path(post, path = "/clocks/reset", tag = "learned", params(
    ("role" = Option<String>, Query, description = "Only those of this role."),
    ("group" = Option<String>, Query, description = "Only those of clients of this boundary group."),
    ("content" = Option<String>, Query, description = "Only those of this content."),
), responses((status = 200, body = Changed), Refused), security(("token" = [])))]
async fn reset_clocks(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    change.make(&desk, move |admin| admin.reset_clocks(&parameters)).await
}

/// Forgets what is known of contents: say which, or all.
#[utoipa::path(post, path = "/content/forget", tag = "learned", params(
    ("content" = Option<String>, Query, description = "A content."),
    ("server" = Option<String>, Query, description = "A site system."),
    ("all" = Option<String>, Query, description = "`true`, alone: everything."),
), responses((status = 200, body = Changed), Refused), security(("token" = [])))]
async fn forget_content(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    change.make(&desk, move |admin| admin.forget_content(&parameters)).await
}

/// Forgets which clients, downloads and uploads stay at a site system: they are distributed anew.
#[utoipa::path(post, path = "/affinity/forget", tag = "learned", params(
    ("server" = String, Query, description = "The site system."),
), responses((status = 200, body = Changed), Refused), security(("token" = [])))]
async fn forget_affinity(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    change.make(&desk, move |admin| admin.forget_affinity(&parameters)).await
}

/// Collects what is wrong with the names that were given.
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
    fn clocks(&self, parameters: &Parameters) -> Result<Clocks, Vec<String>> {
        parameters.only(&[])?;
        // A copy: the control thread does not wait for a look through a table.
        let ledger = self.ledger().clone();
        Ok(Clocks::new(&self.handles.snapshots.current(), &ledger, self.now()))
    }

    fn content(&self, parameters: &Parameters) -> Result<Audit, Vec<String>> {
        parameters.only(&["server"])?;
        let snapshot = self.handles.snapshots.current();
        let server = parameters.one("server").map(|name| lookup::site_system(&snapshot, name)).transpose();
        let server = server.map_err(|mistake| vec![mistake])?;
        let names = content::names(&self.ledger());
        Ok(Audit::new(&snapshot, &names, self.now(), server.as_deref()))
    }

    fn reset_clocks(&self, parameters: &Parameters) -> Result<Changed, Vec<String>> {
        parameters.only(&["role", "group", "content"])?;
        let snapshot = self.handles.snapshots.current();
        let mut mistakes = Mistakes::default();
        let role = mistakes.keep(parameters.one("role").map(|name| lookup::role(&snapshot, name)));
        let group = mistakes.keep(parameters.one("group").map(|name| lookup::boundary_group(&snapshot, name)));
        let filter = mistakes.or(ClockFilter {
            role: role.map(|cluster| cluster.topology.role.name.clone()),
            group: group.map(str::to_owned),
            content: parameters.one("content").map(str::to_owned),
        })?;
        let changed = forget::reset_clocks(&snapshot, &mut self.ledger(), self.now(), &filter);
        Ok(Changed { changed, sentence: format!("reset: {}", count(changed, "fallback clock")) })
    }

    fn forget_content(&self, parameters: &Parameters) -> Result<Changed, Vec<String>> {
        parameters.only(&["content", "server", "all"])?;
        let snapshot = self.handles.snapshots.current();
        let server = parameters.one("server").map(|name| lookup::site_system(&snapshot, name)).transpose();
        let server = server.map_err(|mistake| vec![mistake])?;
        let filter = match (parameters.one("content"), server, parameters.one("all")) {
            (Some(id), server, None) => ContentFilter::Content(id.to_owned(), server),
            (None, Some(server), None) => ContentFilter::Server(server),
            (None, None, Some("true")) => ContentFilter::Everything,
            _ => return Err(vec!["say what to forget: content, server, both of them, or all=true alone".to_owned()]),
        };
        let names = content::names(&self.ledger());
        let changed = forget::forget_content(&snapshot, &names, &filter);
        let sentence = format!("forgotten: {} about contents, and all about single files", count(changed, "answer"));
        Ok(Changed { changed, sentence })
    }

    fn forget_affinity(&self, parameters: &Parameters) -> Result<Changed, Vec<String>> {
        parameters.only(&["server"])?;
        let snapshot = self.handles.snapshots.current();
        let Some(name) = parameters.one("server") else {
            return Err(vec!["server is missing: the site system whose clients are distributed anew".to_owned()]);
        };
        let system = lookup::site_system(&snapshot, name).map_err(|mistake| vec![mistake])?;
        let changed = forget::forget_affinity(&snapshot, &system);
        let sentence = format!("forgotten: {} at {system} (clients, downloads, uploads)", count(changed, "stay"));
        Ok(Changed { changed, sentence })
    }
}
