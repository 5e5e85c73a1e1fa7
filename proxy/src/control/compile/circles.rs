//! Site systems that are listeners of ours: a request to one comes back to us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::listeners::Bound;
use super::systems::{MemberPlan, Place};
use crate::control::config::{Config, Problems, RoleEntry, role_key};

/// The listener that is at this address. `is_ours` says which addresses one on `0.0.0.0` or `[::]` has.
pub fn listener_at(listeners: &[Bound], address: SocketAddr, is_ours: impl Fn(IpAddr) -> bool) -> Option<&Bound> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    listeners.iter().find(|bound| {
        let own = bound.address;
        let all = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
        own.port() == address.port() && own.port() != 0 && (own.ip() == address.ip() || all && is_ours(address.ip()))
    })
}

/// Each site system that is one of these listeners is an error.
pub fn refuse<'a>(
    config: &Config,
    members: impl Iterator<Item = &'a MemberPlan>,
    listeners: &[Bound],
    is_ours: impl Fn(IpAddr) -> bool + Copy,
    problems: &mut Problems,
) {
    let mut said: Vec<(Range<usize>, &str)> = Vec::new();
    for member in members {
        let mut addresses = addresses(&member.place).into_iter().map(|ip| SocketAddr::new(ip, member.port));
        let Some(bound) = addresses.find_map(|address| listener_at(listeners, address, is_ours)) else { continue };
        let at = place_of(config, member);
        if said.contains(&(at.clone(), &bound.name)) {
            continue;
        }
        let text = format!(
            "port {} of {:?} is listener {:?} at {}: its requests would come back to this proxy",
            member.port, member.system, bound.name, bound.address
        );
        let help = "write the address and the port of the site system itself here, or another address for the listener";
        problems.error(at.clone(), text, help);
        said.push((at, &bound.name));
    }
}

/// Those that are known without asking.
fn addresses(place: &Place) -> Vec<IpAddr> {
    match place {
        Place::Address(address) => vec![*address],
        Place::Name(name) if &**name == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Place::Name(_) => Vec::new(),
    }
}

/// Where the address is written.
fn place_of(config: &Config, member: &MemberPlan) -> Range<usize> {
    let Some(system) = config.site_systems.get(usize::from(member.system_index)) else { return 0..0 };
    let own = system.roles().iter().find_map(|entry| match entry.get_ref() {
        RoleEntry::Table(table) => {
            let role = table.role.as_ref()?;
            table.address.as_ref().filter(|_| role_key(role.get_ref()) == member.role.name)
        }
        RoleEntry::Name(_) => None,
    });
    own.or(system.address.as_ref()).or(system.name.as_ref()).map_or(0..0, toml::Spanned::span)
}
