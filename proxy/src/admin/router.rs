//! All addresses of the admin listener: the groups of `routes`, put together, and what holds for each of them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Answer, failed, of_kind, text};
use super::bounds::{ID, Ids, LONGEST_BODY, bound};
use super::described;
use super::desk::Desk;
use super::guard::guard;
use super::gzip::compress;
use super::routes;

/// An answer must have been made within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the description is.
const DESCRIPTION: &str = "/openapi.json";

/// The groups of handlers. A new group is a file in `routes`, and a line here.
fn groups() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::with_openapi(described::begun())
        .merge(routes::index::routes())
        .merge(routes::alive::routes())
        .merge(routes::metrics::routes())
        .merge(routes::status::routes())
        .merge(routes::explain::routes())
        .merge(routes::learned::routes())
        .merge(routes::process::routes())
}

/// The service that answers every request.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    let (router, openapi) = groups().split_for_parts();
    let openapi = described::complete(openapi);
    let there_is = there_is(&openapi);
    let description = Bytes::from(openapi.to_pretty_json().unwrap_or_default());
    let addresses = router
        .route(DESCRIPTION, get(async move || of_kind("application/json", description)))
        .fallback(async move || text(StatusCode::NOT_FOUND, there_is))
        .with_state(Arc::clone(&desk));
    // Around the router and not on its routes, which say last of all which methods they take.
    Router::new()
        .fallback_service(addresses)
        .layer(map_response(not_allowed))
        .layer(from_fn(compress))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| failed()))
        .layer(RequestBodyLimitLayer::new(LONGEST_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PATIENCE))
        .layer(from_fn_with_state(desk, guard))
        .layer(PropagateRequestIdLayer::new(ID))
        .layer(SetRequestIdLayer::new(ID, Ids))
        .layer(from_fn(bound))
        .layer(map_response(secured))
}

/// What there is to read, in a sentence.
fn there_is(openapi: &OpenApi) -> String {
    let pages = openapi.paths.paths.iter().filter(|(path, item)| item.get.is_some() && path.len() > 1);
    let mut pages: Vec<&str> = pages.map(|(path, _)| path.as_str()).collect();
    pages.push(DESCRIPTION);
    format!("there is {}\n", pages.join(", "))
}

/// What a browser must not do with an answer, whatever it is: keep it, guess what it is, show it inside of another page.
async fn secured(mut answer: Answer) -> Answer {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // A page has its own, which says this too.
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    answer.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    answer
}

/// Another method than those of an address: says which.
async fn not_allowed(answer: Answer) -> Answer {
    let allow = answer.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    let (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) = (answer.status(), allow) else { return answer };
    let methods: Vec<&str> = allow.split(',').map(str::trim).collect();
    let say = match methods.as_slice() {
        [only] => format!("this address changes something: send {only}\n"),
        reads if reads.iter().all(|method| [Method::GET.as_str(), Method::HEAD.as_str()].contains(method)) => {
            "this address only answers questions\n".to_owned()
        }
        several => format!("this address takes {}\n", several.join(", ")),
    };
    let mut told = text(StatusCode::METHOD_NOT_ALLOWED, say);
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        told.headers_mut().insert(header::ALLOW, allow);
    }
    told
}
