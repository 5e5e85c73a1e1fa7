//! A line of a log, whatever its form.

use std::borrow::Cow;
use std::time::SystemTime;

/// How precise the time of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    Second,
    Exact,
}

/// A line of a log, of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'l> {
    /// When its request was over.
    pub(super) over: SystemTime,
    pub(super) grain: Grain,
    /// How long it took, in microseconds.
    pub(super) took_us: u64,
    pub(super) client: &'l str,
    pub(super) method: Cow<'l, str>,
    pub(super) target: Cow<'l, str>,
    pub(super) host: Option<Cow<'l, str>>,
    pub(super) agent: Option<Cow<'l, str>>,
    pub(super) status: Option<u16>,
    /// Bytes of its body.
    pub(super) body: u64,
    /// Bytes that the server sent.
    pub(super) received: Option<u64>,
}
