#![allow(clippy::unwrap_used, missing_docs)]
//! What README.md and the pages in docs/ say is compared with the code: every configuration in them compiles, and every
//! table that lists something of the code lists all of it.
//!
//! A ```` ```toml ```` block is a whole configuration. One that starts with `# fragment` is appended to [`BASE`] first.
//! One that starts with `# refused: WORDS` is appended too, and must be refused with a message that contains the words.

mod document_support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use document_support::{behavior, duration, names, probes, size, staying, the_same_for_all, waits};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKeyChain};
use rolegate::connection_error::ConnectionError;
use rolegate::control::compile::{Compiled, compile};
use rolegate::control::config::{
    AccessLog, Admin, AffinityTable, ContentTable, Dns, FallbackTable, HumanDuration, ListenerTls, Problem, Problems,
    ProxySettings, Severity, parse,
};
use rolegate::error::Error;
use rolegate::metrics::{FAMILIES, Kind};
use rolegate::model::access_log::{LogField, LogFormat};
use rolegate::model::entry::{CertificateField, ClientCertificates, Security};
use rolegate::model::presets;
use rolegate::model::role::Role;
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// What a fragment is appended to.
const BASE: &str = r#"
[site]
code = "P01"

[[listeners]]
address = "0.0.0.0:80"
roles = ["MP", "DP"]

[[site_systems]]
name = "mp1.contoso.com"
roles = ["MP"]

[[site_systems]]
name = "dp1.contoso.com"
roles = ["DP"]

[[site_systems]]
name = "dp2.contoso.com"
roles = ["DP"]
"#;

/// Added when a fragment has boundary groups and no default group, so that every role is in some group.
const BASE_DEFAULT_GROUP: &str = r#"
[default_boundary_group]
site_systems = ["mp1.contoso.com", "dp1.contoso.com"]
"#;

