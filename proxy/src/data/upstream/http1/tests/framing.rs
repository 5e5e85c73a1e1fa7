//! Bodies of responses: their framing, every way to cut them, and what is none.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::wire::body;
use crate::wire::known::Known;

#[tokio::test]
async fn lengths() {
    for lines in ["5", "5\r\nContent-Length: 5", "5, 5", "5,5\r\nX: y\r\ncontent-length:5", " 5 ", "005"] {
        let (head, body, _) = hear(format!("HTTP/1.1 200 OK\r\nContent-Length: {lines}\r\n\r\nhello")).await.unwrap();
        assert_eq!(body, b"hello", "{lines:?}");
        let left: Vec<_> = head.fields.all(Known::ContentLength).map(String::from_utf8_lossy).collect();
        assert!(left.len() == 1 && left[0].trim_start_matches('0') == "5", "{lines:?} {left:?}");
    }
    for lines in [
        "5\r\nContent-Length: 6",
        "5, 6",
        "5,",
        ",5",
        "",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "five",
        "18446744073709551616",
        "99999999999999999999999",
        "5\r\nContent-Length: x",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {lines}\r\n\r\nhello");
        assert_eq!(hear(answer).await.unwrap_err(), Error::BadResponse, "{lines:?}");
    }
    let mut pair = Pair::asked().await;
    pair.says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    pair.head().await.unwrap();
    assert!(pair.up.is_complete() && pair.up.left() == Some(0) && pair.up.is_idle());
}

