//! The sites: one in `[site]`, or several in `[[sites]]`.

use std::collections::BTreeMap;

use super::SpannedName;
use crate::control::config::{Config, DefaultBoundaryGroup, OneOfSites, Problems, nearest, text};
use crate::model::route::ClusterId;

/// A hierarchy has at most some hundreds.
const MOST: usize = 1000;
/// Name of a site default boundary group, as ConfigMgr spells it: the code follows.
const DEFAULT_NAME: &str = "Default-Site-Boundary-Group";
/// Said at the second of two places.
pub(super) const OTHER: &str = "that is the other place";

/// All sites, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Sites<'a> {
    pub(super) list: Vec<Entry<'a>>,
    several: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) code: String,
    pub(super) written: Option<&'a SpannedName>,
    /// The position of its primary site, for a secondary one.
    pub(super) primary: Option<u16>,
    pub(super) description: &'a Option<SpannedName>,
    /// Its site default boundary group.
    pub(super) default: &'a DefaultBoundaryGroup,
    pub(super) hosts: Vec<(String, &'a SpannedName)>,
}

impl<'a> Sites<'a> {
    pub(super) fn collect(config: &'a Config, problems: &mut Problems) -> Self {
        if config.sites.is_empty() {
            let one = Entry {
                code: code(config.site.code.as_ref(), config, None, problems),
                written: config.site.code.as_ref(),
                primary: None,
                description: &config.site.description,
                default: &config.default_boundary_group,
                hosts: Vec::new(),
            };
            return Self { list: vec![one], several: false };
        }
        refuse_one(config, problems);
        if let Some(beyond) = config.sites.get(MOST) {
            let span = beyond.code.as_ref().map_or(0..0, toml::Spanned::span);
            problems.error(span, format!("there are more than {MOST} sites"), "use several proxies");
        }
        let entry = |(position, site): (usize, &'a OneOfSites)| Entry {
            code: code(site.code.as_ref(), config, Some(position), problems),
            written: site.code.as_ref(),
            primary: None,
            description: &site.description,
            default: &site.default_boundary_group,
            hosts: Vec::new(),
        };
        let mut sites = Self { list: config.sites.iter().take(MOST).enumerate().map(entry).collect(), several: true };
        sites.refuse_twins(problems);
        sites.relate(config, problems);
        sites.name(config, problems);
        sites
    }

    /// Whether there is more than one, or one written as if there were.
    pub(super) fn several(&self) -> bool {
        self.several
    }

    /// All codes.
    pub(super) fn codes(&self) -> String {
        let codes: Vec<&str> = self.list.iter().map(|site| site.code.as_str()).collect();
        codes.join(", ")
    }

    /// The position of a site; `None` where none is written, or none with this code exists.
    pub(super) fn find(&self, written: Option<&SpannedName>, problems: &mut Problems) -> Option<u16> {
        let written = written?;
        let code = written.get_ref();
        if let Some(place) = self.list.iter().position(|site| site.code.eq_ignore_ascii_case(code)) {
            return u16::try_from(place).ok();
        }
        let help = match nearest(code, self.list.iter().map(|site| site.code.as_str())) {
            Some(near) => format!("did you mean {near:?}?"),
            None if self.several => "write the code of one of the [[sites]]".to_owned(),
            None => "there is one site: leave `site` out, or describe several in [[sites]]".to_owned(),
        };
        problems.error(written.span(), format!("there is no site {code:?}"), help);
        None
    }

    /// The site of a site system.
    pub(super) fn of_system(&self, name: &SpannedName, site: Option<&SpannedName>, problems: &mut Problems) -> u16 {
        if self.several && site.is_none() {
            let text = format!("there are several sites, and {:?} belongs to none of them", name.get_ref());
            problems.missing(name.span(), text, format!("write site = \"...\" with one of {}", self.codes()));
        }
        self.find(site, problems).unwrap_or(0)
    }

    /// The site to which the clients of a site are assigned.
    pub(super) fn assigned(&self, site: u16) -> u16 {
        self.list.get(usize::from(site)).and_then(|site| site.primary).unwrap_or(site)
    }

