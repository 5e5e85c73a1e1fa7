//! How connections to the site systems of a role are made.

use std::net::IpAddr;

use toml::Spanned;

use super::fields::word;
use super::no_meaning;
use crate::control::config::problem::{Problems, quoted};
use crate::control::config::types::RoleOverrides;
use crate::model::role::{CertificateRule, Protocol, ProxyProtocol, Role};

const VERSIONS: [(&str, ProxyProtocol); 3] =
    [("off", ProxyProtocol::Off), ("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
const RULES: [(&str, CertificateRule); 2] = [("none", CertificateRule::None), ("required", CertificateRule::Required)];
/// More source addresses than any site needs: each is good for 28,000 connections to one server.
const MOST: usize = 64;

pub(super) fn override_connections(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    word(&mut role.proxy_protocol, o.proxy_protocol.as_ref(), "proxy_protocol", &VERSIONS, problems);
    if let Some(http2) = &o.http2 {
        role.http2 = *http2.get_ref();
        if role.http2 && role.protocol == Protocol::Tcp {
            no_meaning(role, "http2", http2.span(), problems);
        }
        if role.http2 && role.proxy_protocol != ProxyProtocol::Off {
            problems.error(
                http2.span(),
                "an HTTP/2 connection carries requests of many clients, and a PROXY protocol header tells of one",
                "leave http2 or proxy_protocol out",
            );
        }
    }
    role.lend_certificate = o.lend_certificate.as_ref().map_or(role.lend_certificate, |lend| *lend.get_ref());
    word(&mut role.client_certificates, o.client_certificates.as_ref(), "client_certificates", &RULES, problems);
    if let (Some(rule), Protocol::Tcp) = (&o.client_certificates, role.protocol) {
        let help =
            "leave it out, and write client_certificates below [listeners.tls]: it is all of its connections or none";
        problems.error(rule.span(), format!("the role {} has no requests that could need one", role.name), help);
    }
    override_tells(role, o.via.as_ref(), o.forwarded.as_ref(), problems);
    if let Some(list) = &o.source_addresses {
        role.source_addresses = sources(list, problems);
    }
}

/// What site systems are told, for all of them or for one.
pub(super) fn override_tells(
    role: &mut Role,
    via: Option<&Spanned<bool>>,
    forwarded: Option<&Spanned<bool>>,
    problems: &mut Problems,
) {
    for (key, written) in [("via", via), ("forwarded", forwarded)] {
        if let (Some(written), Protocol::Tcp) = (written, role.protocol) {
            no_meaning(role, key, written.span(), problems);
        }
    }
    role.via = via.map_or(role.via, |via| *via.get_ref());
    role.forwarded = forwarded.map_or(role.forwarded, |forwarded| *forwarded.get_ref());
}

fn sources(list: &[Spanned<String>], problems: &mut Problems) -> Vec<IpAddr> {
    let mut sources: Vec<IpAddr> = Vec::new();
    for written in list {
        let text = written.get_ref();
        let Ok(address) = text.parse::<IpAddr>() else {
            problems.error(
                written.span(),
                format!("{} is not an address", quoted(text)),
                "write an address of this machine such as \"10.0.0.2\"",
            );
            continue;
        };
        if let Some(help) = no_source(address) {
            problems.error(written.span(), format!("connections cannot come from {address}"), help);
        } else if sources.contains(&address) {
            problems.error(written.span(), format!("{address} is listed twice"), "take one out");
        } else {
            sources.push(address);
        }
    }
    if let Some(extra) = list.get(MOST) {
        problems.error(extra.span(), format!("there are more than {MOST} source addresses"), "write fewer");
    }
    sources
}

/// What to do about an address that no connection can come from.
fn no_source(address: IpAddr) -> Option<String> {
    let own = "write addresses that this machine has, or leave source_addresses out";
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(own.to_owned()),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            // Only IPv6 connections would take it, and they cannot come from it.
            Some(v4) => Some(format!("write it as IPv4: \"{v4}\"")),
            None if v6.is_unicast_link_local() => Some(
                "write an address that is good on every network; this one means another machine on each".to_owned(),
            ),
            None => (v6.is_unspecified() || v6.is_multicast()).then(|| own.to_owned()),
        },
        IpAddr::V4(v4) => (v4.is_unspecified() || v4.is_multicast()).then(|| own.to_owned()),
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