#[tokio::test]
async fn codings() {
    let answer =
        |version: &str, lines: &str| format!("HTTP/{version} 200 OK\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for lines in [
        "Transfer-Encoding: chunked",
        "transfer-encoding:  CHUNKED ",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nContent-Length: 4",
        "Content-Length: x\r\nTransfer-Encoding: chunked",
    ] {
        let (head, body, _) = hear(answer("1.1", lines)).await.unwrap();
        assert_eq!((&body[..], head.fields.get(Known::ContentLength)), (&b"hello"[..], None), "{lines:?}");
        assert_eq!(hear(answer("1.0", lines)).await.unwrap_err(), Error::BadResponse, "{lines:?}");
    }
    for value in ["gzip, chunked", "identity", "chunked, identity", "chunked, chunked", "", "xchunked", "chunked;q=1"] {
        let lines = format!("Transfer-Encoding: {value}");
        assert_eq!(hear(answer("1.1", &lines)).await.unwrap_err(), Error::BadResponse, "{value:?}");
        let lines = format!("Transfer-Encoding: chunked\r\n{lines}");
        assert_eq!(hear(answer("1.1", &lines)).await.unwrap_err(), Error::BadResponse, "chunked and {value:?}");
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked";
    assert_eq!(hear(answer("1.1", twice)).await.unwrap_err(), Error::BadResponse);
}

#[tokio::test]
async fn some_responses_have_no_body_whatever_they_say() {
    for fields in
        ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked", "A: b"]
    {
        for (status, bodiless) in [("200 OK", true), ("204 No Content", false), ("304 Not Modified", false)] {
            let mut pair = Pair::silent().await;
            pair.up.begin(asking(REQUEST, bodiless), RequestBody::Empty);
            pair.says(format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n")).await;
            let head = pair.head().await.unwrap();
            assert!(pair.up.is_complete() && pair.up.is_idle(), "{status} {fields}");
            assert_eq!(pair.body().await.unwrap().0, b"");
            assert_eq!(head.fields.has(Known::ContentLength), fields == "Content-Length: 5");
            pair.up.begin(request(), RequestBody::Empty);
            pair.says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
            pair.head().await.unwrap();
            assert_eq!(pair.body().await.unwrap().0, b"next", "a GET on the same connection has a body");
        }
    }
}

#[tokio::test]
async fn a_length_that_cannot_be_believed_is_not_handed_on_where_there_is_no_body() {
    for length in ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: +3", "Content-Length: 3, 4"] {
        for (status, bodiless) in [("200 OK", true), ("304 Not Modified", false)] {
            let (head, ..) =
                hear_as(format!("HTTP/1.1 {status}\r\n{length}\r\n\r\n").as_bytes(), bodiless).await.unwrap();
            assert!(!head.fields.has(Known::ContentLength), "{status} {length}");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_an_error() {
    for rest in [
        "Content-Length: 6\r\n\r\nhello",
        "Content-Length: 1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhell",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    ] {
        assert_eq!(hear(format!("HTTP/1.1 200 OK\r\n{rest}")).await.unwrap_err(), Error::Terminated, "{rest:?}");
    }
    assert_eq!(hear("HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap().1, b"hello");
    assert_eq!(hear("HTTP/1.0 200 OK\r\n\r\n").await.unwrap().1, b"");
    let mut pair = Pair::asked().await;
    pair.says("HTTP/1.1 200 OK\r\n\r\nhello").await;
    pair.head().await.unwrap();
    let mut up = pair.reset();
    let last = within(async {
        loop {
            match poll_fn(|cx| up.poll_frame(cx)).await {
                Some(Ok(_)) => {}
                last => return last.map(Result::unwrap_err),
            }
        }
    });
    assert_eq!(last.await, Some(Error::Terminated), "a reset is no end");
    assert!(!up.is_idle());
}

/// What became of a chunked body that came in pieces.
#[derive(Debug, PartialEq)]
enum Chunks {
    /// Its data, its trailers, and the bytes after it.
    Over(Vec<u8>, HeaderMap, Vec<u8>),
    More(Vec<u8>),
    Broken(Vec<u8>),
}

/// Steps are bounded: each of them takes something, or needs more, or is the last.
fn unchunk<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Chunks {
    let mut framing = Framing::Chunked(body::Chunks::default());
    let (mut read, mut data, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
    for piece in pieces {
        read.extend_from_slice(piece);
        for steps in 0.. {
            assert!(steps <= piece.len() + 2, "a loop");
            match framing.step(&mut read) {
                Step::Frame(frame) => match frame.into_data() {
                    Ok(more) => {
                        assert!(!more.is_empty());
                        data.extend_from_slice(&more);
                    }
                    Err(other) => trailers = other.into_trailers().unwrap(),
                },
                Step::Over => return Chunks::Over(data, trailers, read.to_vec()),
                Step::More => break,
                Step::Broken => return Chunks::Broken(data),
            }
        }
        assert!(read.len() < 32 * 1024 + piece.len(), "what is kept has a bound");
    }
    if matches!(framing, Framing::Over) { Chunks::Over(data, trailers, read.to_vec()) } else { Chunks::More(data) }
}

fn over(data: &str, trailers: &[(&'static str, &'static str)], rest: &str) -> Chunks {
    let trailers = trailers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
    Chunks::Over(data.into(), trailers, rest.into())
}

#[test]
fn chunks_may_come_in_any_pieces() {
    for (text, expected) in [
        ("5\r\nhello\r\n0\r\n\r\n", over("hello", &[], "")),
        ("0\r\n\r\n", over("", &[], "")),
        ("3;a=b;c=\"d\"\r\nabc\r\n0A\r\n0123456789\r\n000\r\n\r\n", over("abc0123456789", &[], "")),
        ("1 ; x\r\n\r\r\n2\r\n\r\n\r\n0;last\r\n\r\n", over("\r\r\n", &[], "")),
        ("1\r\nx\r\n0\r\nX-Sum: 7\r\nB:\r\n\r\n", over("x", &[("x-sum", "7"), ("b", "")], "")),
    ] {
        assert_eq!(unchunk([text.as_bytes()]), expected, "{text:?}");
        for place in 1..text.len() {
            let (first, second) = text.as_bytes().split_at(place);
            assert!(matches!(unchunk([first]), Chunks::More(_)), "{text:?} at {place}");
            assert_eq!(unchunk([first, second]), expected, "{text:?} at {place}");
        }
        assert_eq!(unchunk(text.as_bytes().chunks(1)), expected, "{text:?}");
    }
    let more = "1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(unchunk([more.as_bytes()]), over("x", &[], "HTTP/1.1 200 OK\r\n\r\n"));
}

#[test]
fn what_is_no_chunk_is_refused() {
    for text in [
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\na",
        " 1\r\na",
        "1\ra",
        "1\nx",
        "1 2\r\n",
        "11111111111111111\r\n",
        "1\r\nxx\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
    ] {
        let (whole, single) = (unchunk([text.as_bytes()]), unchunk(text.as_bytes().chunks(1)));
        assert!(matches!(whole, Chunks::Broken(_)) && whole == single, "{text:?} {whole:?} {single:?}");
    }
    let most = unchunk([&b"ffffffffffffffff\r\nabc"[..]]);
    assert_eq!(most, Chunks::More(b"abc".to_vec()), "the largest number is only very long");
}

#[test]
fn a_chunk_without_a_size_does_not_end_a_body() {
    for text in ["\r\n\r\n", ";x\r\n\r\n", " \r\n\r\n", "1\r\nx\r\n\r\n\r\n", "1\r\nx\r\n;\r\nA: b\r\n\r\n"] {
        assert!(matches!(unchunk([text.as_bytes()]), Chunks::Broken(_)), "{text:?}");
    }
}

#[test]
fn an_extension_ends_with_its_line() {
    for text in ["1;\nx\r\n0\r\n\r\n", "1;a\n0\r\n\r\n"] {
        assert!(matches!(unchunk([text.as_bytes()]), Chunks::Broken(_)), "{text:?}");
    }
}

#[test]
fn nobody_waits_for_more_than_an_empty_line() {
    for text in ["0\r\n\n", "1\r\nx\r\n0\r\n\n"] {
        assert!(!matches!(unchunk([text.as_bytes()]), Chunks::More(_)), "{text:?}");
    }
}

#[test]
fn lines_that_never_end_are_refused() {
    for (start, endless) in
        [("1;", "x"), ("1 ", " "), ("0\r\nA: ", "x"), ("0\r\n", "A: b\r\n"), ("0\r\nA", "a"), ("1;x=\"", "\"")]
    {
        let pieces = std::iter::once(start).chain(std::iter::repeat_n(endless, 40_000)).map(str::as_bytes);
        assert_eq!(unchunk(pieces), Chunks::Broken(Vec::new()), "{start:?} {endless:?}");
    }
    let many = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(matches!(unchunk([many(1000).as_bytes()]), Chunks::Over(..)));
    assert!(matches!(unchunk([many(4000).as_bytes()]), Chunks::Broken(_)));
}

/// The same in every run, unless somebody wants others.
fn cases(cases: u32) -> ProptestConfig {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_0002);
    println!("PROPTEST_RNG_SEED={seed}");
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() }
}

/// What a strict reader of RFC 9112, section 7.1, makes of complete chunks.
fn strictly(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        let extension = line[digits..].trim_ascii_start();
        if !matches!(extension, [] | [b';', ..]) || line.contains(&b'\n') {
            return None;
        }
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        bytes = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// Bytes that are almost chunks.
fn nearly_chunks() -> impl Strategy<Value = Vec<u8>> {
    let words =
        ["0", "5", "a", "\r\n", "\r\n", "\n", "\r", ";e", "hello", "5\r\nhello\r\n", "0\r\n\r\n", "X: y\r\n", " "];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let any = prop::collection::vec(any::<u8>(), 0..3);
    prop::collection::vec(prop_oneof![12 => word, 1 => any], 0..24).prop_map(|words| words.concat())
}

/// Bytes that are almost a response.
fn nearly_a_response() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 H\r\n\r\n",
        "HTTP/1.0 204 No\n",
        "Content-Length: ",
        "Transfer-Encoding: ",
        "chunked\r\n",
        "5\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "A: b\r\n",
        " ",
        "\r\n0\r\n\r\n",
        ",",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let any = prop::collection::vec(any::<u8>(), 0..40);
    let begin = prop_oneof![Just(Vec::new()), Just(b"HTTP/1.1 200 OK\r\n".to_vec())];
    let words = prop::collection::vec(prop_oneof![8 => word, 1 => any], 0..16).prop_map(|words| words.concat());
    (begin, words).prop_map(|(begin, words)| [begin, words].concat())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A body in one of the framings, chunks cut as the sizes say.
fn framed(body: &[u8], framing: u8, sizes: &[usize]) -> Vec<u8> {
    match framing {
        0 => [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
        1 => [b"HTTP/1.1 200 OK\r\n\r\n", body].concat(),
        _ => {
            let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let (mut rest, mut sizes) = (body, sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(sizes.next().map_or(rest.len(), |&size| size.min(rest.len())));
                out.extend([format!("{:X};x\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
                rest = after;
            }
            out.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
            out
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_body_arrives_however_it_is_cut(
        body in prop_oneof![4 => prop::collection::vec(any::<u8>(), 0..600), 1 => prop::collection::vec(any::<u8>(), 60_000..200_000)],
        framing in 0_u8..3,
        sizes in prop::collection::vec(1_usize..70_000, 1..5),
        cuts in prop::collection::vec(1_usize..400, 1..12),
    ) {
        let bytes = framed(&body, framing, &sizes);
        let (arrived, trailers, idle) = block_on(async {
            let mut pair = Pair::asked().await;
            let Pair { up, server, reading } = &mut pair;
            let says = async {
                let mut rest = &bytes[..];
                // The last piece is all the rest.
                for cut in &cuts {
                    let (piece, after) = rest.split_at(rest.len().min(*cut));
                    server.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = after;
                }
                server.write_all(rest).await.unwrap();
                if framing == 1 {
                    server.shutdown().await.unwrap();
                }
            };
            let hears = async {
                poll_fn(|cx| up.poll_head(cx, reading, drop)).await.unwrap();
                collect(up).await.unwrap()
            };
            let ((), (arrived, trailers)) = within(async { tokio::join!(says, hears) }).await;
            (arrived, trailers, pair.up.is_idle())
        });
        prop_assert!(arrived == body, "{} of {} bytes", arrived.len(), body.len());
        prop_assert_eq!((trailers.len(), idle), (usize::from(framing == 2), framing != 1));
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_bytes_come_to_an_end(bytes in nearly_a_response(), bodiless in any::<bool>()) {
        // It ends within the time that a test has, without a panic, and with no more than was sent.
        if let Ok((_, body, _)) = block_on(hear_as(&bytes, bodiless)) {
            prop_assert!(body.len() <= bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(cases(4096))]

    #[test]
    fn chunks_are_the_same_however_they_are_cut(bytes in nearly_chunks(), cuts in prop::collection::vec(1_usize..9, 1..8)) {
        let (mut pieces, mut rest, mut sizes) = (Vec::new(), &bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap().min(&rest.len()).to_owned());
            pieces.push(piece);
            rest = after;
        }
        match (unchunk([&bytes[..]]), unchunk(pieces)) {
            // What comes after the end was not looked at.
            (Chunks::Over(whole, trailers, _), Chunks::Over(cut, cut_trailers, _)) => {
                prop_assert_eq!((whole, trailers), (cut, cut_trailers));
            }
            (whole, cut) => prop_assert_eq!(whole, cut),
        }
    }

    #[test]
    fn nothing_is_a_complete_body_that_a_strict_reader_would_refuse(bytes in nearly_chunks()) {
        if let Chunks::Over(body, ..) = unchunk([&bytes[..]]) {
            prop_assert_eq!(Some(body), strictly(&bytes));
        }
    }

    #[test]
    fn any_bytes_are_a_head_or_none(bytes in prop_oneof![nearly_a_response(), prop::collection::vec(any::<u8>(), 0..200)]) {
        let whole = head::end(&bytes, 0);
        // However much of it was searched before.
        let cut = (1..=bytes.len()).find_map(|length| head::end(&bytes[..length], length - 1));
        prop_assert_eq!(whole, cut);
        let bytes = Bytes::from(bytes);
        if let Ok(head) = head::parse(&bytes, Fields::default(), &mut Names::default()) {
            prop_assert!(whole == Some(bytes.len()) || bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n"));
            prop_assert!(head.fields.len() <= 100);
        }
    }
}
