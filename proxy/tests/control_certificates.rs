//! TLS that ends here: every mistake in `[listeners.tls]`, and handshakes with what the compiler made of good ones.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use handshake::{Client, Pki, again, handshake, lasting};
use marks::{error, look, warning, with};
use rolegate::control::compile::Compiled;
use rolegate::model::entry::{CertificateField, ClientCertificates, Terminated};
use rolegate::model::role::CertificateRule;
use rolegate_bench::pki::{Algorithm, Authority, Identity, Wanted};
use rustls::pki_types::pem::PemObject;
use rustls::{ProtocolVersion, version};

#[path = "control_support/handshake.rs"]
mod handshake;
#[path = "control_support/marks.rs"]
mod marks;

/// A second listener with these lines in its `[listeners.tls]`.
fn tls(lines: &str) -> String {
    with(&format!(
        "[[listeners]]\nname = \"https\"\naddress = \"0.0.0.0:443\"\nroles = [\"MP\"]\n[listeners.tls]\n{lines}\n"
    ))
}

#[track_caller]
fn good(text: &str) -> Compiled {
    let (records, compiled) = look(text);
    assert_eq!(records, []);
    compiled.unwrap()
}

#[track_caller]
fn terminated(text: &str) -> Arc<Terminated> {
    Arc::clone(good(text).site.listeners[1].entry.terminated().unwrap())
}

/// A certificate that is good for everything here, and these lines.
fn with_certificate(pki: &Pki, lines: &str) -> String {
    let entry = pki.entry("mp", &pki.server(&["mp1.lab.test"]));
    tls(&format!("certificates = [{entry}]\n{lines}"))
}

#[test]
fn the_defaults() {
    let pki = Pki::new();
    let made = terminated(&with_certificate(&pki, ""));
    assert_eq!(made.handshake_timeout, Duration::from_secs(10));
    assert_eq!((made.client_certificates, made.forward), (ClientCertificates::None, CertificateField::Off));
    assert!(made.exempt.is_empty() && made.allows_anonymous(CertificateRule::Listener, "/SMS_MP/x"));
    assert_eq!(made.certificates[0].names.as_ref(), ["mp1.lab.test"]);
    let done = handshake(&made.config, &pki.client(), "mp1.lab.test").unwrap();
    assert_eq!((done.version, done.seen), (ProtocolVersion::TLSv1_3, false));
    let made = terminated(&with_certificate(&pki, "handshake_timeout = \"3s\""));
    assert_eq!(made.handshake_timeout, Duration::from_secs(3));
}

