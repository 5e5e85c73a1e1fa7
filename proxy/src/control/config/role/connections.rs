//! How connections to the site systems of a role are made.

use std::net::IpAddr;

use super::fields::word;
use super::no_meaning;
use crate::control::config::problem::{Problems, quoted};
use crate::control::config::types::RoleOverrides;
use crate::model::role::{Protocol, ProxyProtocol, Role};

const VERSIONS: [(&str, ProxyProtocol); 3] =
    [("off", ProxyProtocol::Off), ("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
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
    let Some(list) = &o.source_addresses else { return };
    let mut sources: Vec<IpAddr> = Vec::new();
    for written in list {
        let text = written.get_ref();
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_multicast() => problems.error(
                written.span(),
                format!("connections cannot come from {address}"),
                "write addresses that this machine has, or leave source_addresses out",
            ),
            Ok(address) if sources.contains(&address) => {
                problems.error(written.span(), format!("{address} is listed twice"), "take one out");
            }
            Ok(address) => sources.push(address),
            Err(_) => problems.error(
                written.span(),
                format!("{} is not an address", quoted(text)),
                "write an address of this machine such as \"10.0.0.2\"",
            ),
        }
    }
    if let Some(extra) = list.get(MOST) {
        problems.error(extra.span(), format!("there are more than {MOST} source addresses"), "write fewer");
    }
    role.source_addresses = sources;
}
