//! The admin listener: metrics, readiness, health, status. Read only, on loopback, on the control thread.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;

use crate::control::director::Handles;
use crate::metrics::Metrics;
use crate::model::cluster::Class;
use crate::status::Status;

/// Admin connections at the same time; more wait.
const CONNECTIONS: usize = 32;
/// A connection must send its request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The Director's handles.
    pub handles: Handles,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The process is shutting down.
    pub draining: Arc<AtomicBool>,
}

/// Serves the admin listener until the process ends.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let answer = move |request: Request<Incoming>| {
                let response = admin.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            };
            let service = ServiceBuilder::new().service_fn(answer);
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            // A client that breaks off has nobody to be told about.
            let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
            drop(permit);
        });
    }
}

impl Admin {
    /// The answer to a request.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let known = ["/metrics", "/ready", "/health", "/status", "/"].contains(&path);
        if known && method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this address only answers questions\n".to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => {
                self.refresh_gauges();
                let mut response = text(StatusCode::OK, self.metrics.render());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            "/health" => text(StatusCode::OK, "alive\n".to_owned()),
            "/ready" => self.ready(),
            "/status" => {
                let status = Status::new(&self.handles.snapshots.current(), &self.handles.view);
                match serde_json::to_string_pretty(&status) {
                    Ok(json) => {
                        let mut response = text(StatusCode::OK, json);
                        let kind = HeaderValue::from_static("application/json");
                        response.headers_mut().insert(header::CONTENT_TYPE, kind);
                        response
                    }
                    Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
                }
            }
            "/" => text(StatusCode::OK, "rolegate: /status /metrics /ready /health\n".to_owned()),
            _ => text(StatusCode::NOT_FOUND, "there is /status, /metrics, /ready and /health\n".to_owned()),
        }
    }

    /// Ready when every role that a listener serves has a server for somebody, and until the shutdown begins.
    fn ready(&self) -> Response<Full<Bytes>> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
        }
        let snapshot = self.handles.snapshots.current();
        let mut waiting = Vec::new();
        for cluster in &snapshot.clusters {
            let servable = cluster.panicking() || cluster.standings().iter().any(|s| s.class() != Class::Out);
            if !servable && snapshot.site.serves(cluster.topology.id) {
                waiting.push(cluster.topology.role.name.clone());
            }
        }
        if waiting.is_empty() {
            text(StatusCode::OK, "ready\n".to_owned())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("nobody is well: {}\n", waiting.join(", ")))
        }
    }

    /// Numbers that are counted elsewhere and read only here.
    fn refresh_gauges(&self) {
        let snapshot = self.handles.snapshots.current();
        let view = self.handles.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for cluster in &snapshot.clusters {
            for endpoint in &cluster.topology.endpoints {
                endpoint.metrics.inflight.set(f64::from(endpoint.state.in_flight()));
                if let Some(report) = view.checker.report(endpoint.state.id) {
                    endpoint.metrics.checks_passed.absolute(report.passes);
                    endpoint.metrics.checks_failed.absolute(report.failures);
                }
            }
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
