//! A server for tests that does as it is told, and keeps a count of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::Authority;
use crate::tls;

/// Any machine does what a test waits for in this time.
const LONGEST: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    /// How many came before it.
    pub(crate) number: usize,
}

impl Asked {
    /// The first and the last byte that it asks for.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        let line = self.head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
        let (first, last) = line.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is answered with this.
    Say(Vec<u8>),
    /// The same, but not before so much time has passed.
    SayAfter(Duration, Vec<u8>),
    /// This is said, and then the connection is closed.
    Close(Vec<u8>),
    /// This is said, and then the connection is reset.
    Reset(Vec<u8>),
}

impl Act {
    /// Answers with this status and this body.
    pub(crate) fn status(status: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        Self::Say([head.as_bytes(), body].concat())
    }

    pub(crate) fn ok() -> Self {
        Self::status("200 OK", b"ok")
    }
}

type Log = Arc<(Mutex<Vec<Asked>>, Condvar)>;

/// It ends with the test.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    log: Log,
    _until: tokio::sync::oneshot::Sender<()>,
}

impl Scripted {
    /// Starts one, on a thread of its own.
    pub(crate) fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let act = Arc::new(act);
        Self::accepting(move |stream, log| converse(stream, log, Arc::clone(&act), TcpStream::set_zero_linger))
    }

    /// The same over TLS.
    pub(crate) fn secured(config: Arc<ServerConfig>, act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let (act, acceptor) = (Arc::new(act), TlsAcceptor::from(config));
        Self::accepting(move |stream, log| {
            let (act, acceptor) = (Arc::clone(&act), acceptor.clone());
            async move {
                let linger = |stream: &TlsStream<TcpStream>| stream.get_ref().0.set_zero_linger();
                converse(acceptor.accept(stream).await?, log, act, linger).await
            }
        })
    }

    /// Hears whatever is said first, says this, and closes or resets the connection.
    pub(crate) fn rude(say: &'static [u8], is_reset: bool) -> Self {
        Self::accepting(move |mut stream, log| async move {
            let len = stream.read(&mut [0; 4096]).await?;
            note(&log, String::new(), String::new(), format!("{len} bytes"));
            stream.write_all(say).await?;
            if is_reset { stream.set_zero_linger() } else { Ok(()) }
        })
    }

    fn accepting<F: Future<Output = std::io::Result<()>> + Send + 'static>(
        serve: impl Fn(TcpStream, Log) -> F + Send + 'static,
    ) -> Self {
        let (to, from) = mpsc::channel();
        let (until, ends) = tokio::sync::oneshot::channel::<()>();
        let log: Log = Arc::default();
        let its = Arc::clone(&log);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                to.send(listener.local_addr().unwrap()).unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(serve(stream, Arc::clone(&its)));
                    }
                });
                let _ = tokio::time::timeout(2 * LONGEST, ends).await;
            });
        });
        Self { address: from.recv_timeout(LONGEST).unwrap(), log, _until: until }
    }

    /// All that was asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.0.lock().unwrap().clone()
    }
}

fn note(log: &Log, method: String, target: String, head: String) -> Asked {
    let mut all = log.0.lock().unwrap();
    let asked = Asked { method, target, head, number: all.len() };
    all.push(asked.clone());
    drop(all);
    log.1.notify_all();
    asked
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    log: Log,
    act: Arc<impl Fn(&Asked) -> Act>,
    linger: impl Fn(&S) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        tokio::io::copy(&mut (&mut stream).take(length.unwrap_or_default()), &mut tokio::io::sink()).await?;
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let asked = note(&log, method, target, head);
        match act(&asked) {
            Act::Say(text) => stream.write_all(&text).await?,
            Act::SayAfter(time, text) => {
                tokio::time::sleep(time).await;
                stream.write_all(&text).await?;
            }
            Act::Close(text) => {
                stream.write_all(&text).await?;
                return stream.shutdown().await;
            }
            Act::Reset(text) => {
                stream.write_all(&text).await?;
                return linger(stream.get_ref());
            }
        }
        // What is written over TLS may wait there.
        stream.flush().await?;
    }
}

/// TLS for `localhost`, with a certificate of this authority, that wants one of the same from its clients.
pub(crate) fn strict(authority: &Authority) -> Arc<ServerConfig> {
    let provider = tls::provider();
    let roots = Arc::new(tls::roots(authority.certificate_pem()).unwrap());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap();
    let (chain, key) = authority.server(&["localhost"]).chain_and_key().unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
}
