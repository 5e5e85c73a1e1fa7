//! How a connection to an endpoint was made, and so which requests may go on it.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::model::endpoint::Endpoint;
use crate::model::role::{ProxyProtocol, Role};
use crate::model::tls::{Offer, Proof};

/// How a connection was made. It goes where the connection goes.
#[derive(Clone, Debug)]
pub struct Made {
    /// Held, and not only its address: that of one that is gone may be another's by now.
    tls: Option<Arc<ClientConfig>>,
    http2: bool,
    proxy_protocol: ProxyProtocol,
}

impl Made {
    /// As connections to this endpoint are made for a client that has shown this.
    pub fn new(endpoint: &Endpoint, proof: Proof) -> Self {
        let Role { http2, proxy_protocol, .. } = *endpoint.role;
        Self { tls: endpoint.offer(proof).map(|offer| Arc::clone(&offer.any)), http2, proxy_protocol }
    }

    /// Whether a request of such a client to this endpoint may go on it.
    pub fn suits(&self, endpoint: &Endpoint, proof: Proof) -> bool {
        self.is_of(&endpoint.role) && self.is_under(endpoint.offer(proof))
    }

    /// Whether the request of some client may. After a reload none may go on an old one.
    pub fn suits_any(&self, endpoint: &Endpoint) -> bool {
        [Proof::Certificate, Proof::Nothing].into_iter().any(|proof| self.suits(endpoint, proof))
    }

    /// Of a connection without TLS.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { tls: None, http2: false, proxy_protocol: ProxyProtocol::Off }
    }

    fn is_of(&self, role: &Role) -> bool {
        self.http2 == role.http2 && self.proxy_protocol == role.proxy_protocol
    }

    fn is_under(&self, offer: Option<&Offer>) -> bool {
        match (&self.tls, offer) {
            (Some(under), Some(offer)) => offer.is(under),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::metrics::{EndpointMetrics, Metrics};
    use crate::model::endpoint::EndpointState;
    use crate::model::presets;
    use crate::model::tls::Tls;

    fn offer() -> Offer {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Offer::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(), [0; 32])
    }

    fn endpoint(ours: &Offer, bare: &Offer, lend_certificate: bool) -> Endpoint {
        let server_name = ServerName::try_from("mp1.lab.test").unwrap();
        Endpoint {
            subnet: None,
            system: Arc::from("mp1"),
            system_index: 0,
            address: ([10, 0, 0, 1], 443).into(),
            host: Arc::from("mp1"),
            configured_weight: 100,
            weight: 100,
            role: Arc::new(Role { lend_certificate, ..presets::plain() }),
            tls: Some(Tls { server_name, ours: ours.clone(), bare: bare.clone() }),
            hash: 0,
            state: Arc::new(EndpointState::new(1)),
            metrics: EndpointMetrics::new(&Metrics::new(), "web", "mp1", "10.0.0.1:443"),
        }
    }

    #[test]
    fn a_connection_is_for_clients_who_have_shown_as_much() {
        let (ours, bare) = (offer(), offer());
        let to = endpoint(&ours, &bare, false);
        let [with, without] = [Proof::Certificate, Proof::Nothing].map(|proof| Made::new(&to, proof));
        assert!(with.suits(&to, Proof::Certificate) && !with.suits(&to, Proof::Nothing) && with.suits_any(&to));
        assert!(
            !without.suits(&to, Proof::Certificate) && without.suits(&to, Proof::Nothing) && without.suits_any(&to)
        );
        let lends = endpoint(&ours, &bare, true);
        assert!(with.suits(&lends, Proof::Nothing) && with.suits(&lends, Proof::Certificate));
        assert!(!without.suits_any(&lends), "there is no use for it any more");
        let has_none = endpoint(&bare, &bare, false);
        assert!(without.suits(&has_none, Proof::Nothing) && without.suits(&has_none, Proof::Certificate));
        assert!(!Made::plain().suits_any(&has_none));
        let plain = Endpoint { tls: None, ..endpoint(&bare, &bare, false) };
        assert!(Made::plain().suits(&plain, Proof::Nothing) && !without.suits_any(&plain));
    }

    #[test]
    fn an_equal_configuration_is_another_one() {
        let (old, new) = (offer(), offer());
        let made = Made::new(&endpoint(&old, &old, false), Proof::Nothing);
        let copy = Offer::new(ClientConfig::clone(&old.any), old.terms);
        assert!(!made.suits_any(&endpoint(&new, &new, false)) && !made.suits_any(&endpoint(&copy, &copy, false)));
        let held = Arc::downgrade(&old.any);
        drop((old, copy));
        assert!(held.upgrade().is_some(), "or the next one could be where it was");
        drop(made);
        assert!(held.upgrade().is_none());
    }
}
