//! The same request to hyper's server and to ours. Where they differ, a section of an RFC says why (see [`KNOWN`]).
#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use rolegate::wire::body::Framing;
use rolegate_fuzz::{Came, Ended, HeadReader, asked, body};
use tokio::io::{AsyncWriteExt, duplex};

/// More than an input and the answers to it.
const ROOM: usize = 1 << 20;
/// Fields that hyper's server takes unless it is told otherwise.
const FIELDS: usize = 100;

/// What a server has understood.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: Method,
    target: String,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Size,
    /// What came of it, if all of it came.
    content: Option<Content>,
}

#[derive(Debug, PartialEq, Eq)]
struct Content {
    data: Vec<u8>,
    trailers: Vec<(HeaderName, HeaderValue)>,
}

/// How a body is framed.
#[derive(Debug, PartialEq, Eq)]
enum Size {
    Length(u64),
    Chunked,
}

/// In what two servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// We refuse what hyper accepts.
    WeRefuse,
    /// Hyper refuses what we accept.
    TheyRefuse,
    /// The target is another one.
    Target,
    /// Hyper refuses the body that we accept.
    TheyRefuseTheBody,
}

/// A difference that is meant.
struct Known {
    /// Which.
    how: Differs,
    /// Who does what.
    what: &'static str,
    /// What decides.
    section: &'static str,
    /// Whether it may be so with these bytes.
    holds: fn(&Sent) -> bool,
}

const KNOWN: &[Known] = &[
    Known {
        how: Differs::TheyRefuse,
        what: "we skip any CR and LF in front of a request, hyper skips CRLF and LF",
        section: "RFC 9112, section 2.2: at least one CRLF is to be ignored",
        holds: |sent| sent.blank.contains(&b'\r') && sent.blank != b"\r\n".repeat(sent.blank.len() / 2),
    },
    Known {
        how: Differs::WeRefuse,
        what: "we refuse a target with a fragment, hyper cuts the fragment off",
        section: "RFC 9112, section 3.2: no form of a target has one",
        holds: |sent| sent.target.contains(&b'#'),
    },
    Known {
        how: Differs::WeRefuse,
        what: "we refuse a target that is neither a path nor absolute, hyper takes an authority for any method",
        section: "RFC 9112, section 3.2.3: authority-form is for CONNECT alone",
        holds: |sent| {
            !sent.target.starts_with(b"/") && sent.target != b"*" && !sent.is_absolute() && sent.method != b"CONNECT"
        },
    },
    Known {
        how: Differs::Target,
        what: "we take OPTIONS with an absolute target without a path for `*`, hyper for `/`",
        section: "RFC 9112, section 3.2.4: the last proxy sends `*`",
        holds: |sent| sent.method == b"OPTIONS" && sent.is_absolute(),
    },
    Known {
        how: Differs::TheyRefuse,
        what: "we take a higher minor version for 1.1, hyper refuses it",
        section: "RFC 9110, section 2.5: the highest version that the recipient knows",
        holds: |sent| matches!(sent.version[..], [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']),
    },
    Known {
        how: Differs::WeRefuse,
        what: "we refuse codings besides one `chunked`, hyper looks at the last one only",
        section: "RFC 9112, section 6.1: 501 for a coding that is not understood, and `chunked` not more than once",
        holds: |sent| sent.elements("transfer-encoding").count() > 1,
    },
    Known {
        how: Differs::TheyRefuse,
        what: "we ignore empty elements of a list of codings, hyper takes the last one for the coding",
        section: "RFC 9110, section 5.6.1.2: a recipient must ignore empty elements",
        holds: |sent| sent.elements("transfer-encoding").any(<[u8]>::is_empty),
    },
    Known {
        how: Differs::TheyRefuse,
        what: "we do not look at a length when there is a coding, hyper refuses one that is broken in front of it",
        section: "RFC 9112, section 6.3, rule 3: the coding overrides the length",
        holds: |sent| sent.values("transfer-encoding").count() > 0 && sent.values("content-length").count() > 0,
    },
    Known {
        how: Differs::TheyRefuse,
        what: "we take a list of equal lengths, hyper refuses a list",
        section: "RFC 9112, section 6.3, rule 5: all of them valid and the same",
        holds: |sent| sent.values("content-length").any(|value| value.contains(&b',')),
    },
    Known {
        how: Differs::TheyRefuse,
        what: "hyper has no lengths from 2^64 - 2 on",
        section: "RFC 9110, section 8.6: any number; it is only to be prevented that it overflows",
        holds: |sent| {
            sent.values("content-length").any(|value| {
                let text = std::str::from_utf8(value).unwrap_or_default();
                text.trim().parse::<u64>().is_ok_and(|length| length >= u64::MAX - 1)
            })
        },
    },
    Known {
        how: Differs::TheyRefuse,
        what: "hyper has a limit of 100 fields, ours is higher",
        section: "RFC 9110, section 5.4: no limit is given",
        holds: |sent| sent.fields.len() > FIELDS,
    },
    Known {
        how: Differs::TheyRefuseTheBody,
        what: "we let a line of the trailer section end with LF, hyper does not",
        section: "RFC 9112, section 2.2: a recipient may take a single LF for the end of a field",
        holds: |sent| sent.values("transfer-encoding").count() > 0 && has_bare_line_feed(&sent.body),
    },
];

/// The request as bytes, taken apart without a parser.
struct Sent<'a> {
    blank: &'a [u8],
    method: &'a [u8],
    target: &'a [u8],
    version: &'a [u8],
    fields: Vec<(String, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Sent<'a> {
    fn of(sent: &'a [u8], head: &[u8]) -> Self {
        let begin = sent.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (blank, rest) = sent.split_at(begin);
        let (head, body) = rest.split_at(head.len());
        let mut lines = head.split(|&byte| byte == b'\n');
        let mut words = lines.next().unwrap_or_default().trim_ascii_end().split(|&byte| byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, target, version) = (word(), word(), word());
        let fields = lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase(), line[colon + 1..].trim_ascii()))
        });
        Self { blank, method, target, version, fields: fields.collect(), body }
    }

    fn is_absolute(&self) -> bool {
        self.target.windows(3).any(|window| window == b"://")
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The elements of all lines of a field, empty ones too.
    fn elements(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
    }
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

fuzz_target!(|sent: &[u8]| {
    let mut reader = HeadReader::default();
    let Came::Whole(head) = reader.take(sent) else { return };
    let parts = Sent::of(sent, &head);
    let ours = ours(head, &reader.rest());
    let theirs = theirs(sent);
    for how in differences(&ours, &theirs) {
        let known = KNOWN.iter().find(|known| how.is_some_and(|how| known.how == how) && (known.holds)(&parts));
        let Some(known) = known else {
            panic!("a difference that is not known: {how:?}\nours:   {ours:?}\ntheirs: {theirs:?}");
        };
        if std::env::var_os("ROLEGATE_FUZZ_SAY").is_some() {
            eprintln!("{} ({})", known.what, known.section);
        }
    }
});

/// All of them; `None` is one that is never meant.
fn differences(ours: &Option<Understood>, theirs: &Option<Understood>) -> Vec<Option<Differs>> {
    let (ours, theirs) = match (ours, theirs) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![Some(Differs::WeRefuse)],
        (Some(_), None) => return vec![Some(Differs::TheyRefuse)],
        (Some(ours), Some(theirs)) => (ours, theirs),
    };
    let mut differences = Vec::new();
    if ours.target != theirs.target {
        differences.push(Some(Differs::Target));
    }
    if ours.content != theirs.content {
        differences.push(theirs.content.is_none().then_some(Differs::TheyRefuseTheBody));
    }
    if (&ours.method, &ours.fields, &ours.body) != (&theirs.method, &theirs.fields, &theirs.body) {
        differences.push(None);
    }
    differences
}

