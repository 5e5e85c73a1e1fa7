//! TLS towards site systems: every mistake in its keys, and handshakes with what the compiler made of good ones.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use handshake::Pki;
use marks::{SITE, error, look, warning};
use rolegate::control::compile::{Compiled, MemberPlan};
use rolegate_bench::pki::{Authority, Identity, Wanted};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};

#[path = "control_support/handshake.rs"]
mod handshake;
#[path = "control_support/marks.rs"]
mod marks;

/// So no client could be lent what is shown.
const PASSES: &str = "passthrough = true\n";

/// A site whose management points have TLS, which is passed through to them, these lines in `[tls]`, and these in the first of
/// them.
fn site(tls: &str, system: &str) -> String {
    format!(
        "{SITE}[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n{PASSES}[roles.MP]\ntls = true\n[tls]\n{tls}\n\
         [[site_systems]]\nname = \"mp1.lab.test\"\nroles = [\"MP\"]\n{system}\n\
         [[site_systems]]\nname = \"mp2.lab.test\"\nroles = [\"MP\"]\n"
    )
}

#[track_caller]
fn members(text: &str) -> Vec<MemberPlan> {
    let (records, compiled): (_, Option<Compiled>) = look(text);
    assert_eq!(records, []);
    compiled.unwrap().roles.remove(0).members
}

/// What a site system is, for one handshake.
struct Server {
    config: Arc<ServerConfig>,
}

impl Server {
    /// It wants client certificates of these authorities, if any.
    fn new(identity: &Identity, wants: Option<&Authority>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
        let builder = match wants {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config: Arc::new(config) }
    }

    fn plain(identity: &Identity) -> Self {
        Self::new(identity, None, rustls::ALL_VERSIONS)
    }

    fn meets(&self, member: &MemberPlan) -> Result<handshake::Done, rustls::Error> {
        let tls = member.tls.as_ref().unwrap();
        handshake::again(&self.config, &tls.ours.any, &tls.server_name.to_str())
    }
}

#[test]
fn whom_it_trusts() {
    let pki = Pki::new();
    let other = Authority::new("Other");
    let other_ca = pki.write("other.crt", other.certificate_pem());
    let ca = pki.path("ca.crt");
    let (ours, theirs) =
        (Server::plain(&pki.server(&["mp1.lab.test"])), Server::plain(&other.server(&["mp1.lab.test"])));
    let first = |tls: &str, system: &str| members(&site(tls, system)).remove(0);

    let shared = first(&format!("ca_file = {ca}"), "");
    assert!(ours.meets(&shared).is_ok() && theirs.meets(&shared).is_err());
    let own = first(&format!("ca_file = {ca}"), &format!("ca_file = {other_ca}"));
    assert!(ours.meets(&own).is_err() && theirs.meets(&own).is_ok(), "only its own");
    let public = first("", "");
    assert!(ours.meets(&public).is_err() && theirs.meets(&public).is_err());

    let expired = Server::plain(&pki.authority.issue(&Wanted::server(&["mp1.lab.test"]).expired()));
    assert!(expired.meets(&shared).is_err());
    let text = site("", "address = «\"mp1.lab.test\"»\ninsecure = true");
    warning(&text, "any certificate is accepted from \"mp1.lab.test\"", "ca_file");
    let insecure = look(&text.replace(['«', '»'], "")).1.unwrap().roles.remove(0).members.remove(0);
    assert!(expired.meets(&insecure).is_ok() && theirs.meets(&insecure).is_ok());
}

