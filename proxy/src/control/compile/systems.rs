//! Site systems: where they are and which roles they hold.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::roles::Roles;
use super::sites::Sites;
use super::tls::Trust;
use super::{Once, SpannedName};
use crate::control::config::{
    Config, Problems, RoleEntry, RoleOnSiteSystem, SiteSystem, nearest, on_site_system, weight,
};
use crate::model::role::{Protocol, Role};
use crate::model::tls::Tls;

/// Weight when none is written.
const WEIGHT: u32 = 100;

/// Where a site system is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At this address.
    Address(IpAddr),
    /// At the addresses of this name.
    Name(Arc<str>),
}

/// A site system in one role.
#[derive(Clone, Debug)]
pub struct MemberPlan {
    /// The site system's name.
    pub system: Arc<str>,
    /// Its position in the configuration.
    pub system_index: u16,
    /// Where it is.
    pub place: Place,
    /// Port of the role.
    pub port: u16,
    /// Share of the traffic.
    pub weight: u32,
    /// The role as it holds it.
    pub role: Arc<Role>,
    /// How TLS connections to it are made, if it wants TLS.
    pub tls: Option<Tls>,
    /// Serves content to every client, last.
    pub fallback_source: bool,
    /// Names in `Host` that mean it, its own first.
    pub names: Vec<String>,
}

/// All site systems.
#[derive(Debug)]
pub(super) struct Systems<'a> {
    /// Position by lower-cased name.
    pub(super) by_name: HashMap<String, u16>,
    /// One has no name, and may be any that is looked for.
    unnamed: bool,
    /// Positions of their sites, by their own.
    pub(super) sites: Vec<u16>,
    /// Where they are named.
    pub(super) written: HashMap<u16, &'a SpannedName>,
    /// Members by the position of the role.
    pub(super) members: Vec<Vec<MemberPlan>>,
    /// Where a role was first given to a site system.
    mentioned: HashMap<usize, &'a SpannedName>,
}

pub(super) fn compile<'a>(
    config: &'a Config,
    roles: &mut Roles<'a>,
    trust: &Trust<'a>,
    sites: &Sites<'_>,
    problems: &mut Problems,
) -> Systems<'a> {
    let mut systems = Systems {
        by_name: HashMap::new(),
        unnamed: false,
        sites: vec![0; config.site_systems.len()],
        written: HashMap::new(),
        members: Vec::new(),
        mentioned: HashMap::new(),
    };
    let mut names = Once::new("site system");
    for (index, system) in config.site_systems.iter().enumerate() {
        let Some(name) = &system.name else {
            let at = config.tables.element("site_systems", index);
            problems.missing(at, "a site system has no name", "add name = \"...\" to this [[site_systems]]");
            systems.unnamed = true;
            // What it would hold is not missing.
            problems.mark_holes();
            continue;
        };
        names.check(name, problems);
        let Ok(index) = u16::try_from(index) else {
            problems.error(name.span(), "there are more than 65535 site systems", "use several proxies");
            break;
        };
        systems.by_name.insert(name.get_ref().to_ascii_lowercase(), index);
        systems.sites[usize::from(index)] = sites.of_system(name, system.site.as_ref(), problems);
        systems.written.insert(index, name);
        check_roles(name, system, problems);
        systems.add(index, name, system, roles, trust, problems);
    }
    systems
}

impl<'a> Systems<'a> {
    fn add(
        &mut self,
        index: u16,
        name: &'a SpannedName,
        system: &'a SiteSystem,
        roles: &mut Roles<'a>,
        trust: &Trust<'a>,
        problems: &mut Problems,
    ) {
        let mut held: HashMap<usize, ()> = HashMap::new();
        let mut uses_tls = false;
        for entry in system.roles() {
            let plain = RoleOnSiteSystem::default();
            let (role_name, own) = match entry.get_ref() {
                RoleEntry::Name(text) => (toml::Spanned::new(entry.span(), text.clone()), &plain),
                RoleEntry::Table(table) => match &table.role {
                    Some(role) => (role.clone(), &**table),
                    None => {
                        problems.missing(entry.span(), "this entry names no role", "write { role = \"DP\", ... }");
                        continue;
                    }
                },
            };
            let Some(position) = roles.find(&role_name, problems) else { continue };
            if held.insert(position, ()).is_some() {
                let text = format!("{:?} holds {} twice", name.get_ref(), roles.get(position).title);
                problems.error(entry.span(), text, "put everything about the role into one entry");
                continue;
            }
            self.mentioned.entry(position).or_insert_with(|| name);
            let member = member(index, name, system, roles.get(position), own, trust, problems);
            uses_tls |= member.as_ref().is_none_or(|member| member.role.tls);
            if self.members.len() <= position {
                self.members.resize_with(position + 1, Vec::new);
            }
            self.members[position].extend(member);
        }
        if !uses_tls && !system.roles().is_empty() {
            warn_about_unused_tls(name, system, problems);
        }
    }

    /// The position of a site system that a group names.
    pub(super) fn find(&self, name: &SpannedName, problems: &mut Problems) -> Option<u16> {
        let found = self.by_name.get(&name.get_ref().to_ascii_lowercase()).copied();
        if found.is_none() && !self.unnamed {
            let help = match nearest(name.get_ref(), self.by_name.keys().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "add a [[site_systems]] with this name, or take it out here".to_owned(),
            };
            problems.error(name.span(), format!("there is no site system {:?}", name.get_ref()), help);
        }
        found
    }

