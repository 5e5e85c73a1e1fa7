//! `/metrics`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use http::HeaderMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, failed, of_kind};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::gzip::{Packing, marked};
use crate::admin::scrape::body;

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
        self.refresh_gauges();
        self.metrics.render()
    }

    /// Numbers that are counted elsewhere and read only here.
    fn refresh_gauges(&self) {
        let snapshot = self.handles.snapshots.current();
        let running = snapshot.live.running_clocks(self.now(), snapshot.site.fallback.idle_ticks());
        self.metrics.scope(&[]).gauge("rolegate_fallback_clocks").set(running as f64);
        let view = self.handles.view.lock().unwrap_or_else(PoisonError::into_inner);
        // Of endpoints that left and came back: what is under way from before.
        let mut before: HashMap<(&str, &str, SocketAddr), u32> = HashMap::new();
        for leaving in &view.leaving {
            *before.entry((&leaving.role, &leaving.system, leaving.address)).or_default() += leaving.state.in_flight();
        }
        for cluster in &snapshot.clusters {
            for endpoint in &cluster.topology.endpoints {
                let key = (cluster.topology.role.name.as_str(), &*endpoint.system, endpoint.address);
                let in_flight = endpoint.state.in_flight() + before.get(&key).copied().unwrap_or(0);
                endpoint.metrics.inflight.set(f64::from(in_flight));
                if let Some(report) = view.checker.report(endpoint.state.id) {
                    endpoint.metrics.checked(report.passes, report.failures, report.unknown);
                }
            }
        }
    }
}
