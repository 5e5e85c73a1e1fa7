//! What people have decided about site systems at run time: drain, maintenance and weight, without an edit of the configuration.
//!
//! Plain values: the Director keeps one [`Steering`], and puts what it means for each endpoint into the snapshot. Names decide,
//! so an override survives a reload, and one of a site system that is gone waits until that comes back or it is undone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Overrides that there may be at the same time.
pub const MOST: usize = 10_000;
/// Weights that a site system may have.
pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=1000;

/// What is asked of a site system, or of one of its roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing new goes there; what is under way ends there.
    Drain,
    /// Nothing at all goes there, and it counts as failed nowhere.
    Maintenance,
    /// Another share of the traffic.
    Weight(Share),
}

/// A share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// This weight, 1 to 1000.
    Of(u16),
    /// This many percent of the configured one, 1 to 10,000.
    Percent(u16),
}

/// Kinds of wishes: a site system, or one of its roles, has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// See [`Wish::Drain`].
    Drain,
    /// See [`Wish::Maintenance`].
    Maintenance,
    /// See [`Wish::Weight`].
    Weight,
}

/// What all of this means for an endpoint right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Steer {
    /// Nothing.
    #[default]
    None,
    /// Nothing new goes there.
    Drain,
    /// Nothing at all goes there.
    Maintenance,
}

/// A wish, whose it is, and for how long it holds. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The site system, as the configuration spelled it.
    pub site_system: Arc<str>,
    /// One of its roles; `None` means all of them.
    pub role: Option<Arc<str>>,
    /// What is asked.
    pub wish: Wish,
    /// When it begins; `None`: it has.
    pub begin: Option<u64>,
    /// When it ends by itself.
    pub end: Option<u64>,
    /// When it was asked for.
    pub since: u64,
    /// Who asked, as they said themselves.
    pub by: Box<str>,
    /// Where that came from.
    pub from: Box<str>,
    /// Why, as they wrote it.
    pub comment: Option<Box<str>>,
}

/// Which override is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The site system, in any case.
    pub site_system: Arc<str>,
    /// One of its roles; `None` means the override of the site system as a whole.
    pub role: Option<Arc<str>>,
    /// Which kind.
    pub kind: Kind,
}

/// All overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// By the lower-cased name of the site system; sorted by role and kind, one of each.
    by_system: BTreeMap<Box<str>, Vec<Override>>,
}

impl Kind {
    /// The word in texts and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
            Self::Weight => "weight",
        }
    }

    /// What a site system is that has it.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Drain => "drained",
            Self::Maintenance => "in maintenance",
            Self::Weight => "of another weight",
        }
    }
}

impl Steer {
    /// The word in `/status`; empty for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Drain => Kind::Drain.as_str(),
            Self::Maintenance => Kind::Maintenance.as_str(),
        }
    }

    /// The number in `/metrics`.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Drain => 1,
            Self::Maintenance => 2,
        }
    }
}

impl Share {
    /// What becomes of a configured weight.
    pub fn of(self, configured: u32) -> u32 {
        match self {
            Self::Of(weight) => u32::from(weight),
            Self::Percent(percent) => {
                let share = u64::from(configured) * u64::from(percent) / 100;
                u32::try_from(share).unwrap_or(u32::MAX).clamp(*WEIGHTS.start(), *WEIGHTS.end())
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(weight) => write!(f, "{weight}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    /// `50`, or `50%` of the configured weight.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits.trim_end(), true),
            None => (text, false),
        };
        let number: u32 = digits.parse().map_err(|_| {
            format!("{text:?} is not a weight: write a number from 1 to 1000, or a percentage such as \"50%\"")
        })?;
        if number == 0 {
            return Err("a weight cannot be 0: `rolegate drain` takes a site system out".to_owned());
        }
        let most = if percent { 10_000 } else { *WEIGHTS.end() };
        if number > most {
            let most = if percent { "10000%" } else { "1000" };
            return Err(format!("the weight {text} is too large: the largest is {most}"));
        }
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        Ok(if percent { Self::Percent(number) } else { Self::Of(number) })
    }
}

impl Wish {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Drain => Kind::Drain,
            Self::Maintenance => Kind::Maintenance,
            Self::Weight(_) => Kind::Weight,
        }
    }
}

impl Override {
    /// Whether it holds now.
    pub fn holds(&self, now: u64) -> bool {
        self.begin.is_none_or(|begin| begin <= now) && !self.is_over(now)
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: u64) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// Which override it is.
    pub fn place(&self) -> Place {
        Place { site_system: Arc::clone(&self.site_system), role: self.role.clone(), kind: self.wish.kind() }
    }

    /// Whether it is about this role of its site system.
    pub fn covers(&self, role: &str) -> bool {
        self.role.as_deref().is_none_or(|own| own == role)
    }

