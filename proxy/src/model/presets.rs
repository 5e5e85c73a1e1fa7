//! One row for every client-facing role of Configuration Manager, and the names that administrators use for them.
//!
//! The rows are in `presets/table.rs`. What could not be confirmed from public documentation is only a default there,
//! and [`assumptions`] lists it, so that `rolegate roles` can mark it and an administrator knows what to check.

use super::role::Role;

mod table;

/// A role's names. Spelling, case and the separators ` `, `-` and `_` do not matter when a name is looked up.
struct Names {
    canonical: &'static str,
    aliases: &'static [&'static str],
    row: fn() -> Role,
    assumptions: &'static [&'static str],
}

const NAMES: [Names; 13] = [
    Names { canonical: "management-point", aliases: &["MP"], row: table::management_point, assumptions: &[] },
    Names {
        canonical: "distribution-point",
        aliases: &["DP"],
        row: table::distribution_point,
        assumptions: &["max_body"],
    },
    Names {
        canonical: "software-update-point",
        aliases: &["SUP", "WSUS"],
        row: table::software_update_point,
        assumptions: &["max_body"],
    },
    Names {
        canonical: "state-migration-point",
        aliases: &["SMP"],
        row: table::state_migration_point,
        assumptions: &["paths", "methods", "connection_auth", "max_body"],
    },
    Names {
        canonical: "application-catalog-web-service-point",
        aliases: &["application catalog web service"],
        row: table::application_catalog_web_service_point,
        assumptions: &["methods", "max_body"],
    },
    Names {
        canonical: "application-catalog-website-point",
        aliases: &["application catalog website", "application catalog"],
        row: table::application_catalog_website_point,
        assumptions: &["methods", "max_body", "probe.status"],
    },
    Names {
        canonical: "fallback-status-point",
        aliases: &["FSP"],
        row: table::fallback_status_point,
        assumptions: &["paths", "max_body"],
    },
    Names {
        canonical: "enrollment-proxy-point",
        aliases: &["enrollment proxy"],
        row: table::enrollment_proxy_point,
        assumptions: &["paths", "methods", "max_body"],
    },
    Names {
        canonical: "enrollment-point",
        aliases: &[],
        row: table::enrollment_point,
        assumptions: &["paths", "methods", "max_body"],
    },
    Names {
        canonical: "reporting-services-point",
        aliases: &["RSP", "reporting point", "reporting services", "SSRS"],
        row: table::reporting_services_point,
        assumptions: &["paths", "methods", "max_body", "probe.status"],
    },
    Names {
        canonical: "sms-provider",
        aliases: &["admin service", "administration service"],
        row: table::sms_provider,
        assumptions: &["max_body"],
    },
    Names {
        canonical: "connected-cache",
        aliases: &["MCC", "Microsoft Connected Cache", "Delivery Optimization In-Network Cache"],
        row: table::connected_cache,
        assumptions: &["methods", "max_body"],
    },
    Names {
        canonical: "client-notification",
        aliases: &["BGB", "notification", "client notification point", "fast channel"],
        row: table::client_notification,
        assumptions: &["timeouts.tunnel_idle", "max_requests"],
    },
];

/// Roles that no client connects to: name, other names, why.
const WITHOUT_CLIENTS: [(&str, &[&str], &str); 10] = [
    (
        "site-server",
        &["primary site server", "secondary site server"],
        "the site server has no client-facing listener: it works with the site database and the site systems, \
         and clients never connect to it",
    ),
    (
        "asset-intelligence-synchronization-point",
        &["asset intelligence sync point", "AISP"],
        "the Asset Intelligence synchronization point has no client-facing listener: it only downloads the catalog",
    ),
    (
        "endpoint-protection-point",
        &["EPP"],
        "the Endpoint Protection point has no client-facing listener: it only holds the license acceptance and the \
         defaults, clients get definitions from the software update point and the distribution points",
    ),
    (
        "service-connection-point",
        &["SCP", "windows intune connector"],
        "the service connection point has no client-facing listener: it connects to Microsoft's services by itself",
    ),
    (
        "cloud-management-gateway-connection-point",
        &["CMG connection point"],
        "the CMG connection point has no client-facing listener: it connects to the gateway in the cloud by itself, and is \
         a client of the management points and software update points",
    ),
    (
        "cloud-management-gateway",
        &["CMG", "cloud distribution point"],
        "the cloud management gateway is not in this network: it balances its clients in the cloud by itself",
    ),
    (
        "certificate-registration-point",
        &["CRP"],
        "no client connects to the certificate registration point: only the policy module of an NDES server does, with a \
         certificate of its own, to the one that it is set up for",
    ),
    (
        "data-warehouse-service-point",
        &["data warehouse"],
        "the data warehouse service point has no client-facing listener: it copies from one database to another",
    ),
    (
        "site-database-server",
        &["database server"],
        "no client connects to the site database server: site systems do, in the protocol of SQL Server",
    ),
    (
        "system-health-validator-point",
        &["SHV"],
        "no client connects to the System Health Validator point: Network Policy Server asks it, and it is no longer in \
         ConfigMgr",
    ),
];

