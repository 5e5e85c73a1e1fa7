//! How client connections begin: every mistake in the keys of a listener, and what the compiler makes of good ones.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use handshake::Pki;
use marks::{MP1, SITE, error, look, with};
use rolegate::control::compile::Compiled;
use rolegate::model::entry::{Entry, Security};

#[path = "control_support/handshake.rs"]
mod handshake;
#[path = "control_support/marks.rs"]
mod marks;

/// A second listener with these lines.
fn listener(lines: &str) -> String {
    with(&format!("[[listeners]]\nname = \"second\"\naddress = \"0.0.0.0:443\"\nroles = [\"MP\"]\n{lines}\n"))
}

#[track_caller]
fn good(text: &str) -> Compiled {
    let (records, compiled) = look(text);
    assert_eq!(records, []);
    compiled.unwrap()
}

fn entry(compiled: &Compiled) -> &Entry {
    &compiled.site.listeners[1].entry
}

#[test]
fn a_listener_without_more_is_plain() {
    for lines in ["", "http2 = false\nproxy_protocol = false\npassthrough = false", "proxy_protocol_from = []"] {
        let compiled = good(&listener(lines));
        let entry = entry(&compiled);
        assert!(matches!(entry.security, Security::Plain), "{lines}");
        assert!(!entry.http2 && entry.proxy_protocol.is_none(), "{lines}");
    }
    assert!(entry(&good(&listener("http2 = true"))).http2);
}

#[test]
fn those_who_send_the_proxy_protocol() {
    let networks = |text: &str| -> Vec<String> {
        let compiled = good(text);
        let nets = entry(&compiled).proxy_protocol.as_ref().unwrap();
        nets.iter().map(ToString::to_string).collect()
    };
    let own = listener("proxy_protocol = true\nproxy_protocol_from = [\"10.0.0.5\", \"10.0.1.0/24\"]");
    assert_eq!(networks(&own), ["10.0.0.5/32", "10.0.1.0/24"]);
    let trusted = "[proxy]\ntrusted_proxies = [\"10.0.0.6\"]\n";
    assert_eq!(networks(&(listener("proxy_protocol = true") + trusted)), ["10.0.0.6/32"]);
    assert_eq!(networks(&(own + trusted)), ["10.0.0.5/32", "10.0.1.0/24"], "its own list is all of it");

    error(&listener("proxy_protocol = «true»"), "no load balancer is trusted", "proxy_protocol_from");
    let empty = listener("proxy_protocol = «true»\nproxy_protocol_from = []") + trusted;
    error(&empty, "no load balancer is trusted", "in front of this listener");
    let off = listener("proxy_protocol_from = [«\"10.0.0.5\"», \"10.0.0.6\"]");
    error(&off, "has no meaning without proxy_protocol", "proxy_protocol = true");
    for wrong in ["lb1", "10.0.0.0/33", "10.0.0.1-10.0.0.9"] {
        let text = listener(&format!("proxy_protocol = true\nproxy_protocol_from = [«\"{wrong}\"»]"));
        error(&text, "is not an address or network", "10.0.0.0/24");
    }
    // The mistake is in the list and not in the listener.
    let wrong = listener("proxy_protocol = true") + "[proxy]\ntrusted_proxies = [«\"lb1\"»]\n";
    error(&wrong, "is not an address or network", "10.0.0.0/24");
}

/// Two roles with TLS beside the plain one, and a listener that passes through.
fn passthrough(listener: &str, roles: &str) -> String {
    format!(
        "{SITE}[[listeners]]\naddress = \"0.0.0.0:443\"\n{listener}\n{roles}\n\
         [[site_systems]]\nname = \"mp1\"\naddress = \"10.0.0.1\"\nroles = [\"one\", \"two\"]\n"
    )
}

const ROLES: &str = "[roles.one]\npreset = \"MP\"\ntls = true\nhosts = [\"one.lab.test\"]\n\
                     [roles.two]\npreset = \"MP\"\ntls = true\nhosts = [\"two.lab.test\"]\n";

#[test]
fn server_names_lead_to_roles() {
    let compiled = good(&passthrough("roles = [\"one\", \"two\"]\npassthrough = true", ROLES));
    let listener = &compiled.site.listeners[0];
    assert!(matches!(listener.entry.security, Security::Passthrough { timeout } if timeout == Duration::from_secs(5)));
    let lead = |name: &str| listener.routes.route(Some(name), "/").map(|route| route.cluster);
    assert_ne!(lead("one.lab.test").unwrap(), lead("TWO.lab.test").unwrap());
    assert_eq!(lead("three.lab.test"), None);

    let patient =
        good(&passthrough("roles = [\"one\", \"two\"]\npassthrough = true\nclient_hello_timeout = \"2s\"", ROLES));
    let security = &patient.site.listeners[0].entry.security;
    assert!(matches!(security, Security::Passthrough { timeout } if *timeout == Duration::from_secs(2)));
    // One of them may do without names.
    let rest = ROLES.replace("hosts = [\"two.lab.test\"]\n", "");
    let compiled = good(&passthrough("roles = [\"one\", \"two\"]\npassthrough = true", &rest));
    assert!(compiled.site.listeners[0].routes.route(None, "/").is_some());
}

