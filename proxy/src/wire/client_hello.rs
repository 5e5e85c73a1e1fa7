//! The server name of a `ClientHello`. Nothing is decrypted.

use rustls::server::Acceptor;

/// Most bytes that a `ClientHello` may have, record headers included. One with key shares of post-quantum algorithms and a
/// session ticket has about 2 KiB.
pub const MAX: usize = 16 * 1024;

/// It is no `ClientHello`, or a larger one than [`MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHello;

/// What is known after some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    More,
    /// It is complete.
    Whole {
        /// The name that the client asks for (RFC 6066, section 3), in lower case as the library gives it; an address is never
        /// sent.
        server_name: Option<String>,
    },
}

/// A `ClientHello` that is read, however it is cut into records and segments.
#[derive(Default)]
pub struct Reading {
    acceptor: Acceptor,
    count: usize,
}

impl Reading {
    /// How many bytes may still come.
    pub fn room(&self) -> usize {
        MAX.saturating_sub(self.count)
    }

    /// Takes the bytes that came next. Those after the `ClientHello` are not looked at.
    ///
    /// # Errors
    /// [`BadHello`]; nothing can be read afterwards.
    pub fn take(&mut self, mut fresh: &[u8]) -> Result<Step, BadHello> {
        self.count += fresh.len();
        while !fresh.is_empty() {
            self.acceptor.read_tls(&mut fresh).map_err(|_| BadHello)?;
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    let server_name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(Step::Whole { server_name });
                }
                Ok(None) => {}
                Err(_) => return Err(BadHello),
            }
        }
        if self.room() == 0 { Err(BadHello) } else { Ok(Step::More) }
    }
}

/// What a client sends.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod sample {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    pub(crate) fn client_hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::sample::client_hello;
    use super::*;
    use proptest::prelude::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Step, BadHello> {
        let mut reading = Reading::default();
        for piece in pieces {
            let step = reading.take(piece)?;
            if step != Step::More {
                return Ok(step);
            }
        }
        Ok(Step::More)
    }

    fn whole(name: Option<&str>) -> Result<Step, BadHello> {
        Ok(Step::Whole { server_name: name.map(str::to_owned) })
    }

    /// The same handshake message in records of `size` bytes.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in hello[5..].chunks(size) {
            records.extend_from_slice(&hello[..3]);
            records.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            records.extend_from_slice(piece);
        }
        records
    }

    /// Adds the reserved values of RFC 8701 as an extension, as browsers do.
    fn with_grease(hello: &[u8]) -> Vec<u8> {
        let mut grown = hello.to_vec();
        grown.extend([0x0a, 0x0a, 0, 0]);
        let add = |bytes: &mut [u8]| {
            let length = u16::from_be_bytes([bytes[0], bytes[1]]) + 4;
            bytes[..2].copy_from_slice(&length.to_be_bytes());
        };
        add(&mut grown[3..5]);
        add(&mut grown[7..9]);
        // Version and random, then session id, cipher suites, compression methods; the length of all extensions follows.
        let mut place = 9 + 2 + 32;
        place += 1 + usize::from(grown[place]);
        place += 2 + usize::from(u16::from_be_bytes([grown[place], grown[place + 1]]));
        place += 1 + usize::from(grown[place]);
        add(&mut grown[place..place + 2]);
        grown
    }

    #[test]
    fn the_name_is_found_however_the_hello_is_cut() {
        let hello = client_hello("MP1.Lab.test");
        for sent in [hello.clone(), with_grease(&hello), in_records(&hello, 16), in_records(&hello, 1)] {
            for piece in [1, 7, 100, sent.len()] {
                assert_eq!(read(sent.chunks(piece)), whole(Some("mp1.lab.test")));
            }
            for cut in 0..sent.len() {
                assert_eq!(read([&sent[..cut]]), Ok(Step::More), "{cut}");
            }
        }
    }

    #[test]
    fn what_follows_is_not_looked_at() {
        let sent = [client_hello("mp1.lab.test"), b"more".to_vec()].concat();
        assert_eq!(read([&sent[..]]), whole(Some("mp1.lab.test")));
    }

    #[test]
    fn an_address_is_no_name() {
        assert_eq!(read([&client_hello("192.0.2.1")[..]]), whole(None));
    }

    #[test]
    fn what_is_not_tls_ends_at_once_and_what_never_ends_is_bounded() {
        assert_eq!(read([&b"GET / HTTP/1.1\r\n\r\n"[..]]), Err(BadHello));
        // A message that says it has 60,000 bytes, in records that are well-formed.
        let mut message = vec![1, 0, 0xea, 0x60, 3, 3];
        message.resize(60_000, 0);
        let endless: Vec<u8> =
            message.chunks(1000).flat_map(|piece| [&[22, 3, 1, 3, 0xe8][..], piece].concat()).collect();
        assert_eq!(read([&endless[..MAX - 1]]), Ok(Step::More));
        for piece in [1, 1000, MAX] {
            assert_eq!(read(endless[..MAX].chunks(piece)), Err(BadHello), "{piece}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(cut in 0..2000_usize, at in 0..300_usize, junk in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut hello = client_hello("mp1.lab.test");
            let at = at.min(hello.len());
            hello.splice(at..(at + junk.len()).min(hello.len()), junk);
            hello.truncate(cut);
            let _ = read([&hello[..]]);
        }
    }
}
