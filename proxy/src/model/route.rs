//! From (host, method, path) to the role that serves it.
//!
//! Paths are compared ASCII-case-insensitively by whole segments, because clients write `/SMS_MP/`, `/sms_mp/` and
//! `/Sms_Mp` interchangeably. The longest prefix wins, and a route for a host wins over one for every host. Ambiguity is
//! refused when the table is built, so the order in the configuration never matters. Nothing is decoded or normalized.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::mix::hash_ignore_case;

/// Position of a role's cluster in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u16);

/// What holds for the requests of a path besides what its role says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Whether a client has a session there.
    pub sessions: Sessions,
    /// Which database the site system must have.
    pub database: Database,
}

/// Whether the requests of one client belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sessions {
    /// Each is balanced for itself, as the role says.
    #[default]
    None,
    /// All of them go to one site system.
    Client,
}

/// Which database a site system must work with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Database {
    /// A replica will do.
    #[default]
    Any,
    /// That of the site itself.
    Site,
}

/// One path prefix of one role.
#[derive(Clone, Debug)]
pub struct Route {
    /// Lower-cased, without a trailing `/`; empty matches every path.
    pub prefix: String,
    /// Lower-cased host without port; `None` matches every host.
    pub host: Option<String>,
    /// Where it leads.
    pub cluster: ClusterId,
    /// What holds there.
    pub rules: PathRules,
}

/// All routes of one listener.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// By hash of the first segment; each list is in order of preference.
    by_segment: HashMap<u64, Vec<Route>, FixedState>,
    /// Routes for `/`.
    everything: Vec<Route>,
}

/// Two routes that match the same requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The prefix that both have.
    pub prefix: String,
    /// The two clusters.
    pub clusters: (ClusterId, ClusterId),
}

impl RouteTable {
    /// Builds the table.
    ///
    /// # Errors
    /// All pairs of routes with the same prefix and host that lead to different clusters.
    pub fn build(routes: impl IntoIterator<Item = Route>) -> Result<Self, Vec<Ambiguous>> {
        let mut table = Self::default();
        let mut ambiguous = Vec::new();
        for mut route in routes {
            route.prefix = route.prefix.trim_end_matches('/').to_ascii_lowercase();
            route.host = route.host.map(|host| host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase());
            let list = if route.prefix.is_empty() {
                &mut table.everything
            } else {
                table.by_segment.entry(segment_hash(route.prefix.as_bytes())).or_default()
            };
            match list.iter().find(|other| other.prefix == route.prefix && other.host == route.host) {
                Some(same) if same.cluster == route.cluster => {}
                Some(same) => ambiguous
                    .push(Ambiguous { prefix: format!("{}/", route.prefix), clusters: (same.cluster, route.cluster) }),
                None => list.push(route),
            }
        }
        if !ambiguous.is_empty() {
            return Err(ambiguous);
        }
        for list in table.by_segment.values_mut().chain([&mut table.everything]) {
            list.sort_by_key(|route| (std::cmp::Reverse(route.prefix.len()), route.host.is_none()));
        }
        Ok(table)
    }

    /// The route of a request; `None` when no role serves this path here.
    pub fn route(&self, host: Option<&str>, path: &str) -> Option<&Route> {
        let path = path.as_bytes();
        let near = self.by_segment.get(&segment_hash(path)).map_or(&[][..], Vec::as_slice);
        near.iter().chain(&self.everything).find(|route| route.matches(host, path))
    }

    /// Every route, in no particular order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.by_segment.values().flatten().chain(&self.everything)
    }
}

impl Route {
    fn matches(&self, host: Option<&str>, path: &[u8]) -> bool {
        let prefix = self.prefix.as_bytes();
        let fits = path.len() >= prefix.len()
            && path[..prefix.len()].eq_ignore_ascii_case(prefix)
            && (path.len() == prefix.len() || prefix.is_empty() || path[prefix.len()] == b'/');
        let host = host.map(|host| host.strip_suffix('.').unwrap_or(host));
        fits && self.host.as_deref().is_none_or(|own| host.is_some_and(|host| host.eq_ignore_ascii_case(own)))
    }
}

/// Hash of `/first-segment`.
fn segment_hash(path: &[u8]) -> u64 {
    let end = path.iter().skip(1).position(|&byte| byte == b'/').map_or(path.len(), |place| place + 1);
    hash_ignore_case(0, &path[..end])
}

/// The host of a `Host` field or authority without its port: `[::1]:80` gives `[::1]`.
pub fn host_without_port(host: &str) -> &str {
    // Over bytes: both are ASCII, and looking for a `char` costs several times as much.
    let bytes = host.as_bytes();
    let after_bracket = bytes.iter().rposition(|&byte| byte == b']').map_or(0, |place| place + 1);
    match bytes[after_bracket..].iter().position(|&byte| byte == b':') {
        Some(colon) => &host[..after_bracket + colon],
        None => host,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn route(prefix: &str, host: Option<&str>, cluster: u16) -> Route {
        Route {
            prefix: prefix.into(),
            host: host.map(Into::into),
            cluster: ClusterId(cluster),
            rules: PathRules::default(),
        }
    }

    #[test]
    fn prefixes_match_whole_segments_in_any_case() {
        let table = RouteTable::build([
            route("/SMS_MP", None, 0),
            route("/SMS_MP_WindowsAuth", None, 1),
            route("/a/b", None, 2),
            route("/A", None, 3),
            route("/", Some("Portal.Contoso.com"), 4),
            route("/SMS_DP_SMSPKG$", None, 5),
        ])
        .unwrap();
        for (host, path, expected) in [
            (None, "/sms_mp/.sms_aut", Some(0)),
            (None, "/SMS_MP", Some(0)),
            (None, "/SMS_MPX/", None),
            (None, "/Sms_Mp_windowsauth/x", Some(1)),
            (None, "/a/b/c", Some(2)),
            (None, "/a/bc", Some(3)),
            (None, "/", None),
            (None, "", None),
            (None, "*", None),
            (Some("portal.contoso.com"), "/anything", Some(4)),
            (Some("portal.contoso.com."), "/anything", Some(4)),
            (Some("portal.contoso.com"), "/SMS_MP/x", Some(0)),
            (Some("other"), "/anything", None),
            (None, "/sms_dp_smspkg$/ABC00012", Some(5)),
            (None, "/%53MS_MP/", None),
        ] {
            assert_eq!(table.route(host, path).map(|r| r.cluster.0), expected, "{host:?} {path}");
        }
    }

    #[test]
    fn ambiguity_is_refused() {
        let found = RouteTable::build([route("/x/", None, 0), route("/X", None, 1), route("/x", Some("h"), 2)]);
        assert_eq!(found.unwrap_err(), [Ambiguous { prefix: "/x/".into(), clusters: (ClusterId(0), ClusterId(1)) }]);
    }

    #[test]
    fn ports_are_cut_from_hosts() {
        for (host, expected) in
            [("mp1", "mp1"), ("mp1:80", "mp1"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", ""), (":80", "")]
        {
            assert_eq!(host_without_port(host), expected);
        }
    }
}
