//! `/status`.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::answer::{Answer, json};
use crate::admin::described::Questioned;
use crate::admin::desk::{AtDesk, Desk};
use crate::status::Status;

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// What is served, and how every site system is.
#[utoipa::path(get, path = "/status", tag = "site", responses((status = 200, body = Status), Questioned))]
async fn status(State(desk): AtDesk) -> Answer {
    desk.long(|admin| json(&Status::new(&admin.handles.snapshots.current(), &admin.handles.view))).await
}
