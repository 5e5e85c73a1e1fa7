//! Who is answered by the admin listener.

use std::sync::Arc;

use super::entry::ServerCertificate;

/// What `[admin]` says that a reload may change.
#[derive(Debug, Default)]
pub struct AdminRules {
    /// SHA-256 of the token that changes need, and questions from other machines; `None` = there is none.
    pub token: Option<[u8; 32]>,
    /// Names by which the admin listener may be asked, besides its addresses and `localhost`: lower case, without a port.
    pub host_names: Box<[Box<str>]>,
    /// TLS of the admin listener; `None` = plain HTTP.
    pub tls: Option<AdminTls>,
}

/// TLS of the admin listener.
#[derive(Debug)]
pub struct AdminTls {
    /// Certificate, versions, and whose client certificates are trusted.
    pub config: Arc<rustls::ServerConfig>,
    /// What is shown, for people.
    pub certificates: Box<[ServerCertificate]>,
}
