//! The certificates of listeners while they live: when they end, which ones may follow them, and what a reload keeps of
//! the sessions that clients have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::Gauge;

use crate::metrics::Metrics;
use crate::model::entry::{Security, ServerCertificate, Terminated};
use crate::model::snapshot::{ListenerRoutes, Site};

/// Certificates that end sooner are warned about.
const SOON: i64 = 30 * DAY;
const DAY: i64 = 24 * 3600;
/// The last second of the year 9999, where dates end.
const LAST: i64 = 253_402_300_799;

/// Validity at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    NotYet,
    Valid,
    Over,
}

/// A reload that is rejected until a certificate of it becomes valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    until: i64,
}

impl Held {
    /// Whether the certificate is valid now.
    pub fn is_over(self, now: SystemTime) -> bool {
        seconds(now) >= self.until
    }
}

/// Exports when certificates end.
#[derive(Debug)]
pub struct Expiries {
    metrics: Arc<Metrics>,
    shown: BTreeMap<(String, String), Gauge>,
}

impl Expiries {
    /// Shows none yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, shown: BTreeMap::new() }
    }

    /// Shows those of this configuration.
    pub fn show(&mut self, site: &Site) {
        let mut ends: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (listener, certificate) in all(site) {
            let key = (listener.name.to_string(), label(certificate).to_owned());
            // An RSA and an ECDSA certificate for the same name: the first to end counts.
            ends.entry(key).and_modify(|end| *end = certificate.not_after.min(*end)).or_insert(certificate.not_after);
        }
        self.shown.retain(|(listener, certificate), _| {
            let stays = ends.contains_key(&(listener.clone(), certificate.clone()));
            if !stays {
                self.metrics.forget(&labels(listener, certificate));
            }
            stays
        });
        for (key, end) in ends {
            let metrics = &self.metrics;
            let gauge = self.shown.entry(key).or_insert_with_key(|(listener, certificate)| {
                metrics.scope(&labels(listener, certificate)).gauge("rolegate_tls_certificate_expiry_seconds")
            });
            gauge.set(end as f64);
        }
    }
}

fn labels<'a>(listener: &'a str, certificate: &'a str) -> [(&'static str, &'a str); 2] {
    [("listener", listener), ("certificate", certificate)]
}

/// Which certificates are not valid now, or not for long: a line for each.
pub fn doubtful(site: &Site, now: SystemTime) -> Vec<String> {
    doubts(site, now).map(|(_, line)| line).collect()
}

/// Says so in the log.
pub fn warn(site: &Site, now: SystemTime) {
    for (validity, line) in doubts(site, now) {
        match validity {
            Validity::Over | Validity::NotYet => tracing::error!("{line}"),
            Validity::Valid => tracing::warn!("{line}"),
        }
    }
}

fn doubts(site: &Site, now: SystemTime) -> impl Iterator<Item = (Validity, String)> {
    let now = seconds(now);
    all(site).filter_map(move |(listener, certificate)| {
        let ServerCertificate { file, not_before, not_after, .. } = certificate;
        let validity = validity(certificate, now);
        let what = match validity {
            Validity::Over => {
                let end = date(*not_after);
                format!("HAS EXPIRED on {end}: clients refuse it; put a renewed one into its file")
            }
            Validity::NotYet => {
                let begin = date(*not_before);
                format!("IS NOT VALID before {begin}: clients refuse it; is the clock of this machine right?")
            }
            Validity::Valid if not_after - now < SOON => {
                let (end, days) = (date(*not_after), days_left(*not_after, now));
                format!("ends on {end}, in {days} days: put a renewed one into its file, it is served at once")
            }
            Validity::Valid => return None,
        };
        let line = format!("listener {:?}: the certificate {} in {file:?} {what}", listener.name, label(certificate));
        Some((validity, line))
    })
}