fn ours(head: BytesMut, rest: &[u8]) -> Option<Understood> {
    let asked = asked(head).ok()?;
    let size = match &asked.framing {
        Framing::Over => Size::Length(0),
        Framing::Length(length) => Size::Length(*length),
        Framing::Chunked(_) => Size::Chunked,
        Framing::Unknown | Framing::UntilClose => panic!("{:?} of a request", asked.framing),
    };
    let read = body(asked.framing, &[rest]);
    let content = Content { data: read.data, trailers: sorted(&read.trailers.into_iter().collect()) };
    Some(Understood {
        method: asked.head.method,
        target: asked.head.uri.to_string(),
        fields: sorted(&asked.head.fields.to_map()),
        body: size,
        content: (read.ended == Ended::Over).then_some(content),
    })
}

fn theirs(sent: &[u8]) -> Option<Understood> {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without a driver");
    }
    let seen = Rc::new(RefCell::new(None));
    let service = service_fn(|request| see(request, Rc::clone(&seen)));
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut client, server) = duplex(ROOM);
            client.write_all(sent).await.expect("it has room");
            client.shutdown().await.expect("the server is there");
            let mut builder = http1::Builder::new();
            builder.keep_alive(false).half_close(true).header_read_timeout(None);
            // An error is what it has not seen.
            let _ = builder.serve_connection(TokioIo::new(server), service).await;
        });
    });
    seen.take()
}

async fn see(
    request: Request<Incoming>,
    seen: Rc<RefCell<Option<Understood>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let size = body.size_hint().exact().map_or(Size::Chunked, Size::Length);
    let understood = Understood {
        method: head.method,
        target: head.uri.to_string(),
        fields: sorted(&head.headers),
        body: size,
        content: None,
    };
    assert!(seen.replace(Some(understood)).is_none(), "one request is served");
    if let Ok(content) = body.collect().await {
        let trailers = content.trailers().map(sorted).unwrap_or_default();
        let data = content.to_bytes().to_vec();
        if let Some(understood) = seen.borrow_mut().as_mut() {
            understood.content = Some(Content { data, trailers });
        }
    }
    Ok(Response::new(Empty::new()))
}

/// In an order that does not depend on the table.
fn sorted(fields: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    fields
}
