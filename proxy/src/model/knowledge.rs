//! What is known of one content at the servers of a role.

use super::live::{Live, Ticks, Verdict};

/// What is known of the content of one request.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    /// Where it is kept.
    pub live: &'a Live,
    /// Key of the whole content.
    pub content: u64,
    /// Key of the file, when the request names one.
    pub file: Option<u64>,
    /// Some server lacks the content or a file of it.
    pub missing: bool,
    /// Now.
    pub now: Ticks,
    /// How long a server that lacks something is not asked for it.
    pub ttl: Ticks,
}

/// What a server lacks, and for how many ticks that has been known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Lack {
    Content(Ticks),
    File(Ticks),
}

impl Knowledge<'_> {
    /// What of the request a server is known to lack.
    pub fn lacks(&self, endpoint: u32) -> Option<Lack> {
        if !self.missing {
            return None;
        }
        let lacks = |key| match self.live.verdict(key, endpoint, self.now, self.ttl)? {
            (Verdict::Lacks, age) => Some(age),
            (Verdict::Has, _) => None,
        };
        lacks(self.content).map(Lack::Content).or_else(|| lacks(self.file?).map(Lack::File))
    }

    /// Whether a server is known to have the content.
    pub fn has(&self, endpoint: u32) -> bool {
        matches!(self.live.verdict(self.content, endpoint, self.now, self.ttl), Some((Verdict::Has, _)))
    }
}
