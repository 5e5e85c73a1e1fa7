//! TLS that ends at the site system: the proxy reads one name and touches nothing.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rolegate::control::config::Source;
use rolegate_bench::client::Tls;
use rolegate_bench::pki::Identity;
use rolegate_bench::site::{self, ClientCertificate, Role, SiteSystem, Spec};
use support::{Peer, Pki, Proxy, Setup, Wire, get, ok, peers, pki, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MPLIST: &str = "/SMS_MP/.sms_aut?MPLIST";

fn passes(setup: Setup, role: &str) -> Setup {
    setup.role(&format!("tls = true\n{role}")).listener("passthrough = true")
}

async fn management_point(pki: &Pki, name: &str) -> (SiteSystem, Identity) {
    let identity = pki.authority.server(&[name]);
    let tls = site::Tls::new(identity.clone()).clients(ClientCertificate::Optional).http2(true);
    let spec = Spec::management_point(name).role(Role::SoftwareUpdatePoint).tls(tls);
    (SiteSystem::start(spec).await.unwrap(), identity)
}

/// One role for each server, which is for one name, or for all others.
fn by_name(servers: &[(&str, SocketAddr)]) -> Proxy {
    let mut text = String::from(
        "[site]\ncode = \"P01\"\n[proxy]\nthreads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\n\
         address = \"127.0.0.1:0\"\npassthrough = true\n",
    );
    let roles: Vec<String> = (0..servers.len()).map(|number| format!("\"role{number}\"")).collect();
    text += &format!("roles = [{}]\n", roles.join(", "));
    for (number, (name, _)) in servers.iter().enumerate() {
        let hosts = if name.is_empty() { String::new() } else { format!("hosts = [\"{name}\"]\n") };
        text +=
            &format!("[roles.role{number}]\npreset = \"plain\"\ntls = true\nprobe = {{ kind = \"none\" }}\n{hosts}");
    }
    for (number, (_, server)) in servers.iter().enumerate() {
        text += &format!(
            "[[site_systems]]\nname = \"srv{number}\"\naddress = \"127.0.0.1\"\n\
             roles = [{{ role = \"role{number}\", port = {} }}]\n",
            server.port()
        );
    }
    Proxy::start(&text)
}

#[tokio::test]
async fn the_server_name_chooses_the_role_and_the_client_sees_its_certificate() {
    let pki = Pki::new();
    let (one, first) = management_point(&pki, "mp1.lab.test").await;
    let (two, second) = management_point(&pki, "mp2.lab.test").await;
    let proxy = by_name(&[("mp1.lab.test", one.address()), ("MP2.lab.test", two.address())]);
    let own = pki.authority.client("PC1");
    for (name, site, identity) in [("mp1.lab.test", &one, &first), ("mp2.lab.test", &two, &second)] {
        for tls in [pki.client(), pki.client().only_1_2()] {
            let mut client = proxy.secure(&tls.sni(name).identity(&own)).await;
            assert_eq!(pki::shown(&client), identity.fingerprint());
            let answer = client.ask(&get(MPLIST)).await;
            assert_eq!((answer.status(), answer.field("x-site-system")), (200, Some(name)));
            assert_eq!(answer.field("via"), None);
            let seen = site.counters().seen().pop().unwrap();
            assert_eq!((seen.header("via"), seen.header("x-forwarded-for")), (None, None));
            let told = seen.tls.unwrap();
            assert_eq!(told.client_certificate, Some(own.fingerprint()));
            assert_eq!(told.sni.as_deref(), Some(name));
        }
    }
    let upper = proxy.secure(&Tls::new().sni("MP1.LAB.TEST")).await;
    assert_eq!(pki::shown(&upper), first.fingerprint());
    let modern = proxy.secure(&pki.client().sni("mp2.lab.test").alpn(&["h2"])).await;
    assert_eq!(modern.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "they agree on it themselves");
    assert_eq!(proxy.metric("rolegate_tls_handshakes_total", &[]), 0.0);
}

#[tokio::test]
async fn a_name_that_no_role_is_for_ends_the_connection() {
    let pki = Pki::new();
    let (site, identity) = management_point(&pki, "mp1.lab.test").await;
    let proxy = by_name(&[("mp1.lab.test", site.address())]);
    assert!(proxy.try_secure(&Tls::new().sni("mp9.lab.test")).await.is_err());
    proxy.until_refused("hello_no_route", 1).await;
    assert!(proxy.try_secure(&Tls::new().without_sni()).await.is_err());
    proxy.until_refused("hello_no_route", 2).await;
    assert_eq!(site.counters().connections(), 0);

    let (rest, others) = management_point(&pki, "rest.lab.test").await;
    let proxy = by_name(&[("mp1.lab.test", site.address()), ("", rest.address())]);
    for tls in [Tls::new().sni("mp9.lab.test"), Tls::new().without_sni()] {
        assert_eq!(pki::shown(&proxy.secure(&tls).await), others.fingerprint(), "{tls:?}");
    }
    assert_eq!(pki::shown(&proxy.secure(&pki.client()).await), identity.fingerprint());
}

#[tokio::test]
async fn what_is_no_hello_ends_and_is_counted() {
    let server = Peer::saying(ok("never")).await;
    let proxy = passes(Setup::new([server.address]), "").start();
    let mut hello = pki::client_hello("mp1.lab.test");
    let mut huge = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    huge.resize(5 + 0x4000, 0);
    huge.extend([0x16, 3, 1, 0x40, 0]);
    huge.resize(2 * (5 + 0x4000), 0);
    // The message inside is no ClientHello.
    hello[5] = 2;
    for (number, bytes) in [get("/").into_bytes(), vec![0; 100], huge, hello].into_iter().enumerate() {
        let mut client = proxy.open().await;
        client.say(&bytes).await;
        client.wait_for_the_end().await;
        proxy.until_refused("hello_invalid", number + 1).await;
    }
    let mut client = proxy.open().await;
    client.say(&pki::client_hello("mp1.lab.test")[..40]).await;
    client.end().await;
    client.ends().await;
    until("a client that goes is counted", || proxy.refused("client_gone") == 1.0).await;
    assert_eq!(server.accepted(), 0);
    until("nothing is left", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_hello_has_its_time() {
    let server = Peer::saying(ok("never")).await;
    let setup = Setup::new([server.address]).role("tls = true");
    let proxy = setup.listener("passthrough = true\nclient_hello_timeout = \"300ms\"").start();
    let hello = pki::client_hello("mp1.lab.test");
    let begun = Instant::now();
    let (mut silent, mut half) = (proxy.open().await, proxy.open().await);
    half.say(&hello[..100]).await;
    silent.ends().await;
    half.ends().await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    proxy.until_refused("hello_timeout", 2).await;
    let mut slow = proxy.open().await;
    for byte in hello {
        slow.say([byte]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if proxy.refused("hello_timeout") == 3.0 {
            break;
        }
    }
    proxy.until_refused("hello_timeout", 3).await;
    assert_eq!(server.accepted(), 0);
}

/// Cuts the first record, the hello, into records of this size, and passes everything else on as it is.
async fn in_records(to: SocketAddr, size: usize) -> Peer {
    Peer::serve(move |mut talk| async move {
        let head = talk.wire.take(5).await;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let hello = talk.wire.take(length).await;
        let mut above = Wire::connect(to).await;
        for piece in hello.chunks(size) {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            above.say([&head[..3], &length, piece].concat()).await;
        }
        let early = std::mem::take(&mut talk.wire.ahead);
        above.say(early).await;
        // However it ends.
        let _ = tokio::io::copy_bidirectional(&mut talk.wire.stream, &mut above.stream).await;
    })
    .await
}

#[tokio::test]
async fn a_hello_in_many_segments_and_records_is_read() {
    let pki = Pki::new();
    let (site, identity) = management_point(&pki, "mp1.lab.test").await;
    let proxy = by_name(&[("mp1.lab.test", site.address())]);
    let mut ways = vec![peers::dribble(proxy.at("http")).await];
    for size in [1, 7, 100, 250] {
        ways.push(in_records(proxy.at("http"), size).await);
    }
    for way in ways {
        for tls in [pki.client(), pki.client().only_1_2()] {
            let wire = Wire::connect(way.address).await;
            let mut client = pki::secure(wire, &tls.connector().unwrap()).await.unwrap();
            assert_eq!(pki::shown(&client), identity.fingerprint());
            assert_eq!(client.ask(&get(MPLIST)).await.status(), 200);
        }
    }
    assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn boundary_groups_choose_the_server() {
    let pki = Pki::new();
    let (one, first) = management_point(&pki, "mp1.lab.test").await;
    let (two, second) = management_point(&pki, "mp2.lab.test").await;
    let groups = "[[boundary_groups]]\nname = \"One\"\nboundaries = [\"127.1.0.0/16\"]\nsite_systems = [\"srv0.lab.test\"]\n\
                  [[boundary_groups]]\nname = \"Two\"\nboundaries = [\"127.2.0.0/16\"]\nsite_systems = [\"srv1.lab.test\"]\n";
    let setup = passes(Setup::new([one.address(), two.address()]), "locality = \"boundary-groups\"").more(groups);
    let proxy = setup.start();
    for round in 1..6 {
        for (source, identity) in [(format!("127.1.0.{round}"), &first), (format!("127.2.0.{round}"), &second)] {
            let wire = proxy.open_from(&source).await;
            let client = pki::secure(wire, &Tls::new().connector().unwrap()).await.unwrap();
            assert_eq!(pki::shown(&client), identity.fingerprint(), "{source}");
        }
    }
    let wire = proxy.open_from("127.3.0.1").await;
    assert!(pki::secure(wire, &Tls::new().connector().unwrap()).await.is_err(), "nobody is for it");
    until("it is counted", || proxy.metric("rolegate_request_errors_total", &["destination_unavailable"]) == 1.0).await;
}

#[tokio::test]
async fn a_server_that_is_down_leaves_its_clients_to_the_next() {
    let pki = Pki::new();
    let (site, identity) = management_point(&pki, "mp1.lab.test").await;
    let refused = peers::refuse();
    let proxy = passes(Setup::new([refused.address, site.address()]), "balance = \"random\"").start();
    let failed = || proxy.metric("rolegate_endpoint_failures_total", &["connection_refused"]);
    for round in 0..100 {
        assert_eq!(pki::shown(&proxy.secure(&pki.client()).await), identity.fingerprint());
        if failed() > 0.0 {
            break;
        }
        assert!(round < 99, "the one that is down was never tried");
    }
    site.kill();
    assert!(proxy.try_secure(&pki.client()).await.is_err());
    proxy.until_idle().await;
    until("the tunnels are gone", || proxy.metric("rolegate_tunnels", &[]) == 0.0).await;
    let proxy = passes(Setup::new([refused.address]), "").start();
    assert!(proxy.try_secure(&pki.client()).await.is_err());
    until("nobody is left", || proxy.metric("rolegate_request_errors_total", &["connection_refused"]) == 1.0).await;
    assert_eq!(proxy.metric("rolegate_connection_errors_total", &[]), 0.0, "the client did nothing wrong");
}

#[tokio::test]
async fn one_direction_may_end_first_and_every_byte_is_passed_on() {
    let server = Peer::serve(|mut talk| async move {
        talk.wait().await;
        let heard = std::mem::take(&mut talk.wire.ahead);
        talk.say(&heard).await;
        talk.say("bye").await;
    })
    .await;
    let proxy = passes(Setup::new([server.address]), "").start();
    let hello = pki::client_hello("mp1.lab.test");
    for more in [0, 10, 5000, 3_000_000] {
        let sent = [&hello[..], &vec![b'x'; more]].concat();
        let mut client = proxy.open().await;
        let stream = std::mem::replace(&mut client.stream, proxy.open().await.stream);
        let (mut read, mut write) = stream.into_split();
        let expected = sent.len() + 3;
        let all = async {
            let mut heard = Vec::new();
            read.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let say = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (heard, ()) = support::within("an echo", async { tokio::join!(all, say) }).await;
        assert_eq!(heard.len(), expected);
        assert!(heard.starts_with(&sent) && heard.ends_with(b"bye"));
        proxy.until_idle().await;
    }
}

#[tokio::test]
async fn a_tunnel_is_counted_while_it_lives() {
    let server = Peer::serve(|mut talk| async move {
        loop {
            let heard = std::mem::take(&mut talk.wire.ahead);
            talk.say(&heard).await;
            if talk.wire.more().await == 0 {
                return;
            }
        }
    })
    .await;
    let proxy = passes(Setup::new([server.address]), "").start();
    let hello = pki::client_hello("mp1.lab.test");
    let mut client = proxy.open().await;
    client.say(&hello).await;
    assert_eq!(client.take(hello.len()).await, hello);
    let mut total = hello.len() as f64;
    let moved = |way| proxy.metric("rolegate_tunnel_bytes_total", &[way]);
    for size in [1, 100, 100_000] {
        let piece = vec![b'y'; size];
        client.say(&piece).await;
        assert_eq!(client.take(size).await, piece);
        total += size as f64;
        until("all bytes are counted", || (moved("up"), moved("down")) == (total, total)).await;
    }
    assert_eq!((proxy.metric("rolegate_tunnels", &["web"]), proxy.in_flight()), (1.0, 1));
    assert_eq!(proxy.metric("rolegate_endpoint_connects_total", &[]), 1.0);
    assert_eq!(proxy.metric("rolegate_connections", &["http"]), 1.0);
    client.reset();
    proxy.until_idle().await;
    until("the tunnel is gone", || proxy.metric("rolegate_tunnels", &[]) == 0.0).await;
    until("the client too", || proxy.metric("rolegate_connections", &[]) == 0.0).await;
    until("and the server's side", || server.open() == 0).await;
}

#[tokio::test]
async fn a_reload_that_passes_tls_through_ends_connections_that_speak_http() {
    let server = Peer::saying(ok("here")).await;
    let proxy = Setup::new([server.address]).role("tls = false").start();
    let mut client = proxy.open().await;
    client.ask(&get("/")).await.is_from_server(200);
    let text = passes(Setup::new([server.address]), "").text();
    proxy.app().reload_async(Source { name: "test.toml".to_owned(), text }).await.unwrap();
    client.ask(&get("/")).await.is_own(404, "destination_not_found");
    client.ends().await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_connection_that_no_open_tier_takes_starts_the_clock() {
    let dead = peers::refuse();
    let neighbor = Peer::serve(|mut talk| async move {
        talk.say("neighbor\r\n").await;
        talk.wait().await;
    })
    .await;
    let system = |name: &str, address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [{{ role = \"web\", port = {port} }}]\n"
        )
    };
    let proxy = Proxy::start(&format!(
        "[site]\ncode = \"P01\"\n[admin]\naddress = \"127.0.0.1:0\"\n[fallback]\nspeedup = 600\n\
         [[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"web\"]\npassthrough = true\n\
         [roles.web]\npreset = \"plain\"\nlocality = \"boundary-groups\"\ntls = true\nprobe = {{ kind = \"none\" }}\n{}{}\
         [[boundary_groups]]\nname = \"A\"\nboundaries = [\"127.0.0.0/8\"]\nsite_systems = [\"dead\"]\n\
         neighbors = [{{ group = \"B\", fallback = {{ web = 1 }} }}]\n\
         [[boundary_groups]]\nname = \"B\"\nsite_systems = [\"neighbor\"]\n",
        system("dead", dead.address),
        system("neighbor", neighbor.address)
    ));
    let line = || async {
        let mut wire = proxy.open().await;
        wire.say(pki::client_hello("dp.lab.test")).await;
        wire.line().await
    };
    assert_eq!(line().await, None, "a minute is a tenth of a second here");
    assert_eq!(proxy.metric("rolegate_fallback_clocks_started_total", &[]), 1.0);
    support::within("the neighbor", async { while line().await.as_deref() != Some("neighbor") {} }).await;
}

#[tokio::test]
async fn a_role_of_a_listener_that_passes_tls_on_cannot_require_certificates() {
    let server = Peer::saying(ok("")).await;
    let text = passes(Setup::new([server.address]), "client_certificates = \"required\"").text();
    let errors = rolegate::control::director::read(&Source { name: "test.toml".to_owned(), text }, false).unwrap_err();
    assert!(errors.to_string().contains("only the site system can ask for one"), "{errors}");
}
