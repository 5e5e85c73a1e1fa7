//! The server name of a `ClientHello`, for TLS that ends at the site system. Nothing is decrypted and nothing changed: what
//! was read is sent on as it came.

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connection_error::ConnectionError;

/// Most bytes that a `ClientHello` may have, record headers included. One with key shares of post-quantum algorithms and a
/// session ticket has about 2 KiB.
const MAX: usize = 16 * 1024;
/// Most are complete in the first read.
const PIECE: usize = 2048;

/// The beginning of a TLS connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name that the client asks for (RFC 6066, section 3), in lower case as the library gives it; an address is never
    /// sent.
    pub server_name: Option<String>,
    /// All bytes so far.
    pub bytes: Vec<u8>,
}

/// Reads until the `ClientHello` is complete, however it is cut into records and segments. The caller bounds the time.
///
/// # Errors
/// [`ConnectionError::HelloInvalid`] for anything else, [`ConnectionError::ClientGone`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, ConnectionError> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let known = bytes.len();
        if known >= MAX {
            return Err(ConnectionError::HelloInvalid);
        }
        let room = PIECE.min(MAX - known);
        let count = stream.take(room as u64).read_buf(&mut bytes).await.map_err(|_| ConnectionError::ClientGone)?;
        if count == 0 {
            return Err(ConnectionError::ClientGone);
        }
        let mut fresh = &bytes[known..];
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh).map_err(|_| ConnectionError::HelloInvalid)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let server_name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(Hello { server_name, bytes });
                }
                Ok(None) => {}
                Err(_) => return Err(ConnectionError::HelloInvalid),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    fn client_hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// Gives one piece at a read.
    async fn read_pieces(pieces: Vec<Vec<u8>>) -> Result<Hello, ConnectionError> {
        let mut script = in_pieces(pieces);
        read(&mut script).await
    }

    fn in_pieces(pieces: Vec<Vec<u8>>) -> impl AsyncRead + Unpin {
        let mut all: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in pieces.into_iter().rev() {
            all = Box::new(tokio::io::AsyncReadExt::chain(std::io::Cursor::new(piece), all));
        }
        all
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

    #[tokio::test]
    async fn the_name_is_found_however_the_hello_is_cut() {
        let hello = client_hello("MP1.Lab.test");
        for whole in [hello.clone(), with_grease(&hello), in_records(&hello, 16), in_records(&hello, 1)] {
            for piece in [1, 7, 100, whole.len()] {
                let read = read_pieces(whole.chunks(piece).map(<[u8]>::to_vec).collect()).await.unwrap();
                assert_eq!(read.server_name.as_deref(), Some("mp1.lab.test"));
                assert_eq!(read.bytes, whole);
            }
        }
    }

    #[tokio::test]
    async fn what_follows_is_kept() {
        let whole = [client_hello("mp1.lab.test"), b"more".to_vec()].concat();
        assert_eq!(read_pieces(vec![whole.clone()]).await.unwrap().bytes, whole);
    }

    #[tokio::test]
    async fn an_address_is_no_name() {
        let read = read_pieces(vec![client_hello("192.0.2.1")]).await.unwrap();
        assert_eq!(read.server_name, None);
    }

    #[tokio::test]
    async fn what_is_not_tls_ends_at_once_and_what_never_ends_is_bounded() {
        let http = read_pieces(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()]).await;
        assert_eq!(http, Err(ConnectionError::HelloInvalid));
        let hello = client_hello("mp1.lab.test");
        assert_eq!(read_pieces(vec![hello[..40].to_vec()]).await, Err(ConnectionError::ClientGone));
        // A message that says it has 60,000 bytes, in records that are well-formed.
        let mut message = vec![1, 0, 0xea, 0x60, 3, 3];
        message.resize(60_000, 0);
        let endless: Vec<u8> =
            message.chunks(1000).flat_map(|piece| [&[22, 3, 1, 3, 0xe8][..], piece].concat()).collect();
        assert_eq!(read_pieces(vec![endless]).await, Err(ConnectionError::HelloInvalid));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(cut in 0..2000_usize, at in 0..300_usize, junk in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut hello = client_hello("mp1.lab.test");
            let at = at.min(hello.len());
            hello.splice(at..(at + junk.len()).min(hello.len()), junk);
            hello.truncate(cut);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_pieces(vec![hello]));
        }
    }
}
