use http::Version;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::client;
use crate::pki::{Algorithm, Authority, Identity, Wanted};
use crate::site::{ClientCertificate, Role, Tls};

const POLICY: &str = "/SMS_MP/.sms_aut?MPLIST";
const HOST: &str = "mp.lab.test";

fn site_of(authority: &Authority) -> Tls {
    Tls::new(authority.server(&[HOST, "127.0.0.1"]))
}

fn required(authority: &Authority) -> ClientCertificate {
    ClientCertificate::Required(authority.certificate_pem().to_owned())
}

async fn point(tls: Tls) -> SiteSystem {
    start(Spec::management_point("mp1").role(Role::DistributionPoint).content(&content()).tls(tls)).await
}

fn secured(site: &SiteSystem, tls: &client::Tls) -> Client {
    super::client(site.address()).with_tls(tls).unwrap()
}

async fn status(client: &mut Client, target: &str) -> u16 {
    client.request(Method::GET, target, Bytes::new()).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_site_system_speaks_https_and_tells_what_it_saw() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority).clients(ClientCertificate::Optional)).await;
    assert!(site.is_secure());
    let identity = authority.client("PC00001");
    let trusting = client::Tls::new().trusting(authority.certificate_pem());
    assert_eq!(status(&mut secured(&site, &trusting), POLICY).await, 200);
    let shown = trusting.clone().identity(&identity);
    let mut known = secured(&site, &shown);
    assert_eq!(status(&mut known, POLICY).await, 200);
    assert_eq!(status(&mut secured(&site, &client::Tls::new().sni("other.lab.test")), POLICY).await, 200);
    let quiet = client::Tls::new().without_sni().alpn(&[]).only_1_2();
    assert_eq!(status(&mut secured(&site, &quiet), POLICY).await, 200);

    let seen: Vec<_> = site.counters().seen().into_iter().map(|seen| (seen.version, seen.tls.unwrap())).collect();
    assert!(seen.iter().all(|(version, _)| *version == Version::HTTP_11));
    let names: Vec<_> = seen.iter().map(|(_, tls)| tls.sni.as_deref()).collect();
    assert_eq!(names, [Some(HOST), Some(HOST), Some("other.lab.test"), None]);
    let certificates: Vec<_> = seen.iter().map(|(_, tls)| tls.client_certificate).collect();
    assert_eq!(certificates, [None, Some(identity.fingerprint()), None, None]);
    let protocols: Vec<_> = seen.iter().map(|(_, tls)| (tls.alpn.as_deref(), tls.version.as_str())).collect();
    assert_eq!((protocols[0], protocols[3]), ((Some("http/1.1"), "TLSv1_3"), (None, "TLSv1_2")));
    assert_eq!(site.counters().handshakes().len(), 4);

    let strange = client::Tls::new().trusting(Authority::new("Another CA").certificate_pem());
    let refused = secured(&site, &strange).request(Method::GET, POLICY, Bytes::new()).await;
    assert!(is_refused(refused), "a client judges its server");
    let misnamed = trusting.sni("dp.lab.test");
    assert!(is_refused(secured(&site, &misnamed).request(Method::GET, POLICY, Bytes::new()).await));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_after_the_handshake() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority).clients(required(&authority))).await;
    let mut bare = secured(&site, &client::Tls::new());
    let answer = bare.request(Method::GET, POLICY, Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.served_by()), (403, Some("mp1")));
    assert!(String::from_utf8_lossy(&answer.body).contains("403.7"));
    assert_eq!(status(&mut bare, "/SMS_DP_SMSPKG$/PKG00001").await, 403);
    for exempt in [
        "/SMS_MP_AltAuth/.sms_aut?MPLIST",
        "/sms_mp_altauth/.sms_aut?MPLIST",
        "/NOCERT_SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi",
    ] {
        assert_eq!(status(&mut bare, exempt).await, 200, "{exempt}");
    }
    let empty = bare.request(Method::from_bytes(b"CCM_POST").unwrap(), "/CCM_System_AltAuth/request", Bytes::new());
    assert_eq!(empty.await.unwrap().status, 200);
    assert_eq!(site.counters().connections(), 1);

    let reason = |wanted: Identity| {
        let mut client = secured(&site, &client::Tls::new().identity(&wanted));
        async move {
            let answer = client.request(Method::GET, POLICY, Bytes::new()).await.unwrap();
            (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
        }
    };
    assert_eq!(reason(authority.client("PC00001")).await.0, 200);
    assert_eq!(reason(authority.issue(&Wanted::client("PC2").algorithm(Algorithm::Rsa2048))).await.0, 200);
    for (identity, text) in [
        (authority.issue(&Wanted::client("PC3").expired()), "403.17"),
        (Authority::new("Lab Root CA").client("PC4"), "403.16"),
        (Identity::self_signed(&Wanted::client("PC5")), "403.16"),
    ] {
        let (status, body) = reason(identity).await;
        assert!(status == 403 && body.contains(text), "{status} {body}");
    }
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_in_the_status_line() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority).clients(required(&authority))).await;
    let stream = TcpStream::connect(site.address()).await.unwrap();
    let connector = client::Tls::new().connector().unwrap();
    let mut stream = connector.secure(stream, HOST, site.address().ip()).await.unwrap();
    stream.write_all(b"GET /SMS_MP/ HTTP/1.1\r\nHost: mp\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 403 Client certificate required\r\n"), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn http_2_is_offered_when_told() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority).http2(true)).await;
    let stream = TcpStream::connect(site.address()).await.unwrap();
    let connector = client::Tls::new().alpn(&["h2", "http/1.1"]).connector().unwrap();
    let stream = connector.secure(stream, HOST, site.address().ip()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for target in [POLICY, "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi"] {
        let request = http::Request::get(format!("https://{HOST}{target}"));
        let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    }
    let seen = site.counters().seen();
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_2));
    assert_eq!(seen[0].tls.as_ref().unwrap().alpn.as_deref(), Some("h2"));
    // Whoever offers nothing else is served as ever.
    assert_eq!(status(&mut secured(&site, &client::Tls::new()), POLICY).await, 200);
    site.stop();
    drop(sender);
    site.gone().await;
}