#[test]
fn the_name_that_the_certificate_must_be_for() {
    let pki = Pki::new();
    let ca = format!("ca_file = {}", pki.path("ca.crt"));
    let first = |system: &str| members(&site(&ca, system)).remove(0);
    let server = Server::plain(&pki.server(&["mp1.lab.test", "10.0.0.1", "2001:db8::1"]));
    for good in [
        "",
        "address = \"10.0.0.1\"",
        "address = \"[2001:db8::1]\"",
        "address = \"10.0.0.9\"\nserver_name = \"MP1.lab.test\"",
        "server_name = \"10.0.0.1\"",
        "server_name = \"[2001:db8::1]\"",
    ] {
        assert!(server.meets(&first(good)).is_ok(), "{good}");
    }
    for bad in ["address = \"10.0.0.9\"", "server_name = \"mp9.lab.test\""] {
        assert!(server.meets(&first(bad)).is_err(), "{bad}");
    }
    let name = &first("address = \"10.0.0.9\"\nserver_name = \"mp1.lab.test\"").tls.unwrap().server_name;
    assert!(matches!(name, ServerName::DnsName(_)));
    for wrong in ["mp 1", "mp1.lab.test:443", "*.lab.test", ""] {
        let text = site(&ca, &format!("server_name = «\"{wrong}\"»"));
        error(&text, "no certificate can be for", "server_name = \"...\"");
    }
}

#[test]
fn what_it_shows() {
    let pki = Pki::new();
    let other = Authority::new("Other");
    let pair = |name: &str, identity: &Identity| {
        let certificate = pki.write(&format!("{name}.crt"), &identity.certificate_pem);
        format!(
            "client_certificate = {certificate}\nclient_key = {}\n",
            pki.write(&format!("{name}.key"), &identity.key_pem)
        )
    };
    let ours = pair("ours", &pki.authority.client("rolegate"));
    let theirs = pair("theirs", &other.client("rolegate"));
    let ca = format!("ca_file = {}\n", pki.path("ca.crt"));
    let server = |wants| Server::new(&pki.server(&["mp1.lab.test", "mp2.lab.test"]), wants, rustls::ALL_VERSIONS);
    let (wants_ours, wants_theirs) = (server(Some(&pki.authority)), server(Some(&other)));

    let nothing = members(&site(&ca, "")).remove(0);
    assert!(wants_ours.meets(&nothing).is_err());
    let both = members(&site(&format!("{ca}{ours}"), &theirs));
    assert!(wants_ours.meets(&both[0]).is_err() && wants_theirs.meets(&both[0]).unwrap().seen, "its own");
    assert!(wants_ours.meets(&both[1]).unwrap().seen && wants_theirs.meets(&both[1]).is_err(), "that of [tls]");
    assert!(!server(None).meets(&both[1]).unwrap().seen, "who does not ask does not get it");
    assert!(wants_ours.meets(&members(&site(&ca, &ours))[0]).unwrap().seen, "there is none in [tls]");
    let bare = |server: &Server, member: &MemberPlan| {
        let tls = member.tls.as_ref().unwrap();
        handshake::again(&server.config, &tls.bare.any, &tls.server_name.to_str())
    };
    assert!(bare(&wants_ours, &both[1]).is_err() && !bare(&server(None), &both[1]).unwrap().seen, "the other way");

    let half = |which: &str| {
        let line = ours.lines().find(|line| line.starts_with(which)).unwrap();
        format!("{} = «{}»", which, line.split_once(" = ").unwrap().1)
    };
    for which in ["client_certificate", "client_key"] {
        error(&site(&(ca.clone() + &half(which)), ""), "needs both its files", "client_certificate and client_key");
        error(&site(&ca, &half(which)), "needs both its files", "client_certificate and client_key");
        error(
            &site(&format!("{ca}{theirs}"), &half(which)),
            "needs both its files",
            "client_certificate and client_key",
        );
    }
}

