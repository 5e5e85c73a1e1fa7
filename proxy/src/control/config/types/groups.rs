//! Boundary groups, as they are written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::control::config::units::{self, FallbackTime};

/// `[[boundary_groups]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoundaryGroup {
    /// Required.
    pub name: Option<Spanned<String>>,
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// Code of the site to which it assigns clients, with `[[sites]]`.
    pub site: Option<Spanned<String>>,
    /// Addresses of the clients in this group.
    pub boundaries: Vec<Spanned<BoundaryEntry>>,
    /// Site systems of this group, for every role that they hold: a name, or a table with `name` and `connection`.
    pub site_systems: Vec<Spanned<GroupEntry>>,
    /// Relationships: where clients of this group fall back to.
    pub neighbors: Vec<Neighbor>,
}

/// A site system of a boundary group.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum GroupEntry {
    /// Just its name.
    Name(String),
    /// With its connection.
    Table(GroupSiteSystem),
}

/// A site system of a boundary group, with its connection.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupSiteSystem {
    /// The name of the site system. Required.
    pub name: Option<Spanned<String>>,
    /// `fast` (when absent) or `slow`.
    pub connection: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for GroupEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GroupEntryVisitor)
    }
}

struct GroupEntryVisitor;

impl<'de> Visitor<'de> for GroupEntryVisitor {
    type Value = GroupEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a site system, or a table such as { name = \"dp1\", connection = \"slow\" }")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<GroupEntry, E> {
        Ok(GroupEntry::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GroupEntry, A::Error> {
        GroupSiteSystem::deserialize(MapAccessDeserializer::new(map)).map(GroupEntry::Table)
    }
}

/// One boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum BoundaryEntry {
    /// CIDR, inclusive range, IPv6 prefix or subnet with a mask.
    Addresses(String),
    /// An Active Directory site listed in `[ad_sites]`.
    AdSite { ad_site: String },
    /// Cannot be judged from an address; kept to say so.
    Vpn { vpn: String },
}

impl<'de> Deserialize<'de> for BoundaryEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoundaryEntryVisitor)
    }
}

struct BoundaryEntryVisitor;

impl<'de> Visitor<'de> for BoundaryEntryVisitor {
    type Value = BoundaryEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address range such as \"10.1.0.0/16\", or { ad_site = \"NAME\" }")
    }

    fn visit_str<E: Error>(self, addresses: &str) -> Result<BoundaryEntry, E> {
        Ok(BoundaryEntry::Addresses(addresses.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BoundaryEntry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            ad_site: Option<String>,
            vpn: Option<String>,
        }
        match Table::deserialize(MapAccessDeserializer::new(map))? {
            Table { ad_site: Some(ad_site), vpn: None } => Ok(BoundaryEntry::AdSite { ad_site }),
            Table { ad_site: None, vpn: Some(vpn) } => Ok(BoundaryEntry::Vpn { vpn }),
            Table { ad_site: None, vpn: None } => {
                Err(units::refuse("this boundary says nothing", "write { ad_site = \"NAME\" }, or an address range"))
            }
            Table { ad_site: Some(_), vpn: Some(_) } => Err(units::refuse(
                "this boundary says two things",
                "write two boundaries, { ad_site = \"NAME\" } for one",
            )),
        }
    }
}

/// A relationship to another boundary group.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Neighbor {
    /// The other group, or `default` for the site default boundary group. Required.
    pub group: Option<Spanned<String>>,
    /// Time per role: minutes, or `"never"`. A role that is not listed takes `default_fallback` of the role.
    pub fallback: BTreeMap<Spanned<String>, Spanned<FallbackTime>>,
}

/// `[default_boundary_group]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultBoundaryGroup {
    /// Free text, for people.
    pub description: Option<Spanned<String>>,
    /// Its site systems.
    pub site_systems: Vec<Spanned<String>>,
    /// Default behavior: time per role after which clients of the other groups use it; minutes, or `"never"`.
    pub fallback: BTreeMap<Spanned<String>, Spanned<FallbackTime>>,
}
