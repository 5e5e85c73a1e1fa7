//! TLS towards a site system, in two ways: with a client certificate of ours, and without.

use std::sync::Arc;

use rolegate_health::TlsProbe;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// What a client has shown of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate that its listener trusts.
    Certificate,
    /// Nothing: it may be anyone.
    Nothing,
}

/// How TLS connections to a site system in one role are made.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name that its certificate must be for.
    pub server_name: ServerName<'static>,
    /// Shows a certificate of ours, if there is one: for our own questions, and for clients that have shown one.
    pub ours: Offer,
    /// Shows none. The same as `ours` where we have none to show.
    pub bare: Offer,
}

/// What is offered in a handshake. Sessions that are resumed belong to one offer: they carry what was shown when they began.
#[derive(Clone, Debug)]
pub struct Offer {
    /// For connections that may speak whatever the role does.
    pub any: Arc<ClientConfig>,
    /// For those that must not be HTTP/2. The same as `any` where that is not offered.
    pub http1: Arc<ClientConfig>,
    /// Whom it trusts and what it shows: the same in offers that are made again of the same files.
    pub terms: [u8; 32],
}

impl Tls {
    /// Whether a certificate of ours is shown to some.
    pub fn has_certificate(&self) -> bool {
        !self.ours.is(&self.bare.any)
    }

    /// For our own questions, which are HTTP/1.1.
    pub fn probe(&self) -> TlsProbe {
        TlsProbe { config: Arc::clone(&self.ours.http1), server_name: self.server_name.clone() }
    }
}

impl Offer {
    /// Leaves HTTP/2 out where it must be.
    pub fn new(any: ClientConfig, terms: [u8; 32]) -> Self {
        let h2 = |protocol: &Vec<u8>| protocol == b"h2";
        let any = Arc::new(any);
        let mut http1 = Arc::clone(&any);
        if any.alpn_protocols.iter().any(h2) {
            Arc::make_mut(&mut http1).alpn_protocols.retain(|protocol| !h2(protocol));
        }
        Self { any, http1, terms }
    }

    /// Whether it is the offer of this configuration. Equal ones are not the same: what one of them trusts may be gone.
    pub fn is(&self, any: &Arc<ClientConfig>) -> bool {
        Arc::ptr_eq(&self.any, any)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::RootCertStore;

    use super::*;

    #[test]
    fn http2_is_left_out_of_what_must_not_be() {
        let offer = |protocols: &[&[u8]]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Offer::new(config, [0; 32])
        };
        let both = offer(&[b"h2", b"http/1.1"]);
        assert_eq!(both.any.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(both.http1.alpn_protocols, [b"http/1.1".to_vec()]);
        let one = offer(&[b"http/1.1"]);
        assert!(Arc::ptr_eq(&one.any, &one.http1) && !one.is(&both.any));
        let server_name = ServerName::try_from("mp1.lab.test").unwrap();
        let tls = Tls { server_name, ours: both, bare: one };
        assert!(tls.has_certificate() && Arc::ptr_eq(&tls.probe().config, &tls.ours.http1));
    }
}
