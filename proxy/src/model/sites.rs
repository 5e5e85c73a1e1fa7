//! Which site a request is for, where the proxy serves several.
//!
//! What a client says counts first: a name that belongs to a site. Then where it is, then where it came in. A site decides
//! which servers of a role there are; roles whose servers are for the whole hierarchy have one cluster for all sites.

use super::boundary::GroupId;
use super::called::Names;
use super::route::ClusterId;

/// All sites; empty where there is one.
#[derive(Debug, Default)]
pub struct Sites {
    /// In the order of the configuration.
    pub list: Box<[OneSite]>,
    /// What names mean: see [`Names::find`].
    pub names: Names<Placed>,
    /// The site of each boundary group, by [`GroupId`].
    pub groups: Box<[Option<u16>]>,
    /// The site of each listener, by its position.
    pub listeners: Box<[Option<u16>]>,
    /// By the cluster that a route leads to: the cluster of each site; `None` where it holds nothing of the role.
    pub clusters: Box<[Box<[Option<ClusterId>]>]>,
}

/// One of several sites.
#[derive(Debug)]
pub struct OneSite {
    /// Site code.
    pub code: Box<str>,
    /// The position of its primary site, if it is a secondary one. Clients are assigned to that.
    pub primary: Option<u16>,
    /// Its default boundary group.
    pub default_group: GroupId,
    /// Names by which clients ask for it.
    pub hosts: Box<[Box<str>]>,
}

/// The site of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    /// Its position in [`Sites::list`].
    pub site: u16,
    /// What says so.
    pub because: Because,
}

/// What says of which site a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// The request names one of the site's `hosts`.
    Host,
    /// The request names a site system of the site.
    SiteSystem,
    /// The first of the client's boundary groups that is of a site.
    BoundaryGroup(GroupId),
    /// The listener is for this site.
    Listener,
    /// Nothing: it is the first in the configuration.
    First,
}

impl Sites {
    /// The site of a request; `None` where there is only one.
    pub fn place<'g>(
        &self,
        host: Option<&str>,
        groups: impl FnOnce() -> &'g [GroupId],
        listener: u16,
    ) -> Option<Placed> {
        if self.list.is_empty() {
            return None;
        }
        let by_name = || self.names.find(host);
        let by_group = || {
            let mut own = groups().iter();
            own.find_map(|&group| {
                let site = self.groups.get(usize::from(group.0)).copied().flatten()?;
                Some(Placed { site, because: Because::BoundaryGroup(group) })
            })
        };
        let by_listener = || {
            let site = self.listeners.get(usize::from(listener)).copied().flatten()?;
            Some(Placed { site, because: Because::Listener })
        };
        let first = Placed { site: 0, because: Because::First };
        Some(by_name().or_else(by_group).or_else(by_listener).unwrap_or(first))
    }

    /// The cluster of a role for a site, from the one that the route leads to. `None`: the site has nothing of the role.
    pub fn cluster(&self, head: ClusterId, site: u16) -> Option<ClusterId> {
        self.clusters.get(usize::from(head.0))?.get(usize::from(site)).copied().flatten()
    }

    /// All clusters of the role to which a route leads here.
    pub fn clusters_of(&self, head: ClusterId) -> Vec<ClusterId> {
        let Some(by_site) = self.clusters.get(usize::from(head.0)) else { return vec![head] };
        let mut all: Vec<ClusterId> = by_site.iter().copied().flatten().collect();
        all.sort_unstable_by_key(|id| id.0);
        all.dedup();
        all
    }

    /// The code of the site to which the clients of a site are assigned: its primary's, or its own.
    pub fn assigned(&self, site: u16) -> Option<&OneSite> {
        let own = self.list.get(usize::from(site))?;
        own.primary.map_or(Some(own), |primary| self.list.get(usize::from(primary)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn site(code: &str, primary: Option<u16>) -> OneSite {
        OneSite { code: code.into(), primary, default_group: GroupId(9), hosts: Box::default() }
    }

    fn sites() -> Sites {
        let named = |site, because| Placed { site, because };
        Sites {
            list: [site("P01", None), site("P02", None), site("S01", Some(1))].into(),
            names: Names::new(vec![
                ("cm2.x".into(), named(1, Because::Host)),
                ("mp1".into(), named(0, Because::SiteSystem)),
            ]),
            groups: [None, Some(2), Some(1)].into(),
            listeners: [None, Some(1)].into(),
            clusters: [
                [Some(ClusterId(0)), Some(ClusterId(2)), Some(ClusterId(2))].into(),
                [Some(ClusterId(1)), None, None].into(),
            ]
            .into(),
        }
    }

    #[test]
    fn a_name_counts_more_than_a_group_and_a_group_more_than_a_listener() {
        let sites = sites();
        let place = |host, groups: &[u16], listener| {
            let groups: Vec<GroupId> = groups.iter().map(|group| GroupId(*group)).collect();
            let placed = sites.place(host, || &groups, listener).unwrap();
            (placed.site, placed.because)
        };
        assert_eq!(place(Some("CM2.x."), &[1], 0), (1, Because::Host));
        assert_eq!(place(Some("MP1"), &[2], 1), (0, Because::SiteSystem));
        assert_eq!(place(Some("other"), &[0, 2, 1], 0), (1, Because::BoundaryGroup(GroupId(2))));
        assert_eq!(place(None, &[1], 0), (2, Because::BoundaryGroup(GroupId(1))));
        assert_eq!(place(None, &[0], 1), (1, Because::Listener));
        assert_eq!(place(Some("x"), &[], 0), (0, Because::First));
        assert_eq!(sites.assigned(2).unwrap().code.as_ref(), "P02");
    }

    #[test]
    fn a_site_has_its_own_cluster_of_a_role_or_none() {
        let sites = sites();
        assert_eq!(sites.cluster(ClusterId(0), 0), Some(ClusterId(0)));
        assert_eq!(sites.cluster(ClusterId(0), 2), Some(ClusterId(2)));
        assert_eq!(sites.cluster(ClusterId(1), 1), None);
        assert_eq!(sites.clusters_of(ClusterId(0)), [ClusterId(0), ClusterId(2)]);
        let one = Sites::default();
        assert_eq!(one.place(Some("mp1"), || panic!("there is one site"), 0), None);
        assert_eq!(one.clusters_of(ClusterId(7)), [ClusterId(7)]);
    }
}
