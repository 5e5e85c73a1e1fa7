//! `/`: what there is.

use std::sync::Arc;

use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::answer::{Answer, text};
use crate::admin::desk::Desk;

/// What there is.
const PAGES: &str = "/status /metrics /ready /health /explain /clocks /content";

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(index))
}

/// What there is.
#[utoipa::path(get, path = "/", tag = "site", responses((status = 200, body = String, content_type = "text/plain", description = "The addresses.")))]
async fn index() -> Answer {
    text(StatusCode::OK, format!("rolegate: {PAGES}\n"))
}
