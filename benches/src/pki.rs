//! A throw-away public key infrastructure: certification authorities, the identities they issue and revoke, and the
//! files that programs read them from.
//!
//! Everything is made in memory and forgotten with the process. Keys are ECDSA P-256 unless RSA is asked for, because
//! an RSA key takes a noticeable time to find.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::content::Hash;
use crate::tls;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What kind of key a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// ECDSA on the curve P-256: made at once.
    #[default]
    EcdsaP256,
    /// RSA with 2048 bits: made in a fraction of a second.
    Rsa2048,
}

impl Algorithm {
    fn key(self) -> KeyPair {
        let algorithm = match self {
            Self::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
            Self::Rsa2048 => &PKCS_RSA_SHA256,
        };
        KeyPair::generate_for(algorithm).expect("the provider makes keys of both kinds")
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Server,
    Client,
}

/// A certificate before it is issued.
#[derive(Debug, Clone)]
pub struct Wanted {
    common_name: String,
    names: Vec<String>,
    usage: Usage,
    algorithm: Algorithm,
    from: SystemTime,
    until: SystemTime,
}

impl Wanted {
    fn new(common_name: &str, names: &[&str], usage: Usage) -> Self {
        let now = SystemTime::now();
        Self {
            common_name: common_name.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            usage,
            algorithm: Algorithm::default(),
            from: now - DAY,
            until: now + 30 * DAY,
        }
    }

    /// A certificate of a server that goes by these names and addresses; the first is its common name.
    #[must_use]
    pub fn server(names: &[&str]) -> Self {
        Self::new(names.first().copied().unwrap_or_default(), names, Usage::Server)
    }

    /// A certificate of a client computer.
    #[must_use]
    pub fn client(name: &str) -> Self {
        Self::new(name, &[], Usage::Client)
    }

    /// For a key of this kind.
    #[must_use]
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Good from one time to another; from yesterday for a month unless told otherwise.
    #[must_use]
    pub const fn validity(mut self, from: SystemTime, until: SystemTime) -> Self {
        self.from = from;
        self.until = until;
        self
    }

    /// Good until an hour ago.
    #[must_use]
    pub fn expired(self) -> Self {
        let until = SystemTime::now() - Duration::from_secs(3600);
        self.validity(until - 30 * DAY, until)
    }

    fn params(&self, serial: u64) -> CertificateParams {
        let mut params = CertificateParams::new(self.names.clone()).expect("a name is plain ASCII");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.clone());
        params.serial_number = Some(SerialNumber::from(serial));
        let epoch = date_time_ymd(1970, 1, 1);
        (params.not_before, params.not_after) = (epoch + since_epoch(self.from), epoch + since_epoch(self.until));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        params
    }
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate; if it was made elsewhere, perhaps with those of its issuers.
    pub certificate_pem: String,
    /// The key, in PKCS #8.
    pub key_pem: String,
    serial: u64,
}

impl Identity {
    /// A certificate that nobody vouches for, as clients and site systems make their own.
    ///
    /// # Panics
    /// A name cannot stand in a certificate.
    #[must_use]
    pub fn self_signed(wanted: &Wanted) -> Self {
        let key = wanted.algorithm.key();
        let serial = fastrand::u64(1..=i64::MAX as u64);
        let mut params = wanted.params(serial);
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key).expect("these parameters can be signed");
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }

    /// An identity that was made elsewhere. No [`Authority`] here can revoke it.
    #[must_use]
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Self {
        Self { certificate_pem: certificate_pem.to_owned(), key_pem: key_pem.to_owned(), serial: 0 }
    }

    /// The chain and the key, as TLS takes them.
    pub(crate) fn chain_and_key(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes());
        Ok((tls::certificates(&self.certificate_pem)?, key.map_err(|error| format!("there is no key in it: {error}"))?))
    }

    /// The SHA-256 of the certificate in DER.
    ///
    /// # Panics
    /// [`Identity::certificate_pem`] was changed to something that is no certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        let der = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("this was issued as PEM");
        Sha256::digest(&der).into()
    }

    /// Writes `name.crt` and `name.key` to `folder`, and returns where they are.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<IdentityFiles> {
        let files =
            IdentityFiles { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
        std::fs::write(&files.certificate, &self.certificate_pem)?;
        std::fs::write(&files.key, &self.key_pem)?;
        Ok(files)
    }
}

/// Where an identity was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A certification authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    serial: AtomicU64,
}

