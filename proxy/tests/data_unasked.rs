//! What a server says before it closes an idle connection without being asked: it is no answer to the next request.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Peer, Setup, ok, within};

/// Answers the first request of each connection as it should. To the next it says what it would have said at that moment anyway: that
/// it has waited for too long.
async fn tired(close: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        let Some(request) = talk.request().await else { return };
        talk.say(ok(request.target())).await;
        if talk.request().await.is_some() {
            talk.say(format!("HTTP/1.1 408 Request Timeout\r\n{close}Content-Length: 4\r\n\r\nlate")).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_408_that_was_on_its_way_is_no_answer() {
    for close in ["Connection: close\r\n", ""] {
        let server = tired(close).await;
        let proxy = Setup::new([server.address]).start();
        for round in 0..4 {
            let target = format!("/{round}");
            let answer = proxy.get(&target).await;
            answer.is_from_server(200);
            assert_eq!(answer.text(), target);
            proxy.until_idle().await;
        }
        // What may have arrived is not sent again.
        let before = server.count();
        let answer = proxy.ask("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi").await;
        answer.is_own(502, "connection_terminated");
        assert_eq!(server.count(), before + 1);
    }
}

#[tokio::test]
async fn a_408_that_came_before_is_no_answer_either() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Peer::serve(move |mut talk| {
        let tell = tell.clone();
        async move {
            let Some(request) = talk.request().await else { return };
            talk.say(ok(&request.text())).await;
            talk.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            tell.send(()).unwrap();
            talk.wait().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    for round in 0..5 {
        let body = round.to_string();
        let answer = proxy.ask(&format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{body}")).await;
        answer.is_from_server(200);
        assert_eq!(answer.text(), body);
        within("the other answer is out", told.recv()).await.unwrap();
    }
    assert_eq!((server.count(), server.accepted()), (5, 5));
}

#[tokio::test]
async fn a_408_that_is_an_answer_reaches_its_client() {
    // To the first request of a connection, and to one whose body does not come.
    let server = Peer::serve(|mut talk| async move {
        let late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate";
        while let Some(head) = talk.head().await {
            if head.target() == "/ok" {
                talk.say(ok("fine")).await;
                continue;
            }
            talk.say(late).await;
            talk.wait().await;
        }
    })
    .await;
    let proxy = Setup::new([server.address]).start();
    let answer = proxy.get("/late").await;
    assert_eq!((answer.status(), answer.text().as_str()), (408, "late"));
    proxy.get("/ok").await.is_from_server(200);
    let mut client = proxy.open().await;
    client.say("POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome").await;
    let answer = client.response("POST").await;
    assert_eq!((answer.status(), answer.text().as_str()), (408, "late"));
}