#[test]
fn every_configuration_in_the_documents_compiles() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let mut seen = 0;
    for (name, text) in documents() {
        for block in blocks(&text, "toml") {
            seen += 1;
            let place = format!("{name}, line {}", block.line);
            let (source, expected) = source(&block.text, folder.path());
            let mut problems = Problems::new();
            let compiled = read(&source, &mut problems);
            let rendered = problems.render(&place, &source, false);
            match expected {
                None => assert!(compiled.is_some() && problems.is_empty(), "{place}\n{rendered}"),
                Some(words) => {
                    let errors: Vec<&Problem> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
                    assert!(compiled.is_none() && !errors.is_empty(), "{place} is not refused\n{source}");
                    let said = errors.iter().all(|error| error.message.contains(&words));
                    assert!(said, "{place} is refused for another reason than {words:?}\n{rendered}");
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} configurations were found");
}

#[test]
fn every_key_is_in_the_reference_and_none_that_does_not_exist() {
    let reference = document("docs/configuration.md");
    for (heading, file) in [
        ("### `[site]`", "[site]\nQ = 1"),
        ("### `[[sites]]`", "[[sites]]\nQ = 1"),
        ("### `[proxy]`", "[proxy]\nQ = 1"),
        ("### `[admin]`", "[admin]\nQ = 1"),
        ("### `[access_log]`", "[access_log]\nQ = 1"),
        ("### `[dns]`", "[dns]\nQ = 1"),
        ("### `[tls]`", "[tls]\nQ = 1"),
        ("### `[fallback]`", "[fallback]\nQ = 1"),
        ("### `[content]`", "[content]\nQ = 1"),
        ("### `[affinity]`", "[affinity]\nQ = 1"),
        ("### `[[listeners]]`", "[[listeners]]\nQ = 1"),
        ("#### `[listeners.tls]`", "[[listeners]]\n[listeners.tls]\nQ = 1"),
        ("#### Certificates of a listener", "[[listeners]]\n[listeners.tls]\ncertificates = [{ Q = 1 }]"),
        ("### `[[site_systems]]`", "[[site_systems]]\nQ = 1"),
        ("#### A role with what differs", "[[site_systems]]\nroles = [{ Q = 1 }]"),
        ("### `[[boundary_groups]]`", "[[boundary_groups]]\nQ = 1"),
        ("#### Slow connections", "[[boundary_groups]]\nsite_systems = [{ Q = 1 }]"),
        ("#### Boundaries that are not addresses", "[[boundary_groups]]\nboundaries = [{ Q = 1 }]"),
        ("#### Neighbors", "[[boundary_groups]]\nneighbors = [{ Q = 1 }]"),
        ("### `[default_boundary_group]`", "[default_boundary_group]\nQ = 1"),
        ("### `[roles.NAME]`", "[roles.MP]\nQ = 1"),
        ("#### `[roles.NAME.retry]`", "[roles.MP.retry]\nQ = 1"),
        ("#### `[roles.NAME.timeouts]`", "[roles.MP.timeouts]\nQ = 1"),
        ("#### `[roles.NAME.probe]`", "[roles.MP.probe]\nQ = 1"),
        ("#### `[roles.NAME.passive]`", "[roles.MP.passive]\nQ = 1"),
    ] {
        let written: Vec<String> = table(&reference, heading).into_iter().map(|row| code(&row[0]).to_owned()).collect();
        assert_eq!(sorted(written), sorted(known_keys(file)), "the keys below {heading:?}");
    }
    for section in known_keys("Q = 1") {
        let headings = [format!("[{section}]"), format!("[[{section}]]"), format!("[{section}.NAME]")];
        let mut lines = reference.lines().filter(|line| line.starts_with("### "));
        assert!(lines.any(|line| headings.iter().any(|heading| line.contains(heading))), "no heading for {section}");
    }
}

#[test]
fn defaults_in_the_reference_are_those_of_the_code() {
    let (proxy, admin, log, dns) = (ProxySettings::default(), Admin::default(), AccessLog::default(), Dns::default());
    let (fallback, content) = (FallbackTable::default(), ContentTable::default());
    let (affinity, tls) = (AffinityTable::default(), ListenerTls::default());
    let agents: Vec<&String> = fallback.exempt_user_agents.iter().map(|agent| agent.get_ref()).collect();
    let time = |written: HumanDuration| duration(written.get().unwrap());
    let text = |text: &str| format!("{text:?}");
    let reference = document("docs/configuration.md");
    for (heading, key, default) in [
        ("### `[proxy]`", "drain_timeout", time(proxy.drain_timeout)),
        ("### `[proxy]`", "trusted_proxies", format!("{:?}", proxy.trusted_proxies)),
        ("### `[proxy]`", "client_address_field", text(proxy.client_address_field.get_ref())),
        ("### `[proxy]`", "name", text(proxy.name.get_ref())),
        ("### `[proxy]`", "request_header_timeout", time(proxy.request_header_timeout)),
        ("### `[proxy]`", "client_keepalive_timeout", time(proxy.client_keepalive_timeout)),
        ("### `[proxy]`", "max_header_size", text(&size(proxy.max_header_size.get()))),
        ("### `[proxy]`", "max_connections", proxy.max_connections.get_ref().to_string()),
        ("### `[proxy]`", "max_idle_per_endpoint", proxy.max_idle_per_endpoint.to_string()),
        ("### `[proxy]`", "decision_header", proxy.decision_header.to_string()),
        ("### `[proxy]`", "preserve_header_case", proxy.preserve_header_case.to_string()),
        ("### `[proxy]`", "abort_on_close", proxy.abort_on_close.to_string()),
        ("### `[proxy]`", "tcp_keepalive", duration(proxy.tcp_keepalive.get_ref().get().unwrap())),
        ("### `[proxy]`", "tunnel_moves_per_second", proxy.tunnel_moves_per_second.get_ref().to_string()),
        (
            "### `[proxy]`",
            "max_connection_age",
            proxy.max_connection_age.get_ref().get().map_or("off".to_owned(), duration),
        ),
        ("### `[proxy]`", "group_metrics", (proxy.group_metrics.get_ref().most() > 0).to_string()),
        ("### `[proxy]`", "endpoint_metrics", text(proxy.endpoint_metrics.get_ref())),
        ("### `[proxy]`", "max_concurrent_streams", proxy.max_concurrent_streams.get_ref().to_string()),
        ("#### `[listeners.tls]`", "handshake_timeout", time(tls.handshake_timeout)),
        ("#### `[listeners.tls]`", "session_tickets", tls.session_tickets.to_string()),
        ("#### `[listeners.tls]`", "client_crl_files", format!("{:?}", tls.client_crl_files)),
        ("### `[admin]`", "address", text(&admin.address.get_ref().to_string())),
        ("### `[admin]`", "allow_remote", admin.allow_remote.to_string()),
        ("### `[proxy]`", "request_id_field", text(proxy.request_id_field.get_ref())),
        ("### `[access_log]`", "path", text(log.path.get_ref())),
        ("### `[access_log]`", "format", text(log.format.get_ref())),
        ("### `[access_log]`", "sample", log.sample.get_ref().to_string()),
        ("### `[access_log]`", "sample_errors", log.sample_errors.to_string()),
        ("### `[access_log]`", "buffer", log.buffer.get_ref().to_string()),
        ("### `[dns]`", "servers", format!("{:?}", dns.servers)),
        ("### `[dns]`", "min_ttl", time(dns.min_ttl)),
        ("### `[dns]`", "max_ttl", time(dns.max_ttl)),
        ("### `[dns]`", "retry_interval", time(dns.retry_interval)),
        ("### `[dns]`", "timeout", time(dns.timeout)),
        ("### `[fallback]`", "model", text(fallback.model.get_ref())),
        ("### `[fallback]`", "clock", text(fallback.clock.get_ref())),
        ("### `[fallback]`", "speedup", fallback.speedup.get_ref().to_string()),
        ("### `[fallback]`", "clock_idle", time(fallback.clock_idle)),
        ("### `[fallback]`", "max_clocks", fallback.max_clocks.get_ref().to_string()),
        ("### `[fallback]`", "exempt_user_agents", format!("{agents:?}")),
        ("### `[fallback]`", "exempt_content", format!("{:?}", fallback.exempt_content)),
        ("### `[content]`", "missing_ttl", time(content.missing_ttl)),
        ("### `[content]`", "known_ttl", time(content.known_ttl)),
        ("### `[content]`", "max_entries", content.max_entries.get_ref().to_string()),
        ("### `[content]`", "discover", format!("{:?}", content.discover)),
        ("### `[content]`", "discover_interval", time(content.discover_interval)),
        ("### `[affinity]`", "max_entries", affinity.max_entries.get_ref().to_string()),
        ("### `[affinity]`", "upload_idle", time(affinity.upload_idle)),
    ] {
        let rows = table(&reference, heading);
        let row = rows.iter().find(|row| code(&row[0]) == key).unwrap();
        assert_eq!(code(&row[2]), default, "{key} below {heading:?}");
    }
}

#[test]
fn the_fields_of_the_access_log_are_those_of_the_code() {
    let rows = table(&document("docs/operations.md"), "### Fields of the access log");
    for (column, format) in [(0, LogFormat::Json), (1, LogFormat::W3c)] {
        let names = |usual: bool| -> Vec<String> {
            let cells = rows.iter().flat_map(|row| row[column].split(", "));
            let cells = cells.filter(|cell| !cell.is_empty() && (!usual || cell.starts_with("**")));
            cells.map(|cell| code(cell).to_owned()).collect()
        };
        let of = |fields: &[LogField]| -> Vec<String> {
            fields.iter().filter_map(|field| field.name(format)).map(str::to_owned).collect()
        };
        assert_eq!(sorted(names(false)), sorted(of(LogField::ALL)), "{format:?}");
        assert_eq!(sorted(names(true)), sorted(of(format.usual())), "the usual ones of {format:?}");
    }
    let reference = document("docs/configuration.md");
    let masked = reference.split("these parameters are masked: ").nth(1).unwrap().split(". A user").next().unwrap();
    let written: Vec<&str> = masked.split(',').map(|name| code(name.trim())).collect();
    let log = AccessLog::default();
    assert_eq!(written, log.mask.iter().map(|name| name.get_ref().as_str()).collect::<Vec<_>>());
}

#[test]
fn defaults_of_tls_in_the_reference_are_those_of_the_compiler() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let listener = |lines: &str| {
        let block = format!(
            "# fragment\n[[listeners]]\naddress = \"0.0.0.0:443\"\nroles = [\"MP\"]\n{lines}\n[listeners.tls]\n\
             certificates = [{{ certificate = \"/etc/rolegate/mp.crt\", key = \"/etc/rolegate/mp.key\" }}]\n"
        );
        block.replace("\n\n", "\n")
    };
    let compiled = |block: &str| {
        let (source, _) = source(block, folder.path());
        let mut problems = Problems::new();
        read(&source, &mut problems).unwrap_or_else(|| panic!("{}", problems.render("", &source, false)))
    };
    let none = compiled(&listener(""));
    let entry = &none.site.listeners[1].entry;
    let terminated = entry.terminated().unwrap();
    assert_eq!((terminated.client_certificates, terminated.forward), (ClientCertificates::None, CertificateField::Off));
    assert!(!entry.http2 && entry.proxy_protocol.is_none());

    let required = "client_certificates = \"required\"\nclient_ca_file = \"/etc/rolegate/site-ca.pem\"\n";
    let required = compiled(&(listener("") + required));
    let exempt = &required.site.listeners[1].entry.terminated().unwrap().exempt;
    let reference = document("docs/configuration.md");
    let (_, after) = reference.split_once("The default of `client_certificate_exempt`:").unwrap();
    let written: Vec<&str> = after.split("```").nth(1).unwrap().lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(written, exempt.iter().map(String::as_str).collect::<Vec<_>>());

    let block = "# fragment\n[[listeners]]\naddress = \"0.0.0.0:443\"\nroles = [\"MP\"]\npassthrough = true\n\
                 [roles.MP]\ntls = true\n";
    let Security::Passthrough { timeout } = compiled(block).site.listeners[1].entry.security else { panic!("{block}") };
    let rows = table(&reference, "### `[[listeners]]`");
    let row = rows.iter().find(|row| code(&row[0]) == "client_hello_timeout").unwrap();
    assert_eq!(code(&row[2]), duration(timeout));
}

#[test]
fn the_tables_of_presets_are_the_presets() {
    let reference = document("docs/configuration.md");
    let roles: Vec<Role> = presets::presets().into_iter().chain([presets::plain()]).collect();
    let tables =
        [names(&roles), behavior(&roles), staying(&roles), waits(&roles), probes(&roles), the_same_for_all(&roles)];
    let missing: Vec<String> = tables.into_iter().filter(|table| !reference.contains(table)).collect();
    assert!(missing.is_empty(), "docs/configuration.md should have these tables:\n\n{}", missing.join("\n"));
    // Every assumption has a column that can carry its mark.
    let marked = [
        "paths",
        "methods",
        "connection_auth",
        "max_body",
        "max_requests",
        "probe.target",
        "probe.status",
        "timeouts.tunnel_idle",
    ];
    for role in &roles {
        for assumption in presets::assumptions(&role.name) {
            assert!(marked.contains(assumption), "{assumption} of {} is not marked in a table", role.name);
        }
    }
}

#[test]
fn the_table_of_metrics_is_the_list_of_families() {
    let operations = document("docs/operations.md");
    let written: Vec<[String; 3]> = table(&operations, "## Metrics")
        .into_iter()
        .map(|row| [code(&row[0]).to_owned(), row[1].clone(), row[2].clone()])
        .collect();
    let families: Vec<[String; 3]> = FAMILIES
        .iter()
        .map(|family| {
            let kind = match family.1 {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            [family.0.to_owned(), kind.to_owned(), family.2.to_owned()]
        })
        .collect();
    assert_eq!(written, families);
}

#[test]
fn the_table_of_reasons_is_the_list_of_errors() {
    let operations = document("docs/operations.md");
    let written: Vec<[String; 3]> = table(&operations, "## When rolegate answers itself")
        .into_iter()
        .map(|row| [code(&row[0]).to_owned(), row[1].clone(), row[2].clone()])
        .collect();
    let errors: Vec<[String; 3]> = Error::ALL
        .iter()
        .map(|error| [error.reason().to_owned(), error.status().as_u16().to_string(), error.details().to_owned()])
        .collect();
    assert_eq!(written, errors);
}

#[test]
fn the_table_of_connections_that_end_is_the_list_of_their_errors() {
    let operations = document("docs/operations.md");
    let written: Vec<[String; 2]> = table(&operations, "### Connections that end before their first request")
        .into_iter()
        .map(|row| [code(&row[0]).to_owned(), row[1].clone()])
        .collect();
    let errors: Vec<[String; 2]> =
        ConnectionError::ALL.iter().map(|error| [error.reason().to_owned(), error.details().to_owned()]).collect();
    assert_eq!(written, errors);
}

#[test]
fn every_rule_of_http_has_a_test_that_is_there() {
    let tests = root().join("proxy/tests");
    let sources =
        std::fs::read_dir(tests).unwrap().filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    let sources: Vec<String> = sources.collect();
    let text = document("docs/http.md");
    let mut rules = 0;
    for heading in ["## Requests", "## Fields", "## Bodies", "## Responses", "## Upgrades"] {
        for row in table(&text, heading) {
            rules += 1;
            for name in row[3].split(", ").map(code) {
                let written = format!("async fn {name}()");
                assert!(sources.iter().any(|source| source.contains(&written)), "{}: there is no test {name}", row[0]);
            }
        }
    }
    assert!(rules > 30, "only {rules} were found");
}

#[test]
fn every_cell_about_boundary_groups_has_a_test_and_a_source() {
    let tests = root().join("proxy/tests");
    let cells = std::fs::read_dir(tests.join("boundary_cells")).unwrap().map(|entry| entry.unwrap().path());
    let sources: Vec<String> =
        cells.chain([tests.join("boundary_groups.rs")]).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let functions =
        sources.iter().flat_map(|source| source.split("::test]\n").chain(source.split("#[test]\n")).skip(1));
    let functions =
        functions.filter_map(|rest| rest.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next());
    let functions: BTreeSet<&str> = functions.collect();
    let text = document("docs/boundary-groups.md");
    let letters: Vec<String> = table(&text, "## Sources").into_iter().map(|row| row[0].clone()).collect();
    let mut named = BTreeSet::new();
    for heading in text.lines().filter(|line| line.starts_with("## ") && *line != "## Sources") {
        for row in table(&text, heading) {
            let [event, _, source, .., test] = row.as_slice() else { panic!("{row:?}") };
            assert!(row.iter().all(|cell| !cell.is_empty()), "{heading}: {row:?}");
            assert!(source.ends_with("documented") || source.starts_with("observed"), "{event}: {source}");
            let cited = source.split([',', ' ']).filter(|word| word.len() == 1);
            let unknown: Vec<&str> = cited.filter(|word| !letters.iter().any(|letter| letter == word)).collect();
            assert!(unknown.is_empty(), "{event}: {unknown:?} is no source");
            assert!(functions.contains(code(test)), "{event}: there is no test {test}");
            assert!(named.insert(code(test).to_owned()), "{test} is the test of two rows");
        }
    }
    let unnamed: Vec<&&str> = functions.iter().filter(|name| !named.contains(**name)).collect();
    assert!(unnamed.is_empty(), "the document should name {unnamed:?}");
    assert!(named.len() > 60, "only {} rows were found", named.len());
}

#[test]
fn links_in_the_pages_lead_somewhere() {
    for (name, text) in documents().into_iter().filter(|(name, _)| name.starts_with("docs/")) {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&name) } else { folder.join(file) };
            assert!(target.exists(), "{name} links to {link}");
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).iter().any(|known| known == anchor), "{name} links to {link}: no such heading");
            }
        }
    }
}

