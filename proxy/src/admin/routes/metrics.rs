//! `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, failed, of_kind};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::gzip::{Packing, marked};
use crate::admin::scrape::body;
use crate::figures;

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// All metrics, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "site", responses(
    (status = 200, body = String, content_type = "text/plain", description = "Version 0.0.4 of the text format."),
    (status = 500, body = String, content_type = "text/plain", description = "The answer could not be made."),
))]
async fn metrics(State(desk): AtDesk, headers: HeaderMap) -> Answer {
    let (admin, packing) = (desk.admin.clone(), Packing::of(&headers));
    let Some(text) = desk.scrapes.text(packing, move || admin.render()).await else { return failed() };
    let answer = of_kind("text/plain; version=0.0.4; charset=utf-8", body(text, packing));
    match packing {
        Packing::Plain => answer,
        Packing::Gzip => marked(answer),
    }
}

impl Admin {
    /// What `/metrics` says.
    fn render(&self) -> String {
        figures::text(&self.handles, &self.metrics)
    }
}
