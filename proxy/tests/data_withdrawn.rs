//! Trust that was withdrawn: a connection that would not be let in any more is not served any more, and ends. So does one whose
//! certificate has ended, or that has been there for long enough.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rolegate::control::config::Source;
use rolegate_bench::client::Tls;
use rolegate_bench::pki::{Authority, Identity, Wanted};
use support::{Message, Peer, Pki, Proxy, Setup, get, ok, until, within};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

async fn echo() -> Peer {
    Peer::answering(|request, _| ok(request.target())).await
}

async fn reload(proxy: &Proxy, setup: &Setup) {
    proxy.app().reload_async(Source { name: "test.toml".to_owned(), text: setup.text() }).await.unwrap();
}

/// A listener that asks for certificates, but takes none of these.
fn asks(pki: &Pki, mode: &str, revoked: &[&Identity]) -> String {
    let list = pki.write("clients.crl", &pki.authority.crl(revoked));
    let lines = format!("forward_client_certificate = \"client-cert\"\nclient_crl_files = [{list}]");
    format!("http2 = true\n{}", pki.asks(mode, &lines))
}

#[track_caller]
fn is_turned_away(answer: &Message) {
    answer.is_own(403, "http_request_denied");
    assert_eq!(answer.field("connection"), Some("close"));
}

/// An HTTP/2 connection, and how it ends.
struct Modern {
    sender: SendRequest<Bytes>,
    ended: JoinHandle<bool>,
}

impl Modern {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = within("handshake", h2::client::handshake(stream)).await.unwrap();
        // What the client says after the server's goodbye may meet a connection that is closed.
        let ended = async move { connection.await.map_or_else(|error| error.is_io(), |()| true) };
        Self { sender, ended: tokio::spawn(ended) }
    }

    async fn secured(proxy: &Proxy, tls: &Tls) -> Self {
        Self::over(proxy.secure(&tls.clone().alpn(&["h2"])).await.stream).await
    }

    async fn begin(&self, target: &str) -> Result<h2::client::ResponseFuture, h2::Error> {
        let request = Request::get(format!("http://lab.test{target}")).body(()).unwrap();
        let mut ready = within("room", self.sender.clone().ready()).await?;
        Ok(ready.send_request(request, true)?.0)
    }

    /// The status of an answer. An error: the connection takes no more requests.
    async fn get(&self, target: &str) -> Result<u16, h2::Error> {
        let answer = within("an answer", self.begin(target).await?).await?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while within("its body", body.data()).await.transpose()?.is_some() {}
        Ok(status)
    }

    /// It ends, and in good order.
    async fn ends(self) {
        assert!(within("the end of the connection", self.ended).await.unwrap());
    }
}

#[tokio::test]
async fn idle_connections_of_a_revoked_certificate_end_and_others_go_on() {
    let (server, pki) = (echo().await, Pki::new());
    let (ann, bob) = (pki.authority.client("ANN"), pki.authority.client("BOB"));
    let setup = Setup::new([server.address]);
    for (mode, only_1_2) in [("required", false), ("optional", true)] {
        let proxy = setup.clone().listener(&asks(&pki, mode, &[])).start();
        let base = if only_1_2 { pki.client().only_1_2() } else { pki.client() };
        let (as_ann, as_bob) = (base.clone().identity(&ann), base.clone().identity(&bob));
        let (mut old_ann, mut old_bob) = (proxy.secure(&as_ann).await, proxy.secure(&as_bob).await);
        let mut anonymous = proxy.secure(&base).await;
        let (new_ann, new_bob) = (Modern::secured(&proxy, &as_ann).await, Modern::secured(&proxy, &as_bob).await);
        old_ann.ask(&get("/")).await.is_from_server(200);
        old_bob.ask(&get("/")).await.is_from_server(200);
        anonymous.ask(&get("/CCM_STS")).await.is_from_server(200);
        assert_eq!((new_ann.get("/").await.unwrap(), new_bob.get("/").await.unwrap()), (200, 200));
        until("three are put aside", || proxy.metric("rolegate_connections_waiting", &[]) == 3.0).await;
        let resumes = as_ann.connector().unwrap();
        proxy.secure_with(&resumes).await.ask(&get("/")).await.is_from_server(200);

        reload(&proxy, &setup.clone().listener(&asks(&pki, mode, &[&ann]))).await;
        old_ann.ends().await;
        new_ann.ends().await;
        old_bob.ask(&get("/")).await.is_from_server(200);
        anonymous.ask(&get("/CCM_STS")).await.is_from_server(200);
        assert_eq!(new_bob.get("/").await.unwrap(), 200);
        // Nor does a session bring it back.
        if let Ok(mut again) = support::pki::secure(proxy.open().await, &resumes).await {
            again.say(get("/")).await;
            assert!(again.response("GET").await.cut);
        }
        proxy.until_refused("tls_client_certificate", 1).await;
    }
}

