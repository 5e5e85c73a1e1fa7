//! A connection to an endpoint against a socket whose other end says exactly what a test wants: heads, and what is idle.
#![allow(clippy::unwrap_used)]

mod framing;
mod secured;
mod sending;

use std::future::{Future, poll_fn};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop;

use super::sending::Begins;
use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(15);

/// A request without a body.
fn request() -> WrittenHead {
    asking(REQUEST, false)
}

/// A request for a head alone.
fn head_alone() -> WrittenHead {
    asking(REQUEST, true)
}

fn asking(head: &[u8], head_only: bool) -> WrittenHead {
    WrittenHead { bytes: head.to_vec(), trailers: Vec::new(), begins: Begins::AtOnce, head_only }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("not in time")
}

/// A connection with a request on its way, and the server's end of it.
struct Pair {
    up: Upstream,
    server: TcpStream,
    reading: Reading,
}

impl Pair {
    async fn silent() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        server.set_nodelay(true).unwrap();
        Self { up: Upstream::new(Transport::Plain(ours), Made::plain()), server, reading: Reading::default() }
    }

    async fn asked() -> Self {
        let mut pair = Self::silent().await;
        pair.up.begin(request(), RequestBody::Empty);
        pair
    }

    async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.server.write_all(bytes.as_ref())).await.unwrap();
    }

    async fn head(&mut self) -> Result<ResponseHead, Error> {
        within(poll_fn(|cx| self.up.poll_head(cx, &self.reading, drop))).await
    }

    async fn sent(&mut self) {
        within(poll_fn(|cx| self.up.poll_sent(cx))).await;
    }

    /// What is there of the head, without waiting for more.
    async fn peek_head(&mut self) -> Poll<Result<ResponseHead, Error>> {
        within(self.up.transport.tcp().readable()).await.unwrap();
        poll_fn(|cx| Poll::Ready(self.up.poll_head(cx, &self.reading, drop))).await
    }

    async fn body(&mut self) -> Result<(Vec<u8>, HeaderMap), Error> {
        within(collect(&mut self.up)).await
    }

    /// Something new has come from the server, if only the end.
    async fn notice(&self) {
        within(self.up.transport.tcp().readable()).await.unwrap();
    }

    /// Everything that the server gets, up to `length` bytes.
    async fn heard(&mut self, length: usize) -> Vec<u8> {
        let mut heard = vec![0; length];
        within(self.server.read_exact(&mut heard)).await.unwrap();
        heard
    }

    fn reset(self) -> Upstream {
        socket2::SockRef::from(&self.server).set_linger(Some(Duration::ZERO)).unwrap();
        self.up
    }
}

/// The body of a response whose head was read.
async fn collect(up: &mut Upstream) -> Result<(Vec<u8>, HeaderMap), Error> {
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| up.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(other) => trailers = other.into_trailers().unwrap(),
        }
    }
    Ok((body, trailers))
}

/// A response with its body, to a request that may be a HEAD. The server closes its direction when all is said.
async fn hear_as(bytes: &[u8], bodiless: bool) -> Result<(ResponseHead, Vec<u8>, HeaderMap), Error> {
    let mut pair = Pair::silent().await;
    pair.up.begin(asking(REQUEST, bodiless), RequestBody::Empty);
    pair.says(bytes).await;
    pair.server.shutdown().await.unwrap();
    let head = pair.head().await?;
    let (body, trailers) = pair.body().await?;
    Ok((head, body, trailers))
}

async fn hear(bytes: impl AsRef<[u8]>) -> Result<(ResponseHead, Vec<u8>, HeaderMap), Error> {
    hear_as(bytes.as_ref(), false).await
}