// The files

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// README.md, if there is one, and every page in docs/: name and text.
fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    if root().join("README.md").exists() {
        names.insert(0, "README.md".to_owned());
    }
    names.into_iter().map(|name| (name.clone(), document(&name))).collect()
}

struct Block {
    line: usize,
    text: String,
}

/// Fenced blocks in this language.
fn blocks(text: &str, language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(bool, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => {
                let (wanted, block) = open.take().unwrap();
                found.extend(wanted.then_some(block));
            }
            (Some(info), None) => {
                open = Some((info.trim() == language, Block { line: index + 1, text: String::new() }));
            }
            (None, Some((_, block))) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    found
}

/// The rows of the first table below a heading, without its two header lines.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let rows: Vec<&str> =
        lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 2, "there is no table below {heading:?}");
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows[2..].iter().map(|row| cells(row)).collect()
}

/// What is between the backticks of a cell, or the cell when there are none.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or(cell)
}

/// The anchors of a page's headings, as the usual renderers make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

// The configurations

fn read(source: &str, problems: &mut Problems) -> Option<Compiled> {
    let config = parse(source, problems);
    compile(&config, problems)
}

/// The configuration that a block stands for, and the words with which it must be refused.
fn source(block: &str, folder: &Path) -> (String, Option<String>) {
    let first = block.lines().next().unwrap_or_default();
    let refused = first.strip_prefix("# refused:").map(|words| words.trim().to_owned());
    let mut text = String::new();
    if first.starts_with("# fragment") || refused.is_some() {
        text.push_str(BASE);
        if block.contains("[[boundary_groups]]") && !block.contains("[default_boundary_group]") {
            text.push_str(BASE_DEFAULT_GROUP);
        }
    }
    // The files of an example are on no machine.
    text.push_str(&block.replace("\"/etc/rolegate/", &format!("\"{}/", folder.display())));
    (text, refused)
}

