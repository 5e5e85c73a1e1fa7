//! What one question found out.

use std::fmt;

use serde::Serialize;

/// The longest [`Failure::detail`], in bytes.
pub const DETAIL_LIMIT: usize = 256;

/// What one probe says about a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The server answered as expected.
    Pass,
    /// The server answers, but what it depends on does not.
    Degraded(Failure),
    /// The server did not answer, or not as expected.
    Fail(Failure),
    /// The question could not be put, for want of something of our own: nothing is known.
    Unknown(Failure),
}

impl Verdict {
    /// What follows from a question without an answer: a failure of the server, unless the want was ours.
    pub fn unanswered(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Local => Self::Unknown(failure),
            FailureKind::Timeout
            | FailureKind::Refused
            | FailureKind::Unreachable
            | FailureKind::Reset
            | FailureKind::Tls
            | FailureKind::Status
            | FailureKind::Body
            | FailureKind::Protocol
            | FailureKind::Live => Self::Fail(failure),
        }
    }

    /// The verdict without its reason; `None` when nothing is known.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Pass => Some(Outcome::Pass),
            Self::Degraded(_) => Some(Outcome::Degraded),
            Self::Fail(_) => Some(Outcome::Fail),
            Self::Unknown(_) => None,
        }
    }

    /// The reason; `None` for a pass.
    pub fn into_failure(self) -> Option<Failure> {
        match self {
            Self::Pass => None,
            Self::Degraded(failure) | Self::Fail(failure) | Self::Unknown(failure) => Some(failure),
        }
    }
}

/// A verdict without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As expected.
    Pass,
    /// The server answers, but what it depends on does not.
    Degraded,
    /// No answer, or not the expected one.
    Fail,
}

/// Why a probe did not pass, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The reason as a word that metrics and filters can use.
    pub kind: FailureKind,
    /// What was seen, for a person: printable, at most [`DETAIL_LIMIT`] bytes. [`Failure::new`] sees to both.
    pub detail: String,
}

impl Failure {
    /// A failure whose detail is made printable and cut to [`DETAIL_LIMIT`] bytes, never inside a character.
    pub fn new(kind: FailureKind, detail: impl AsRef<str>) -> Self {
        let mut text = String::new();
        for c in detail.as_ref().chars() {
            let c = if is_printable(c) { c } else { '.' };
            if text.len() + c.len_utf8() > DETAIL_LIMIT {
                break;
            }
            text.push(c);
        }
        Self { kind, detail: text }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// Line breaks forge log lines, and direction marks make a terminal show something that is not there.
fn is_printable(c: char) -> bool {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !reorders && c != '\u{feff}'
}

/// The closed list of reasons for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No answer within the deadline.
    Timeout,
    /// Nothing listens on the port.
    Refused,
    /// No way to the address.
    Unreachable,
    /// The connection was closed or reset before the answer was complete.
    Reset,
    /// The TLS handshake failed.
    Tls,
    /// An answer with an unexpected status.
    Status,
    /// An expected status, but the body lacks the expected text.
    Body,
    /// The answer is not HTTP, or the question cannot be asked in HTTP.
    Protocol,
    /// Live traffic, not a probe, took the server out.
    Live,
    /// This process has no descriptor, port or memory left for the question.
    Local,
}

impl FailureKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Refused,
        Self::Unreachable,
        Self::Reset,
        Self::Tls,
        Self::Status,
        Self::Body,
        Self::Protocol,
        Self::Live,
        Self::Local,
    ];

    /// The word in logs, metrics and the admin interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Status => "status",
            Self::Body => "body",
            Self::Protocol => "protocol",
            Self::Live => "live",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_detail_is_cut_before_a_character_that_does_not_fit() {
        let text = format!("{}é and more", "x".repeat(DETAIL_LIMIT - 1));
        let failure = Failure::new(FailureKind::Body, text);
        assert_eq!(failure.detail, "x".repeat(DETAIL_LIMIT - 1), "é needs two bytes and only one is left");

        let exact = format!("{}é", "x".repeat(DETAIL_LIMIT - 2));
        assert_eq!(Failure::new(FailureKind::Body, &exact).detail, exact);
    }

    #[test]
    fn the_detail_is_printable() {
        for (text, shown) in [
            ("one\r\ntwo", "one..two"),
            ("bell\u{7}", "bell."),
            ("\u{202e}txt.exe", ".txt.exe"),
            ("naïve {GUID} $", "naïve {GUID} $"),
        ] {
            assert_eq!(Failure::new(FailureKind::Body, text).detail, shown);
        }
    }

    #[test]
    fn a_failure_reads_as_kind_and_detail() {
        assert_eq!(Failure::new(FailureKind::Tls, "bad certificate").to_string(), "tls: bad certificate");
    }

    #[test]
    fn every_kind_has_one_name() {
        let mut names = std::collections::HashSet::new();
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert!(names.insert(kind.as_str()), "{kind} twice");
        }
    }
}
