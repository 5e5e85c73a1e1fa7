//! `[admin]`: where it is, by which names it may be asked, and whom it trusts.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use toml::Spanned;

use super::certificates::Certificates;
use super::files::Files;
use super::tls::UP_TO;
use super::{SpannedName, pem, token};
use crate::control::config::{CertificateEntry, Config, Problems};
use crate::model::admin::{AdminRules, AdminTls};
use crate::wire::host::is_host;

/// Bytes of the path of a Unix socket (`sun_path`, without the byte that ends it).
const LONGEST_SOCKET: usize = 107;

/// Reads it; what a mistake makes useless is left out, and the mistake is reported.
pub(super) fn compile(config: &Config, files: &Files, problems: &mut Problems) -> AdminRules {
    let token = token::hash(config, files, problems);
    let tls = tls(config, files, problems);
    reach(config, problems);
    socket(config, problems);
    AdminRules { token, host_names: host_names(config, problems), tls }
}

/// Who can reach it, and what they are answered.
fn reach(config: &Config, problems: &mut Problems) {
    let admin = &config.admin;
    let address = &admin.address;
    if address.get_ref().ip().is_loopback() {
        return;
    }
    if !admin.allow_remote {
        problems.error(
            address.span(),
            format!("the admin address {} can be reached from other machines", address.get_ref()),
            "use 127.0.0.1 or [::1], or set allow_remote = true below [admin] if that is meant",
        );
        return;
    }
    if admin.token_file.is_none() && admin.client_authorities.is_none() {
        problems.warning(
            address.span(),
            "other machines are answered /health and /ready alone: they need a token or a client certificate for the rest",
            "set token_file, or certificate, key and client_authorities, below [admin]",
        );
    } else if let (Some(token), None) = (&admin.token_file, &admin.certificate) {
        problems.warning(
            token.span(),
            "the token is sent over the network as it is, and can be read on its way",
            "set certificate and key below [admin]",
        );
    }
}

fn socket(config: &Config, problems: &mut Problems) {
    let Some(path) = &config.admin.socket else { return };
    let text = path.get_ref();
    if text.is_empty() || text.len() > LONGEST_SOCKET {
        problems.error(
            path.span(),
            format!("the path of a Unix socket has 1 to {LONGEST_SOCKET} bytes"),
            "write a shorter one, such as \"/run/rolegate/admin.sock\"",
        );
    }
}

fn host_names(config: &Config, problems: &mut Problems) -> Box<[Box<str>]> {
    let mut names = Vec::new();
    for name in &config.admin.host_names {
        let text = name.get_ref();
        if text.contains(':') || !is_host(text.as_bytes()) {
            problems.error(
                name.span(),
                format!("{text:?} is not the name of a host"),
                "write the name alone, such as \"rolegate.contoso.com\": no scheme, no port",
            );
            continue;
        }
        names.push(text.trim_end_matches('.').to_ascii_lowercase().into_boxed_str());
    }
    names.into_boxed_slice()
}

fn tls(config: &Config, files: &Files, problems: &mut Problems) -> Option<AdminTls> {
    let admin = &config.admin;
    let (Some(certificate), Some(key)) = (&admin.certificate, &admin.key) else {
        if let Some(lonely) = admin.certificate.as_ref().or(admin.key.as_ref()) {
            problems.error(
                lonely.span(),
                "TLS needs a certificate and its key",
                "write certificate and key below [admin]",
            );
        } else if let Some(unused) = &admin.client_authorities {
            problems.error(
                unused.span(),
                "the admin listener has no TLS, so clients show no certificate",
                "write certificate and key below [admin], or take client_authorities out",
            );
        }
        return None;
    };
    let entry =
        CertificateEntry { certificate: Some(certificate.clone()), key: Some(key.clone()), ..Default::default() };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let read = Certificates::read(&[Spanned::new(certificate.span(), entry)], &provider, files, problems);
    let clients = verifier(admin.client_authorities.as_ref(), files, problems);
    let ((resolver, shown), clients) = (read?, clients?);
    // The provider has cipher suites for both versions.
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(UP_TO[1].1).ok()?;
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(AdminTls { config: Arc::new(config), certificates: shown.into_boxed_slice() })
}

/// A certificate is asked for where authorities are named, and one that is shown must be trusted. Without one, there is the token.
fn verifier(
    authorities: Option<&SpannedName>,
    files: &Files,
    problems: &mut Problems,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let Some(path) = authorities else { return Some(Arc::new(NoClientAuth)) };
    let roots = Arc::new(pem::authorities(path, files, problems)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated().build();
    let refused = |error| {
        let text = format!("the authorities in {:?} cannot be used: {error}", path.get_ref());
        problems.error(path.span(), text, "check the file");
    };
    built.map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(refused).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::config::parse;

    /// What is said of this below `[admin]`, and the rules.
    fn look(admin: &str) -> (AdminRules, Vec<String>) {
        let mut problems = Problems::new();
        let config = parse(&format!("[site]\ncode = \"P01\"\n[admin]\n{admin}"), &mut problems);
        let rules = compile(&config, &Files::new(), &mut problems);
        (rules, problems.iter().map(|problem| problem.message.clone()).collect())
    }

    fn says(admin: &str, word: &str) -> bool {
        let (_, said) = look(admin);
        said.iter().any(|message| message.contains(word))
    }

    #[test]
    fn names_are_kept_as_they_are_compared() {
        let (rules, said) = look("host_names = [\"RoleGate.Contoso.com.\", \"rg\"]");
        assert_eq!((&*rules.host_names, said.len()), (&[Box::from("rolegate.contoso.com"), Box::from("rg")][..], 0));
        for wrong in ["http://rg", "rg:9180", "", "a b", "[::1]"] {
            assert!(says(&format!("host_names = [{wrong:?}]"), "is not the name of a host"), "{wrong}");
        }
    }

    #[test]
    fn who_reaches_it_is_told_what_they_need() {
        assert!(says("address = \"0.0.0.0:9180\"", "can be reached from other machines"));
        let remote = "address = \"0.0.0.0:9180\"\nallow_remote = true\n";
        assert!(says(remote, "/health and /ready alone"));
        assert!(says(&format!("{remote}token_file = \"/nowhere\""), "can be read on its way"));
        assert!(says("certificate = \"/nowhere\"", "TLS needs a certificate and its key"));
        assert!(says("client_authorities = \"/nowhere\"", "has no TLS"));
        assert!(says(&format!("socket = \"/{}\"", "x".repeat(LONGEST_SOCKET)), "1 to 107 bytes"));
    }
}