#[tokio::test]
async fn a_request_on_a_connection_of_a_revoked_certificate_is_turned_away() {
    let (server, pki) = (echo().await, Pki::new());
    let ann = pki.authority.client("ANN");
    let setup = Setup::new([server.address]);
    let other = Authority::new("Other CA");
    let only_other = |pki: &Pki| {
        let ca = pki.write("other.crt", other.certificate_pem());
        pki.terminates(&format!("client_certificates = \"optional\"\nclient_ca_file = {ca}"))
    };
    for then in [asks(&pki, "required", &[&ann]), only_other(&pki), pki.terminates("")] {
        let proxy = setup.clone().listener(&asks(&pki, "required", &[])).start();
        let mut client = proxy.secure(&pki.client().identity(&ann)).await;
        client.ask(&get("/")).await.is_from_server(200);
        assert!(server.heard().pop().unwrap().field("client-cert").is_some());
        // One that has begun is not idle, so that it is answered.
        let request = get("/late");
        client.say(&request[..9]).await;
        until("it has begun", || proxy.metric("rolegate_connections_waiting", &[]) == 0.0).await;
        let _ = asks(&pki, "required", &[&ann]);
        reload(&proxy, &setup.clone().listener(&then)).await;
        client.say(&request[9..]).await;
        is_turned_away(&client.response("GET").await);
        client.ends().await;
        assert!(server.heard().iter().all(|heard| heard.target() != "/late"), "{then}");
    }
}

