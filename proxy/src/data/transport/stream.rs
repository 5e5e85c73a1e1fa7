//! Sockets, with or without TLS.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use arrayvec::ArrayVec;
use bytes::{Buf, BufMut, BytesMut};
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Pieces that are together no larger than this are copied and written as one: for a message that fits a few packets,
/// gathering costs the kernel more than the copy costs us.
const GATHER: usize = 4096;

/// Writes several pieces, copied together when they are small.
fn poll_write_pieces(
    stream: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    pieces: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total > GATHER {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut together = ArrayVec::<u8, GATHER>::new();
    for piece in pieces {
        // The sum was compared with the capacity.
        let _ = together.try_extend_from_slice(piece);
    }
    stream.poll_write(cx, &together)
}

/// A TCP connection to a client or a site system, with or without TLS of ours on it.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether there is no TLS of ours on it.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// The certificate that the other side has shown.
    pub fn peer_certificate(&self) -> Option<CertificateDer<'static>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => {
                stream.get_ref().1.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
            }
        }
    }

    /// As [`Self::peer_certificate`], with those of its authorities.
    pub fn peer_chain(&self) -> Box<[CertificateDer<'static>]> {
        let chain = match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates(),
        };
        chain.into_iter().flatten().cloned().map(CertificateDer::into_owned).collect()
    }

    /// The version of TLS, as it is written in logs.
    pub fn tls_version(&self) -> Option<&'static str> {
        let Self::Tls(stream) = self else { return None };
        match stream.get_ref().1.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("1.2"),
            ProtocolVersion::TLSv1_3 => Some("1.3"),
            // No other can be configured.
            _ => None,
        }
    }

    /// The cipher suite of TLS, by its IANA name.
    pub fn tls_cipher(&self) -> Option<&'static str> {
        let Self::Tls(stream) = self else { return None };
        let name = stream.get_ref().1.negotiated_cipher_suite()?.suite().as_str()?;
        // The library gives those of TLS 1.3 names of its own.
        Some(match name {
            "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
            name => name,
        })
    }

    /// The server name that the client has asked for.
    pub fn server_name(&self) -> Option<&str> {
        let Self::Tls(stream) = self else { return None };
        match &**stream {
            TlsStream::Server(stream) => stream.get_ref().1.server_name(),
            TlsStream::Client(_) => None,
        }
    }

    /// Whether ALPN agreed on HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether something was read from the socket that nobody has asked for yet: bytes, or the end of them.
    pub fn holds_something(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => !stream.get_ref().1.wants_read(),
        }
    }

    /// Says goodbye as far as that is possible at once. A plain connection does so when it is closed.
    pub fn farewell(&mut self, cx: &mut Context<'_>) {
        if !self.is_plain() {
            let _ = Pin::new(self).poll_shutdown(cx);
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => poll_write_pieces(Pin::new(stream), cx, bufs),
            Self::Tls(stream) => poll_write_pieces(Pin::new(&mut **stream), cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// A connection of which something has been read before.
#[derive(Debug)]
pub struct Early {
    /// The connection.
    pub stream: Transport,
    /// What was read.
    pub early: BytesMut,
}

impl AsyncRead for Early {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        give(&mut this.early, buf);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Early {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Hands on what was read before; an empty one holds no memory.
fn give(early: &mut BytesMut, buf: &mut ReadBuf<'_>) {
    let count = early.len().min(buf.remaining());
    buf.put_slice(&early[..count]);
    early.advance(count);
    if early.is_empty() {
        *early = BytesMut::new();
    }
}

/// Reads once, no more than `most` bytes. 0 at the end.
///
/// # Errors
/// As the socket.
pub fn poll_read_some(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    read: &mut BytesMut,
    most: usize,
) -> Poll<io::Result<usize>> {
    pin!(transport.read_buf(&mut read.limit(most))).poll(cx)
}
