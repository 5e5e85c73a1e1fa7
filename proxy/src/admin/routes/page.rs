//! The status page below `/page/`, and what it shows as JSON where no other address has it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::get;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, answered, json, of_kind, text};
use crate::admin::described::Questioned;
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::page::{self, ClientFacts, Extent, ListenerCertificate, Sources, Topic, VersionStatus};

/// By this field the script of the page asks for its live part.
const PART: &str = "x-rolegate-part";

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(versions))
        .routes(routes!(certificates))
        .routes(routes!(client))
        .route("/page/{page}", get(any))
}

/// The configurations that were served or rejected, the newest first: what each changed.
#[utoipa::path(get, path = "/versions", tag = "site", responses((status = 200, body = Vec<VersionStatus>), Questioned))]
async fn versions(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| answered(parameters.only(&[]).map(|()| page::versions(&admin.handles)))).await
}

/// The certificates of listeners, the next to end first.
#[utoipa::path(get, path = "/certificates", tag = "site", responses((status = 200, body = Vec<ListenerCertificate>), Questioned))]
async fn certificates(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| answered(parameters.only(&[]).map(|()| page::certificates(&admin.handles)))).await
}

/// What happened to one client lately, and where it may be served.
#[utoipa::path(get, path = "/client", tag = "site", params(
    ("client" = String, Query, description = "The client's address, as rolegate sees it."),
), responses((status = 200, body = ClientFacts), Questioned))]
async fn client(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| match parameters.only(&["client"]) {
        Ok(()) => match page::client(parameters.pairs(), &sources(admin)) {
            Ok(facts) => json(&facts),
            Err(mistakes) => answered::<ClientFacts>(Err(mistakes)),
        },
        Err(mistakes) => answered::<ClientFacts>(Err(mistakes)),
    })
    .await
}

/// A page, or a file that pages need.
async fn any(State(desk): AtDesk, Path(name): Path<String>, headers: HeaderMap, parameters: Parameters) -> Answer {
    let path = format!("/page/{name}");
    if let Some(asset) = page::asset(&path) {
        let mut answer = of_kind(asset.kind, asset.text);
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer.headers_mut().extend(page::headers());
        return answer;
    }
    match Topic::at(&path) {
        Some(topic) => page(&desk, topic, &headers, parameters).await,
        None => text(StatusCode::NOT_FOUND, "there is no such page: / leads to all of them\n"),
    }
}

/// A page as the request wants it.
pub(super) async fn page(desk: &Desk, topic: Topic, headers: &HeaderMap, parameters: Parameters) -> Answer {
    let extent = if headers.contains_key(PART) { Extent::Live } else { Extent::Whole };
    let pages = Arc::clone(&desk.pages);
    desk.long(move |admin| {
        let (parts, html) = pages.html(topic, parameters.pairs(), extent, &sources(admin)).into_parts();
        let mut answer = Response::from_parts(parts, Body::from(html));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, X-Rolegate-Part"));
        answer
    })
    .await
}

fn sources(admin: &Admin) -> Sources<'_> {
    Sources { handles: &admin.handles, metrics: &admin.metrics }
}
