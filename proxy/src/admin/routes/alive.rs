//! `/health` and `/ready`, which wait for no other answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, text};
use crate::admin::desk::{AtDesk, Desk};
use crate::model::cluster::Class;

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// Whether every thread of the process works.
#[utoipa::path(get, path = "/health", tag = "alive", responses(
    (status = 200, body = String, content_type = "text/plain", description = "All of them work."),
    (status = 503, body = String, content_type = "text/plain", description = "The threads that do not, a line each."),
))]
async fn health(State(desk): AtDesk) -> Answer {
    let broken = desk.admin.threads.broken().await;
    match broken.is_empty() {
        true => text(StatusCode::OK, "alive\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", broken.join("\n"))),
    }
}

/// Whether every role that a listener serves has a server, and no shutdown has begun.
#[utoipa::path(get, path = "/ready", tag = "alive", responses(
    (status = 200, body = String, content_type = "text/plain", description = "Requests can be served."),
    (status = 503, body = String, content_type = "text/plain", description = "Why not."),
))]
async fn ready(State(desk): AtDesk) -> Answer {
    desk.admin.ready()
}

impl Admin {
    /// Ready when every role that a listener serves has a server for somebody, and until the shutdown begins.
    fn ready(&self) -> Answer {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
        }
        let snapshot = self.handles.snapshots.current();
        let mut waiting = Vec::new();
        for cluster in &snapshot.clusters {
            let servable = cluster.panicking() || cluster.standings().iter().any(|s| s.class() != Class::Out);
            if !servable && snapshot.site.serves(cluster.topology.id) {
                waiting.push(cluster.topology.label().into_owned());
            }
        }
        match waiting.is_empty() {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, format!("nobody is well: {}\n", waiting.join(", "))),
        }
    }
}
