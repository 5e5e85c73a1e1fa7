#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::control::config::{Config, Problems, parse};

fn read(source: &str) -> (Config, Problems) {
    let mut problems = Problems::new();
    let config = parse(source, &mut problems);
    (config, problems)
}

/// One mistake, at what is written there.
#[track_caller]
fn refuses(source: &str, at: &str, message: &str, help: &str) {
    let (_, problems) = read(source);
    let said = problems.json("", source);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].text.starts_with(at), "{said:?}");
    assert!(said[0].message.contains(message), "{said:?} does not say {message:?}");
    assert!(said[0].help.contains(help), "{said:?} does not help with {help:?}");
}

#[test]
fn everything_that_is_written_arrives_with_its_place() {
    let source = "[[listeners]]\nname = \"https\"\naddress = \"[::]:443\"\nroles = [\"MP\"]\nhttp2 = true\nproxy_protocol = true\n\
                  proxy_protocol_from = [\"10.0.0.5\"]\npassthrough = false\nclient_hello_timeout = \"2s\"\n\
                  [listeners.tls]\ncertificates = [{ certificate = \"a\", key = \"b\", ocsp = \"c\" }, { pkcs12 = \"d\", password_file = \"e\" }]\n\
                  min_version = \"1.2\"\nmax_version = \"1.3\"\nhandshake_timeout = \"3s\"\nsession_tickets = false\n\
                  client_certificates = \"required\"\nclient_ca_file = \"f\"\nclient_crl_files = [\"g\"]\n\
                  client_certificate_exempt = [\"/h\"]\nforward_client_certificate = \"client-cert\"\n\
                  [tls]\nca_file = \"i\"\nclient_certificate = \"j\"\nclient_key = \"k\"\nmax_version = \"1.2\"\n";
    let (config, problems) = read(source);
    assert!(problems.is_empty(), "{}", problems.render("", source, false));
    let listener = &config.listeners[0];
    let word = |written: &Option<toml::Spanned<String>>| written.as_ref().unwrap().get_ref().clone();
    assert!(*listener.http2.as_ref().unwrap().get_ref() && *listener.proxy_protocol.as_ref().unwrap().get_ref());
    assert!(!*listener.passthrough.as_ref().unwrap().get_ref());
    let from = &listener.proxy_protocol_from.as_ref().unwrap()[0];
    assert_eq!(&source[from.span()], "\"10.0.0.5\"");
    let patience = listener.client_hello_timeout.as_ref().unwrap();
    assert_eq!((patience.get_ref().get(), &source[patience.span()]), (Some(Duration::from_secs(2)), "\"2s\""));
    let tls = listener.tls.as_ref().unwrap();
    let [pem, pkcs12] = tls.certificates.as_slice() else { panic!("{tls:?}") };
    assert_eq!(
        (word(&pem.get_ref().certificate), word(&pem.get_ref().key), word(&pem.get_ref().ocsp)),
        ("a".into(), "b".into(), "c".into())
    );
    assert_eq!((word(&pkcs12.get_ref().pkcs12), word(&pkcs12.get_ref().password_file)), ("d".into(), "e".into()));
    assert!(source[pkcs12.span()].starts_with("{ pkcs12") && source[pkcs12.span()].ends_with('}'));
    assert_eq!((tls.handshake_timeout.get(), tls.session_tickets), (Some(Duration::from_secs(3)), false));
    assert_eq!((word(&tls.min_version), word(&tls.max_version)), ("1.2".into(), "1.3".into()));
    assert_eq!((word(&tls.client_certificates), word(&tls.client_ca_file)), ("required".into(), "f".into()));
    assert_eq!(
        (tls.client_crl_files[0].get_ref().as_str(), word(&tls.forward_client_certificate)),
        ("g", "client-cert".into())
    );
    assert_eq!(tls.client_certificate_exempt.as_ref().unwrap()[0].get_ref(), "/h");
    let tls = &config.tls;
    assert_eq!((word(&tls.ca_file), word(&tls.client_certificate)), ("i".into(), "j".into()));
    assert_eq!((word(&tls.client_key), word(&tls.max_version)), ("k".into(), "1.2".into()));
}

#[test]
fn what_has_another_shape() {
    let listener = |line: &str| format!("[[listeners]]\n{line}\n");
    let tls = |line: &str| format!("[[listeners]]\n[listeners.tls]\n{line}\n");
    refuses(&listener("http2 = \"yes\""), "\"yes\"", "must be true or false", "");
    refuses(&listener("proxy_protocol_from = \"10.0.0.5\""), "\"10.0.0.5\"", "must be", "");
    refuses(&listener("client_hello_timeout = 5"), "5", "has no unit", "\"5s\"");
    refuses(&listener("client_hello_timeout = \"unlimited\""), "\"unlimited\"", "not possible here", "\"30s\"");
    refuses(&listener("client_hello_timeout = \"0s\""), "\"0s\"", "duration of zero", "1ms");
    refuses(&listener("passthru = true"), "passthru", "passthru", "passthrough");
    refuses(&listener("tls = []"), "[]", "must be a table, not a list", "{ key = value }");
    refuses("[[listeners]]\n[[listeners.tls]]\n", "[[listeners.tls]]", "must be a table", "single brackets");
    refuses(&tls("certificates = [[\"a\", \"b\"]]"), "[\"a\"", "must be a table, not a list", "{ key = value }");
    refuses(&tls("certificates = [{ certificat = \"a\" }]"), "certificat", "certificat", "certificate");
    refuses(&tls("handshake_timeout = \"unlimited\""), "\"unlimited\"", "not possible here", "\"30s\"");
    refuses(&tls("session_tickets = 1"), "1", "must be true or false", "");
    refuses(&tls("min_version = 1.2"), "1.2", "must be", "");
    refuses(&tls("client_crl_files = \"a\""), "\"a\"", "must be", "");
    refuses("[tls]\nclient_cert = \"a\"\n", "client_cert", "client_cert", "client_");
    refuses("[proxy]\ntcp_keepalive = 30\n", "30", "has no unit", "\"30s\"");
    refuses("[proxy]\nmax_concurrent_streams = -1\n", "-1", "whole number", "");
}
