#![allow(clippy::unwrap_used)]

use super::*;
use crate::control::config::{effective_role, parse};

/// The first role of the section `[roles]`, and everything that is said about it.
fn role(source: &str) -> (Role, Problems) {
    let mut problems = Problems::new();
    let config = parse(source, &mut problems);
    assert!(problems.is_empty(), "{}", problems.render("rolegate.toml", source, false));
    let (name, overrides) = config.roles.iter().next().unwrap();
    let role = effective_role(name, Some(overrides), &mut problems).unwrap();
    (role, problems)
}

#[track_caller]
fn good(source: &str) -> Role {
    let (role, problems) = role(source);
    assert!(problems.is_empty(), "{}", problems.render("rolegate.toml", source, false));
    role
}

/// The one mistake in these lines of `[roles.NAME]`, at what is written there.
#[track_caller]
fn refuses(name: &str, lines: &str, at: &str, message: &str, help: &str) {
    let source = format!("[roles.{name}]\n{lines}\n");
    let (_, problems) = role(&source);
    let said = problems.json("", &source);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(problems.is_fatal(), "{said:?}");
    assert_eq!(said[0].text, at, "{said:?}");
    assert!(said[0].message.contains(message), "{said:?} does not say {message:?}");
    assert!(said[0].help.contains(help), "{said:?} does not help with {help:?}");
}

#[test]
fn nothing_written_is_one_plain_connection_from_any_address() {
    let mp = good("[roles.MP]\n");
    assert_eq!((mp.http2, mp.proxy_protocol, mp.source_addresses.len()), (false, ProxyProtocol::Off, 0));
    let mp = good("[roles.MP]\nhttp2 = false\nproxy_protocol = \"off\"\nsource_addresses = []\n");
    assert_eq!((mp.http2, mp.proxy_protocol, mp.source_addresses.len()), (false, ProxyProtocol::Off, 0));
}

#[test]
fn http2_is_for_roles_of_requests() {
    assert!(good("[roles.MP]\nhttp2 = true\n").http2);
    assert!(good("[roles.portal]\npreset = \"plain\"\nhttp2 = true\n").http2);
    assert!(!good("[roles.client-notification]\nhttp2 = false\n").http2);
    refuses("client-notification", "http2 = true", "true", "`http2` has no meaning", "leave `http2` out");
    refuses("MP", "http2 = true\nproxy_protocol = \"v2\"", "true", "tells of one", "leave http2 or proxy_protocol out");
    assert!(good("[roles.MP]\nhttp2 = true\nproxy_protocol = \"off\"\n").http2);
}

#[test]
fn our_certificate_is_lent_only_when_that_is_written() {
    assert!(!good("[roles.MP]\n").lend_certificate && !good("[roles.MP]\nlend_certificate = false\n").lend_certificate);
    for name in ["MP", "client-notification"] {
        assert!(good(&format!("[roles.{name}]\nlend_certificate = true\n")).lend_certificate, "{name}");
    }
}

#[test]
fn every_version_of_the_proxy_protocol() {
    for (word, version) in VERSIONS {
        for name in ["MP", "client-notification"] {
            let role = good(&format!("[roles.{name}]\nproxy_protocol = \"{word}\"\n"));
            assert_eq!(role.proxy_protocol, version, "{name}");
        }
    }
    refuses("MP", "proxy_protocol = \"v3\"", "\"v3\"", "`proxy_protocol` cannot be \"v3\"", "did you mean \"v");
    refuses(
        "MP",
        "proxy_protocol = \"yes\"",
        "\"yes\"",
        "`proxy_protocol` cannot be \"yes\"",
        "\"off\", \"v1\", \"v2\"",
    );
}

#[test]
fn source_addresses_are_addresses_of_a_machine() {
    let role = good("[roles.client-notification]\nsource_addresses = [\"10.0.0.2\", \"10.0.0.3\", \"2001:db8::2\"]\n");
    let addresses: Vec<String> = role.source_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.2", "10.0.0.3", "2001:db8::2"]);
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
        let lines = format!("source_addresses = [\"10.0.0.2\", \"{address}\"]");
        refuses("MP", &lines, &format!("\"{address}\""), "connections cannot come from", "that this machine has");
    }
    let one = |address: &str| format!("source_addresses = [\"{address}\"]");
    refuses("MP", &one("::ffff:10.0.0.2"), "\"::ffff:10.0.0.2\"", "cannot come from", "write it as IPv4: \"10.0.0.2\"");
    refuses("MP", &one("fe80::1"), "\"fe80::1\"", "cannot come from fe80::1", "another machine on each");
    for text in ["proxy1", "10.0.0.2:80", "10.0.0.0/24", "", "fe80::1%eth0"] {
        refuses("MP", &one(text), &format!("\"{text}\""), "is not an address", "\"10.0.0.2\"");
    }
    let twice = "source_addresses = [\"2001:db8::2\", \"2001:DB8:0::2\"]";
    refuses("MP", twice, "\"2001:DB8:0::2\"", "2001:db8::2 is listed twice", "take one out");
}

#[test]
fn there_may_be_64_source_addresses() {
    let list = |count: usize| {
        let all: Vec<String> = (1..=count).map(|last| format!("\"10.0.0.{last}\"")).collect();
        format!("source_addresses = [{}]", all.join(", "))
    };
    assert_eq!(good(&format!("[roles.MP]\n{}\n", list(MOST))).source_addresses.len(), MOST);
    refuses("MP", &list(MOST + 2), "\"10.0.0.65\"", "more than 64", "write fewer");
}