/// Every preset, in the order in which they are documented.
pub fn presets() -> Vec<Role> {
    NAMES.iter().map(|names| (names.row)()).collect()
}

/// The start for a role of one's own: any method and path, any site system, no knowledge of the application.
pub fn plain() -> Role {
    table::plain()
}

/// The preset with this name, abbreviation or alias.
pub fn find(name: &str) -> Option<Role> {
    lookup(name).map(|names| (names.row)())
}

/// The name that metrics and logs use for the preset with this name, abbreviation or alias.
pub fn canonical(name: &str) -> Option<&'static str> {
    lookup(name).map(|names| names.canonical)
}

/// The names under which boundary groups may speak of a role's fallback times: its own, then those that it follows.
pub fn spoken_of(role: &Role) -> Vec<String> {
    let mut names = vec![role.name.clone()];
    let mut next = role.times_of.clone();
    while let Some(name) = next.filter(|name| !names.contains(name)) {
        next = find(&name).and_then(|role| role.times_of);
        names.push(name);
    }
    names
}

/// Fields of a preset whose default no public source confirms; nested fields are written `probe.target`.
pub fn assumptions(name: &str) -> &'static [&'static str] {
    lookup(name).map_or(&[], |names| names.assumptions)
}

/// Every spelling that [`find`] knows, the canonical ones first. For suggestions.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|names| names.canonical).chain(NAMES.iter().flat_map(|names| names.aliases.iter().copied()))
}

/// For a ConfigMgr role that no client connects to, a sentence that says so.
pub fn without_clients(name: &str) -> Option<&'static str> {
    WITHOUT_CLIENTS
        .iter()
        .find(|(canonical, aliases, _)| same(canonical, name) || aliases.iter().any(|alias| same(alias, name)))
        .map(|row| row.2)
}

fn lookup(name: &str) -> Option<&'static Names> {
    NAMES.iter().find(|names| same(names.canonical, name) || names.aliases.iter().any(|alias| same(alias, name)))
}

