//! `/configuration`.

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, json};
use crate::admin::described::Questioned;
use crate::admin::desk::{AtDesk, Desk};
use crate::control::config::{Problems, parse};
use crate::control::describe::{Described, describe};

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(configuration))
}

/// The configuration that is served, defaults included: things of the site by their kind, their name and the name of the setting.
#[utoipa::path(
    get, path = "/configuration", tag = "site", responses((status = 200, body = Described), Questioned)
)]
async fn configuration(State(desk): AtDesk) -> Answer {
    desk.long(|admin| json(&served(admin))).await
}

fn served(admin: &Admin) -> Described {
    let text = Arc::clone(&admin.handles.view.lock().unwrap_or_else(PoisonError::into_inner).text);
    // It was accepted, so there is nothing to say of it.
    let config = parse(&text, &mut Problems::new());
    let snapshot = admin.handles.snapshots.current();
    let topologies = snapshot.clusters.iter().map(|cluster| &cluster.topology);
    describe(&config, topologies.map(|topology| (&*topology.role, topology.site.as_deref())))
}