#[test]
fn what_cannot_be_passed_through() {
    let both = "roles = [\"one\", «\"two\"»]\npassthrough = true";
    for hosts in ["", "hosts = [\"one.lab.test\"]\n"] {
        let roles = format!(
            "[roles.one]\npreset = \"MP\"\ntls = true\n{hosts}[roles.two]\npreset = \"MP\"\ntls = true\n{hosts}"
        );
        error(&passthrough(both, &roles), "\"one\" and \"two\" are for the same server names", "hosts = [...]");
    }
    let plain = ROLES.replacen("tls = true\n", "", 1);
    let text = passthrough("roles = [«\"one\"», \"two\"]\npassthrough = true", &plain);
    error(&text, "\"one\" has no TLS", "preset = \"one\" and tls = true");
    let one_server = passthrough("roles = [«\"one\"», \"two\"]\npassthrough = true", ROLES)
        .replace("\"one\", \"two\"]\n", "{ role = \"one\", tls = false }, \"two\"]\n");
    error(&one_server, "\"one\" has no TLS at \"mp1\"", "tls = false");
    let text = with(
        "[[listeners]]\naddress = \"0.0.0.0:443\"\nroles = [«\"client-notification\"»]\npassthrough = true\n\
         [[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"client-notification\"]\n",
    );
    error(&text, "is not TLS that could be passed through", "take passthrough out");

    let http2 = passthrough("roles = [\"one\", \"two\"]\npassthrough = true\nhttp2 = «true»", ROLES);
    error(&http2, "cannot offer HTTP/2", "take http2 out");
    let tcp = with(
        "[[listeners]]\naddress = \"0.0.0.0:443\"\nroles = [\"client-notification\"]\nhttp2 = «true»\n\
         [[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"client-notification\"]\n",
    );
    error(&tcp, "cannot offer HTTP/2", "take http2 out");
    let timeout = listener("client_hello_timeout = «\"2s\"»");
    error(&timeout, "has no meaning without passthrough", "handshake_timeout");
    let pki = Pki::new();
    let certificates = pki.entry("mp", &pki.server(&["mp1.lab.test"]));
    let tls = passthrough(
        &format!("roles = [\"one\", \"two\"]\npassthrough = «true»\n[listeners.tls]\ncertificates = [{certificates}]"),
        ROLES,
    );
    error(&tls, "TLS either ends here or is passed through", "passthrough or [listeners.tls]");
}

#[test]
fn numbers_of_the_process() {
    let proxy = |line: &str| with(&format!("[proxy]\n{line}\n"));
    let limits =
        good(&proxy("tcp_keepalive = \"90s\"\ntunnel_moves_per_second = 7\nmax_concurrent_streams = 1000")).site.limits;
    assert_eq!(limits.tcp_keepalive, Some(Duration::from_secs(90)));
    assert_eq!((limits.tunnel_moves_per_second, limits.max_concurrent_streams), (7, 1000));
    assert_eq!(good(&proxy("tcp_keepalive = \"off\"")).site.limits.tcp_keepalive, None);
    assert_eq!(limits.max_connection_age, None);
    let limits = good(&proxy("max_connection_age = \"2h\"")).site.limits;
    assert_eq!(limits.max_connection_age, Some(Duration::from_secs(7200)));
    error(&proxy("max_connection_age = «\"900ms\"»"), "little else than connect", "\"1s\"");
    let limits = good(&with("")).site.limits;
    assert_eq!(limits.tcp_keepalive, Some(Duration::from_secs(300)));
    assert_eq!((limits.tunnel_moves_per_second, limits.max_concurrent_streams), (100, 100));
    for silence in ["999ms", "10h"] {
        error(&proxy(&format!("tcp_keepalive = «\"{silence}\"»")), "so often, or so rarely", "\"1s\" to \"9h\"");
    }
    error(&proxy("tunnel_moves_per_second = «0»"), "no tunnel would ever move", "from 1");
    for streams in [0, 1001] {
        let text = proxy(&format!("max_concurrent_streams = «{streams}»"));
        error(&text, "requests at the same time", "from 1 to 1000");
    }
}