fn same(known: &str, written: &str) -> bool {
    letters(known).eq(letters(written))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::role::{Balance, Fallback, Locality, Naming, Panic, ProbeKind, Protocol, ProxyProtocol};
    use std::time::Duration;

    #[test]
    fn names_are_found_in_every_spelling() {
        for name in ["MP", "mp", "management-point", "Management point", "MANAGEMENT_POINT", " ManagementPoint "] {
            assert_eq!(canonical(name), Some("management-point"), "{name}");
        }
        assert_eq!(canonical("admin-service"), Some("sms-provider"));
        assert_eq!(canonical("AdminService"), Some("sms-provider"));
        assert_eq!(canonical("bgb"), Some("client-notification"));
        assert_eq!(canonical("plain"), None);
        assert_eq!(canonical(""), None);
        assert_eq!(canonical("-"), None);
        assert_eq!(find("DP").unwrap().name, "distribution-point");
    }

    #[test]
    fn no_two_roles_share_a_name() {
        let mut seen = std::collections::BTreeSet::new();
        let all = NAMES.iter().flat_map(|n| std::iter::once(n.canonical).chain(n.aliases.iter().copied()));
        let dead = WITHOUT_CLIENTS.iter().flat_map(|n| std::iter::once(n.0).chain(n.1.iter().copied()));
        for name in all.chain(dead) {
            assert!(seen.insert(letters(name).collect::<String>()), "{name} twice");
        }
        assert!(without_clients("Site Server").is_some());
        assert!(without_clients("epp").is_some() && without_clients("CMG connection point").is_some());
        assert!(without_clients("mp").is_none());
        for name in known_names() {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_row_is_sound() {
        let rows = presets();
        assert_eq!(rows.len(), 13);
        for role in rows.iter().chain([&plain()]) {
            let name = &role.name;
            if name != "plain" {
                assert_eq!(canonical(name), Some(name.as_str()));
                assert_eq!(find(name).as_ref(), Some(role));
                assert!(role.short.is_empty() || canonical(&role.short) == Some(name.as_str()), "{name}");
                assert_eq!(canonical(&role.title), Some(name.as_str()), "{name}");
            }
            assert!(role.paths.iter().all(|p| p.starts_with('/') && (p == "/" || !p.ends_with('/'))), "{name}");
            assert!(role.port > 0 && role.tls_port > 0 && role.max_requests > 0, "{name}");
            assert!(role.timeouts.upstream_idle < Duration::from_secs(120), "{name}");
            assert!(role.probe.schedule.timeout < role.probe.schedule.interval, "{name}");
            assert!(role.probe.schedule.rise > 0 && role.probe.schedule.fall > 0, "{name}");
            // Elsewhere a 500 may be an answer, a SOAP fault or a report with a mistake for example.
            let counts = ["management-point", "distribution-point", "plain"].contains(&name.as_str());
            assert_eq!(role.retry.on_status.contains(&500), counts, "{name}");
            assert!(!role.retry.methods.iter().any(|m| m.contains("POST")), "{name}");
            // For these somebody must have seen to something on the other side.
            assert!(
                !role.http2
                    && !role.lend_certificate
                    && role.proxy_protocol == ProxyProtocol::Off
                    && role.source_addresses.is_empty(),
                "{name}"
            );
            assert_eq!(role.paths.is_empty(), role.protocol == Protocol::Tcp, "{name}");
            if let ProbeKind::Http(probe) = &role.probe.kind {
                assert!(probe.target.starts_with('/') && !probe.status.is_empty(), "{name}");
                assert!(probe.body_contains.is_none() || probe.method != "HEAD", "{name}");
            }
        }
    }

    #[test]
    fn the_rows_that_the_rest_relies_on() {
        let mp = find("mp").unwrap();
        assert!(mp.methods.iter().any(|m| m == "CCM_POST") && mp.methods.iter().any(|m| m == "BITS_POST"));
        assert_eq!((mp.locality, mp.default_fallback), (Locality::Prefer, Fallback::Minutes(0)));
        assert_eq!((mp.balance, mp.panic, mp.max_body), (Balance::LeastRequests, Panic::Serve, Some(128 << 20)));
        let dp = find("dp").unwrap();
        assert_eq!((dp.balance, dp.panic, dp.timeouts.total), (Balance::Content, Panic::Refuse, None));
        assert_eq!((dp.locality, dp.default_fallback), (Locality::BoundaryGroups, Fallback::Minutes(120)));
        let sup = find("sup").unwrap();
        assert_eq!((sup.port, sup.tls_port, sup.balance), (8530, 8531, Balance::Client));
        assert_eq!(sup.retry.methods, ["GET", "HEAD"]);
        let smp = find("smp").unwrap();
        assert_eq!((smp.named, smp.default_fallback, smp.retry.attempts), (Naming::Only, Fallback::Never, 0));
        let bgb = find("client-notification").unwrap();
        assert_eq!((bgb.protocol, bgb.port), (Protocol::Tcp, 10123));
        assert_eq!((bgb.timeouts.total, bgb.timeouts.tunnel_idle), (None, Duration::from_secs(1800)));
        assert!(find("sms-provider").unwrap().tls);
    }

    #[test]
    fn assumed_fields_are_fields() {
        for names in &NAMES {
            let row = serde_json::to_value((names.row)()).unwrap();
            for field in names.assumptions {
                let mut at = &row;
                for part in field.split('.') {
                    // The kind of a probe nests its fields one deeper.
                    at = at.get(part).or_else(|| at.get("kind")?.get("http")?.get(part)).unwrap();
                }
            }
        }
        assert!(assumptions("smp").contains(&"paths"));
        assert!(assumptions("no such role").is_empty());
    }
}
