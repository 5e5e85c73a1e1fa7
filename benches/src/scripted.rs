//! A server for tests that does as it is told, and keeps a count of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

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
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// It is answered with this.
    Say(Vec<u8>),
    /// The same, but not before so much time has passed.
    SayAfter(Duration, Vec<u8>),
    /// This is said, and then the connection is closed.
    Close(Vec<u8>),
    /// This is said, and then the connection is reset.
    Reset(Vec<u8>),
    /// Nothing is said.
    Never,
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
        let (to, from) = mpsc::channel();
        let (until, ends) = tokio::sync::oneshot::channel::<()>();
        let log: Log = Arc::default();
        let its = Arc::clone(&log);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                to.send(listener.local_addr().unwrap()).unwrap();
                let act = Arc::new(act);
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(converse(stream, Arc::clone(&its), Arc::clone(&act)));
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

    /// Waits until this was asked, however long that takes on this machine.
    pub(crate) fn wait(&self, enough: impl Fn(&[Asked]) -> bool) {
        let log = self.log.0.lock().unwrap();
        let (log, late) = self.log.1.wait_timeout_while(log, LONGEST, |log| !enough(log)).unwrap();
        assert!(!late.timed_out(), "{log:?}");
    }
}

async fn converse(stream: TcpStream, log: Log, act: Arc<impl Fn(&Asked) -> Act>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
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
        let asked = {
            let mut log = log.0.lock().unwrap();
            let asked = Asked { method, target, head, number: log.len() };
            log.push(asked.clone());
            asked
        };
        log.1.notify_all();
        match act(&asked) {
            Act::Say(text) => stream.write_all(&text).await?,
            Act::SayAfter(time, text) => {
                tokio::time::sleep(time).await;
                stream.write_all(&text).await?;
            }
            Act::Close(text) => return stream.write_all(&text).await,
            Act::Reset(text) => {
                stream.write_all(&text).await?;
                return stream.get_ref().set_zero_linger();
            }
            Act::Never => std::future::pending().await,
        }
    }
}