#[test]
fn what_is_wrong_with_its_files() {
    let pki = Pki::new();
    let (one, two) = (pki.authority.client("one"), pki.authority.client("two"));
    let (certificate, key) = (pki.write("one.crt", &one.certificate_pem), pki.write("one.key", &one.key_pem));
    let wrong_key = pki.write("two.key", &two.key_pem);
    let encrypted = pki.write("encrypted.key", one.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    let (empty, absent, folder) = (pki.write("empty", ""), pki.path("absent"), pki.path(""));
    let pfx = pki.write("one.pfx", [0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x03]);
    let own = |certificate: &str, key: &str| format!("client_certificate = {certificate}\nclient_key = {key}");
    let mark = |path: &str| format!("«{path}»");
    let cases = [
        (own(&certificate, &mark(&wrong_key)), "is not the key of the client certificate", "was made for"),
        (own(&certificate, &mark(&encrypted)), "is encrypted", "openssl pkey"),
        (own(&certificate, &mark(&pfx)), "is not a PEM file with a key", "openssl"),
        (own(&certificate, &mark(&empty)), "is not a PEM file with a key", "openssl"),
        (own(&certificate, &mark(&folder)), "it is not a file", "path and its permissions"),
        (own(&mark(&empty), &key), "holds no certificate", "Base-64 (PEM)"),
        (own(&mark(&pfx), &key), "it is binary (DER or PKCS #12)", "Base-64 (PEM)"),
        (own(&mark(&absent), &key), "cannot be read", "path and its permissions"),
        (format!("ca_file = {}", mark(&empty)), "holds no certificate", "certification authorities"),
        (format!("ca_file = {}", mark(&folder)), "it is not a file", "path and its permissions"),
    ];
    for (lines, message, help) in cases {
        error(&site(&lines, ""), message, help);
        error(&site("", &lines), message, help);
    }
    let both = look(&site("", &own(&empty, &absent))).0;
    assert_eq!(both.len(), 2, "{both:#?}");
    pki.share("one.key");
    warning(&site("", &own(&certificate, &mark(&key))), "every user of this machine may read", "chmod 600");
}

#[test]
fn versions_and_protocols() {
    let pki = Pki::new();
    let ca = format!("ca_file = {}\n", pki.path("ca.crt"));
    let identity = pki.server(&["mp1.lab.test"]);
    let first = |tls: &str| members(&site(&(ca.clone() + tls), "")).remove(0);
    let server = Server::plain(&identity);
    let version = |tls: &str| server.meets(&first(tls)).unwrap().version;
    assert_eq!(version(""), ProtocolVersion::TLSv1_3);
    assert_eq!(version("max_version = \"1.3\""), ProtocolVersion::TLSv1_3);
    assert_eq!(version("max_version = \"1.2\""), ProtocolVersion::TLSv1_2);
    let new = Server::new(&identity, None, &[&rustls::version::TLS13]);
    assert!(new.meets(&first("max_version = \"1.2\"")).is_err());
    error(&site("max_version = «\"1.1\"»", ""), "`max_version` cannot be \"1.1\"", "did you mean \"1.");

    let alpn = |text: &str| server.meets(&members(text).remove(0)).unwrap().alpn.unwrap();
    assert_eq!(alpn(&site(&ca, "")), b"http/1.1");
    assert_eq!(alpn(&site(&ca, "").replace("tls = true\n", "tls = true\nhttp2 = true\n")), b"h2");
    let tcp = site(&ca, "")
        .replace("\"MP\"", "\"client-notification\"")
        .replace("roles.MP", "roles.client-notification")
        .replace(PASSES, "");
    assert_eq!(server.meets(&members(&tcp)[0]).unwrap().alpn, None);
}

#[test]
fn keys_without_a_role_that_uses_them() {
    let pki = Pki::new();
    let plain = |lines: &str| site("", lines).replace("tls = true\n", "").replace(PASSES, "");
    let ca = pki.path("ca.crt");
    for line in [
        "server_name = «\"mp1.lab.test\"»".to_owned(),
        format!("ca_file = «{ca}»"),
        format!("client_certificate = «{ca}»"),
        format!("client_key = «{ca}»"),
    ] {
        warning(&plain(&line), "no role of \"mp1.lab.test\" uses TLS", "tls = true");
    }
    let one = "[[site_systems]]\nname = \"mp3.lab.test\"\nserver_name = \"mp3.lab.test\"\nroles = [{ role = \"MP\", tls = true }]\n";
    assert_eq!(look(&(plain("") + one)).0, []);
}
