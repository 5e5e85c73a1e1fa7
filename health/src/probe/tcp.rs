//! Connections: TCP, TLS, and what an I/O error means.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsProbe;
use crate::shortage::is_own_shortage;
use crate::verdict::{Failure, FailureKind, Verdict};

/// A year is as good as for ever, and an instant can hold it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a question must be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// The end.
    pub(super) end: Instant,
    /// How long it was in all, for the failure's text.
    pub(super) allowed: Duration,
}

impl Deadline {
    pub(super) fn of(start: Instant, allowed: Duration) -> Self {
        Self { end: start + allowed.min(LONGEST), allowed }
    }

    /// What to say when it has passed: `what` was being waited for.
    pub(super) fn missed(self, what: &str) -> Failure {
        Failure::new(FailureKind::Timeout, format!("{what}: no answer within {} ms", self.allowed.as_millis()))
    }
}

pub(super) async fn judge(address: SocketAddr, tls: Option<&TlsProbe>, greeting: &[u8], deadline: Deadline) -> Verdict {
    let opened = async {
        let stream = connect(address, greeting, deadline).await?;
        match tls {
            None => Ok(()),
            Some(tls) => secure(stream, address, tls, deadline).await.map(drop),
        }
    };
    match opened.await {
        Ok(()) => Verdict::Pass,
        Err(failure) => Verdict::unanswered(failure),
    }
}

pub(super) async fn connect(address: SocketAddr, greeting: &[u8], deadline: Deadline) -> Result<TcpStream, Failure> {
    let what = format!("connect to {address}");
    let opened = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(greeting).await?;
        Ok(stream)
    };
    match timeout_at(deadline.end, opened).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let kind = if is_own_shortage(&error, address) { FailureKind::Local } else { kind_of(&error) };
            Err(Failure::new(kind, format!("{what}: {error}")))
        }
        Err(_elapsed) => Err(deadline.missed(&what)),
    }
}

pub(super) async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    tls: &TlsProbe,
    deadline: Deadline,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = tls.server_name.to_str();
    let what = format!("TLS handshake with {address} as {name}");
    let connector = TlsConnector::from(tls.config.clone());
    match timeout_at(deadline.end, connector.connect(tls.server_name.clone(), stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            // A peer that hangs up in the middle of a handshake has trouble with TLS, whatever the socket calls it.
            let kind = match kind_of(&error) {
                FailureKind::Reset if error.kind() != io::ErrorKind::UnexpectedEof => FailureKind::Reset,
                _ => FailureKind::Tls,
            };
            Err(Failure::new(kind, format!("{what}: {error}")))
        }
        Err(_elapsed) => Err(deadline.missed(&what)),
    }
}

/// The closest kind for an I/O error. Rustls reports its own errors inside of such.
pub(super) fn kind_of(error: &io::Error) -> FailureKind {
    use io::ErrorKind as Io;
    if error.get_ref().is_some_and(is_tls) {
        return FailureKind::Tls;
    }
    match error.kind() {
        Io::ConnectionRefused => FailureKind::Refused,
        Io::TimedOut => FailureKind::Timeout,
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof | Io::NotConnected => {
            FailureKind::Reset
        }
        _ => FailureKind::Unreachable,
    }
}

fn is_tls(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<rustls::Error>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn io_errors_have_a_kind() {
        use io::ErrorKind as Io;
        for (error, kind) in [
            (Io::ConnectionRefused.into(), FailureKind::Refused),
            (Io::TimedOut.into(), FailureKind::Timeout),
            (Io::ConnectionReset.into(), FailureKind::Reset),
            (Io::BrokenPipe.into(), FailureKind::Reset),
            (Io::UnexpectedEof.into(), FailureKind::Reset),
            (Io::HostUnreachable.into(), FailureKind::Unreachable),
            (Io::NetworkUnreachable.into(), FailureKind::Unreachable),
            (Io::AddrNotAvailable.into(), FailureKind::Unreachable),
            (io::Error::new(Io::InvalidData, rustls::Error::HandshakeNotComplete), FailureKind::Tls),
        ] {
            assert_eq!(kind_of(&error), kind, "{error}");
        }
    }

    #[tokio::test]
    async fn the_longest_deadline_is_no_overflow() {
        assert!(Deadline::of(Instant::now(), Duration::MAX).end > Instant::now());
    }
}