#[test]
fn versions() {
    let pki = Pki::new();
    let spoken = |lines: &str, client: &Client| {
        let made = terminated(&with_certificate(&pki, lines));
        handshake(&made.config, client, "mp1.lab.test").map(|done| done.version).ok()
    };
    let both = pki.client();
    let old = Client { versions: vec![&version::TLS12], ..both.clone() };
    let new = Client { versions: vec![&version::TLS13], ..both.clone() };
    assert_eq!(spoken("", &old), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(spoken("max_version = \"1.2\"", &both), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(spoken("max_version = \"1.2\"", &new), None);
    assert_eq!(spoken("min_version = \"1.3\"", &both), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(spoken("min_version = \"1.3\"", &old), None);

    let wrong = with_certificate(&pki, "min_version = «\"1.1\"»");
    error(&wrong, "`min_version` cannot be \"1.1\"", "did you mean \"1.");
    let wrong = with_certificate(&pki, "max_version = «\"TLS\"»");
    error(&wrong, "`max_version` cannot be \"TLS\"", "\"1.2\", \"1.3\"");
    let none = with_certificate(&pki, "min_version = \"1.3\"\nmax_version = «\"1.2\"»");
    error(&none, "max_version is below min_version", "raise it");
}

#[test]
fn what_is_agreed_on_by_alpn() {
    let pki = Pki::new();
    let agreed = |role: &str, lines: &str, offered: &[&'static [u8]]| {
        let entry = pki.entry("mp", &pki.server(&["mp1.lab.test"]));
        let text = with(&format!(
            "[[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"client-notification\"]\n[[listeners]]\n\
             address = \"0.0.0.0:443\"\nroles = [\"{role}\"]\n{lines}\n[listeners.tls]\ncertificates = [{entry}]\n"
        ));
        // The other role is not served then, which is a warning.
        let made = look(&text).1.unwrap();
        let client = Client { alpn: offered.to_vec(), ..pki.client() };
        let config = &made.site.listeners[1].entry.terminated().unwrap().config;
        handshake(config, &client, "mp1.lab.test").map(|done| done.alpn.map(|name| String::from_utf8(name).unwrap()))
    };
    let (h2, http1): (&[u8], &[u8]) = (b"h2", b"http/1.1");
    assert_eq!(agreed("MP", "", &[h2, http1]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed("MP", "", &[]).unwrap(), None);
    assert!(agreed("MP", "", &[h2]).is_err());
    assert_eq!(agreed("MP", "http2 = true", &[http1, h2]).unwrap().as_deref(), Some("h2"));
    assert_eq!(agreed("MP", "http2 = true", &[http1]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(agreed("client-notification", "", &[h2, http1]).unwrap(), None);
}

#[test]
fn sessions_are_resumed_unless_that_is_off() {
    let pki = Pki::new();
    for (lines, expected) in [("", true), ("session_tickets = true", true), ("session_tickets = false", false)] {
        let made = terminated(&with_certificate(&pki, lines));
        for version in rustls::ALL_VERSIONS {
            let client = Client { versions: vec![version], ..pki.client() }.config();
            assert!(!again(&made.config, &client, "mp1.lab.test").unwrap().resumed);
            let second = again(&made.config, &client, "mp1.lab.test").unwrap();
            assert_eq!(second.resumed, expected, "{lines} {version:?}");
        }
    }
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let pki = Pki::new();
    let identities: [Identity; 4] = [
        pki.server(&["First.lab.test", "192.0.2.1"]),
        pki.server(&["*.lab.test"]),
        pki.server(&["exact.lab.test", "*.b.lab.test"]),
        pki.authority.issue(&lasting(Wanted::server(&["exact.lab.test"]).algorithm(Algorithm::Rsa2048))),
    ];
    let entries: Vec<String> =
        identities.iter().enumerate().map(|(at, identity)| pki.entry(&format!("c{at}"), identity)).collect();
    let made = terminated(&tls(&format!("certificates = [\n{},\n]", entries.join(",\n"))));
    let shown = |name: &str, client: &Client| {
        let done = handshake(&made.config, client, name);
        done.map(|done| identities.iter().position(|identity| identity.fingerprint() == done.shown).unwrap())
    };
    let client = pki.client();
    for (name, expected) in [
        ("first.lab.test", 0),
        ("FIRST.lab.test", 0),
        ("mp1.lab.test", 1),
        ("exact.lab.test", 2),
        ("mp1.b.lab.test", 2),
        ("192.0.2.1", 0),
    ] {
        assert_eq!(shown(name, &client), Ok(expected), "{name}");
    }
    // These get the first one, and see for themselves that it is for others.
    for name in ["lab.test", "a.exact.lab.test", "a.b.c.lab.test", "other.test", "192.0.2.2"] {
        assert!(shown(name, &client).is_err(), "{name}");
    }
    let rsa = Client { signatures: "RSA", ..client.clone() };
    let ecdsa = Client { signatures: "ECDSA", ..client };
    assert_eq!(shown("exact.lab.test", &ecdsa), Ok(2));
    assert_eq!(shown("exact.lab.test", &rsa), Ok(3));
    assert!(shown("mp1.lab.test", &rsa).is_err(), "there is none that it could verify");
    let old = Client { versions: vec![&version::TLS12], ..rsa };
    assert_eq!(shown("exact.lab.test", &old), Ok(3), "TLS 1.2");
}

#[test]
fn files_that_hold_something_else() {
    let pki = Pki::new();
    let (mp, other) = (pki.server(&["mp1.lab.test"]), pki.server(&["mp2.lab.test"]));
    let (certificate, key) = (pki.write("mp.crt", &mp.certificate_pem), pki.write("mp.key", &mp.key_pem));
    let entry =
        |certificate: &str, key: &str| tls(&format!("certificates = [{{ certificate = {certificate}, key = {key} }}]"));
    let other_key = pki.write("other.key", &other.key_pem);
    error(&entry(&certificate, &format!("«{other_key}»")), "is not the key of", "was made for");

    let pfx = pki.write("mp.pfx", [0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03]);
    let empty = pki.write("empty.pem", "");
    let text = pki.write("text.pem", "hello\n");
    let broken = pki.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let absent = pki.path("absent.pem");
    let folder = pki.path("");
    for (file, message, help) in [
        (&pfx, "it is binary (DER or PKCS #12)", "pkcs12 and password_file"),
        (&key, "holds no certificate", "Base-64 (PEM)"),
        (&empty, "holds no certificate", "Base-64 (PEM)"),
        (&text, "holds no certificate", "Base-64 (PEM)"),
        (&broken, "is not a PEM file", "Base-64 (PEM)"),
        (&absent, "cannot be read", "path and its permissions"),
        (&folder, "it is not a file", "path and its permissions"),
    ] {
        error(&entry(&format!("«{file}»"), &key), message, help);
    }
    let nonsense = pki.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    error(&entry(&format!("«{nonsense}»"), &key), "can be read first", "put the certificate first");

    let encrypted = pki.write("encrypted.key", mp.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    let unknown = pki.write("unknown.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    for (file, message, help) in [
        (&encrypted, "is encrypted", "openssl pkey"),
        (&pfx, "is not a PEM file with a key", "openssl"),
        (&certificate, "is not a PEM file with a key", "openssl"),
        (&empty, "is not a PEM file with a key", "openssl"),
        (&absent, "cannot be read", "path and its permissions"),
        (&folder, "it is not a file", "path and its permissions"),
        (&unknown, "kind of key", "ECDSA P-256"),
    ] {
        error(&entry(&certificate, &format!("«{file}»")), message, help);
    }
    pki.share("mp.key");
    warning(&entry(&certificate, &format!("«{key}»")), "every user of this machine may read", "chmod 600");
}

#[test]
fn files_that_are_missing() {
    let pki = Pki::new();
    let mp = pki.server(&["mp1.lab.test"]);
    let (certificate, key) = (pki.write("mp.crt", &mp.certificate_pem), pki.write("mp.key", &mp.key_pem));
    for lines in ["", "certificates = []"] {
        let text = tls(lines).replace("\"0.0.0.0:443\"", "«\"0.0.0.0:443\"»");
        error(&text, "has TLS and no certificate", "[listeners.tls]");
    }
    for half in
        [format!("certificate = {certificate}"), format!("key = {key}"), format!("pkcs12 = {key}"), String::new()]
    {
        error(&tls(&format!("certificates = [«{{ {half} }}»]")), "needs both its files", "password_file");
    }
    let too_much = format!("certificates = [{{ certificate = {certificate}, key = {key}, pkcs12 = «{key}» }}]");
    error(&tls(&too_much), "names two certificates", "two entries");
    let ocsp =
        |file: &str| tls(&format!("certificates = [{{ certificate = {certificate}, key = {key}, ocsp = {file} }}]"));
    error(&ocsp(&format!("«{certificate}»")), "is not an OCSP response", "-respout");
    error(&ocsp(&format!("«{}»", pki.path("absent"))), "cannot be read", "path and its permissions");
    good(&ocsp(&pki.write("mp.ocsp", [0x30, 0x03, 0x0a, 0x01, 0x01])));
}

#[test]
fn certificates_that_clients_will_refuse() {
    let pki = Pki::new();
    let entry = |name: &str, identity: &Identity| {
        let entry = pki.entry(name, identity);
        let marked = entry.replacen("certificate = ", "certificate = «", 1).replacen(", key", "», key", 1);
        tls(&format!("certificates = [{marked}]"))
    };
    // Time passes while a configuration is served, so its end is said there and not here.
    let expired = pki.authority.issue(&Wanted::server(&["mp1.lab.test"]).expired());
    let made = terminated(&entry("expired", &expired).replace(['«', '»'], ""));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((now - 7200..now).contains(&made.certificates[0].not_after));
    assert!(made.certificates[0].not_before < made.certificates[0].not_after);
    let nameless = pki.authority.issue(&lasting(Wanted::client("mp1")));
    warning(&entry("nameless", &nameless), "is for no name", "DNS names");
}

#[test]
fn words_about_client_certificates() {
    let pki = Pki::new();
    let ca = pki.path("ca.crt");
    let asks = |lines: &str| {
        with_certificate(&pki, &format!("client_certificates = \"required\"\nclient_ca_file = {ca}\n{lines}"))
    };
    let made = terminated(&asks(""));
    assert_eq!(made.client_certificates, ClientCertificates::Required);
    for path in
        ["/SMS_MP_AltAuth/.sms_aut", "/ccm_system_altauth/request", "/NOCERT_SMS_DP_SMSPKG$/P0100003", "/CCM_STS"]
    {
        assert!(made.allows_anonymous(CertificateRule::Listener, path), "{path}");
    }
    for path in ["/SMS_MP/.sms_aut", "/SMS_MP_AltAuthX", "/"] {
        assert!(!made.allows_anonymous(CertificateRule::Listener, path), "{path}");
    }
    let made =
        terminated(&asks("client_certificate_exempt = [\"/only/\"]\nforward_client_certificate = \"client-cert\""));
    assert_eq!((made.exempt.as_ref(), made.forward), (["/only".to_owned()].as_slice(), CertificateField::ClientCert));
    assert!(terminated(&asks("client_certificate_exempt = []")).exempt.is_empty());
    let made = terminated(&asks("forward_client_certificate = \"x-arr-clientcert\""));
    assert_eq!(made.forward, CertificateField::ArrClientCert);

    error(&asks("client_certificate_exempt = [«\"only\"»]"), "does not start with /", "\"/only\"");
    error(
        &asks("forward_client_certificate = «\"x509\"»"),
        "`forward_client_certificate` cannot be",
        "\"client-cert\"",
    );
    let word = with_certificate(&pki, "client_certificates = «\"yes\"»");
    error(&word, "`client_certificates` cannot be \"yes\"", "\"required\"");
    let nobody = with_certificate(&pki, "client_certificates = «\"optional\"»");
    error(&nobody, "nobody is trusted", "client_ca_file");
    for line in [
        format!("client_ca_file = «{ca}»"),
        format!("client_crl_files = [«{ca}»]"),
        "forward_client_certificate = «\"client-cert\"»".to_owned(),
    ] {
        error(&with_certificate(&pki, &line), "are not asked for a certificate", "take it out");
    }
    let off = "forward_client_certificate = \"off\"\nclient_certificates = \"none\"\nclient_crl_files = []";
    good(&with_certificate(&pki, off));
    for mode in ["none", "optional"] {
        let ca = if mode == "none" { String::new() } else { format!("client_ca_file = {ca}\n") };
        let lines = format!("client_certificates = \"{mode}\"\n{ca}client_certificate_exempt = [«\"/a\"»]");
        error(&with_certificate(&pki, &lines), "no path is exempt", "\"required\"");
    }
}

#[test]
fn who_gets_through_the_handshake() {
    let pki = Pki::new();
    let stranger = Authority::new("Stranger");
    let ca = pki.path("ca.crt");
    let pc1 = pki.authority.client("PC1");
    let revoked = pki.authority.client("PC2");
    let crl = pki.authority.crl(&[&revoked]);
    let binary = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
    let (pem, der) = (pki.write("ca.pem.crl", &crl), pki.write("ca.der.crl", binary.as_ref()));
    for mode in ["optional", "required"] {
        for list in [&pem, &der] {
            let lines = format!("client_certificates = \"{mode}\"\nclient_ca_file = {ca}\nclient_crl_files = [{list}]");
            let made = terminated(&with_certificate(&pki, &lines));
            let seen = |client: Client| handshake(&made.config, &client, "mp1.lab.test").map(|done| done.seen).ok();
            assert_eq!(seen(pki.client()), Some(false), "which path needs one is not known yet");
            assert_eq!(seen(pki.client().with(pc1.clone())), Some(true));
            assert_eq!(seen(pki.client().with(revoked.clone())), None);
            assert_eq!(seen(pki.client().with(pki.authority.issue(&Wanted::client("PC3").expired()))), None);
            assert_eq!(seen(pki.client().with(stranger.client("PC1"))), None);
            assert_eq!(seen(pki.client().with(pki.server(&["PC1"]))), None, "it is no client certificate");
        }
    }
    // A list of one authority says nothing about the clients of another.
    let both = pki.write("both.crt", format!("{}{}", pki.authority.certificate_pem(), stranger.certificate_pem()));
    let lines = |lists: &str| {
        format!("client_certificates = \"optional\"\nclient_ca_file = {both}\nclient_crl_files = [{lists}]")
    };
    let accepted = |lists: &str, client: Identity| {
        let made = terminated(&with_certificate(&pki, &lines(lists)));
        handshake(&made.config, &pki.client().with(client), "mp1.lab.test").is_ok()
    };
    assert!(accepted("", stranger.client("PC1")));
    assert!(!accepted(&pem, stranger.client("PC1")), "its authority has no list");
    let of_stranger = pki.write("stranger.crl", stranger.crl(&[]));
    assert!(accepted(&format!("{pem}, {of_stranger}"), stranger.client("PC1")));
}

#[test]
fn files_about_client_certificates() {
    let pki = Pki::new();
    let asks = |ca: &str, lists: &str| {
        let lines = format!("client_certificates = \"required\"\nclient_ca_file = {ca}\nclient_crl_files = [{lists}]");
        with_certificate(&pki, &lines)
    };
    let (ca, empty) = (pki.path("ca.crt"), pki.write("empty", ""));
    error(&asks(&format!("«{empty}»"), ""), "holds no certificate", "certification authorities");
    error(&asks(&format!("«{}»", pki.path("absent")), ""), "cannot be read", "path and its permissions");
    error(&asks(&ca, &format!("«{empty}»")), "holds no revocation list", "DER or PEM");
    error(&asks(&ca, &format!("«{}»", pki.path("absent"))), "cannot be read", "path and its permissions");
    let good = pki.write("good.crl", pki.authority.crl(&[]));
    let broken = pki.write("broken.crl", [0x30, 0x03, 0x02, 0x01, 0x01]);
    error(&asks(&ca, &format!("{good}, «{broken}»")), "revocation list", "delta");
    let (records, _) = look(&asks(&empty, &empty));
    assert_eq!(records.len(), 2, "{records:#?}");
}

#[test]
fn a_tcp_role_wants_the_certificate_in_the_handshake() {
    let pki = Pki::new();
    let entry = pki.entry("mp", &pki.server(&["mp1.lab.test"]));
    let text = |lines: &str| {
        with(&format!(
            "[[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"client-notification\"]\n[[listeners]]\n\
             address = \"0.0.0.0:443\"\nroles = [\"client-notification\"]\n[listeners.tls]\ncertificates = [{entry}]\n\
             client_certificates = \"required\"\nclient_ca_file = {}\n{lines}\n",
            pki.path("ca.crt")
        ))
    };
    let made = terminated(&text(""));
    assert!(handshake(&made.config, &pki.client(), "mp1.lab.test").is_err());
    let pc1 = pki.client().with(pki.authority.client("PC1"));
    assert!(handshake(&made.config, &pc1, "mp1.lab.test").unwrap().seen);
    for line in ["client_certificate_exempt = [«\"/a\"»]", "forward_client_certificate = «\"client-cert\"»"] {
        error(&text(line), "has no requests", "take it out");
    }
}

#[test]
fn clients_on_old_windows_need_a_key_of_elliptic_curves() {
    let pki = Pki::new();
    let entry = |name: &str, algorithm: Algorithm| {
        pki.entry(name, &pki.authority.issue(&lasting(Wanted::server(&["mp1.lab.test"]).algorithm(algorithm))))
    };
    let (rsa, ecdsa) = (entry("rsa", Algorithm::Rsa2048), entry("ecdsa", Algorithm::default()));
    let said = |certificates: &str, more: &str| {
        let text = tls(&format!("certificates = [{certificates}]\n{more}"));
        let lines = rolegate::control::doubts::doubts(&good(&text)).into_iter();
        lines.filter(|line| line.contains("Windows 8.1")).collect::<Vec<_>>()
    };
    let lines = said(&rsa, "");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(
        line.contains("listener \"https\" has no certificate with an ECDSA key") && line.contains("P-256"),
        "{line}"
    );
    assert_eq!(said(&format!("{rsa}, {ecdsa}"), ""), [""; 0]);
    assert_eq!(said(&ecdsa, ""), [""; 0]);
    assert_eq!(said(&rsa, "min_version = \"1.3\""), [""; 0], "they do not speak it at all");
}
