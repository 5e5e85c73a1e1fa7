//! The header of the PROXY protocol: an error or an address, and no byte after it is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolegate::wire::proxy_header::{begins, binary, line, missing, source};

fuzz_target!(|sent: &[u8]| {
    let mut have = 0;
    loop {
        match missing(&sent[..have]) {
            Ok(0) => break,
            Ok(more) if have + more <= sent.len() => have += more,
            Ok(_) | Err(_) => return,
        }
    }
    let header = &sent[..have];
    assert!(begins(header), "not refused where no header may be");
    // Fewer bytes are never all of it.
    assert!((0..have).all(|cut| source(&header[..cut]).is_err() || missing(&header[..cut]) != Ok(0)));
    let Ok(Some(client)) = source(header) else { return };
    for written in [line(client, client), binary(client, client).expect("both are of one family")] {
        assert_eq!(missing(&written), Ok(0));
        let read = source(&written).expect("what we write is a header").expect("it has an address");
        assert_eq!((read.ip().to_canonical(), read.port()), (client.ip().to_canonical(), client.port()));
    }
});