impl Authority {
    /// An authority of that name with an ECDSA key.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_algorithm(name, Algorithm::default())
    }

    /// An authority of that name with a key of that kind.
    ///
    /// # Panics
    /// The name cannot stand in a certificate.
    #[must_use]
    pub fn with_algorithm(name: &str, algorithm: Algorithm) -> Self {
        let key = algorithm.key();
        let mut params = Wanted::new(name, &[], Usage::Server).params(1);
        params.extended_key_usages.clear();
        params.use_authority_key_identifier_extension = false;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31));
        let certificate_pem = params.self_signed(&key).expect("these parameters can be signed").pem();
        Self { issuer: Issuer::new(params, key), certificate_pem, serial: AtomicU64::new(2) }
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// An identity for a server of these names and addresses.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(&Wanted::server(names))
    }

    /// An identity for a client computer.
    #[must_use]
    pub fn client(&self, name: &str) -> Identity {
        self.issue(&Wanted::client(name))
    }

    /// Issues what is wanted.
    ///
    /// # Panics
    /// A name cannot stand in a certificate.
    #[must_use]
    pub fn issue(&self, wanted: &Wanted) -> Identity {
        let key = wanted.algorithm.key();
        let serial = self.serial.fetch_add(1, Relaxed);
        let certificate = wanted.params(serial).signed_by(&key, &self.issuer).expect("these parameters can be signed");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }

    /// A revocation list, good for a month, that names these identities, in PEM.
    ///
    /// # Panics
    /// Never: an authority may sign a list.
    #[must_use]
    pub fn crl(&self, revoked: &[&Identity]) -> String {
        let epoch = date_time_ymd(1970, 1, 1);
        let now = since_epoch(SystemTime::now());
        let revoked = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: epoch + now - DAY,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: epoch + now - DAY,
            next_update: epoch + now + 30 * DAY,
            crl_number: SerialNumber::from(self.serial.fetch_add(1, Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.issuer).and_then(|list| list.pem());
        signed.expect("an authority may sign a list")
    }

    /// Writes `name.crt` to `folder`, and returns where it is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<PathBuf> {
        let file = folder.join(format!("{name}.crt"));
        std::fs::write(&file, &self.certificate_pem)?;
        Ok(file)
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    // Certificates count whole seconds.
    Duration::from_secs(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
    use rustls::server::WebPkiClientVerifier;

    use super::*;

    fn verdict(authority: &Authority, revoked: &[&Identity], identity: &Identity) -> Result<(), String> {
        let roots = Arc::new(tls::roots(authority.certificate_pem()).unwrap());
        let list = CertificateRevocationListDer::from_pem_slice(authority.crl(revoked).as_bytes()).unwrap();
        let builder = WebPkiClientVerifier::builder_with_provider(roots, tls::provider());
        let verifier = builder.with_crls([list]).build().unwrap();
        let chain = tls::certificates(&identity.certificate_pem).unwrap();
        let judged = verifier.verify_client_cert(&chain[0], &[], UnixTime::now());
        judged.map(drop).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn clients_are_issued_revoked_and_expire() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Rsa2048] {
            let authority = Authority::with_algorithm("Lab Root CA", algorithm);
            let [one, two] = ["PC00001", "PC00002"].map(|name| authority.client(name));
            assert_eq!(verdict(&authority, &[], &one), Ok(()));
            assert_eq!(verdict(&authority, &[&two], &one), Ok(()));
            assert!(verdict(&authority, &[&one, &two], &one).unwrap_err().contains("Revoked"));
            let old = authority.issue(&Wanted::client("PC00003").expired());
            assert!(verdict(&authority, &[], &old).unwrap_err().contains("Expired"));
            let server = authority.server(&["mp1.lab.test", "127.0.0.1"]);
            assert!(verdict(&authority, &[], &server).is_err(), "a server's certificate is not for clients");
            assert!(verdict(&Authority::new("Lab Root CA"), &[], &one).is_err());
        }
    }

    #[test]
    fn identities_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Lab Root CA");
        let wanted = Wanted::server(&["mp1.lab.test"]).algorithm(Algorithm::Rsa2048);
        let identity = authority.issue(&wanted);
        let files = identity.write(folder.path(), "mp1").unwrap();
        let der = CertificateDer::from_pem_file(&files.certificate).unwrap();
        assert_eq!(identity.fingerprint(), <Hash>::from(Sha256::digest(&der)));
        PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let root = CertificateDer::from_pem_file(authority.write(folder.path(), "root").unwrap()).unwrap();
        assert_ne!(root, der);
        assert_ne!(Identity::self_signed(&wanted).fingerprint(), identity.fingerprint());
    }
}
