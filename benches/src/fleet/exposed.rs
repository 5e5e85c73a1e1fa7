//! The figures of a run while it runs, for Prometheus.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::record::Live;
use crate::report;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 8;
/// How long one may take: whoever says nothing is in the way of others.
const LONGEST: Duration = Duration::from_secs(10);
/// After an error of the system, which would come again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers `GET /metrics` with the figures that there are, one request for each connection, and never ends.
pub async fn expose(listener: TcpListener, live: Arc<OnceLock<Live>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Nobody closes it.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let live = Arc::clone(&live);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &live)))
            });
            let serving = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
            // Whoever has gone away needs no answer.
            let _ = tokio::time::timeout(LONGEST, serving).await;
            drop(place);
        });
    }
}

fn answer<B>(request: &Request<B>, live: &OnceLock<Live>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Full::from("there is /metrics\n");
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    } else {
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        *response.body_mut() = Full::from(report::prometheus(live.get()));
    }
    response
}
