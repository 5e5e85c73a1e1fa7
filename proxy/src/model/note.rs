//! What data threads tell the control thread of what they learn. The tables of [`super::live`] hold only hashes; names, for
//! whoever asks what is known, are kept on the control thread.

use std::sync::Arc;

use super::content::Said;
use super::role::Role;

/// How a search for a file has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Another server has it: the content exists.
    Found,
    /// No server has it, and perhaps there is no such content.
    InVain,
}

/// Something learned. Sent once for each piece of news, and dropped when the control thread is behind: a name is lost, not
/// the knowledge.
#[derive(Debug)]
pub enum Note {
    /// A server answered a question for a content.
    Answer {
        /// The content as it was written.
        content: Box<str>,
        /// Path of its folder.
        folder: Box<str>,
        /// What the answer says.
        said: Said,
    },
    /// Servers lack a file of a content: do they lack the content?
    Doubt {
        /// Ids of the servers' live parts.
        endpoints: Box<[u32]>,
        /// Path of the folder of the content.
        folder: Box<str>,
        /// What became of the search for the file.
        search: Search,
    },
    /// A fallback clock was started.
    Clock {
        /// Its key in [`super::live::Live`].
        key: u64,
        /// For which role.
        role: Arc<Role>,
        /// Code of the site, for a role of one of several.
        site: Option<Arc<str>>,
        /// Names of the boundary groups of its clients; empty for clients of none.
        groups: Box<[Box<str>]>,
        /// The content that could not be had, for roles with content.
        content: Option<Box<str>>,
    },
}
