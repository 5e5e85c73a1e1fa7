//! `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, of_kind, shared};
use crate::admin::desk::{AtDesk, Desk, failed};
use crate::figures;

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// All metrics, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "site", responses(
    (status = 200, body = String, content_type = "text/plain", description = "Version 0.0.4 of the text format."),
    (status = 500, body = String, content_type = "text/plain", description = "The answer could not be made."),
))]
async fn metrics(State(desk): AtDesk) -> Answer {
    let admin = desk.admin.clone();
    match desk.scrapes.text(move || admin.render()).await {
        Some(text) => of_kind("text/plain; version=0.0.4; charset=utf-8", shared(text)),
        None => failed(),
    }
}

impl Admin {
    /// What `/metrics` says.
    fn render(&self) -> String {
        figures::text(&self.handles, &self.metrics)
    }
}
