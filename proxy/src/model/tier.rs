//! Why a server may be used, and so when.

/// Why a server is in a tier. The order is the order of use at equal offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TierKind {
    /// The client's own boundary groups.
    Current,
    /// The same groups' servers behind a slow connection (the model of 1511 to 1606).
    Slow,
    /// A direct neighbor of one of them.
    Neighbor,
    /// The site default boundary group.
    Default,
    /// A fallback source location of the older model.
    FallbackSource,
    /// All servers of the site: the role does not know boundary groups, or they only prefer servers of it, or the client's
    /// groups name none.
    Site,
}

impl TierKind {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Current, Self::Slow, Self::Neighbor, Self::Default, Self::FallbackSource, Self::Site];

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Slow => "slow",
            Self::Neighbor => "neighbor",
            Self::Default => "default",
            Self::FallbackSource => "fallback_source",
            Self::Site => "site",
        }
    }
}