/// Every file that an example names.
fn write_files(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let pair = |name: &str, identity: &Identity| {
        write(&format!("{name}.crt"), identity.certificate_pem.as_bytes());
        write(&format!("{name}.key"), identity.key_pem.as_bytes());
    };
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
    let (site, branch) = (Authority::new("Site"), Authority::new("Branch"));
    let server = |name: &str| site.issue(&Wanted::server(&[name]).validity(now - day, now + 365 * day));
    write("site-ca.pem", site.certificate_pem().as_bytes());
    write("branch-ca.pem", branch.certificate_pem().as_bytes());
    write("site-ca.crl", site.crl(&[]).as_bytes());
    pair("mp", &server("mp1.contoso.com"));
    pair("admin", &server("rolegate.contoso.com"));
    write("operators.pem", branch.certificate_pem().as_bytes());
    pair("rolegate", &site.client("rolegate"));
    pair("branch-client", &branch.client("rolegate"));
    write("internet.pfx", &pkcs12(&server("internet.contoso.com"), "secret"));
    write("internet.pass", b"secret\n");
    write("token", b"0123456789abcdef0123456789abcdef\n");
}

/// A file as Windows exports it.
fn pkcs12(identity: &Identity, password: &str) -> Vec<u8> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let chain = [Certificate::from_der(&certificate).unwrap()];
    let mut store = KeyStore::new();
    let entry = PrivateKeyChain::new(key.secret_pkcs8_der(), b"id", chain);
    store.add_entry("identity", KeyStoreEntry::PrivateKeyChain(entry));
    store.writer(password).write().unwrap()
}