    /// Names of the site default boundary groups.
    pub(super) fn default_names(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|site| DEFAULT_NAME.to_owned() + &site.code)
    }

    fn refuse_twins(&self, problems: &mut Problems) {
        for (place, site) in self.list.iter().enumerate() {
            let Some(own) = site.written else { continue };
            let twin = self.list[..place].iter().find(|other| other.code.eq_ignore_ascii_case(&site.code));
            if let Some(first) = twin.and_then(|twin| twin.written) {
                problems.error(
                    own.span(),
                    format!("{:?} is the code of two sites", site.code),
                    "a code means one site",
                );
                problems.error(first.span(), format!("{:?} is used again further down", site.code), OTHER);
            }
        }
    }

    /// Secondary sites and their primary ones.
    fn relate(&mut self, config: &Config, problems: &mut Problems) {
        for (place, site) in config.sites.iter().enumerate().take(self.list.len()) {
            let Some(written) = &site.primary else { continue };
            let Some(primary) = self.find(Some(written), problems) else { continue };
            let above = &config.sites[usize::from(primary)];
            match &above.primary {
                _ if usize::from(primary) == place => {
                    problems.error(
                        written.span(),
                        "a site cannot be its own primary site",
                        "write another code, or take it out",
                    );
                }
                Some(again) => {
                    let text = format!("{:?} is a secondary site itself", written.get_ref());
                    problems.error(written.span(), text, "write the code of a primary site");
                    problems.error(again.span(), format!("it makes {:?} a secondary site", written.get_ref()), OTHER);
                }
                None => self.list[place].primary = Some(primary),
            }
        }
    }

    /// Names by which clients ask for sites.
    fn name(&mut self, config: &'a Config, problems: &mut Problems) {
        let mut seen: BTreeMap<String, (usize, &SpannedName)> = BTreeMap::new();
        for (place, site) in config.sites.iter().enumerate().take(self.list.len()) {
            for written in &site.hosts {
                let Some(host) = text::one(written, text::host, problems) else { continue };
                let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
                match seen.get(&host) {
                    Some((other, first)) if *other != place => {
                        let text = format!("{host:?} is a name of two sites");
                        problems.error(written.span(), text, "a name means one site: take it out of one of them");
                        problems.error(first.span(), format!("{host:?} is in the hosts of another site too"), OTHER);
                    }
                    Some(_) => problems.error(written.span(), format!("{host:?} is listed twice"), "take one out"),
                    None => {
                        seen.insert(host.clone(), (place, written));
                        self.list[place].hosts.push((host, written));
                    }
                }
            }
        }
    }
}

/// How roles become clusters.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) clusters: Vec<Of>,
    /// The cluster of each site, by the position of the role.
    pub(super) by_site: Vec<Vec<Option<ClusterId>>>,
}

/// What a cluster is of.
#[derive(Debug)]
pub(super) struct Of {
    /// The position of its role.
    pub(super) position: usize,
    /// The primary site whose it is; `None` for one that all sites share.
    pub(super) site: Option<u16>,
    /// Positions of its site systems among those that hold the role.
    pub(super) members: Vec<usize>,
}

/// The cluster at a position.
pub(super) fn cluster(position: usize) -> ClusterId {
    ClusterId(u16::try_from(position).unwrap_or(u16::MAX))
}

/// `position`: that of one of several sites.
fn code(written: Option<&SpannedName>, config: &Config, position: Option<usize>, problems: &mut Problems) -> String {
    let Some(written) = written else {
        let (at, help) = match position {
            Some(position) => (config.tables.element("sites", position), "add code = \"P01\" below this [[sites]]"),
            None if config.tables.table("site").is_empty() => {
                (0..0, "add it at the top of the file: [site] and code = \"P01\"")
            }
            None => (config.tables.table("site"), "add code = \"P01\" below [site]"),
        };
        problems.missing(at, "the site code is missing", help);
        return String::new();
    };
    let text = written.get_ref();
    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        problems.error(
            written.span(),
            format!("{text:?} is not a site code"),
            "write the three letters or digits that the console shows, for example \"P01\"",
        );
    }
    text.clone()
}

/// What describes the one site, beside a list of sites.
fn refuse_one(config: &Config, problems: &mut Problems) {
    let site = &config.site;
    let DefaultBoundaryGroup { description, site_systems, fallback } = &config.default_boundary_group;
    let of_site = site.code.iter().chain(&site.description).map(|written| (written.span(), "[site]"));
    let of_group = description.iter().chain(site_systems).map(toml::Spanned::span);
    let of_group = of_group.chain(fallback.keys().map(toml::Spanned::span)).map(|at| (at, "[default_boundary_group]"));
    let mut refused = Vec::new();
    for (at, section) in of_site.chain(of_group) {
        if !refused.contains(&section) {
            refused.push(section);
            let text = format!("{section} describes the one site, and [[sites]] describes several");
            problems.error(at, text, "move what it says below one of the [[sites]]");
        }
    }
    let first = config.sites.iter().find_map(|site| site.code.as_ref());
    if let (Some(first), false) = (first, refused.is_empty()) {
        problems.error(first.span(), format!("[[sites]] begins here, beside {}", refused.join(" and ")), OTHER);
    }
}
