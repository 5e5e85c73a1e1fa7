//! Which overrides there are, and what is under way at the servers that they are about.

use serde::{Deserialize, Serialize};

use crate::control::state_file::Written;
use crate::lookup;
use crate::model::snapshot::Snapshot;
use crate::model::steering::Override;

/// An override, and how it stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OverrideStatus {
    /// The override.
    #[serde(flatten)]
    pub written: Written,
    /// `holds`, `planned`, or `not in the configuration`: its site system, or that role of it, is gone.
    pub state: String,
}

/// What is asked of `/steering`.
///
/// # Errors
/// Every mistake in it, one sentence each.
pub fn asked(snapshot: &Snapshot, system: Option<&str>, role: Option<&str>) -> Result<Listing, Vec<String>> {
    let system =
        system.map(|name| lookup::steered_system(snapshot, name)).transpose().map_err(|mistake| vec![mistake])?;
    let role = match (&system, role) {
        (Some(system), Some(role)) => Some(lookup::role_of(snapshot, system, role)),
        (None, Some(role)) => Some(lookup::role(snapshot, role).map(|own| own.topology.role.name.as_str().into())),
        (_, None) => None,
    };
    let role = role.transpose().map_err(|mistake| vec![mistake])?;
    Ok(of(snapshot, system.as_deref(), role.as_deref()))
}

/// What is under way at one endpoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UnderWay {
    /// Site system.
    pub site_system: String,
    /// Role.
    pub role: String,
    /// Its address.
    pub address: String,
    /// Requests and tunnels.
    pub in_flight: u32,
    /// Connections that clients are signed in on (NTLM, Negotiate).
    pub signed_in: u32,
}

/// All overrides, or those of one site system, and what is under way there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Listing {
    /// By site system, role and kind.
    pub overrides: Vec<OverrideStatus>,
    /// At the endpoints of these site systems.
    pub under_way: Vec<UnderWay>,
}

impl Listing {
    /// Requests and tunnels under way.
    pub fn in_flight(&self) -> u32 {
        self.under_way.iter().map(|own| own.in_flight).sum()
    }

    /// Connections that clients are signed in on.
    pub fn signed_in(&self) -> u32 {
        self.under_way.iter().map(|own| own.signed_in).sum()
    }
}

/// How an override stands in a snapshot.
pub fn status(snapshot: &Snapshot, own: &Override) -> OverrideStatus {
    let state = if !lookup::holds(snapshot, &own.site_system, own.role.as_deref()) {
        "not in the configuration"
    } else if own.holds(snapshot.steered_at) {
        "holds"
    } else {
        "planned"
    };
    OverrideStatus { written: Written::from(own), state: state.to_owned() }
}

/// The overrides of all site systems, or of one, and what is under way there.
pub fn of(snapshot: &Snapshot, system: Option<&str>, role: Option<&str>) -> Listing {
    let own = |name: &str| match system {
        Some(system) => system.eq_ignore_ascii_case(name),
        None => !snapshot.steering.of_system(name).is_empty(),
    };
    let about = |own: &Override| role.is_none_or(|role| own.covers(role));
    let overrides = snapshot.steering.all().filter(|one| own(&one.site_system) && about(one));
    let clusters =
        snapshot.clusters.iter().filter(|cluster| role.is_none_or(|role| cluster.topology.role.name == role));
    let endpoints = clusters.flat_map(|cluster| {
        let role = cluster.topology.label();
        let endpoints = cluster.topology.endpoints.iter();
        endpoints.filter(|endpoint| own(&endpoint.system)).map(move |endpoint| UnderWay {
            site_system: endpoint.system.to_string(),
            role: role.to_string(),
            address: endpoint.address.to_string(),
            in_flight: endpoint.state.in_flight(),
            signed_in: endpoint.state.held(),
        })
    });
    Listing { overrides: overrides.map(|one| status(snapshot, one)).collect(), under_way: endpoints.collect() }
}
