//! Where a client, its download or its upload is, and the keys under which that is remembered.

use std::net::IpAddr;

use super::cluster::{Cluster, EndpointIndex};
use super::content::ContentPath;
use super::facts::Facts;
use super::live::{Domain, Live, Owner, Ticks, Who};
use super::mix::{hash_ignore_case, mix};
use super::role::{Balance, Role};
use super::route::Sessions;
use super::snapshot::Site;
use super::steering::Steer;
use crate::wire::known::Known;

/// How long the message that follows an upload goes where the upload went: five minutes.
const AFTER_UPLOAD: Ticks = 5 * 600;

/// Where a client, its download or its upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// There, while that server is well and may serve the client.
    Prefer(EndpointIndex),
    /// There, where the client's upload went, while that server is well: this message is about it.
    After(EndpointIndex),
    /// There and nowhere else; `None` when the server is gone.
    Only(Option<EndpointIndex>),
}

/// Keys of what is remembered. See [`Live`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// What rendezvous hashing keeps together; the same in every process.
    pub(super) hash: u64,
    /// The client alone.
    pub(super) client: u64,
    pub(super) affinity: Option<u64>,
    pub(super) clock: Option<u64>,
    pub(super) content: u64,
    /// For whose sake something is kept.
    pub(super) owner: Owner,
}

impl Stay {
    /// The server.
    pub fn endpoint(self) -> Option<EndpointIndex> {
        match self {
            Self::Prefer(endpoint) | Self::After(endpoint) => Some(endpoint),
            Self::Only(endpoint) => endpoint,
        }
    }

    /// What is left of it when a person has taken the server out: a download in the middle of its file, an upload in its session
    /// and the message about one end there while it is drained. Nothing does in maintenance.
    pub(super) fn unless_taken_out(self, cluster: &Cluster, continues: bool) -> Option<Self> {
        let steer = self.endpoint().map_or(Steer::None, |endpoint| cluster.standing(endpoint).steer);
        match (steer, self) {
            (Steer::None, _) | (Steer::Drain, Self::After(_) | Self::Only(_)) => Some(self),
            (Steer::Drain, Self::Prefer(_)) => continues.then_some(self),
            (Steer::Maintenance, Self::Only(_)) => Some(Self::Only(None)),
            (Steer::Maintenance, Self::Prefer(_) | Self::After(_)) => None,
        }
    }

    pub(super) fn endpoint_id(self, cluster: &Cluster) -> u32 {
        self.endpoint().map_or(0, |endpoint| cluster.endpoint(endpoint).state.id)
    }
}

impl Keys {
    pub(super) fn new(
        (role, role_hash): (&Role, u64),
        sessions: Sessions,
        owner: Owner,
        live: &Live,
        facts: &Facts<'_, '_>,
        content: Option<ContentPath<'_>>,
    ) -> Self {
        let own = role.client_field.as_ref().and_then(|name| facts.fields?.named(name).next());
        // A device keeps its certificate, and not its address.
        let stays = matches!(role.balance, Balance::Client | Balance::Device) || sessions == Sessions::Client;
        let subject = facts.subject.filter(|_| stays);
        let client = match (own, subject) {
            (Some(value), _) => hash_ignore_case(0, value),
            (None, Some(subject)) => subject,
            (None, None) => client_hash(facts.client),
        };
        let hash = match content {
            Some(content) => hash_ignore_case(client, content.stem().as_bytes()),
            None => client,
        };
        let content = content.map_or(0, |content| live.content_key(content.folder));
        let affinity = role.affinity.map(|_| mix(hash ^ role_hash));
        Self { hash, client, affinity, clock: None, content, owner }
    }

    /// The request names this site system: a download that was moved from there is remembered for those who name it.
    pub(super) fn names(&mut self, system: u64) {
        self.affinity = self.affinity.map(|key| mix(key ^ system));
    }

    /// Where the client or its download is.
    pub(super) fn stay(&self, cluster: &Cluster, live: &Live, facts: &Facts<'_, '_>, now: Ticks) -> Option<Stay> {
        let topology = &*cluster.topology;
        let find = |who, key, idle| topology.by_id(live.stay(who, key, now, idle)?);
        if topology.role.upload_affinity && facts.method == "CCM_POST" {
            let stay = find(Who::Transfer, after_upload(live, topology.hash, self.client), AFTER_UPLOAD);
            if stay.is_some() {
                return stay.map(Stay::After);
            }
        }
        find(who_stays(&topology.role), self.affinity?, topology.role.affinity.map(Live::ticks_of)?).map(Stay::Prefer)
    }
}

/// Who stays at a server of this role.
pub(super) fn who_stays(role: &Role) -> Who {
    match role.balance {
        Balance::Content => Who::Transfer,
        Balance::LeastRequests | Balance::Random | Balance::Client | Balance::Device => Who::Client,
    }
}

/// The key of the server that a client's last upload went to.
pub(super) fn after_upload(live: &Live, role_hash: u64, client: u64) -> u64 {
    live.key(Domain::AfterUpload, role_hash, &client.to_le_bytes())
}

/// The key of an upload session.
pub(super) fn upload_key(live: &Live, role_hash: u64, session: &[u8]) -> u64 {
    live.key(Domain::Upload, role_hash, session)
}

/// The server that has the session of an upload. A session that is not known here (made through another proxy, or before a
/// restart) is where the client's hash says.
pub(super) fn upload(cluster: &Cluster, site: &Site, live: &Live, facts: &Facts<'_, '_>, now: Ticks) -> Option<Stay> {
    let session = facts.fields?.get(Known::BitsSessionId)?;
    let key = upload_key(live, cluster.topology.hash, session);
    let id = live.stay(Who::Transfer, key, now, Live::ticks_of(site.upload_idle))?;
    Some(Stay::Only(cluster.topology.by_id(id)))
}

/// Hash of a name in a certificate, such as `CN=PC1, O=Contoso`, however blanks are written.
pub fn subject_hash(name: &str) -> u64 {
    let bare: String = name.split_whitespace().collect();
    // Other than that of a field with the same value.
    hash_ignore_case(1, bare.as_bytes())
}

/// The same for an IPv4 address and its IPv4-mapped form.
pub(super) fn client_hash(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix(mix((bits >> 64) as u64) ^ bits as u64)
        }
    }
}
