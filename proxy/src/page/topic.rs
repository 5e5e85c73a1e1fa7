//! Which pages there are, and where.

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The site at a glance.
    Overview,
    /// All site systems.
    SiteSystems,
    /// One of them.
    SiteSystem,
    /// All boundary groups.
    BoundaryGroups,
    /// One of them.
    BoundaryGroup,
    /// What is known of content.
    Content,
    /// Configurations that were served or rejected.
    Versions,
    /// Certificates of listeners.
    Certificates,
    /// Why a request goes where it goes.
    Explain,
    /// What happened to one client.
    Client,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Overview,
        Self::SiteSystems,
        Self::SiteSystem,
        Self::BoundaryGroups,
        Self::BoundaryGroup,
        Self::Content,
        Self::Versions,
        Self::Certificates,
        Self::Explain,
        Self::Client,
    ];

    /// Where it is.
    pub fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::SiteSystems => "/page/site-systems",
            Self::SiteSystem => "/page/site-system",
            Self::BoundaryGroups => "/page/boundary-groups",
            Self::BoundaryGroup => "/page/boundary-group",
            Self::Content => "/page/content",
            Self::Versions => "/page/versions",
            Self::Certificates => "/page/certificates",
            Self::Explain => "/page/explain",
            Self::Client => "/page/client",
        }
    }

    /// The topic at a path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.path() == path)
    }
}

/// How much of a page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The part that changes by itself.
    Live,
}
