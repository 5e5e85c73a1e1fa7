//! What policies a site assigns to its clients: the same from every management point of the site.

use std::collections::HashMap;

use crate::content::digits;
use crate::message::{escape, guid, utf16};
use crate::mix::{mix, mix_text};
use crate::spread::Sizes;

/// No policy, and no reply to SyncUpdates, is larger, in bytes.
pub const MAX_ANSWER: u64 = 1024 * 1024;

/// A GUID that follows from the site and this number.
pub(crate) fn site_guid(site_code: &str, number: u32) -> String {
    let high = mix_text(u64::from(number), site_code);
    guid(u128::from(high) << 64 | u128::from(mix(high)))
}

/// The `{id}.version` of every policy of a site.
#[derive(Debug)]
pub(crate) struct Policies {
    ids: Vec<String>,
    /// The place of each, by its id in lower case.
    places: HashMap<String, usize>,
    sizes: Sizes,
    site_code: String,
}

impl Policies {
    /// So many policies of a site, of such sizes.
    pub(crate) fn new(site_code: &str, number: u32, sizes: Sizes) -> Self {
        let id = |number| format!("{{{}}}.1_00", site_guid(site_code, number));
        let ids: Vec<_> = (0..number).map(id).collect();
        let places = ids.iter().enumerate().map(|(place, id)| (id.to_ascii_lowercase(), place)).collect();
        Self { ids, places, sizes, site_code: site_code.to_owned() }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    /// Those `number` that have changed for a client of this id.
    pub(crate) fn changed(&self, client: &str, number: usize) -> impl Iterator<Item = &str> {
        let all = self.ids.len();
        let first = usize::try_from(mix_text(5, client) % all.max(1) as u64).unwrap_or_default();
        self.ids.iter().cycle().skip(first).take(number.min(all)).map(String::as_str)
    }

    /// The body of a policy in UTF-16, at least as large as its size; `None` if there is no such policy.
    pub(crate) fn body(&self, id: &str) -> Option<Vec<u8>> {
        let place = self.places.get(&id.to_ascii_lowercase())?;
        let id = &self.ids[*place];
        let (policy, version) = id.split_once('.').unwrap_or((id, ""));
        let mut xml = format!(
            "<?xml version=\"1.0\"?><Policy PolicyID=\"{policy}\" PolicyVersion=\"{version}\" PolicyType=\"Machine\" \
             PolicySource=\"SMS:{}\"><PolicyRule PolicyRuleID=\"{policy}\"><![CDATA[",
            escape(&self.site_code)
        );
        let seed = mix_text(1, id);
        let size = usize::try_from(self.sizes.draw(mix(seed)).min(MAX_ANSWER)).unwrap_or_default();
        xml.push_str(digits(seed, (size / 2).saturating_sub(xml.len())));
        xml.push_str("]]></PolicyRule></Policy>");
        Some(utf16(&xml, true))
    }
}
