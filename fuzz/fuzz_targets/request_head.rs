//! Heads of requests: one that is accepted can be written and read again, and it does not matter how it came.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rolegate::wire::head::Spelling;
use rolegate::wire::request::{Asked, check_beginning};
use rolegate_fuzz::{Came, HeadReader, asked, cuts, lines, lower_lines, request_written};

fuzz_target!(|sent: &[u8]| {
    let Came::Whole(head) = HeadReader::default().take(sent) else {
        // What has no end must not be taken for a head either.
        let _ = asked(BytesMut::from(sent));
        return;
    };
    for cut in cuts(head.len()) {
        assert!(asked(BytesMut::from(&head[..cut])).is_err(), "accepted without its last bytes");
    }
    let Ok(first) = asked(head.clone()) else { return };
    for cut in cuts(sent.len()) {
        let mut reader = HeadReader::default();
        let came = match reader.take(&sent[..cut]) {
            Came::Part => reader.take(&sent[cut..]),
            came => came,
        };
        // A byte of an empty line in front may be left when it came alone.
        let Came::Whole(came) = came else { panic!("{came:?} of a head that is cut at {cut}") };
        assert_eq!(came, head, "cut at {cut}");
    }
    assert!(cuts(head.len()).all(|cut| check_beginning(&head[..cut]) == Ok(())));
    again(&first, Spelling::Lower);
    again(&first, Spelling::Kept);
});

/// Writes it and reads that.
fn again(first: &Asked, spelling: Spelling) {
    // It is refused before anything is forwarded: its target is no path.
    if first.head.method == http::Method::CONNECT {
        return;
    }
    let written = request_written(&first.head, spelling);
    let second = asked(BytesMut::from(&written[..])).expect("what we write is a request");
    assert_eq!(second.head.method, first.head.method);
    assert_eq!(target(&second), target(first));
    assert!(second.head.version >= first.head.version);
    match spelling {
        Spelling::Lower => assert_eq!(lower_lines(&second.head.fields), lower_lines(&first.head.fields)),
        Spelling::Kept => assert_eq!(lines(&second.head.fields), lines(&first.head.fields)),
    }
    assert_eq!(format!("{:?}", second.framing), format!("{:?}", first.framing));
    assert_eq!(request_written(&second.head, spelling), written, "written twice it is another one");
}

/// A path that is empty is `/`.
fn target(asked: &Asked) -> String {
    let target = asked.head.uri.path_and_query().map_or("", |target| target.as_str());
    if target.is_empty() || target.starts_with('?') { format!("/{target}") } else { target.to_owned() }
}