#[test]
fn source_addresses_reach_the_site_systems() {
    let role = |sources: &str, address: &str| {
        format!(
            "{SITE}[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n[roles.MP]\nsource_addresses = [{sources}]\n\
             [[site_systems]]\nname = \"mp1\"\naddress = {address}\nroles = [\"MP\"]\n"
        )
    };
    good(&role("\"10.0.0.2\"", "\"10.0.0.1\""));
    good(&role("\"10.0.0.2\", \"2001:db8::2\"", "\"2001:db8::1\""));
    good(&role("\"10.0.0.2\"", "\"mp1.lab.test\""));
    good(&role("", "\"2001:db8::1\""));
    error(&role("\"10.0.0.2\"", "«\"2001:db8::1\"»"), "none of the source addresses of management-point", "IPv6");
    error(&role("\"2001:db8::2\"", "«\"10.0.0.1\"»"), "none of the source addresses of management-point", "IPv4");
}

#[test]
fn mistakes_in_a_listener_are_said_together() {
    let text = format!(
        "{SITE}{MP1}[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\nclient_hello_timeout = \"2s\"\n\
         proxy_protocol = true\n[listeners.tls]\nmin_version = \"1.1\"\nclient_certificates = \"perhaps\"\n"
    );
    let (records, compiled) = look(&text);
    assert!(compiled.is_none());
    assert_eq!(records.len(), 5, "{records:#?}");
}

#[test]
fn a_site_system_that_is_a_listener() {
    let text = |listener: &str, system: &str| {
        format!(
            "{SITE}[[listeners]]\nname = \"in\"\naddress = \"{listener}\"\nroles = [\"MP\"]\n\
             [[site_systems]]\nname = \"mp1\"\n{system}\n"
        )
    };
    let held = |address: &str| format!("address = {address}\nroles = [\"MP\"]");
    let help = "another address for the listener";
    for (listener, address) in [
        ("10.0.0.1:80", "«\"10.0.0.1\"»"),
        ("0.0.0.0:80", "«\"127.0.0.1\"»"),
        ("0.0.0.0:80", "«\"127.9.9.9\"»"),
        ("0.0.0.0:80", "«\"localhost\"»"),
        ("[::]:80", "«\"localhost\"»"),
        ("[::]:80", "«\"::1\"»"),
        ("[2001:db8::1]:80", "«\"2001:db8::1\"»"),
    ] {
        let said = format!("port 80 of \"mp1\" is listener \"in\" at {listener}");
        error(&text(listener, &held(address)), &said, help);
    }
    for (listener, address) in [
        ("10.0.0.1:80", "\"10.0.0.2\""),
        ("10.0.0.1:81", "\"10.0.0.1\""),
        ("10.0.0.1:80", "\"127.0.0.1\""),
        ("0.0.0.0:80", "\"::1\""),
        ("[::]:80", "\"127.0.0.1\""),
        ("0.0.0.0:80", "\"mp1.lab.test\""),
        ("0.0.0.0:0", "\"127.0.0.1\""),
    ] {
        good(&text(listener, &held(address)));
    }
    let of_role = "address = \"10.0.0.1\"\nroles = [{ role = \"MP\", address = «\"127.0.0.1\"», port = 8080 }]";
    error(&text("127.0.0.1:8080", of_role), "port 8080 of \"mp1\" is listener \"in\"", help);
}

#[test]
fn a_role_that_requires_certificates_needs_a_listener_that_asks() {
    let text = |tls: &str, rule: &str| {
        format!(
            "{SITE}{MP1}[[listeners]]\nname = \"in\"\naddress = \"0.0.0.0:443\"\nroles = [«\"MP\"»]\n{tls}\n\
             [roles.MP]\nclient_certificates = \"{rule}\"\n"
        )
    };
    let plain = |text: String| text.replace(['«', '»'], "");
    let pki = Pki::new();
    let entry = pki.entry("mp", &pki.server(&["mp1.lab.test"]));
    let tls = format!("[listeners.tls]\ncertificates = [{entry}]");
    let asks = format!("{tls}\nclient_certificates = \"optional\"\nclient_ca_file = {}", pki.path("ca.crt"));
    let said = "Management point requires client certificates, and listener \"in\" asks for none";
    error(&text("", "required"), said, "client_certificates = \"optional\"");
    error(&text(&tls, "required"), said, "take the role out of this listener");
    good(&plain(text(&asks, "required")));
    good(&plain(text(&format!("{asks}\nclient_certificate_exempt = [\"/x\"]"), "required")));
    good(&plain(text("", "none")));
    let wrong = plain(text("", "none")).replace("\"none\"", "«\"optional\"»");
    error(&wrong, "`client_certificates` cannot be \"optional\"", "\"none\", \"required\"");
    for line in ["client_certificates = «\"none\"»", "via = «false»", "forwarded = «false»"] {
        let tcp = format!(
            "{SITE}[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"tunnel\"]\n[roles.tunnel]\n\
             preset = \"client-notification\"\n{line}\n[[site_systems]]\nname = \"mp1\"\naddress = \"10.0.0.1\"\n\
             roles = [\"tunnel\"]\n"
        );
        error(&tcp, "the role tunnel", "leave");
    }
}