/// The head of a response with these fields.
async fn fields(fields: &str) -> Result<HeaderMap, Error> {
    hear(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")).await.map(|(head, ..)| head.fields.to_map())
}

#[tokio::test]
async fn a_head_may_come_in_any_pieces() {
    for head in [
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nServer: x\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nServer: x\nContent-Length: 0\r\n\n",
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\n\r\n",
    ] {
        let (whole, body, _) = hear(head).await.unwrap();
        assert_eq!((whole.status, whole.version, body.len()), (StatusCode::OK, Version::HTTP_11, 0), "{head:?}");
        assert_eq!((&whole.fields.to_map()["server"], whole.fields.len()), (&HeaderValue::from_static("x"), 2));
        let mut pair = Pair::asked().await;
        for (place, byte) in head.bytes().enumerate() {
            pair.says([byte]).await;
            let read = pair.peek_head().await;
            assert!(place + 1 == head.len() || read.is_pending(), "{head:?} at {place}: {read:?}");
            if let Poll::Ready(read) = read {
                assert_eq!(read.unwrap().fields.to_map(), whole.fields.to_map());
            }
        }
        assert!(pair.up.is_complete() && pair.up.is_idle(), "{head:?}");
    }
}

#[tokio::test]
async fn interim_heads_are_swallowed() {
    let interim = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 9\r\n\r\n"];
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (head, body, _) = hear(format!("{}{}{}{last}", interim[0], interim[1], interim[1])).await.unwrap();
    assert_eq!((head.status, head.fields.len(), &body[..]), (StatusCode::OK, 1, &b"ok"[..]));
    let mut pair = Pair::asked().await;
    for interim in interim {
        pair.says(interim).await;
        assert!(pair.peek_head().await.is_pending());
        assert!(!pair.up.is_sending() && pair.up.read.is_empty());
    }
    pair.says(last).await;
    assert_eq!(pair.head().await.unwrap().fields.to_map()["content-length"], "2");
    assert_eq!(pair.body().await.unwrap().0, b"ok");
    assert_eq!(hear("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap_err(), Error::Terminated);
}

#[tokio::test]
async fn what_follows_a_switch_of_protocols_belongs_to_the_tunnel() {
    let mut pair = Pair::asked().await;
    pair.says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Go\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n\0\r\n\r\nearly")
        .await;
    assert_eq!(pair.head().await.unwrap().status, StatusCode::SWITCHING_PROTOCOLS);
    assert!(!pair.up.is_idle(), "something is there that nobody has read");
    let (mut stream, mut early) = pair.up.into_parts();
    pair.server.write_all(b" and late").await.unwrap();
    while early.len() < 19 {
        assert!(within(stream.read_buf(&mut early)).await.unwrap() > 0);
    }
    assert_eq!(early[..], b"\0\r\n\r\nearly and late"[..]);
}

#[tokio::test]
async fn the_first_line_is_kept() {
    for (line, status, version, reason) in [
        ("HTTP/1.1 200 OK", 200, Version::HTTP_11, None),
        ("HTTP/1.0 404 Not Found", 404, Version::HTTP_10, None),
        ("HTTP/1.1 404 Gone fishing", 404, Version::HTTP_11, Some("Gone fishing")),
        ("HTTP/1.1 200 ", 200, Version::HTTP_11, Some("")),
        ("HTTP/1.1 200", 200, Version::HTTP_11, Some("")),
        ("HTTP/1.1 799 Own", 799, Version::HTTP_11, Some("Own")),
    ] {
        let (head, ..) = hear(format!("{line}\r\n\r\n")).await.unwrap();
        assert_eq!((head.status.as_u16(), head.version), (status, version), "{line}");
        assert_eq!(head.reason.as_deref(), reason.map(str::as_bytes), "{line}");
    }
}

#[tokio::test]
async fn what_is_no_head_is_refused() {
    for bytes in [
        "hello\r\n\r\n",
        "\r\n\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "\x16\x03\x01\0\u{ff}\r\n\0\r\n\r\n",
    ] {
        assert_eq!(hear(bytes).await.unwrap_err(), Error::BadResponse, "{bytes:?}");
    }
    for bytes in ["", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"] {
        assert_eq!(hear(bytes).await.unwrap_err(), Error::Terminated, "{bytes:?}");
    }
}

#[tokio::test]
async fn fields_arrive_as_they_were_sent() {
    let many = |count: usize| (1..count).map(|number| format!("X-{number}: {number}\r\n")).collect::<String>();
    assert_eq!(fields(&many(100)).await.unwrap().len(), 100);
    assert_eq!(fields(&many(4000)).await.unwrap().len(), 4000);
    assert_eq!(fields(&many(8000)).await.unwrap_err(), Error::BadResponse, "the size is what counts");
    let read =
        fields("A:\r\nB:  \r\nC: \t x y \t\r\nSET-Cookie: 1\r\nset-cookie: 2\r\nSet-Cookie: 1\r\n").await.unwrap();
    assert_eq!(
        (read["a"].to_str().unwrap(), read["b"].to_str().unwrap(), read["c"].to_str().unwrap()),
        ("", "", "x y")
    );
    assert_eq!(read.get_all("set-cookie").iter().collect::<Vec<_>>(), ["1", "2", "1"]);
    let (head, ..) = hear(b"HTTP/1.1 204 No\r\nA: \xc3\xa4\xff\x80\r\n\r\n").await.unwrap();
    assert_eq!(head.fields.to_map()["a"].as_bytes(), b"\xc3\xa4\xff\x80");
}

#[tokio::test]
async fn names_are_remembered_and_never_mistaken() {
    let mut pair = Pair::silent().await;
    let long = "x".repeat(300);
    // The second and the third share a place, and so do the others.
    for name in ["X-Name", "X-aab", "X-bab", "x-name", "X-NAME", "X-aab", "Content-Type", "cONTENT-tYPE", &long, &long]
    {
        pair.reading.recycle(Fields::of(&[("x-of-a-request", "secret")]));
        pair.up.begin(request(), RequestBody::Empty);
        pair.says(format!("HTTP/1.1 204 No Content\r\n{name}: 1\r\n\r\n")).await;
        let head = pair.head().await.unwrap();
        let read: Vec<_> = head.fields.iter().map(|field| field.name).collect();
        assert_eq!(read, [name.to_ascii_lowercase()]);
    }
}

#[tokio::test]
async fn a_head_has_a_bound() {
    let start = "HTTP/1.1 204 No\r\nA: ";
    let exact = format!("{start}{}\r\n\r\n", "x".repeat(MAX_HEAD - start.len() - 4));
    assert_eq!((exact.len(), hear(&exact).await.unwrap().0.fields.to_map()["a"].len()), (MAX_HEAD, MAX_HEAD - 24));
    let longer = format!("{start}{}\r\n\r\n", "x".repeat(MAX_HEAD - start.len() - 3));
    assert_eq!(hear(&longer).await.unwrap_err(), Error::BadResponse);
    // Its end comes with the byte that is one too many.
    let mut pair = Pair::asked().await;
    let (most, end) = longer.split_at(MAX_HEAD - 9);
    pair.says(most).await;
    while pair.up.read.len() < most.len() {
        assert!(pair.peek_head().await.is_pending());
    }
    pair.says(end).await;
    assert_eq!(pair.head().await.unwrap_err(), Error::BadResponse);
    let mut pair = Pair::asked().await;
    pair.says(format!("{start}{}", "x".repeat(MAX_HEAD - start.len()))).await;
    assert_eq!(pair.head().await.unwrap_err(), Error::BadResponse, "nobody waits for its end");
}

/// A response with a body that takes more than one read.
fn two_reads(framing: &str) -> String {
    let body = "x".repeat(100_000);
    match framing {
        "length" => format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{body}"),
        "chunks" => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n{body}\r\n0\r\n\r\n"),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_memory_and_may_be_used_again() {
    let mut pair = Pair::silent().await;
    for framing in ["small", "length", "chunks", "small", "chunks", "length"] {
        pair.up.begin(request(), RequestBody::Empty);
        pair.says(two_reads(framing)).await;
        pair.head().await.unwrap();
        assert!(!pair.up.is_idle(), "{framing}: the body is still to come");
        let body = pair.body().await.unwrap().0;
        assert!(body == b"ok" || body.len() == 100_000);
        assert!(pair.up.is_idle() && pair.up.is_idle(), "{framing}");
        assert_eq!((pair.up.read.capacity(), pair.up.left()), (0, Some(0)), "{framing}");
    }
    pair.up.begin(head_alone(), RequestBody::Empty);
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    pair.head().await.unwrap();
    assert_eq!((pair.up.is_idle(), pair.up.read.capacity()), (true, 0));
}

#[tokio::test]
async fn a_connection_with_something_on_it_is_not_idle() {
    let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for framing in ["small", "length", "chunks"] {
        for surplus in ["x", surplus, &surplus.repeat(3000)] {
            let mut pair = Pair::asked().await;
            pair.says(format!("{}{surplus}", two_reads(framing))).await;
            pair.head().await.unwrap();
            let body = pair.body().await.unwrap().0;
            assert!(body == b"ok" || body.iter().all(|&byte| byte == b'x') && body.len() == 100_000);
            // What was not read with the body is still in the socket.
            if pair.up.read.is_empty() {
                pair.notice().await;
            }
            assert!(!pair.up.is_idle() && !pair.up.is_idle(), "{framing} {}", surplus.len());
        }
    }
    let mut pair = Pair::asked().await;
    pair.says(two_reads("small")).await;
    pair.head().await.unwrap();
    pair.body().await.unwrap();
    assert!(pair.up.is_idle());
    pair.says("\n").await;
    within(poll_fn(|cx| pair.up.poll_closed(cx))).await;
    assert!(!pair.up.is_idle(), "that byte was read, but nobody forgets it");
}

#[tokio::test]
async fn a_connection_that_its_server_has_closed_is_not_idle() {
    for politely in [true, false] {
        let mut pair = Pair::silent().await;
        assert!(pair.up.is_idle(), "a new one");
        pair.up.begin(request(), RequestBody::Empty);
        pair.says(two_reads("small")).await;
        pair.head().await.unwrap();
        pair.body().await.unwrap();
        assert!(pair.up.is_idle());
        let mut up = if politely {
            pair.heard(REQUEST.len()).await;
            drop(pair.server);
            pair.up
        } else {
            pair.reset()
        };
        within(up.transport.tcp().readable()).await.unwrap();
        assert!(!up.is_idle() && !up.is_idle());
        within(poll_fn(|cx| up.poll_closed(cx))).await;
    }
}

#[tokio::test]
async fn a_task_that_has_done_much_sees_that_a_connection_is_not_idle() {
    let mut pair = Pair::silent().await;
    pair.says("surplus").await;
    pair.notice().await;
    poll_fn(|cx| {
        // The runtime lets a task read no more until it has let others run.
        while coop::has_budget_remaining() {
            assert!(pin!(coop::consume_budget()).poll(cx).is_ready());
        }
        assert!(!pair.up.is_idle());
        Poll::Ready(())
    })
    .await;
}
