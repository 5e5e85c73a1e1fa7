//! Heads of responses: one that is accepted can be written and read again.
#![no_main]

use http::Version;
use libfuzzer_sys::fuzz_target;
use rolegate::wire::body::Framing;
use rolegate::wire::fields::Fields;
use rolegate::wire::head::{self, BadHead, ResponseHead, Spelling, Writing};
use rolegate::wire::names::Names;
use rolegate_fuzz::{cuts, fields_written, lower_lines, shared};

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
        assert!(parse(sent).is_err());
        return;
    };
    let sent = &sent[..end];
    for cut in cuts(sent.len()) {
        assert!(parse(&sent[..cut]).is_err(), "accepted without its last bytes");
    }
    let Ok(head) = parse(sent) else { return };
    again(&head, Spelling::Lower);
    again(&head, Spelling::Kept);
});

fn parse(bytes: &[u8]) -> Result<ResponseHead, BadHead> {
    head::parse(&shared(bytes), Fields::default(), &mut Names::default())
}

/// Writes it for clients of both versions and reads that.
fn again(first: &ResponseHead, spelling: Spelling) {
    for version in [Version::HTTP_10, Version::HTTP_11] {
        for to_head in [false, true] {
            let mut first = first.clone();
            let framing = Framing::of(&mut first, to_head);
            let written = fields_written(Writing::response(&first, version, spelling, 0), &first.fields);
            let mut second = parse(&written).expect("what we write is a response");
            assert_eq!((second.status, second.version), (first.status, version));
            assert_eq!(lower_lines(&second.fields), lower_lines(&first.fields));
            assert_eq!(fields_written(Writing::response(&second, version, spelling, 0), &second.fields), written);
            if version == first.version {
                let again = Framing::of(&mut second, to_head);
                assert_eq!(format!("{again:?}"), format!("{framing:?}"));
                assert_eq!(lower_lines(&second.fields), lower_lines(&first.fields), "what is left of the fields is true of the message");
            }
        }
    }
}
