//! What a listener wants of client certificates.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use sha2::{Digest, Sha256};
use toml::Spanned;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::given::Given;
use super::usage::MustSign;
use super::{SpannedName, pem};
use crate::control::config::fields::word;
use crate::control::config::{Listener, ListenerTls, Problems, text};
use crate::model::entry::{CertificateField, ClientCertificates};
use crate::model::role::Protocol;

const MODES: [(&str, ClientCertificates); 3] = [
    ("none", ClientCertificates::None),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
];
const FIELDS: [(&str, CertificateField); 3] = [
    ("off", CertificateField::Off),
    ("client-cert", CertificateField::ClientCert),
    ("x-arr-clientcert", CertificateField::ArrClientCert),
];
/// By name or by documentation these take no client certificate. Not all of it is confirmed, so it is configuration.
pub(super) const EXEMPT: [&str; 9] = [
    "/SMS_MP_AltAuth",
    "/CCM_System_AltAuth",
    "/SMS_MP_TokenAuth",
    "/CCM_System_TokenAuth",
    "/CCM_STS",
    "/NOCERT_SMS_DP_SMSPKG$",
    "/NOCERT_SMS_DP_SMSSIG$",
    "/CCMTOKENAUTH_SMS_DP_SMSPKG$",
    "/CCMTOKENAUTH_SMS_DP_SMSSIG$",
];

/// What a listener wants of client certificates.
pub(super) struct Clients {
    pub(super) mode: ClientCertificates,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) exempt: Box<[String]>,
    pub(super) forward: CertificateField,
    /// Changes when a certificate that was accepted may not be any more.
    pub(super) fingerprint: [u8; 32],
}

