//! Heads of responses: one that is accepted can be written and read again.
#![no_main]

use http::Version;
use http::header::HeaderMap;
use http::response::Parts;
use libfuzzer_sys::fuzz_target;
use rolegate::wire::body::Framing;
use rolegate::wire::case::Spelling;
use rolegate::wire::head::{self, BadHead, Names, Writing};
use rolegate_fuzz::{cuts, fields_written, shared};

fuzz_target!(|sent: &[u8]| {
    let end = head::end(sent, 0);
    for cut in cuts(sent.len()) {
        let known = head::end(&sent[..cut], 0);
        assert!(known.is_none() || known == end);
        if known.is_none() {
            assert_eq!(head::end(sent, cut), end, "searched from {cut}");
        }
    }
    let Some(end) = end else {
        assert!(parse(sent, Spelling::Kept).is_err());
        return;
    };
    let sent = &sent[..end];
    for cut in cuts(sent.len()) {
        assert!(parse(&sent[..cut], Spelling::Lower).is_err(), "accepted without its last bytes");
    }
    let (lower, kept) = (parse(sent, Spelling::Lower), parse(sent, Spelling::Kept));
    assert_eq!(lower.is_ok(), kept.is_ok());
    lower.into_iter().for_each(|head| again(head, Spelling::Lower));
    kept.into_iter().for_each(|head| again(head, Spelling::Kept));
});

fn parse(bytes: &[u8], spelling: Spelling) -> Result<Parts, BadHead> {
    head::parse(&shared(bytes), HeaderMap::new(), &mut Names::default(), spelling)
}

/// Writes it for clients of both versions and reads that.
fn again(first: Parts, spelling: Spelling) {
    for version in [Version::HTTP_10, Version::HTTP_11] {
        for to_head in [false, true] {
            let mut first = first.clone();
            let framing = Framing::of(&mut first, to_head);
            let written = fields_written(Writing::response(&first, version), &first.headers);
            let mut second = parse(&written, spelling).expect("what we write is a response");
            assert_eq!((second.status, second.version), (first.status, version));
            assert_eq!(second.headers, first.headers);
            assert_eq!(fields_written(Writing::response(&second, version), &second.headers), written);
            if version == first.version {
                let again = Framing::of(&mut second, to_head);
                assert_eq!(format!("{again:?}"), format!("{framing:?}"));
                assert_eq!(second.headers, first.headers, "what is left of the fields is true of the message");
            }
        }
    }
}