#[tokio::test]
async fn faults_break_secured_connections_too() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority)).await;
    let target = "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi";
    let mut client = secured(&site, &client::Tls::new());
    for set in [crate::site::Faults::set_reset_after, crate::site::Faults::set_close_after] {
        set(site.faults(), Some(1000));
        assert!(is_cut(client.request(Method::GET, target, Bytes::new()).await));
        set(site.faults(), None);
        assert_eq!(status(&mut client, target).await, 200);
    }
    site.faults().set_garbage(true);
    assert!(is_cut(client.request(Method::GET, target, Bytes::new()).await));
    site.faults().set_garbage(false);
    // A connection that never shakes hands goes with the site system.
    let mut silent = TcpStream::connect(site.address()).await.unwrap();
    crate::waiting::until(|| site.counters().open_connections() > 0).await;
    site.kill();
    site.gone().await;
    assert!(silent.read(&mut [0; 1]).await.is_err());
    site.restart().await.unwrap();
    assert_eq!(status(&mut client, target).await, 200);
}

#[tokio::test]
async fn a_plain_request_to_a_secured_port_fails() {
    let authority = Authority::new("Lab Root CA");
    let site = point(site_of(&authority)).await;
    let (said, _) = raw(site.address(), "GET / HTTP/1.1\r\nHost: mp\r\n\r\n").await;
    assert!(!said.starts_with(b"HTTP/"));
    assert_eq!((site.counters().failed_handshakes(), site.counters().requests()), (1, 0));
}

#[tokio::test]
async fn client_notification_can_be_secured() {
    let authority = Authority::new("Lab Root CA");
    let tls = site_of(&authority).clients(ClientCertificate::Optional);
    let site = start(Spec::management_point("mp1").role(Role::ClientNotification).notification_tls(tls)).await;
    assert!(!site.is_secure());
    let address = site.notification_address().unwrap();
    let identity = authority.client("PC00001");
    let connector = client::Tls::new().identity(&identity).alpn(&[]).connector().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.secure(stream, HOST, address.ip()).await.unwrap();
    stream.write_all(b"Ping\n").await.unwrap();
    let mut said = [0; 14];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"Pong mp1 Ping\n");
    site.push("policy\n");
    stream.read_exact(&mut said[..7]).await.unwrap();
    assert_eq!(site.counters().handshakes()[0].client_certificate, Some(identity.fingerprint()));
}

#[tokio::test]
async fn what_is_no_certificate_is_an_error_at_the_start() {
    let authority = Authority::new("Lab Root CA");
    let mut wrong = authority.server(&[HOST]);
    wrong.key_pem = authority.server(&[HOST]).key_pem;
    for tls in [Tls::new(wrong), site_of(&authority).clients(ClientCertificate::Required("nothing".to_owned()))] {
        assert!(tls.check().is_err());
        assert!(SiteSystem::start(Spec::management_point("mp1").tls(tls)).await.is_err());
    }
    assert!(client::Tls::new().trusting("nothing").connector().is_err());
    site_of(&authority).check().unwrap();
}
