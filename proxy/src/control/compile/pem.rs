//! Certificates, keys and revocation lists as files hold them.

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::SpannedName;
use super::files::Files;
use crate::control::config::Problems;
use crate::control::encoding::utf8;

/// How every DER file begins: a SEQUENCE.
const DER: u8 = 0x30;

/// The bytes of a file; what is wrong is reported.
pub(super) fn bytes(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<Vec<u8>> {
    match files.read(path.get_ref()) {
        Ok(content) => Some(content.bytes.clone()),
        Err(error) => {
            let what = format!("{:?} cannot be read: {error}", path.get_ref());
            problems.error(path.span(), what, "check the path and its permissions");
            None
        }
    }
}

/// The bytes of a text, whatever editor wrote it; what is wrong is reported.
fn text(path: &SpannedName, bytes: Vec<u8>, problems: &mut Problems) -> Option<Vec<u8>> {
    let read = utf8(bytes);
    if let Err(error) = &read {
        problems.error(path.span(), format!("{:?} is not text: {error}", path.get_ref()), "save it as ASCII or UTF-8");
    }
    read.ok()
}

/// The bytes of a text that is a secret.
pub(super) fn secret_text(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<Vec<u8>> {
    let bytes = secret(path, files, problems)?;
    text(path, bytes, problems)
}

/// The bytes of a file that nobody else should read.
fn secret(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<Vec<u8>> {
    let bytes = bytes(path, files, problems)?;
    // A group is often made for just those who need a key.
    if files.read(path.get_ref()).is_ok_and(|content| content.mode & 0o007 != 0) {
        problems.warning(
            path.span(),
            format!("every user of this machine may read the secret in {:?}", path.get_ref()),
            "take their permissions away: chmod 600",
        );
    }
    Some(bytes)
}

/// Every certificate of a PEM file; at least one.
pub(super) fn certificates(
    path: &SpannedName,
    files: &Files,
    problems: &mut Problems,
) -> Option<Vec<CertificateDer<'static>>> {
    let help = "it must hold the certificate and those of its authorities, in this order; \
                a PKCS #12 file (.pfx, .p12) of a listener goes into pkcs12 and password_file instead";
    listed(path, bytes(path, files, problems)?, help, problems)
}

/// The authorities of a PEM file; at least one.
pub(super) fn authorities(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<RootCertStore> {
    let help = "it must hold certification authorities";
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(listed(path, bytes(path, files, problems)?, help, problems)?);
    if added == 0 {
        let what = format!("{:?} holds no certificate that could be an authority", path.get_ref());
        problems.error(path.span(), what, help);
        return None;
    }
    Some(roots)
}

fn listed(
    path: &SpannedName,
    bytes: Vec<u8>,
    help: &str,
    problems: &mut Problems,
) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = text(path, bytes, problems)?;
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if all.is_empty() => {
            let binary = if bytes.first() == Some(&DER) { ": it is binary (DER or PKCS #12)" } else { "" };
            let what = format!("{:?} holds no certificate in PEM{binary}", path.get_ref());
            problems.error(path.span(), what, format!("export it as Base-64 (PEM): {help}"));
            None
        }
        Ok(all) => Some(all),
        Err(_) => {
            let what = format!("{:?} is not a PEM file", path.get_ref());
            problems.error(path.span(), what, format!("export it as Base-64 (PEM): {help}"));
            None
        }
    }
}

/// Every revocation list of a PEM file, or the one of a DER file, as Windows authorities publish it.
pub(super) fn revocations(
    path: &SpannedName,
    files: &Files,
    problems: &mut Problems,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let bytes = bytes(path, files, problems)?;
    if bytes.first() == Some(&DER) {
        return Some(vec![CertificateRevocationListDer::from(bytes)]);
    }
    let bytes = text(path, bytes, problems)?;
    let all: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    if all.is_none() {
        let what = format!("{:?} holds no revocation list", path.get_ref());
        problems.error(path.span(), what, "name the .crl file that the authority publishes, DER or PEM");
    }
    all
}

/// The key of a PEM file (PKCS #8, PKCS #1 or SEC 1).
pub(super) fn key(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<PrivateKeyDer<'static>> {
    let bytes = secret_text(path, files, problems)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).ok();
    if key.is_none() {
        let encrypted = bytes.windows(9).any(|part| part == b"ENCRYPTED");
        let what = if encrypted { "is encrypted" } else { "is not a PEM file with a key" };
        problems.error(
            path.span(),
            format!("{:?} {what}", path.get_ref()),
            "write it as unencrypted PEM that only rolegate may read: openssl pkey -in site.key -out plain.key",
        );
    }
    key
}

/// An OCSP response, which is always DER.
pub(super) fn ocsp(path: &SpannedName, files: &Files, problems: &mut Problems) -> Option<Vec<u8>> {
    let bytes = bytes(path, files, problems)?;
    if bytes.first() != Some(&DER) {
        let what = format!("{:?} is not an OCSP response in DER", path.get_ref());
        problems.error(path.span(), what, "write what openssl ocsp ... -respout FILE writes, or leave ocsp out");
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use toml::Spanned;

    use super::*;

    #[test]
    fn pem_files_of_windows_editors_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["mp1.lab.test".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let file = |bytes: Vec<u8>| {
            let path = folder.path().join(fastrand::u64(..).to_string());
            std::fs::write(&path, bytes).unwrap();
            Spanned::new(0..0, path.display().to_string())
        };
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mark = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
        for write in [&|text: &str| mark(text).into_bytes(), &|text: &str| utf16(&mark(text)) as Vec<u8>]
            as [&dyn Fn(&str) -> Vec<u8>; 2]
        {
            let mut problems = Problems::new();
            let chain = certificates(&file(write(&own.pem())), &Files::new(), &mut problems).unwrap();
            assert_eq!(chain, [own.der().clone()]);
            assert_eq!(authorities(&file(write(&own.pem())), &Files::new(), &mut problems).unwrap().len(), 1);
            let read = key(&file(write(&pair.serialize_pem())), &Files::new(), &mut problems).unwrap();
            assert_eq!(read.secret_der(), pair.serialize_der());
            let password = secret_text(&file(write("secret")), &Files::new(), &mut problems).unwrap();
            assert_eq!(password, b"secret");
        }
        let mut problems = Problems::new();
        assert!(certificates(&file(b"\xff\xfeabc".to_vec()), &Files::new(), &mut problems).is_none());
        assert!(problems.iter().any(|problem| problem.message.contains("UTF-16")), "{problems:?}");
    }
}