/// Why these certificates must not take the place of the ones that are served: one of them is not valid now, and the one
/// that it replaces is. Clients would be sent away although nothing is wrong with what is served.
pub fn refusal(served: &Site, wanted: &Site, now: SystemTime) -> Option<(String, Option<Held>)> {
    let now = seconds(now);
    let mut lines = Vec::new();
    // Time heals only what is not valid yet.
    let mut until = Some(now);
    for listener in &wanted.listeners {
        let old = predecessor(served, listener).map_or(&[][..], certificates);
        for (place, new) in certificates(listener).iter().enumerate() {
            let before = old.iter().find(|old| old.file == new.file).or_else(|| old.get(place));
            let Some(before) = before.filter(|before| validity(before, now) == Validity::Valid) else { continue };
            let (listener, file) = (&listener.name, &new.file);
            let (wrong, help) = match validity(new, now) {
                Validity::Valid => continue,
                Validity::Over => {
                    until = None;
                    let wrong = format!("expired on {}", date(new.not_after));
                    (
                        wrong,
                        "put a renewed certificate and its key into the files, or name others; that is seen at once",
                    )
                }
                Validity::NotYet => {
                    until = until.map(|until| until.max(new.not_before));
                    let wrong = format!("is not valid before {}", date(new.not_before));
                    (wrong, "look at the clock of this machine, or wait: it is taken as soon as it is valid")
                }
            };
            lines.push(format!(
                "listener {:?}: the certificate in {file:?} {wrong}; the one that is served, from {:?}, is good until {}\n  \
                 {help}",
                &**listener,
                before.file,
                date(before.not_after)
            ));
        }
    }
    (!lines.is_empty()).then(|| (lines.join("\n"), until.map(|until| Held { until })))
}

/// Clients go on with the sessions that they have: a reload would have every one of them make a full handshake, all at once.
/// A resumed session is not verified again, so only listeners that trust the same client certificates as before keep theirs.
pub fn keep_sessions(served: &Site, wanted: &mut Arc<Site>) {
    // Nobody else has it before it is published.
    let Some(wanted) = Arc::get_mut(wanted) else { return };
    for listener in &mut wanted.listeners {
        let old = predecessor(served, listener);
        let Some(old) = old.and_then(|old| old.entry.terminated()) else { continue };
        let Security::Terminated(new) = &mut listener.entry.security else { continue };
        let Some(new) = Arc::get_mut(new) else { continue };
        let with_tickets = |terminated: &Terminated| terminated.config.ticketer.enabled();
        if new.trust != old.trust || !with_tickets(old) || !with_tickets(new) {
            continue;
        }
        let mut config = rustls::ServerConfig::clone(&new.config);
        config.ticketer = Arc::clone(&old.config.ticketer);
        config.session_storage = Arc::clone(&old.config.session_storage);
        new.config = Arc::new(config);
    }
}

/// What a listener was before; one that has moved has its name.
fn predecessor<'a>(served: &'a Site, listener: &ListenerRoutes) -> Option<&'a ListenerRoutes> {
    served.listener(listener.id).or_else(|| served.listeners.iter().find(|old| old.name == listener.name))
}

fn validity(certificate: &ServerCertificate, now: i64) -> Validity {
    if now > certificate.not_after {
        Validity::Over
    } else if now < certificate.not_before {
        Validity::NotYet
    } else {
        Validity::Valid
    }
}

/// The name of a certificate in metrics and logs.
fn label(certificate: &ServerCertificate) -> &str {
    certificate.names.first().unwrap_or(&certificate.file)
}

fn certificates(listener: &ListenerRoutes) -> &[ServerCertificate] {
    listener.entry.terminated().map_or(&[], |terminated| &terminated.certificates)
}

fn all(site: &Site) -> impl Iterator<Item = (&ListenerRoutes, &ServerCertificate)> {
    site.listeners.iter().flat_map(|listener| certificates(listener).iter().map(move |one| (listener, one)))
}

fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Whole days until then; negative when it is past.
pub fn days_left(not_after: i64, now: i64) -> i64 {
    (not_after - now).div_euclid(DAY)
}

/// A time in seconds since 1970 as RFC 3339 writes it.
pub fn date(at: i64) -> String {
    let since = Duration::from_secs(at.clamp(0, LAST).unsigned_abs());
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::entry::KeyKind;

    #[test]
    fn dates_and_days() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(date(i64::MIN), "1970-01-01T00:00:00Z");
        for (left, days) in [(2 * DAY, 2), (DAY - 1, 0), (0, 0), (-1, -1), (-DAY - 1, -2)] {
            assert_eq!(days_left(1000 + left, 1000), days);
        }
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let certificate = ServerCertificate {
            file: "x".to_owned(),
            key: KeyKind::Rsa,
            names: Box::default(),
            not_before: 10,
            not_after: 20,
        };
        for (now, expected) in
            [(9, Validity::NotYet), (10, Validity::Valid), (20, Validity::Valid), (21, Validity::Over)]
        {
            assert_eq!(validity(&certificate, now), expected, "{now}");
        }
    }
}
