//! The text of a first configuration. Lines that begin with `#` and no space are examples: without it they are valid.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Listen;
use crate::model::presets;
use crate::model::role::{Protocol, Role};

/// A site as the flags name it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) code: String,
    pub(super) listen: Listen,
    pub(super) systems: Vec<System>,
    pub(super) groups: Vec<Group>,
    /// The names in it are nobody's.
    pub(super) is_example: bool,
}

impl Default for Site {
    fn default() -> Self {
        let listen = Listen::At(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Self { code: String::new(), listen, systems: Vec::new(), groups: Vec::new(), is_example: false }
    }
}

/// A site system.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: String,
    pub(super) roles: Vec<String>,
}

/// A boundary group. Without site systems it has all.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) boundaries: Vec<String>,
    pub(super) systems: Vec<String>,
}

const HEAD: &str = "\
# rolegate: a configuration. Everything that can be written is in docs/configuration.md.
#
#   rolegate check FILE      what is wrong with it
#   rolegate run FILE        serve it; it is read again when it changes
#   rolegate explain --client ADDRESS GET PATH      which server a request goes to, and why
";
const EXAMPLE: &str = "\
#
# The names and addresses are examples: put your own in their places.
";
const TLS: &str = "\
# HTTPS for clients that have it (port 443 besides port 80):
#[[listeners]]
#name = \"https\"
#address = \"0.0.0.0:443\"
#roles = [\"MP\", \"DP\"]
#[listeners.tls]
#certificates = [{ certificate = \"/etc/rolegate/mp.crt\", key = \"/etc/rolegate/mp.key\" }]
";
const GROUPS: &str = "\
# Without boundary groups every client may use every site system. With them, a client is found by its address:
#[[boundary_groups]]
#name = \"HQ\"
#boundaries = [\"10.1.0.0/16\", \"10.2.0.1-10.2.0.99\"]
";
const OTHERS: &str = "\
# Metrics, readiness and status are at 127.0.0.1:9180. Changes, such as forgetting what was learned, need a token:
#[admin]
#token_file = \"/etc/rolegate/token\"

# A line for each request:
#[access_log]
#path = \"/var/log/rolegate/access.log\"

# If another proxy or load balancer stands in front: whose word about the client's address is believed.
#[proxy]
#trusted_proxies = [\"10.0.0.5\"]
";

impl Site {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        if self.is_example {
            out.push_str(EXAMPLE);
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "\n[site]\ncode = {}\n", quoted(&self.code));
        self.listeners(&mut out);
        let _ = write!(out, "\n{TLS}");
        self.systems(&mut out);
        self.boundary_groups(&mut out);
        let _ = write!(out, "\n{OTHERS}");
        out
    }

    fn listeners(&self, out: &mut String) {
        out.push_str("\n# Where clients connect, and for which roles.\n");
        for (address, roles) in self.addresses() {
            let port = address.port();
            let name = if port == 80 { "http".to_owned() } else { format!("port-{port}") };
            let roles = list(roles.iter().map(String::as_str));
            let address = quoted(&address.to_string());
            let _ = write!(out, "[[listeners]]\nname = {}\naddress = {address}\nroles = {roles}\n", quoted(&name));
            out.push('\n');
        }
        out.pop();
    }

    /// Roles by where they listen.
    fn addresses(&self) -> BTreeMap<SocketAddr, Vec<String>> {
        let mut addresses: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
        for written in self.systems.iter().flat_map(|system| &system.roles) {
            let role = presets::find(written);
            let tcp = role.as_ref().is_some_and(|role| role.protocol == Protocol::Tcp);
            let usual = role.as_ref().map_or(80, port);
            let address = match self.listen {
                Listen::On(address) if !tcp => address,
                Listen::On(address) => SocketAddr::new(address.ip(), usual),
                Listen::At(address) => SocketAddr::new(address, usual),
            };
            let roles = addresses.entry(address).or_default();
            if !roles.iter().any(|known| known.eq_ignore_ascii_case(written)) {
                roles.push(written.clone());
            }
        }
        addresses
    }

    fn systems(&self, out: &mut String) {
        out.push_str(
            "\n# The servers behind. A name is asked of DNS; when it leads to rolegate itself, add an address.\n",
        );
        for system in &self.systems {
            let roles = list(system.roles.iter().map(String::as_str));
            let _ = writeln!(out, "[[site_systems]]\nname = {}\nroles = {roles}\n", quoted(&system.name));
        }
        out.pop();
    }

    fn boundary_groups(&self, out: &mut String) {
        let all = list(self.systems.iter().map(|system| system.name.as_str()));
        if self.groups.is_empty() {
            let _ = write!(out, "\n{GROUPS}#site_systems = {all}\n");
            return;
        }
        out.push_str("\n# Which clients use which servers: a client is found by its address.\n");
        for (place, group) in self.groups.iter().enumerate() {
            let boundaries = list(group.boundaries.iter().map(String::as_str));
            let own = list(group.systems.iter().map(String::as_str));
            let systems = if group.systems.is_empty() { &all } else { &own };
            let name = quoted(&group.name);
            let _ = write!(
                out,
                "[[boundary_groups]]\nname = {name}\nboundaries = {boundaries}\nsite_systems = {systems}\n"
            );
            if place > 0 {
                let first = quoted(&self.groups[0].name);
                let _ =
                    writeln!(out, "# Minutes until its clients may use the servers of another group, role by role:");
                let _ = writeln!(out, "#neighbors = [{{ group = {first}, fallback = {{ DP = 10 }} }}]");
            }
            out.push('\n');
        }
        let _ = writeln!(out, "# For clients in no boundary group, and the last resort of all others.");
        let _ = writeln!(out, "[default_boundary_group]\nsite_systems = {all}");
    }
}

fn port(role: &Role) -> u16 {
    if role.tls { role.tls_port } else { role.port }
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A text in double quotes: what JSON escapes, TOML escapes in the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
