//! Certificates, keys and revocation lists as files hold them.

use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::SpannedName;
use crate::control::config::Problems;

/// A large bundle of authorities has 250 KB, a revocation list of a large site a few MB.
const LARGEST: u64 = 16 << 20;

/// The bytes of a file; what is wrong is reported.
pub(super) fn bytes(path: &SpannedName, problems: &mut Problems) -> Option<Vec<u8>> {
    let file = path.get_ref();
    match read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let what = format!("{file:?} cannot be read: {error}");
            problems.error(path.span(), what, "check the path and its permissions");
            None
        }
    }
}

/// As much as a certificate file may have, or why not.
pub(super) fn read(file: &str) -> io::Result<Vec<u8>> {
    // Asked before opening: opening a pipe would wait for somebody to write.
    if !std::fs::metadata(Path::new(file))?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(bytes)
}

/// Every certificate of a PEM file; at least one.
pub(super) fn certificates(path: &SpannedName, problems: &mut Problems) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = bytes(path, problems)?;
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    listed(path, all.ok().filter(|all| !all.is_empty()), "certificate", problems)
}

/// Every revocation list of a PEM file; at least one.
pub(super) fn revocations(
    path: &SpannedName,
    problems: &mut Problems,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let bytes = bytes(path, problems)?;
    let all: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    listed(path, all.ok().filter(|all| !all.is_empty()), "revocation list", problems)
}

/// The key of a PEM file (PKCS #8, PKCS #1 or SEC 1).
pub(super) fn key(path: &SpannedName, problems: &mut Problems) -> Option<PrivateKeyDer<'static>> {
    let bytes = bytes(path, problems)?;
    listed(path, PrivateKeyDer::from_pem_slice(&bytes).ok(), "unencrypted key", problems)
}

/// The authorities of a PEM file; at least one.
pub(super) fn authorities(path: &SpannedName, problems: &mut Problems) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path, problems)?);
    listed(path, (added > 0).then_some(roots), "certificate that could be an authority", problems)
}

fn listed<T>(path: &SpannedName, found: Option<T>, what: &str, problems: &mut Problems) -> Option<T> {
    if found.is_none() {
        problems.error(
            path.span(),
            format!("{:?} is not a PEM file with a {what}", path.get_ref()),
            "export it as Base-64 (PEM); for a PKCS #12 file (.pfx, .p12): \
             openssl pkcs12 -in site.pfx -nodes -nokeys -out site.crt, and -nocerts -out site.key",
        );
    }
    found
}
