//! A certificate with its key in one encrypted file, as Windows exports it (.pfx, .p12).

use p12_keystore::KeyStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::SpannedName;
use super::files::Files;
use super::pem;
use crate::control::config::Problems;

/// What a file holds: the certificate with those of its authorities, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Opens a file with the password in another.
pub(super) fn open(
    path: &SpannedName,
    password_file: &SpannedName,
    files: &Files,
    problems: &mut Problems,
) -> Option<Identity> {
    let bytes = pem::bytes(path, files, problems);
    let password = pem::secret_text(password_file, files, problems);
    let (bytes, password) = (bytes?, password?);
    let Ok(password) = std::str::from_utf8(&password) else {
        let what = format!("the password in {:?} is not UTF-8 text", password_file.get_ref());
        problems.error(password_file.span(), what, "save it as UTF-8, on one line");
        return None;
    };
    // An editor ends the line; other white space may belong to the password.
    let password = password.trim_end_matches(['\r', '\n']);
    let store = match KeyStore::from_pkcs12(&bytes, password) {
        Ok(store) => store,
        Err(p12_keystore::error::Error::MacError(_)) => {
            let what = format!("the password in {:?} does not open {:?}", password_file.get_ref(), path.get_ref());
            problems.error(password_file.span(), what, "write the password that was given at the export");
            return None;
        }
        Err(error) => {
            let what = format!("{:?} is not a PKCS #12 file that can be opened: {error}", path.get_ref());
            let help =
                "convert it: openssl pkcs12 -in site.pfx -nokeys -out site.crt, and -nocerts -noenc -out site.key";
            problems.error(path.span(), what, help);
            return None;
        }
    };
    let Some((_, chain)) = store.private_key_chain() else {
        let what = format!("{:?} holds no certificate with its private key", path.get_ref());
        problems.error(path.span(), what, "export it again with its private key");
        return None;
    };
    let certificates = chain.chain().iter().map(|one| CertificateDer::from(one.as_der().to_vec())).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(chain.key().to_vec()));
    Some((certificates, key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStoreEntry, MacAlgorithm, PrivateKeyChain};
    use rcgen::{CertificateParams, KeyPair};
    use toml::Spanned;

    use super::*;

    fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> SpannedName {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Spanned::new(0..0, path.display().to_string())
    }

    #[test]
    fn what_windows_and_openssl_export_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["mp1.lab.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let password = file(&folder, "password", b"pass word\r\n");
        for (algorithm, mac) in [
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1),
            (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256),
        ] {
            let mut store = KeyStore::new();
            let chain =
                PrivateKeyChain::new(key.serialize_der(), b"1", [Certificate::from_der(certificate.der()).unwrap()]);
            store.add_entry("mp1", KeyStoreEntry::PrivateKeyChain(chain));
            let written = store.writer("pass word").encryption_algorithm(algorithm).mac_algorithm(mac).write().unwrap();
            let path = file(&folder, "mp1.pfx", &written);
            let (found, own) = open(&path, &password, &Files::new(), &mut Problems::new()).unwrap();
            assert_eq!(found, [certificate.der().clone()]);
            assert_eq!(own.secret_der(), key.serialize_der());

            let mut problems = Problems::new();
            let wrong = file(&folder, "wrong", b"password");
            assert!(open(&path, &wrong, &Files::new(), &mut problems).is_none());
            assert!(problems.iter().any(|problem| problem.message.contains("does not open")), "{problems:?}");
        }
        let mut problems = Problems::new();
        let path = file(&folder, "mp1.pfx", b"not one");
        assert!(open(&path, &password, &Files::new(), &mut problems).is_none());
        assert!(problems.iter().any(|problem| problem.help.contains("openssl pkcs12")), "{problems:?}");
    }
}
