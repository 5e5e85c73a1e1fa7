//! What the flags say about TLS and users.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rolegate_bench::pki::{Identity, Wanted};
use rolegate_bench::site::{ClientCertificate, Role, Spec, Tls};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Clients {
    None,
    Optional,
    Required,
}

#[derive(Debug, Args)]
pub(crate) struct Secure {
    /// Every site system speaks HTTPS, with a certificate that it makes itself unless --tls-certificate is given
    #[arg(long)]
    tls: bool,

    /// Client notification speaks TLS too
    #[arg(long)]
    tls_notification: bool,

    /// The certificate of all site systems, and those that vouch for it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The key of --tls-certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Whether clients are asked for a certificate, and whether they need one
    #[arg(long, value_enum, default_value_t = Clients::None)]
    client_certificate: Clients,

    /// The authorities that the certificates of clients must come from
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,

    /// HTTPS offers HTTP/2
    #[arg(long)]
    http2: bool,

    /// A user that may log on where Windows authentication is needed: NAME:PASSWORD or DOMAIN\NAME:PASSWORD
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,

    /// Content needs Windows authentication
    #[arg(long)]
    no_anonymous_content: bool,
}

fn read(flag: &str, file: &Path, wrong: &mut Vec<String>) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| {
        wrong.push(format!("{flag} {}: cannot be read: {error}", file.display()));
        String::new()
    })
}

impl Secure {
    fn clients(&self, wrong: &mut Vec<String>) -> ClientCertificate {
        let authorities = self.client_ca.as_deref().map(|file| read("--client-ca", file, wrong));
        match (self.client_certificate, authorities) {
            (Clients::None, None) => ClientCertificate::None,
            (Clients::Optional, None) => ClientCertificate::Optional,
            (Clients::Required, Some(authorities)) => ClientCertificate::Required(authorities),
            (Clients::Required, None) => {
                wrong.push("--client-certificate required: needs --client-ca".to_owned());
                ClientCertificate::None
            }
            (Clients::None | Clients::Optional, Some(_)) => {
                wrong.push("--client-ca: only with --client-certificate required".to_owned());
                ClientCertificate::None
            }
        }
    }

    fn identity(&self, wrong: &mut Vec<String>) -> Option<Identity> {
        let (certificate, key) = (self.tls_certificate.as_deref()?, self.tls_key.as_deref()?);
        Some(Identity::from_pem(&read("--tls-certificate", certificate, wrong), &read("--tls-key", key, wrong)))
    }

    /// Adds what these flags say to every site system, and what is wrong with them to `wrong`.
    pub(crate) fn apply(&self, specs: Vec<Spec>, wrong: &mut Vec<String>) -> Vec<Spec> {
        let clients = self.clients(wrong);
        let identity = self.identity(wrong);
        if !self.tls
            && !self.tls_notification
            && (identity.is_some() || self.http2 || clients != ClientCertificate::None)
        {
            wrong.push("--tls-certificate, --client-certificate and --http2: only with --tls".to_owned());
        }
        let users: Vec<_> = self.users.iter().map(|user| (user, user.split_once(':'))).collect();
        for (user, _) in users.iter().filter(|(_, parts)| parts.is_none()) {
            wrong.push(format!("--user {user}: no ':'; expected NAME:PASSWORD, for example ann:secret"));
        }
        let applied = specs.into_iter().map(|spec| {
            let spec = spec.anonymous_content(!self.no_anonymous_content);
            let spec =
                users.iter().filter_map(|(_, parts)| *parts).fold(spec, |spec, (name, word)| spec.user(name, word));
            if !self.tls && !self.tls_notification {
                return spec;
            }
            let own = || Identity::self_signed(&Wanted::server(&[spec.name(), "localhost", "127.0.0.1"]));
            let tls = Tls::new(identity.clone().unwrap_or_else(own)).clients(clients.clone()).http2(self.http2);
            if let Err(error) = tls.check() {
                wrong.push(format!("TLS of {}: {error}", spec.name()));
            }
            let notification = tls.clone();
            let spec = if self.tls { spec.tls(tls) } else { spec };
            if self.tls_notification && spec.has(Role::ClientNotification) {
                spec.notification_tls(notification)
            } else {
                spec
            }
        });
        applied.collect()
    }
}
