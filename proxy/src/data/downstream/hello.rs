//! The server name of a `ClientHello`, for TLS that ends at the site system. Nothing is decrypted and nothing changed: what
//! was read is sent on as it came.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connection_error::ConnectionError;
use crate::wire::client_hello::{Reading, Step};

/// Most are complete in the first read.
const PIECE: usize = 2048;

/// The beginning of a TLS connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name that the client asks for.
    pub server_name: Option<String>,
    /// All bytes so far.
    pub bytes: Vec<u8>,
}

/// Reads until the `ClientHello` is complete. The caller bounds the time.
///
/// # Errors
/// [`ConnectionError::HelloInvalid`] for anything else, [`ConnectionError::ClientGone`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, ConnectionError> {
    let mut reading = Reading::default();
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let known = bytes.len();
        let room = PIECE.min(reading.room());
        let count = stream.take(room as u64).read_buf(&mut bytes).await.map_err(|_| ConnectionError::ClientGone)?;
        if count == 0 {
            return Err(ConnectionError::ClientGone);
        }
        match reading.take(&bytes[known..]).map_err(|_| ConnectionError::HelloInvalid)? {
            Step::Whole { server_name } => return Ok(Hello { server_name, bytes }),
            Step::More => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::client_hello::MAX;
    use crate::wire::client_hello::sample::client_hello;

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

    #[tokio::test]
    async fn all_that_was_read_is_kept_however_it_comes() {
        let whole = [client_hello("MP1.Lab.test"), b"more".to_vec()].concat();
        for piece in [1, 7, 100, whole.len()] {
            let read = read_pieces(whole.chunks(piece).map(<[u8]>::to_vec).collect()).await.unwrap();
            assert_eq!(read.server_name.as_deref(), Some("mp1.lab.test"));
            assert!(whole.starts_with(&read.bytes) && read.bytes.len() + piece > whole.len() - 4);
        }
        assert_eq!(read_pieces(vec![whole.clone()]).await.unwrap().bytes, whole);
    }

    #[tokio::test]
    async fn a_hello_that_is_none_is_told_from_a_client_that_has_gone() {
        let http = read_pieces(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()]).await;
        assert_eq!(http, Err(ConnectionError::HelloInvalid));
        let hello = client_hello("mp1.lab.test");
        assert_eq!(read_pieces(vec![hello[..40].to_vec()]).await, Err(ConnectionError::ClientGone));
        assert_eq!(read_pieces(Vec::new()).await, Err(ConnectionError::ClientGone));
        let endless = [&[22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60, 3, 3][..], &[0; MAX]].concat();
        assert_eq!(read_pieces(vec![endless]).await, Err(ConnectionError::HelloInvalid));
    }
}
