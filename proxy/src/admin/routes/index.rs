//! `/`: what there is, for a program; for a browser the status page.

use std::sync::Arc;

use axum::extract::State;
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::page;
use crate::admin::answer::{Answer, text};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::page::Topic;

/// What there is.
const PAGES: &str = "/status /metrics /ready /health /explain /clocks /content /versions /certificates /client";

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(index))
}

/// What there is; for who accepts `text/html`, the status page.
#[utoipa::path(get, path = "/", tag = "site", responses((status = 200, body = String, content_type = "text/plain", description = "The addresses.")))]
async fn index(State(desk): AtDesk, headers: HeaderMap, parameters: Parameters) -> Answer {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accepted.flat_map(|accept| accept.split(',')).any(|kind| kind.trim().starts_with("text/html")) {
        return page(&desk, Topic::Overview, &headers, parameters).await;
    }
    let mut told = text(StatusCode::OK, format!("rolegate: {PAGES}\n"));
    told.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    told
}
