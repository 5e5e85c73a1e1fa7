//! Asking a server one question.
//!
//! A probe makes a new connection for every question, so it sees what a new client would see, and closes it at once.
//! Whatever the server does, an attempt is over at its deadline and reads a bounded number of bytes.

mod http;
mod search;
mod tcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

pub use self::http::HttpProbe;
use crate::verdict::Verdict;

/// A question to a server.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Is there a connection? With `tls`: and a TLS session?
    Tcp {
        /// How to speak TLS; `None` is plain TCP.
        tls: Option<TlsProbe>,
        /// What a connection begins with, before TLS: a PROXY protocol header that names no client, or nothing.
        greeting: &'static [u8],
    },
    /// Is this the expected HTTP answer?
    Http(Box<HttpProbe>),
    /// Whatever a test wants, without a socket.
    #[cfg(test)]
    Scripted(crate::checker::tests::Script),
}

/// How a probe speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsProbe {
    /// Trusted roots, versions and the client certificate, if any. It must not offer HTTP/2 (ALPN `h2`): probes speak
    /// HTTP/1.1.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that the server's certificate must carry, sent as SNI too.
    pub server_name: ServerName<'static>,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What it says about the server.
    pub verdict: Verdict,
    /// The HTTP status of the first question, if one came.
    pub status: Option<u16>,
    /// From the first packet to the verdict, second opinion included.
    pub took: Duration,
}

impl Probe {
    /// Asks the server at `address`, once, and is done after `deadline` at the latest. Dropping the future closes the
    /// connection.
    pub async fn attempt(&self, address: SocketAddr, deadline: Duration) -> Attempt {
        let start = Instant::now();
        let (verdict, status) = match self {
            Self::Tcp { tls, greeting } => {
                let deadline = tcp::Deadline::of(start, deadline);
                (tcp::judge(address, tls.as_ref(), greeting, deadline).await, None)
            }
            Self::Http(probe) => probe.judge(address, start, deadline).await,
            #[cfg(test)]
            Self::Scripted(script) => script.judge(address, deadline).await,
        };
        Attempt { verdict, status, took: start.elapsed() }
    }
}

#[cfg(test)]
mod tests;