/// Answers when it is let.
async fn gated(gate: &Arc<Semaphore>) -> Peer {
    let gate = Arc::clone(gate);
    Peer::serve(move |mut talk| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = talk.request().await {
                if request.target() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                talk.say(ok(request.target())).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let (gate, pki) = (Arc::new(Semaphore::new(0)), Pki::new());
    let server = gated(&gate).await;
    let (ann, bob) = (pki.authority.client("ANN"), pki.authority.client("BOB"));
    let setup = Setup::new([server.address]);
    let proxy = setup.clone().listener(&asks(&pki, "required", &[])).start();
    let as_ann = pki.client().identity(&ann);
    let mut old = proxy.secure(&as_ann).await;
    old.say(get("/slow")).await;
    let new = Modern::secured(&proxy, &as_ann).await;
    let answer = new.begin("/slow").await.unwrap();
    until("both are under way", || server.count() == 2).await;
    reload(&proxy, &setup.clone().listener(&asks(&pki, "required", &[&ann]))).await;
    // The data thread has seen it.
    proxy.get_secured(&pki.client().identity(&bob), "/").await.is_from_server(200);
    gate.add_permits(2);
    let heard = old.response("GET").await;
    heard.is_from_server(200);
    assert_eq!((heard.text().as_str(), heard.field("connection")), ("/slow", Some("close")));
    old.ends().await;
    assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
    new.ends().await;
    assert_eq!(proxy.metric("rolegate_request_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let (server, pki) = (echo().await, Pki::new());
    let proxy = Setup::new([server.address]).listener(&asks(&pki, "required", &[])).start();
    let (now, second) = (SystemTime::now(), Duration::from_secs(1));
    let end = now + 4 * second;
    let short = pki.client().identity(&pki.authority.issue(&Wanted::client("PC1").validity(now - 60 * second, end)));
    let (mut idle, mut busy) = (proxy.secure(&short).await, proxy.secure(&short).await);
    let modern = Modern::secured(&proxy, &short).await;
    idle.ask(&get("/")).await.is_from_server(200);
    assert_eq!(modern.get("/").await.unwrap(), 200);
    let request = get("/late");
    busy.say(&request[..9]).await;
    idle.ends().await;
    assert!(SystemTime::now() > end, "not before");
    busy.say(&request[9..]).await;
    is_turned_away(&busy.response("GET").await);
    modern.ends().await;
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_connection_is_there_for_no_longer_than_it_may() {
    let server = echo().await;
    let proxy = Setup::new([server.address]).proxy("max_connection_age = \"1s\"").listener("http2 = true").start();
    let begun = Instant::now();
    let (mut idle, mut busy) = (proxy.open().await, proxy.open().await);
    let modern = Modern::over(proxy.open().await.stream).await;
    let unused = Modern::over(proxy.open().await.stream).await;
    idle.ask(&get("/")).await.is_from_server(200);
    let mut last = false;
    while !last {
        assert!(begun.elapsed() < support::PATIENCE);
        let answer = busy.ask(&get("/")).await;
        answer.is_from_server(200);
        last = answer.field("connection") == Some("close");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    busy.ends().await;
    idle.ends().await;
    unused.ends().await;
    // The last one that it takes is answered too.
    while let Ok(status) = modern.get("/").await {
        assert_eq!(status, 200);
        assert!(begun.elapsed() < support::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    modern.ends().await;
    assert_eq!(proxy.metric("rolegate_request_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn a_load_balancer_that_is_taken_from_the_list_is_not_believed_any_more() {
    let server = echo().await;
    let setup = Setup::new([server.address]);
    let from = |address: &str| format!("proxy_protocol = true\nproxy_protocol_from = [\"{address}\"]");
    for then in [from("127.0.1.6"), String::new()] {
        let proxy = setup.clone().listener(&from("127.0.1.5")).start();
        let (mut idle, mut busy) = (proxy.open_from("127.0.1.5").await, proxy.open_from("127.0.1.5").await);
        let header = "PROXY TCP4 10.1.2.3 10.0.0.1 4660 80\r\n";
        idle.say(format!("{header}{}", get("/"))).await;
        idle.response("GET").await.is_from_server(200);
        let request = get("/late");
        busy.say(format!("{header}{}", &request[..9])).await;
        until("it has begun", || proxy.metric("rolegate_connections_waiting", &[]) <= 1.0).await;
        until("the other is put aside", || proxy.metric("rolegate_connections_waiting", &[]) == 1.0).await;
        reload(&proxy, &setup.clone().listener(&then)).await;
        idle.ends().await;
        busy.say(&request[9..]).await;
        is_turned_away(&busy.response("GET").await);
    }
}

#[tokio::test]
async fn a_plain_connection_does_not_outlive_a_plain_listener() {
    let (server, pki) = (echo().await, Pki::new());
    let (plain, secured) = (Setup::new([server.address]), pki.terminates(""));
    for (from, to) in [("", secured.as_str()), (&secured, "")] {
        let proxy = plain.clone().listener(from).start();
        if from.is_empty() {
            let mut idle = proxy.open().await;
            idle.ask(&get("/")).await.is_from_server(200);
            reload(&proxy, &plain.clone().listener(to)).await;
            idle.ends().await;
        } else {
            let mut idle = proxy.secure(&pki.client()).await;
            idle.ask(&get("/")).await.is_from_server(200);
            reload(&proxy, &plain.clone().listener(to)).await;
            idle.ends().await;
        }
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_the_trust_in_its_client() {
    let server = Peer::serve(|mut talk| async move {
        while talk.wire.more().await > 0 {
            let heard = std::mem::take(&mut talk.wire.ahead);
            talk.say(heard).await;
        }
    })
    .await;
    let pki = Pki::new();
    let (ann, bob) = (pki.authority.client("ANN"), pki.authority.client("BOB"));
    let setup = Setup::new([server.address]).held("client-notification");
    let listens = |revoked: &[&Identity]| {
        let list = pki.write("clients.crl", &pki.authority.crl(revoked));
        pki.asks("required", &format!("client_crl_files = [{list}]"))
    };
    let proxy = setup.clone().listener(&listens(&[])).start();
    let mut tunnels =
        [proxy.secure(&pki.client().identity(&ann)).await, proxy.secure(&pki.client().identity(&bob)).await];
    for tunnel in &mut tunnels {
        tunnel.say("hello").await;
        assert_eq!(tunnel.take(5).await, b"hello");
    }
    reload(&proxy, &setup.clone().listener(&listens(&[&ann]))).await;
    let [mut of_ann, mut of_bob] = tunnels;
    of_ann.ends().await;
    of_bob.say("still").await;
    assert_eq!(of_bob.take(5).await, b"still");
    assert_eq!(proxy.metric("rolegate_tunnels_moved_total", &[]), 1.0);
}
