//! The beginning of a TLS connection: the same name however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolegate::wire::client_hello::{BadHello, MAX, Reading, Step};
use rolegate_fuzz::pieces;

// The first byte says how the others are cut.
fuzz_target!(|input: &[u8]| {
    let Some((&how, sent)) = input.split_first() else { return };
    let whole = read(&[sent]);
    let cut = read(&pieces(how, sent));
    assert_eq!(cut, whole);
    match whole {
        Ok(Step::More) => assert!(sent.len() < MAX),
        Ok(Step::Whole { server_name: Some(name) }) => {
            assert!(
                !name.is_empty() && name.is_ascii() && !name.contains(|c: char| c.is_ascii_uppercase()),
                "{name:?}"
            );
        }
        Ok(Step::Whole { server_name: None }) | Err(BadHello) => {}
    }
});

fn read(pieces: &[&[u8]]) -> Result<Step, BadHello> {
    let mut reading = Reading::default();
    for piece in pieces {
        let step = reading.take(piece)?;
        if step != Step::More {
            return Ok(step);
        }
    }
    Ok(Step::More)
}
