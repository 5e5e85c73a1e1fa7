//! A running proxy, and the text of its configuration.

use std::fmt::Write;
use std::net::SocketAddr;

use rolegate::app::{App, Drained, ReloadError};
use rolegate::control::config::Source;
use rolegate::status::{EndpointStatus, Status};
use rolegate_bench::site::{SiteSystem, Spec};

use super::client::{Answer, get};

/// Asks the site database, as real clients do.
pub const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";
/// Answered without the site database.
pub const MPCERT: &str = "/SMS_MP/.sms_aut?MPCERT";
/// Quick, but slower than a busy machine.
pub const PROBE: &str = "probe = { interval = \"100ms\", fast_interval = \"20ms\", down_interval = \"50ms\", timeout = \"5s\", jitter_percent = 0 }\n";

pub fn source(text: &str) -> Source {
    Source { name: "test.toml".to_owned(), text: text.to_owned() }
}

/// A configuration, piece by piece.
#[derive(Clone)]
pub struct Toml(pub String);

impl Toml {
    /// One HTTP listener for these roles, on a free port.
    pub fn new(roles: &[&str]) -> Self {
        Self(format!(
            "[site]\ncode = \"P01\"\n[proxy]\nthreads = 1\ndrain_timeout = \"10s\"\nendpoint_metrics = \"all\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = {roles:?}\n"
        ))
    }

    /// Changes a setting that is there.
    pub fn set(mut self, old: &str, new: &str) -> Self {
        assert!(self.0.contains(old), "{old} is not in\n{}", self.0);
        self.0 = self.0.replace(old, new);
        self
    }

    /// Fields of a role.
    pub fn role(self, name: &str, fields: &str) -> Self {
        self.add(&format!("[roles.{name}]\n{fields}"))
    }

    pub fn add(mut self, text: &str) -> Self {
        writeln!(self.0, "{text}").unwrap();
        self
    }

    /// A site system at an address, in one role.
    pub fn system(self, name: &str, role: &str, address: SocketAddr, more: &str) -> Self {
        self.add(&format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{}\"\nroles = [{{ role = \"{role}\", port = {} }}]\n{more}",
            address.ip(),
            address.port()
        ))
    }

    /// A simulated one.
    pub fn site(self, site: &SiteSystem, role: &str) -> Self {
        self.system(site.name(), role, site.address(), "")
    }

    pub fn start(&self) -> App {
        App::start(&source(&self.0), None).unwrap_or_else(|error| panic!("{error}"))
    }
}

pub async fn management_point(name: &str) -> SiteSystem {
    SiteSystem::start(Spec::management_point(name)).await.unwrap()
}

pub fn http(app: &App) -> SocketAddr {
    app.listener("http").unwrap()
}

/// How the endpoint of a site system stands; the first when it has several.
pub fn endpoint(status: &Status, system: &str) -> Option<EndpointStatus> {
    let mut all = status.roles.iter().flat_map(|role| &role.endpoints);
    all.find(|endpoint| endpoint.site_system == system).cloned()
}

pub fn health(app: &App, system: &str) -> String {
    endpoint(&app.status(), system).map(|endpoint| endpoint.health).unwrap_or_default()
}

pub async fn reload(app: &App, toml: &Toml) -> Result<u64, ReloadError> {
    app.reload_async(source(&toml.0)).await
}

pub async fn shutdown(app: App) -> Drained {
    tokio::task::spawn_blocking(move || app.shutdown()).await.unwrap()
}

/// Asks the admin listener.
pub async fn admin(app: &App, path: &str) -> Answer {
    get(app.admin(), path).await
}

/// The value of one series, for example `rolegate_requests_total{role="x",code="2xx"}`.
pub fn series(metrics: &str, series: &str) -> Option<f64> {
    let rest = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    rest.parse().ok()
}