/// The keys that are possible where `Q` stands in this configuration, as the error about `Q` lists them.
fn known_keys(file: &str) -> Vec<String> {
    let mut problems = Problems::new();
    parse(file, &mut problems);
    let help = problems.iter().map(|problem| problem.help.as_str()).find(|help| help.starts_with("known here: "));
    let help = help.unwrap_or_else(|| panic!("{file:?} says: {}", problems.render("", file, false)));
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// What a message says of a number is what the reference says, whichever way the number is wrong.
#[test]
fn ranges_in_messages_are_those_of_the_reference() {
    let reference = document("docs/configuration.md");
    let mut seen = 0;
    for (heading, file) in [
        ("### `[proxy]`", "[proxy]\nQ"),
        ("### `[fallback]`", "[fallback]\nQ"),
        ("### `[content]`", "[content]\nQ"),
        ("### `[affinity]`", "[affinity]\nQ"),
        ("### `[[site_systems]]`", "[[site_systems]]\nname = \"x\"\nroles = [\"MP\"]\nQ"),
        ("#### A role with what differs", "[[site_systems]]\nname = \"x\"\nroles = [{ role = \"MP\", Q }]"),
        ("### `[roles.NAME]`", "[roles.DP]\nQ"),
        ("#### `[roles.NAME.retry]`", "[roles.DP.retry]\nQ"),
        ("#### `[roles.NAME.probe]`", "[roles.DP.probe]\nQ"),
        ("#### `[roles.NAME.passive]`", "[roles.DP.passive]\nQ"),
    ] {
        for row in table(&reference, heading) {
            let Some((_, range)) = row[1].split_once("number, ") else { continue };
            let Some((least, most)) = range.rsplit_once(" to ") else { continue };
            let least: i64 = least.rsplit(' ').next().unwrap().parse().unwrap();
            let most: i64 = most.parse().unwrap();
            let key = code(&row[0]);
            seen += 1;
            for wrong in [(-1).to_string(), (least - 1).to_string(), (most + 1).to_string(), "\"1\"".to_owned()] {
                let mut problems = Problems::new();
                let source = file.replace('Q', &format!("{key} = {wrong}"));
                read(&source, &mut problems);
                let said = problems.iter().map(|problem| format!("{}; {}\n", problem.message, problem.help));
                let said: String = said.collect();
                let range = format!("from {least} to {most}");
                let possible = row[1].starts_with("number, 0 or") && wrong == "0";
                assert!(
                    possible || said.contains(&range),
                    "{key} = {wrong} below {heading:?} must say {range}:\n{said}"
                );
            }
        }
    }
    assert!(seen > 15, "only {seen} ranges were found");
}
