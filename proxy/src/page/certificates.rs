//! Certificates of listeners, the next to end first.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::{self, Align, State};
use super::{Made, Shown};
use crate::model::admin::AdminRules;
use crate::status::{CertificateStatus, ListenerStatus, Status};

/// Fewer days than this are worth a word.
const SOON: i64 = 30;
/// What the admin listener is called here.
const ADMIN: &str = "[admin]";

/// One certificate with its listener.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ListenerCertificate {
    /// The listener; `[admin]` for the admin listener.
    pub listener: String,
    /// The certificate.
    #[serde(flatten)]
    pub certificate: CertificateStatus,
}

/// Those of the admin listener.
pub(super) fn of_admin(rules: &AdminRules) -> Vec<CertificateStatus> {
    let now = crate::status::seconds(std::time::SystemTime::now()) as i64;
    let own = rules.tls.iter().flat_map(|tls| &tls.certificates);
    own.map(|certificate| crate::status::certificate(certificate, now)).collect()
}

/// All of them, the next to end first.
pub(super) fn all(status: &Status, admin: &[CertificateStatus]) -> Vec<ListenerCertificate> {
    let of = |listener: &ListenerStatus| {
        let name = listener.name.clone();
        let each = listener.certificates.clone().into_iter();
        each.map(move |certificate| ListenerCertificate { listener: name.clone(), certificate })
    };
    let admin = admin.iter().cloned();
    let admin = admin.map(|certificate| ListenerCertificate { listener: ADMIN.to_owned(), certificate });
    let mut all: Vec<ListenerCertificate> = status.listeners.iter().flat_map(of).chain(admin).collect();
    all.sort_by(|a, b| a.certificate.not_after.total_cmp(&b.certificate.not_after));
    all
}

pub(super) fn page(shown: &Shown, admin: &[CertificateStatus]) -> Made {
    let all = all(&shown.status, admin);
    let head = [
        ("Certificate for", Align::Text),
        ("Listener", Align::Text),
        ("State", Align::Text),
        ("Days left", Align::Number),
        ("Valid", Align::Text),
        ("File", Align::Text),
    ];
    let rows = html! { @for one in &all { (row(shown, one)) } };
    let live = html! {
        @if all.is_empty() { p.empty { "No listener ends TLS: there is no certificate to watch." } }
        @else { (parts::table("Certificates", &head, &rows)) }
    };
    let still = html! { p.lead { "A renewed certificate is served as soon as its files are in place." } };
    Made::live("Certificates", still, live)
}

fn row(shown: &Shown, one: &ListenerCertificate) -> Markup {
    let ListenerCertificate { listener, certificate } = one;
    let (state, word) = match certificate.days_left {
        _ if certificate.not_before > shown.now => (State::Down, "not valid yet"),
        ..0 => (State::Down, "expired"),
        0..SOON => (State::Degraded, "ends soon"),
        SOON.. => (State::Up, "valid"),
    };
    html! {
        tr {
            th scope="row" { (parts::names(&certificate.names, 4, |name| html! { (name) })) }
            td data-label="Listener" { (listener) }
            td data-label="State" { (parts::marked(state, word)) }
            td.n data-label="Days left" { (certificate.days_left) }
            td data-label="Valid" { (parts::moment(certificate.not_before)) " to " (parts::moment(certificate.not_after)) }
            td.wide data-label="File" { code { (certificate.file) } }
        }
    }
}