    /// What it is about: `dp1`, or `distribution-point of dp1`.
    pub fn subject(&self) -> String {
        subject(&self.site_system, self.role.as_deref())
    }

    fn sorted_by(&self) -> (Option<&str>, Kind) {
        (self.role.as_deref(), self.wish.kind())
    }
}

/// Names of site systems are the same in any case.
fn key_of(site_system: &str) -> String {
    site_system.to_ascii_lowercase()
}

/// What a sentence calls a site system or one of its roles.
pub fn subject(site_system: &str, role: Option<&str>) -> String {
    match role {
        Some(role) => format!("the {role} of {site_system}"),
        None => site_system.to_owned(),
    }
}

impl Steering {
    /// Whether there is no override.
    pub fn is_empty(&self) -> bool {
        self.by_system.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_system.values().map(Vec::len).sum()
    }

    /// All of them, by site system, role and kind.
    pub fn all(&self) -> impl Iterator<Item = &Override> {
        self.by_system.values().flatten()
    }

    /// Those of a site system, in any case.
    pub fn of_system(&self, site_system: &str) -> &[Override] {
        if self.by_system.is_empty() {
            return &[];
        }
        self.by_system.get(key_of(site_system).as_str()).map_or(&[], Vec::as_slice)
    }

    /// The one at a place.
    pub fn at(&self, place: &Place) -> Option<&Override> {
        let wanted = (place.role.as_deref(), place.kind);
        self.of_system(&place.site_system).iter().find(|own| own.sorted_by() == wanted)
    }

    /// Puts one in; gives the one that was in its place.
    pub fn set(&mut self, new: Override) -> Option<Override> {
        let list = self.by_system.entry(key_of(&new.site_system).into_boxed_str()).or_default();
        match list.binary_search_by(|own| own.sorted_by().cmp(&new.sorted_by())) {
            Ok(at) => Some(std::mem::replace(&mut list[at], new)),
            Err(at) => {
                list.insert(at, new);
                None
            }
        }
    }

    /// Takes the one at a place out.
    pub fn clear(&mut self, place: &Place) -> Option<Override> {
        let wanted = (place.role.as_deref(), place.kind);
        let key = key_of(&place.site_system);
        let list = self.by_system.get_mut(key.as_str())?;
        let at = list.iter().position(|own| own.sorted_by() == wanted)?;
        let gone = list.remove(at);
        if list.is_empty() {
            self.by_system.remove(key.as_str());
        }
        Some(gone)
    }

    /// Takes those out that have ended.
    pub fn expire(&mut self, now: u64) -> Vec<Override> {
        let over: Vec<Override> = self.all().filter(|own| own.is_over(now)).cloned().collect();
        over.iter().for_each(|own| drop(self.clear(&own.place())));
        over
    }

    /// When the next one begins or ends.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.all().flat_map(|own| [own.begin, own.end]).flatten().filter(|at| *at > now).min()
    }

    /// What holds for one role of a site system.
    pub fn steer(&self, site_system: &str, role: &str, now: u64) -> Steer {
        self.taken_out(site_system, role, now).map_or(Steer::None, |own| match own.wish {
            Wish::Drain => Steer::Drain,
            Wish::Maintenance => Steer::Maintenance,
            Wish::Weight(_) => Steer::None,
        })
    }

    /// The override that takes one role of a site system out: maintenance says more than drain, and one of the role more than
    /// one of the whole site system.
    pub fn taken_out(&self, site_system: &str, role: &str, now: u64) -> Option<&Override> {
        let holds = self.of_system(site_system).iter().filter(|own| own.covers(role) && own.holds(now));
        let takes_out = holds.filter(|own| own.wish.kind() != Kind::Weight);
        takes_out.max_by_key(|own| (own.wish.kind(), own.role.is_some()))
    }

    /// The share of one role of a site system; that of the role counts before that of the whole site system.
    pub fn share(&self, site_system: &str, role: &str, now: u64) -> Option<Share> {
        let holds = self.of_system(site_system).iter().filter(|own| own.covers(role) && own.holds(now));
        let shares = holds.filter_map(|own| match own.wish {
            Wish::Weight(share) => Some((own.role.is_some(), share)),
            Wish::Drain | Wish::Maintenance => None,
        });
        shares.max_by_key(|(of_role, _)| *of_role).map(|(_, share)| share)
    }

    /// The weight of one role of a site system.
    pub fn weight(&self, site_system: &str, role: &str, configured: u32, now: u64) -> u32 {
        self.share(site_system, role, now).map_or(configured, |share| share.of(configured))
    }
}

#[cfg(test)]
#[path = "steering_tests.rs"]
mod tests;