pub(super) fn compile(
    given: &Given<'_>,
    tls: &ListenerTls,
    listener: &Listener,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<Clients> {
    let mut mode = ClientCertificates::None;
    word(&mut mode, tls.client_certificates.as_ref(), "client_certificates", &MODES, problems);
    let mut forward = CertificateField::Off;
    word(&mut forward, tls.forward_client_certificate.as_ref(), "forward_client_certificate", &FIELDS, problems);
    refuse_what_has_no_meaning(given, tls, mode, forward, protocol, problems);
    let exempt = match &tls.client_certificate_exempt {
        Some(list) => text::each(list, text::path, problems),
        None => EXEMPT.map(str::to_owned).to_vec(),
    };
    if mode == ClientCertificates::None {
        let fingerprint = Sha256::digest([mode as u8]).into();
        let verifier = Arc::new(NoClientAuth);
        return Some(Clients { mode, verifier, exempt: Box::default(), forward: CertificateField::Off, fingerprint });
    }
    let Some(authorities) = &tls.client_ca_file else {
        let near = tls.client_certificates.as_ref().or(listener.name.as_ref()).map_or(0..0, Spanned::span);
        let help = "add client_ca_file with the certification authority that issued them";
        problems.missing(near, "nobody is trusted to have issued the clients' certificates", help);
        return None;
    };
    let (verifier, fingerprint) = verifier(given, tls, authorities, mode, protocol, problems)?;
    Some(Clients { mode, verifier, exempt: exempt.into_boxed_slice(), forward, fingerprint })
}

fn refuse_what_has_no_meaning(
    given: &Given<'_>,
    tls: &ListenerTls,
    mode: ClientCertificates,
    forward: CertificateField,
    protocol: Protocol,
    problems: &mut Problems,
) {
    let forward = tls.forward_client_certificate.as_ref().filter(|_| forward != CertificateField::Off);
    let exempt = tls.client_certificate_exempt.as_ref().and_then(|list| list.first());
    let unasked = tls.client_ca_file.as_ref().or(tls.client_crl_files.first()).or(forward);
    if let (Some(unused), ClientCertificates::None) = (unasked, mode) {
        let text = "clients are not asked for a certificate, so this has no meaning";
        problems.error(unused.span(), text, "write client_certificates = \"optional\" or \"required\", or take it out");
    }
    let by_role = given.config.roles.values().filter_map(|role| role.client_certificates.as_ref());
    let some_role =
        mode == ClientCertificates::Optional && by_role.into_iter().any(|rule| rule.get_ref() == "required");
    if let (Some(exempt), false) = (exempt, mode == ClientCertificates::Required || some_role) {
        let text = "no client needs a certificate here, so no path is exempt from that";
        problems.error(exempt.span(), text, "write client_certificates = \"required\", or take it out");
    }
    if protocol == Protocol::Tcp
        && let Some(unused) = forward.or(exempt)
    {
        let text = "the role of this listener has no requests, so this has no meaning";
        problems.error(unused.span(), text, "take it out");
    }
}

fn verifier(
    given: &Given<'_>,
    tls: &ListenerTls,
    authorities: &SpannedName,
    mode: ClientCertificates,
    protocol: Protocol,
    problems: &mut Problems,
) -> Option<(Arc<dyn ClientCertVerifier>, [u8; 32])> {
    let mut digest = Sha256::new_with_prefix([mode as u8]);
    let roots = pem::authorities(authorities, given.files, problems);
    let mut lists = Vec::new();
    for path in &tls.client_crl_files {
        let of_file = pem::revocations(path, given.files, problems);
        of_file.iter().flatten().for_each(|list| check_list(list, path, problems));
        lists.push(of_file);
    }
    for path in std::iter::once(authorities).chain(&tls.client_crl_files) {
        if let Ok(content) = given.files.read(path.get_ref()) {
            // Its own length keeps two files from being read as one.
            digest.update(content.bytes.len().to_le_bytes());
            digest.update(&content.bytes);
        }
    }
    let lists: Option<Vec<_>> = lists.into_iter().collect();
    let (roots, lists) = (Arc::new(roots?), lists?);
    let with = |lists: &[Vec<CertificateRevocationListDer<'static>>]| {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::new(aws_lc_rs::default_provider()))
            .with_crls(lists.iter().flatten().cloned())
    };
    let mut builder = with(&lists);
    if mode == ClientCertificates::Optional || protocol == Protocol::Http {
        // Which request needs one is decided path by path: see `Terminated::allows_anonymous`.
        builder = builder.allow_unauthenticated();
    }
    match builder.build() {
        Ok(verifier) => Some((Arc::new(MustSign(verifier)), digest.finalize().into())),
        Err(error) => {
            let alone = (0..lists.len()).find(|&place| with(&lists[place..=place]).build().is_err());
            let at = alone.map_or(authorities, |place| &tls.client_crl_files[place]);
            let text = format!("the authorities and revocation lists cannot be used: {error}");
            problems.error(at.span(), text, "check the files: a revocation list must be a whole one, and not a delta");
            None
        }
    }
}

/// An old list revokes nobody who was revoked since.
fn check_list(list: &[u8], path: &SpannedName, problems: &mut Problems) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let next = CertificateRevocationList::from_der(list).ok().and_then(|(_, list)| list.next_update());
    if let Some(next) = next.filter(|next| u64::try_from(next.timestamp()).is_ok_and(|next| next < now)) {
        problems.warning(
            path.span(),
            format!("the revocation list {:?} should have been replaced at {next}", path.get_ref()),
            "fetch the new one from the authority; the old one is used until then",
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, KeyIdMethod, KeyPair,
        KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    use rustls::CertificateError;
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::control::compile::files::Files;
    use crate::control::config::Config;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> SpannedName {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Spanned::new(0..0, path.display().to_string())
        }
    }

    fn authority() -> (String, rcgen::Issuer<'static, KeyPair>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, rcgen::Issuer::new(params, key))
    }

    fn look(tls: &ListenerTls, protocol: Protocol) -> (Option<Clients>, Problems) {
        let (config, files, mut problems) = (Config::default(), Files::new(), Problems::new());
        let given = Given { config: &config, files: &files };
        let clients = compile(&given, tls, &Listener::default(), protocol, &mut problems);
        (clients, problems)
    }

    fn word(text: &str) -> Option<SpannedName> {
        Some(Spanned::new(0..0, text.to_owned()))
    }

    #[test]
    fn a_tcp_role_cannot_answer_so_its_handshake_wants_the_certificate() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let ca = folder.write("ca.crt", authority().0);
        for (mode, protocol, mandatory) in [
            ("required", Protocol::Http, false),
            ("optional", Protocol::Http, false),
            ("required", Protocol::Tcp, true),
            ("optional", Protocol::Tcp, false),
        ] {
            let tls = ListenerTls {
                client_certificates: word(mode),
                client_ca_file: Some(ca.clone()),
                ..ListenerTls::default()
            };
            let (clients, problems) = look(&tls, protocol);
            let clients = clients.unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(clients.verifier.client_auth_mandatory(), mandatory, "{mode} {protocol:?}");
            assert!(clients.verifier.offer_client_auth());
            assert_eq!(clients.exempt.len(), EXEMPT.len());
        }
        assert!(!look(&ListenerTls::default(), Protocol::Http).0.unwrap().verifier.offer_client_auth());
    }

    #[test]
    fn trust_is_the_same_as_long_as_mode_authorities_and_lists_are() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let (pem, issuer) = authority();
        let list = |number: u64, until: i32| {
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(until, 1, 1),
                crl_number: SerialNumber::from(number),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&issuer).unwrap()
        };
        let tls = |mode: &str, ca: &str, lists: &[SpannedName]| ListenerTls {
            client_certificates: word(mode),
            client_ca_file: Some(folder.write("ca.crt", ca)),
            client_crl_files: lists.to_vec(),
            ..ListenerTls::default()
        };
        let of = |tls: ListenerTls| {
            let (clients, problems) = look(&tls, Protocol::Http);
            (clients.unwrap().fingerprint, problems.len())
        };
        let der = [folder.write("1.crl", list(1, 2999).der())];
        let newer = [folder.write("2.crl", list(2, 2999).pem().unwrap())];
        let old = [folder.write("3.crl", list(3, 2021).der())];
        let first = of(tls("required", &pem, &[]));
        assert_eq!(of(tls("required", &pem, &[])), first);
        let others = [
            of(tls("optional", &pem, &[])),
            of(tls("required", &authority().0, &[])),
            of(tls("required", &pem, &der)),
            of(tls("required", &pem, &newer)),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(other.0, first.0, "{place}");
            assert_eq!(other.1, 0, "{place}");
            assert!(others[..place].iter().all(|before| before.0 != other.0), "{place}");
        }
        let (clients, problems) = look(&tls("required", &pem, &old), Protocol::Http);
        assert!(clients.is_some(), "an old list is better than none");
        assert!(problems.iter().any(|problem| problem.message.contains("should have been replaced")), "{problems:?}");
        let (clients, problems) = look(&tls("required", &pem, &[folder.write("4.crl", "x")]), Protocol::Http);
        assert!(clients.is_none());
        assert!(problems.iter().any(|problem| problem.message.contains("holds no revocation list")), "{problems:?}");
    }

    #[test]
    fn a_key_that_may_not_sign_proves_nothing() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let (pem, issuer) = authority();
        let tls = ListenerTls {
            client_certificates: word("optional"),
            client_ca_file: Some(folder.write("ca.crt", pem)),
            ..ListenerTls::default()
        };
        let clients = look(&tls, Protocol::Http).0.unwrap();
        let verdict = |usages: &[KeyUsagePurpose]| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.key_usages = usages.to_vec();
            let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            clients.verifier.verify_client_cert(certificate.der(), &[], UnixTime::now()).map(|_| ())
        };
        use KeyUsagePurpose::{DigitalSignature, KeyAgreement, KeyEncipherment};
        for may in [&[][..], &[DigitalSignature], &[KeyEncipherment, DigitalSignature]] {
            assert_eq!(verdict(may), Ok(()), "{may:?}");
        }
        for may_not in [&[KeyEncipherment][..], &[KeyAgreement, KeyEncipherment]] {
            assert_eq!(verdict(may_not), Err(CertificateError::InvalidPurpose.into()), "{may_not:?}");
        }
    }
}