    /// The position of a site system's site.
    pub(super) fn site_of(&self, system: u16) -> u16 {
        self.sites.get(usize::from(system)).copied().unwrap_or(0)
    }

    /// Whether some site system is said to hold the role, be it with mistakes.
    pub(super) fn mentions(&self, position: usize) -> bool {
        self.mentioned.contains_key(&position)
    }

    /// The members of a role.
    pub(super) fn of_role(&self, position: usize) -> &[MemberPlan] {
        self.members.get(position).map_or(&[], Vec::as_slice)
    }

    /// Where some site system is first said to hold the role.
    pub(super) fn first_mention(&self, position: usize) -> Option<&'a SpannedName> {
        self.mentioned.get(&position).copied()
    }
}

fn member<'a>(
    index: u16,
    name: &'a SpannedName,
    system: &'a SiteSystem,
    role: &Arc<Role>,
    own: &'a RoleOnSiteSystem,
    trust: &Trust<'a>,
    problems: &mut Problems,
) -> Option<MemberPlan> {
    let written = own.address.as_ref().or(system.address.as_ref()).unwrap_or(name);
    let place = place(written, own.address.is_none() && system.address.is_none(), problems)?;
    let mut told = own.clone();
    if role.protocol == Protocol::Http {
        told.via = told.via.or_else(|| system.via.clone());
        told.forwarded = told.forwarded.or_else(|| system.forwarded.clone());
    }
    let effective = on_site_system(role, &told, problems);
    let default_port = if effective.tls { effective.tls_port } else { effective.port };
    let port = own.port.as_ref().map_or(default_port, |port| *port.get_ref());
    let weight = weight(own.weight.as_ref(), weight(system.weight.as_ref(), WEIGHT, problems), problems);
    check_family(&place, &effective, written, problems);
    let tls = if effective.tls { trust.for_system(written, system, &effective, problems) } else { None };
    let aliases = own.address.iter().chain(&system.address).chain(&system.host_names);
    let names = std::iter::once(name).chain(aliases).map(|name| normal(name.get_ref())).collect();
    Some(MemberPlan {
        system: Arc::from(name.get_ref().as_str()),
        system_index: index,
        place,
        port,
        weight,
        role: if effective == **role { Arc::clone(role) } else { Arc::new(effective) },
        tls,
        fallback_source: system.fallback_source,
        names,
    })
}

/// A name as it is compared.
pub(super) fn normal(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let bare =
        name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|bare| bare.parse::<IpAddr>().ok());
    match bare.or_else(|| name.parse().ok()) {
        // As `Host` spells it.
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => name.strip_suffix('.').unwrap_or(&name).to_owned(),
    }
}

/// A site system without the key was not finished; one with an empty list was taken out on purpose.
fn check_roles(name: &SpannedName, system: &SiteSystem, problems: &mut Problems) {
    match system.roles.as_deref() {
        Some([]) => problems.warning(
            name.span(),
            format!("site system {:?} holds no role, so nothing is sent there", name.get_ref()),
            "`rolegate drain` takes a running one out without an edit; take it out of the file when it is gone for good",
        ),
        None => problems.missing(
            name.span(),
            format!("site system {:?} holds no role", name.get_ref()),
            "add roles = [\"MP\"] or whatever it holds; roles = [] takes it out for a while",
        ),
        Some(_) => {}
    }
}

/// Keys about TLS that nothing reads.
fn warn_about_unused_tls(name: &SpannedName, system: &SiteSystem, problems: &mut Problems) {
    let SiteSystem { server_name, ca_file, client_certificate, client_key, .. } = system;
    if let Some(unused) = [server_name, ca_file, client_certificate, client_key].into_iter().flatten().next() {
        let text = format!("no role of {:?} uses TLS, so this has no effect", name.get_ref());
        problems.warning(unused.span(), text, "write { role = \"MP\", tls = true } in its roles, or take it out");
    }
}

/// An IPv4 connection cannot come from an IPv6 address. What a name leads to is not known yet.
fn check_family(place: &Place, role: &Role, written: &SpannedName, problems: &mut Problems) {
    let Place::Address(address) = place else { return };
    let sources = &role.source_addresses;
    if !sources.is_empty() && !sources.iter().any(|source| source.is_ipv4() == address.is_ipv4()) {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        problems.error(
            written.span(),
            format!("none of the source addresses of {} can reach {address}", role.name),
            format!("add an {family} address of this machine to source_addresses of the role"),
        );
    }
}

fn place(written: &SpannedName, is_name: bool, problems: &mut Problems) -> Option<Place> {
    let text = written.get_ref().trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Place::Address(address));
    }
    if is_dns_name(text) {
        return Some(Place::Name(Arc::from(text.to_ascii_lowercase())));
    }
    let help = if is_name {
        "add address = \"...\" with its address or DNS name; without it the name must be one"
    } else if text.contains(':') {
        "write the address alone; the port goes into the role: { role = \"MP\", port = 8080 }"
    } else {
        "write an address such as \"10.0.0.5\" or a DNS name such as \"mp1.contoso.com\""
    };
    problems.error(written.span(), format!("{text:?} is not an address or DNS name"), help);
    None
}

/// Letters, digits, hyphens and underscores (Windows allows them) in labels of at most 63; the last label is not a number.
fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label) && !last_is_number
}
