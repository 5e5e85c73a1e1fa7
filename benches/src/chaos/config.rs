//! The configuration of the rolegate under test, which changes while it runs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::schedule::{Change, SERVERS};

/// The first server that is a distribution point.
pub(super) const FIRST_DP: usize = 3;
/// In the boundary group HQ: the others are in Branch.
const HQ: [usize; 4] = [0, 1, 3, 4];
/// Which server of Branch is at times in HQ too.
const SHIFTED: usize = 5;

/// What of it changes.
#[derive(Debug, Clone)]
pub(super) struct Config {
    folder: PathBuf,
    servers: Vec<SocketAddr>,
    weights: [u16; SERVERS.len()],
    drained: Option<usize>,
    shifted: bool,
}

impl Config {
    pub(super) fn new(folder: &Path, servers: Vec<SocketAddr>) -> Self {
        Self { folder: folder.to_owned(), servers, weights: [100; SERVERS.len()], drained: None, shifted: false }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("rolegate.toml")
    }

    pub(super) fn access_log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes it, if the change is one that is valid.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Drain(server) => self.drained = Some(server),
            Change::Weight(server, weight) => self.weights[server] = weight,
            Change::Shift => self.shifted = !self.shifted,
            Change::Broken | Change::Halves | Change::Removed | Change::Renewed => {}
        }
    }

    /// Takes the drained server in again.
    pub(super) fn undrain(&mut self) {
        self.drained = None;
    }

    /// As it was at the start.
    pub(super) fn restore(&mut self) {
        *self = Self::new(&self.folder, std::mem::take(&mut self.servers));
    }

    fn group(&self, servers: impl Iterator<Item = usize>) -> String {
        let names: Vec<_> =
            servers.filter(|server| self.drained != Some(*server)).map(|server| SERVERS[server]).collect();
        format!("{names:?}")
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            r#"[site]
code = "CHS"

[proxy]
threads = 2
drain_timeout = "5s"

[admin]
address = "127.0.0.1:0"

[access_log]
path = {:?}

[fallback]
clock = "immediate"

[[listeners]]
name = "http"
address = "127.0.0.1:0"
roles = ["MP", "DP"]

[[listeners]]
name = "https"
address = "127.0.0.1:0"
roles = ["MP", "DP"]

[listeners.tls]
certificates = [{{ certificate = {:?}, key = {:?} }}]
"#,
            self.access_log(),
            self.folder.join("listener.crt"),
            self.folder.join("listener.key")
        );
        for role in ["MP", "DP"] {
            // Short, so that a minute has many of everything.
            let _ = write!(
                text,
                r#"
[roles.{role}]
affinity = "off"
slow_start = "1s"
timeouts = {{ connect = "1s", response_header = "2s", request_body_idle = "3s", response_body_idle = "2s", total = "10s", upstream_idle = "2s" }}
probe = {{ interval = "500ms", fast_interval = "200ms", down_interval = "500ms", timeout = "450ms" }}
passive = {{ eject_time = "1s", max_eject_time = "2s" }}
"#
            );
        }
        for (server, address) in self.servers.iter().enumerate().filter(|(server, _)| self.drained != Some(*server)) {
            let role = if server < FIRST_DP { "MP" } else { "DP" };
            let _ = write!(
                text,
                "\n[[site_systems]]\nname = \"{}\"\naddress = \"{}\"\nweight = {}\nroles = [{{ role = \"{role}\", port = {} }}]\n",
                SERVERS[server],
                address.ip(),
                self.weights[server],
                address.port()
            );
        }
        let hq = HQ.into_iter().chain(self.shifted.then_some(SHIFTED));
        let branch = (0..SERVERS.len()).filter(|server| !HQ.contains(server));
        let _ = write!(
            text,
            r#"
[[boundary_groups]]
name = "HQ"
boundaries = ["127.1.0.0/16"]
site_systems = {}

[[boundary_groups]]
name = "Branch"
boundaries = ["127.2.0.0/16"]
site_systems = {}
neighbors = [{{ group = "HQ", fallback = {{ MP = 0, DP = 0 }} }}]
"#,
            self.group(hq),
            self.group(branch)
        );
        text
    }

    /// It in two parts, of which the first is no configuration: it ends within a name.
    pub(super) fn halves(&self) -> (String, String) {
        let text = self.text();
        let at = text.rfind("name = \"Branch").map_or(1, |at| at + 9);
        let (first, second) = text.split_at(at);
        (first.to_owned(), second.to_owned())
    }
}

/// Whether clients of HQ may be served by this server at all.
pub(super) fn may_serve_hq(server: &str) -> bool {
    server != "dp4"
}
