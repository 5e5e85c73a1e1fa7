//! A small server that answers as a test wants, byte by byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What happens after a request came in.
#[derive(Clone)]
pub(super) enum Answer {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, then nothing until the client goes.
    Open(Vec<u8>),
    /// Nothing until the client goes.
    Stall,
    /// A TCP reset.
    Reset,
}

impl Answer {
    /// A response with a length.
    pub(super) fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status} Any\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// A response in chunks of `size` bytes.
    pub(super) fn chunked(status: u16, body: &[u8], size: usize) -> Self {
        let mut bytes = format!("HTTP/1.1 {status} Any\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        Self::Bytes(bytes)
    }
}

pub(super) struct Site {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    closed: mpsc::UnboundedReceiver<()>,
}

impl Site {
    /// A server that picks the answer by the request target; the target `*` matches all.
    pub(super) async fn open(answers: Vec<(&'static str, Answer)>) -> Self {
        Self::serve(answers, None).await
    }

    pub(super) async fn open_tls(answers: Vec<(&'static str, Answer)>, acceptor: TlsAcceptor) -> Self {
        Self::serve(answers, Some(acceptor)).await
    }

    async fn serve(answers: Vec<(&'static str, Answer)>, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (gone, closed) = mpsc::unbounded_channel();
        let asked = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, asked, gone, acceptor) = (answers.clone(), asked.clone(), gone.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => plain(stream, &answers, &asked).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, &answers, &asked).await;
                            }
                        }
                    }
                    gone.send(()).ok();
                });
            }
        });
        Self { address, heads, closed }
    }

    /// The requests so far, each as its whole head.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The targets asked so far.
    pub(super) fn targets(&self) -> Vec<String> {
        self.heads().iter().map(|head| target_of(head).to_owned()).collect()
    }

    /// Waits until a connection has ended.
    pub(super) async fn closed(&mut self) {
        self.closed.recv().await.unwrap();
    }
}

fn target_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

async fn plain(mut stream: TcpStream, answers: &[(&'static str, Answer)], asked: &Mutex<Vec<String>>) {
    if let Some(Answer::Reset) = converse(&mut stream, answers, asked).await {
        stream.set_zero_linger().unwrap();
    }
}

async fn converse<S>(mut stream: S, answers: &[(&'static str, Answer)], asked: &Mutex<Vec<String>>) -> Option<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let target = target_of(&head).to_owned();
    asked.lock().unwrap().push(head);
    let answer = answers.iter().find(|(name, _)| *name == target || *name == "*").map(|(_, answer)| answer.clone());
    let answer = answer.unwrap_or_else(|| Answer::new(404, ""));
    if let Answer::Bytes(bytes) | Answer::Open(bytes) = &answer {
        stream.write_all(bytes).await.ok()?;
    }
    match &answer {
        Answer::Bytes(_) => stream.shutdown().await.ok()?,
        // Reads end when the client closes its side.
        Answer::Open(_) | Answer::Stall => while stream.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {},
        Answer::Reset => {}
    }
    Some(answer)
}
