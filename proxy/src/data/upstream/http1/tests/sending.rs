//! Requests on their way, with bodies whose length is known; the others need a client, see `tests/data_upstream.rs`.

use super::*;

#[tokio::test]
async fn a_head_and_a_small_body_go_together() {
    let mut pair = Pair::silent().await;
    pair.up.begin(asking(b"PUT / HTTP/1.1\r\n\r\n", false), RequestBody::Kept(Some("hello".into())));
    assert!(pair.up.is_sending() && pair.up.sent() == 0 && !pair.up.is_idle());
    // Once, without waiting for anything.
    assert!(poll_fn(|cx| Poll::Ready(pair.up.poll_sent(cx))).await.is_ready());
    assert!(!pair.up.is_sending() && pair.up.sent() == 23);
    assert_eq!(pair.heard(23).await, b"PUT / HTTP/1.1\r\n\r\nhello");
}

#[tokio::test]
async fn a_large_body_waits_for_its_reader() {
    const LENGTH: usize = 16 << 20;
    let body: Vec<u8> = (0..LENGTH).map(|place| (place % 251) as u8).collect();
    let mut pair = Pair::silent().await;
    pair.up.begin(request(), RequestBody::Kept(Some(body.clone().into())));
    let first = poll_fn(|cx| Poll::Ready(pair.up.poll_sent(cx))).await;
    assert!(first.is_pending() && pair.up.is_sending(), "no socket holds that much");
    let all = REQUEST.len() + LENGTH;
    let mut heard = vec![0; all];
    let hears = async {
        for piece in heard.chunks_mut(100_000) {
            pair.server.read_exact(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    within(async { tokio::join!(hears, poll_fn(|cx| pair.up.poll_sent(cx))) }).await;
    assert!(heard[..REQUEST.len()] == *REQUEST && heard[REQUEST.len()..] == body[..]);
    assert_eq!((pair.up.sent(), pair.up.is_sending()), (all as u64, false));
}

/// A body that is larger than what a connection takes unread.
fn large() -> RequestBody {
    RequestBody::Kept(Some(vec![b'x'; 16 << 20].into()))
}

#[tokio::test]
async fn a_response_may_overtake_its_request() {
    let mut pair = Pair::silent().await;
    pair.up.begin(request(), large());
    let answers = poll_fn(|cx| Poll::Ready(pair.up.poll_head(cx, &pair.reading, drop))).await;
    assert!(answers.is_pending());
    pair.heard(100).await;
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await;
    assert_eq!(pair.head().await.unwrap().status, StatusCode::OK);
    assert_eq!(pair.body().await.unwrap().0, b"early");
    assert!(pair.up.is_complete() && pair.up.is_sending() && !pair.up.is_idle());
    let mut rest = vec![0; REQUEST.len() + (16 << 20) - 100];
    let (read, ()) =
        within(async { tokio::join!(pair.server.read_exact(&mut rest), poll_fn(|cx| pair.up.poll_sent(cx))) }).await;
    read.unwrap();
    assert!(pair.up.is_idle());
    pair.up.begin(request(), RequestBody::Empty);
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
    pair.head().await.unwrap();
    assert_eq!(pair.body().await.unwrap().0, b"next");
}

#[tokio::test]
async fn a_request_goes_on_while_its_response_is_awaited() {
    let mut pair = Pair::silent().await;
    pair.up.begin(request(), large());
    assert!(poll_fn(|cx| Poll::Ready(pair.up.poll_head(cx, &pair.reading, drop))).await.is_pending());
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    pair.head().await.unwrap();
    let mut all = vec![0; REQUEST.len() + (16 << 20)];
    let server = &mut pair.server;
    let answers = async {
        server.read_exact(&mut all).await.unwrap();
        server.write_all(b"whole").await.unwrap();
    };
    let (body, ()) = within(async { tokio::join!(collect(&mut pair.up), answers) }).await;
    assert_eq!(body.unwrap().0, b"whole");
    assert!(pair.up.is_idle());
    // And the other way round: all is sent, nothing has come, and the response is not over.
    pair.up.begin(request(), RequestBody::Empty);
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    pair.head().await.unwrap();
    assert!(!pair.up.is_sending() && !pair.up.is_idle());
}

#[tokio::test]
async fn a_body_of_another_length_than_its_head_has_promised_ends_its_connection() {
    for promised in [4, 6] {
        let mut pair = Pair::silent().await;
        pair.up.begin(request(), RequestBody::Kept(Some("hello".into())));
        pair.up.sending.left = Some(promised);
        pair.says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(pair.head().await.unwrap_err(), Error::ClientGone, "{promised}");
        assert!(!pair.up.is_sending() && !pair.up.is_idle(), "{promised}");
        drop(pair.up);
        let mut heard = Vec::new();
        // What was not read may make this a reset.
        let _ = within(pair.server.read_to_end(&mut heard)).await;
        assert!(heard.len() < REQUEST.len() + promised as usize, "{promised}: it looks whole");
    }
    // The response has overtaken it.
    let mut pair = Pair::silent().await;
    pair.up.begin(request(), large());
    pair.up.sending.left = Some((16 << 20) + 1);
    assert!(poll_fn(|cx| Poll::Ready(pair.up.poll_head(cx, &pair.reading, drop))).await.is_pending());
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await;
    pair.head().await.unwrap();
    assert_eq!(pair.body().await.unwrap().0, b"early");
    let mut all = vec![0; REQUEST.len() + (16 << 20)];
    let sent = poll_fn(|cx| pair.up.poll_sent(cx));
    within(async { tokio::join!(pair.server.read_exact(&mut all), sent) }).await.0.unwrap();
    assert!(pair.up.is_complete() && !pair.up.is_sending() && !pair.up.is_idle(), "the next request would be its end");
}

#[tokio::test]
async fn a_refusal_is_heard_although_the_rest_cannot_be_sent() {
    for sent_first in [true, false] {
        let mut pair = Pair::silent().await;
        pair.up.begin(request(), large());
        assert!(poll_fn(|cx| Poll::Ready(pair.up.poll_sent(cx))).await.is_pending());
        pair.says("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        // What it has not read makes this a reset.
        drop(std::mem::replace(&mut pair.server, Pair::silent().await.server));
        if sent_first {
            pair.sent().await;
        }
        assert_eq!(pair.head().await.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(pair.body().await.unwrap().0, b"big");
        pair.sent().await;
        assert!(!pair.up.is_idle(), "part of a request is on it");
        assert!(pair.up.take_unsent().is_none());
    }
}

#[tokio::test]
async fn a_request_of_which_nothing_was_sent_comes_back() {
    let reading = Reading::default();
    for body in [RequestBody::Empty, RequestBody::Kept(Some("x".into()))] {
        let mut up = Pair::silent().await.reset();
        within(up.transport.tcp().readable()).await.unwrap();
        up.begin(request(), body);
        let answer = within(poll_fn(|cx| up.poll_head(cx, &reading, drop))).await;
        assert_eq!((answer.unwrap_err(), up.sent()), (Error::NeverSent, 0));
        assert!(up.take_unsent().is_some() && !up.is_idle());
    }
    let mut pair = Pair::asked().await;
    pair.sent().await;
    let mut up = pair.reset();
    let answer = within(poll_fn(|cx| up.poll_head(cx, &reading, drop))).await;
    assert_eq!(answer.unwrap_err(), Error::Terminated, "the server may have seen it");
    assert!(up.take_unsent().is_none());
}
