//! What people have written about the things of a site, for people: it decides nothing.

use std::collections::HashMap;

/// A kind of thing that can be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Thing {
    Site,
    Listener,
    Role,
    SiteSystem,
    BoundaryGroup,
}

/// Descriptions by kind and name. Upper and lower case do not differ.
#[derive(Debug, Default)]
pub struct Descriptions(HashMap<(Thing, String), Box<str>>);

impl Descriptions {
    /// Describes something.
    pub fn set(&mut self, thing: Thing, name: &str, description: &str) {
        self.0.insert((thing, name.to_ascii_lowercase()), description.into());
    }

    /// The description of something, if it has one.
    pub fn of(&self, thing: Thing, name: &str) -> Option<String> {
        self.0.get(&(thing, name.to_ascii_lowercase())).map(|text| text.to_string())
    }
}
