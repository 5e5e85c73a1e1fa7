//! Which series are shown. With thousands of endpoints, what is said of each one is what a scrape costs.

use super::families::{Family, Kind};

/// How much is said of each endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// Whether it is up, what it does and how long that takes on average; nothing that is still zero.
    Few,
    /// Everything, also what is still zero.
    #[default]
    All,
}

impl Detail {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] = [("none", Self::None), ("few", Self::Few), ("all", Self::All)];

    /// What this means to a family.
    pub(super) fn of(self, family: &Family) -> Shown {
        let Family(name, kind, ..) = family;
        let (endpoint, group) = (name.starts_with("rolegate_endpoint_"), name.starts_with("rolegate_group_"));
        match self {
            Self::All => Shown::Whole,
            Self::None if endpoint => Shown::Hidden,
            Self::Few if endpoint && WITH_ALL.contains(name) => Shown::Hidden,
            Self::None | Self::Few => match kind {
                Kind::Counter if endpoint || group => Shown::Counted,
                Kind::Gauge if *name == "rolegate_endpoint_steered" => Shown::Counted,
                Kind::Histogram if endpoint => Shown::Summary,
                Kind::Counter | Kind::Gauge | Kind::Histogram => Shown::Whole,
            },
        }
    }
}

/// Of endpoints, what only [`Detail::All`] shows: the rest says it too, if less exactly.
const WITH_ALL: [&str; 5] = [
    "rolegate_endpoint_weight",
    "rolegate_endpoint_connects_total",
    "rolegate_endpoint_reuses_total",
    "rolegate_endpoint_state_changes_total",
    "rolegate_endpoint_checks_total",
];

/// What is shown of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// No series.
    Hidden,
    /// Series that are not zero.
    Counted,
    /// Histograms without their buckets, once they have counted something.
    Summary,
    /// All of it.
    Whole,
}

impl Shown {
    /// The kind as the text format names it.
    pub(super) fn kind(self, kind: Kind) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Hidden | Self::Counted | Self::Whole => kind.as_str(),
        }
    }
}
