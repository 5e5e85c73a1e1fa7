//! Why a client connection ended before its first request. Closed, as [`crate::error::Error`] is for requests: there is no
//! request yet that could be answered, so the connection closes, and is counted by these words.

/// Why a client connection ended before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionError {
    /// The bytes are not TLS, or the handshake broke its rules.
    TlsProtocol,
    /// Client and proxy have no version, cipher suite or key exchange in common.
    TlsIncompatible,
    /// The client ended the handshake with an alert: most often it does not trust our certificate.
    TlsRefusedByClient,
    /// The client's certificate is not trusted, not valid now, or revoked.
    TlsClientCertificate,
    /// The handshake took too long.
    TlsTimeout,
    /// What should be a `ClientHello` is not one, or is too large.
    HelloInvalid,
    /// The `ClientHello` did not come in time.
    HelloTimeout,
    /// No role is for the server name, or there is none.
    HelloNoRoute,
    /// A peer that is not trusted began with a PROXY protocol header.
    ProxyUntrusted,
    /// A trusted peer began without a PROXY protocol header.
    ProxyMissing,
    /// The PROXY protocol header is broken, cut or too large.
    ProxyInvalid,
    /// The PROXY protocol header did not come in time.
    ProxyTimeout,
    /// The client went away before its first request could begin.
    ClientGone,
    /// The client had sent nothing, and others had no room.
    GaveWay,
}

impl ConnectionError {
    /// All of them, in the order of [`ConnectionError::index`].
    pub const ALL: [Self; 14] = [
        Self::TlsProtocol,
        Self::TlsIncompatible,
        Self::TlsRefusedByClient,
        Self::TlsClientCertificate,
        Self::TlsTimeout,
        Self::HelloInvalid,
        Self::HelloTimeout,
        Self::HelloNoRoute,
        Self::ProxyUntrusted,
        Self::ProxyMissing,
        Self::ProxyInvalid,
        Self::ProxyTimeout,
        Self::ClientGone,
        Self::GaveWay,
    ];

    /// Position in [`ConnectionError::ALL`], for tables of metric handles.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word in metrics and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TlsProtocol => "tls_protocol",
            Self::TlsIncompatible => "tls_incompatible",
            Self::TlsRefusedByClient => "tls_refused_by_client",
            Self::TlsClientCertificate => "tls_client_certificate",
            Self::TlsTimeout => "tls_timeout",
            Self::HelloInvalid => "hello_invalid",
            Self::HelloTimeout => "hello_timeout",
            Self::HelloNoRoute => "hello_no_route",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyMissing => "proxy_missing",
            Self::ProxyInvalid => "proxy_invalid",
            Self::ProxyTimeout => "proxy_timeout",
            Self::ClientGone => "client_gone",
            Self::GaveWay => "gave_way",
        }
    }

    /// One sentence for logs and documents.
    pub fn details(self) -> &'static str {
        match self {
            Self::TlsProtocol => "the bytes are not a TLS handshake",
            Self::TlsIncompatible => "client and listener have no TLS version or cipher suite in common",
            Self::TlsRefusedByClient => "the client ended the handshake: most often it does not trust the certificate",
            Self::TlsClientCertificate => "the client's certificate is not trusted, not valid now, or revoked",
            Self::TlsTimeout => "the TLS handshake took too long",
            Self::HelloInvalid => "the bytes are not a ClientHello, or it is too large",
            Self::HelloTimeout => "the ClientHello did not come in time",
            Self::HelloNoRoute => "no role of the listener is for the server name, or there is none",
            Self::ProxyUntrusted => "a peer that is not trusted sent a PROXY protocol header",
            Self::ProxyMissing => "a trusted peer sent no PROXY protocol header",
            Self::ProxyInvalid => "the PROXY protocol header is broken, cut or too large",
            Self::ProxyTimeout => "the PROXY protocol header did not come in time",
            Self::ClientGone => "the client went away before its first request",
            Self::GaveWay => "the client had sent nothing yet, and others had no room",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_in_order_and_has_words_of_its_own() {
        for (position, error) in ConnectionError::ALL.into_iter().enumerate() {
            assert_eq!(error.index(), position, "{error:?}");
            let same = ConnectionError::ALL.into_iter().filter(|other| other.reason() == error.reason());
            assert_eq!(same.count(), 1, "{error:?}");
        }
    }
}
