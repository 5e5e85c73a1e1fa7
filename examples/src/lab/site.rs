//! The site: its servers, its content, and the places that its clients are in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context as _;
use rolegate_bench::content::{Content, Package};
use rolegate_bench::site::{Role, SiteSystem, Spec, names};

/// The servers. Letters are the role, as in ConfigMgr's abbreviations.
pub const NAMES: [&str; 7] = ["MP1", "MP2", "DP1", "DP2", "DP3", "SUP1", "FSP1"];

const MIB: u64 = 1024 * 1024;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The boundary group HQ.
    Hq,
    /// The boundary group Branch.
    Branch,
    /// The boundary group Remote.
    Remote,
    /// In no boundary group.
    Nowhere,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hq, Self::Branch, Self::Remote, Self::Nowhere];

    /// The boundary group as it is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Hq => "HQ",
            Self::Branch => "Branch",
            Self::Remote => "Remote",
            Self::Nowhere => "no group",
        }
    }

    /// An address of a client here.
    #[must_use]
    pub fn address(self, number: u16) -> IpAddr {
        let second = match self {
            Self::Hq => 1,
            Self::Branch => 2,
            Self::Remote => 3,
            Self::Nowhere => 9,
        };
        // Addresses ending in .0 and .255 look like networks to a reader.
        let [high, low] = [number / 200, number % 200 + 11].map(|part| u8::try_from(part).unwrap_or(u8::MAX));
        IpAddr::V4(Ipv4Addr::new(127, second, high, low))
    }
}

/// The servers that run.
#[derive(Debug)]
pub struct Site {
    systems: Vec<(&'static str, SiteSystem)>,
    /// What the distribution points have.
    pub content: Arc<Content>,
}

impl Site {
    /// Starts every server on a free port.
    ///
    /// # Errors
    /// There is no port to be had.
    pub async fn start() -> anyhow::Result<Self> {
        let content = Arc::new(Content::new([
            Package::new("LAB00001", [("setup.exe", 12 * MIB), ("read me.txt", 3000)]),
            Package::new("LAB00002", [("driver.cab", 2 * MIB), ("driver.inf", 17_000)]),
            Package::new("Content_4f1c7f2e-9f6d-4f0e-8f57-0d5a5a3c7b11.1", [("app.msi", 5 * MIB)]),
        ]));
        // Hashes are computed when first asked for, which would be in the middle of somebody's download.
        content.packages().flat_map(Package::files).for_each(|file| {
            let _ = file.hash();
        });
        let management_points = names(NAMES.into_iter().filter(|name| name.starts_with("MP")));
        let distribution_points = names(NAMES.into_iter().filter(|name| name.starts_with("DP")));
        let mut systems = Vec::new();
        for name in NAMES {
            let role = match name.trim_end_matches(char::is_numeric) {
                "MP" => Role::ManagementPoint,
                "DP" => Role::DistributionPoint,
                "SUP" => Role::SoftwareUpdatePoint,
                _ => Role::FallbackStatusPoint,
            };
            let spec = Spec::new(name)
                .role(role)
                .site_code("LAB")
                .content(&content)
                .management_points(&management_points)
                .distribution_points(&distribution_points)
                .recording(false);
            systems.push((name, SiteSystem::start(spec).await.with_context(|| format!("{name} cannot be started"))?));
        }
        Ok(Self { systems, content })
    }

    /// Every server by name.
    pub fn systems(&self) -> impl Iterator<Item = (&'static str, &SiteSystem)> {
        self.systems.iter().map(|(name, system)| (*name, system))
    }

    /// One of [`NAMES`].
    ///
    /// # Errors
    /// There is no such server.
    pub fn system(&self, name: &str) -> anyhow::Result<&SiteSystem> {
        self.systems()
            .find(|(own, _)| *own == name)
            .map(|(_, system)| system)
            .with_context(|| format!("there is no {name}"))
    }

    /// How often each state message has arrived, at any server; `None` when there were too many to remember.
    #[must_use]
    pub fn messages(&self) -> Option<HashMap<String, u32>> {
        let mut arrived: HashMap<String, u32> = HashMap::new();
        for (_, system) in self.systems() {
            if system.counters().messages_left_out() > 0 {
                return None;
            }
            system.counters().messages().into_iter().for_each(|(id, times)| *arrived.entry(id).or_default() += times);
        }
        Some(arrived)
    }
}
