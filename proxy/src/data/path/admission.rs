//! On what grounds a client connection was let in, and whether they still hold.
//!
//! A connection may live for hours, and longer than the trust that it began with: an authority or a revocation list is replaced,
//! a certificate ends, a load balancer is taken from a list. What would not be let in today is not served any more.

use std::cell::Cell;
use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::model::entry::{Entry, Security};
use crate::model::snapshot::{ListenerId, Snapshot};
use crate::model::stay::subject_hash;

/// The grounds of one connection. A plain one that has said nothing of itself has none.
#[derive(Debug)]
pub struct Admission {
    /// The load balancer whose word it was who the client is.
    told_by: Option<IpAddr>,
    /// TLS that ends here.
    secured: Option<Shown>,
    /// When the client's certificate ends, on the clock of the data thread.
    expires_ms: u64,
    /// Hash of who it is for.
    subject: Option<u64>,
    /// The generation of the configuration under which the grounds were looked at last.
    checked: Cell<u64>,
    holds: Cell<bool>,
}

/// What was shown in a handshake.
#[derive(Debug)]
pub struct Shown {
    /// The client's certificate, and those of its authorities. Empty: none.
    pub chain: Box<[CertificateDer<'static>]>,
    /// Under which trust it was verified.
    pub trust: [u8; 32],
}

impl Admission {
    /// The grounds of a connection that begins now, under the configuration of this generation.
    pub fn new(told_by: Option<IpAddr>, secured: Option<Shown>, generation: u64, now_ms: u64) -> Self {
        let certificate = secured.as_ref().and_then(|shown| shown.chain.first());
        let read = certificate.and_then(|certificate| X509Certificate::from_der(certificate).ok());
        let left_ms = read.as_ref().map(|(_, certificate)| left_ms(certificate, UnixTime::now()));
        Self {
            expires_ms: left_ms.map_or(u64::MAX, |left| now_ms.saturating_add(left)),
            subject: read.as_ref().and_then(|(_, certificate)| subject(certificate)),
            told_by,
            secured,
            checked: Cell::new(generation),
            holds: Cell::new(true),
        }
    }

    /// When its certificate ends, on the clock of the data thread.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Hash of who the client's certificate is for.
    pub fn subject(&self) -> Option<u64> {
        self.subject
    }

    /// Whether they hold under this configuration. Looked at once for each.
    pub fn holds(&self, entry: &Entry, generation: u64) -> bool {
        if self.checked.replace(generation) != generation && self.holds.get() {
            self.holds.set(self.is_told_rightly(entry) && self.is_secured_rightly(entry));
        }
        self.holds.get()
    }

    fn is_told_rightly(&self, entry: &Entry) -> bool {
        self.told_by.is_none_or(|from| entry.announces(from) == Some(true))
    }

    fn is_secured_rightly(&self, entry: &Entry) -> bool {
        match (&self.secured, &entry.security) {
            (None, _) => is_plain_allowed(entry),
            // Whether a path needs a certificate is decided request by request.
            (Some(shown), Security::Terminated(now)) => {
                now.trust == shown.trust || shown.chain.is_empty() || now.trusts(&shown.chain, UnixTime::now())
            }
            (Some(_), Security::Plain | Security::Passthrough { .. }) => false,
        }
    }
}

/// Whether a connection is let in that has only its address, which the kernel vouches for, or these grounds. None is by a listener
/// that has left.
pub fn holds(admission: Option<&Admission>, snapshot: &Snapshot, listener: ListenerId) -> bool {
    let Some(entry) = snapshot.site.listener(listener).map(|listener| &listener.entry) else { return false };
    admission.map_or_else(|| is_plain_allowed(entry), |admission| admission.holds(entry, snapshot.generation))
}

/// What is passed through has rules of its own, which the request path knows.
fn is_plain_allowed(entry: &Entry) -> bool {
    match entry.security {
        Security::Plain | Security::Passthrough { .. } => true,
        Security::Terminated(_) => false,
    }
}

/// Milliseconds until a certificate ends.
fn left_ms(certificate: &X509Certificate<'_>, now: UnixTime) -> u64 {
    let end = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    // It is good for all of its last second.
    end.saturating_add(1).saturating_sub(now.as_secs()).saturating_mul(1000)
}

/// Who a certificate is for: its subject, or where that is empty (certificates of computers have their name elsewhere) the first DNS
/// name beside it.
fn subject(certificate: &X509Certificate<'_>) -> Option<u64> {
    let name = certificate.subject().to_string();
    if !name.is_empty() {
        return Some(subject_hash(&name));
    }
    let names = certificate.subject_alternative_name().ok().flatten()?;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some(subject_hash(name)),
        _ => None,
    })
}
