//! Servers that do what a test says, well-behaved and hostile.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::wire::{Message, Wire};

/// A server on a free port. Dropping it closes everything.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    heard: Mutex<Vec<Message>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// One connection to a [`Peer`].
pub struct Talk {
    /// The connection.
    pub wire: Wire,
    /// Its number, from 0.
    pub number: usize,
    log: Arc<Log>,
}

impl Talk {
    /// The next request with its body. It is counted when its head is here.
    pub async fn request(&mut self) -> Option<Message> {
        let mut request = self.head().await?;
        self.wire.rest_of(&mut request).await;
        if let Some(last) = self.log.heard.lock().unwrap().last_mut() {
            last.clone_from(&request);
        }
        Some(request)
    }

    /// The head of the next request.
    pub async fn head(&mut self) -> Option<Message> {
        let request = self.wire.head().await?;
        self.log.heard.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Sends bytes.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.say(bytes).await
    }

    /// Keeps the connection until the other side closes it.
    pub async fn wait(&mut self) {
        while self.wire.more().await > 0 {}
    }
}

impl Peer {
    /// Runs `serve` for every connection.
    pub async fn serve<F, W>(serve: F) -> Self
    where
        F: Fn(Talk) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let own = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = own.accepted.fetch_add(1, Ordering::SeqCst);
                own.open.fetch_add(1, Ordering::SeqCst);
                let open = Open(Arc::clone(&own));
                let talk = serve(Talk { wire: Wire::new(stream), number, log: Arc::clone(&own) });
                connections.spawn(async move {
                    talk.await;
                    drop(open);
                });
            }
        });
        Self { address, log, task }
    }

    /// Answers every request with what `answer` makes of it and of the number of its connection.
    pub async fn answering<A>(answer: A) -> Self
    where
        A: Fn(&Message, usize) -> String + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        Self::serve(move |mut talk| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(request) = talk.request().await {
                    let answer = answer(&request, talk.number);
                    if !talk.say(answer).await {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers every request with this.
    pub async fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::answering(move |_, _| answer.clone()).await
    }

    /// Every request so far.
    pub fn heard(&self) -> Vec<Message> {
        self.log.heard.lock().unwrap().clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.log.heard.lock().unwrap().len()
    }

    /// The only request.
    #[track_caller]
    pub fn only(&self) -> Message {
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard[0].clone()
    }

    /// Connections ever accepted.
    pub fn accepted(&self) -> usize {
        self.log.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.log.open.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Open(Arc<Log>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A port that refuses connections for as long as the value lives: it is bound, and nobody listens.
pub struct Refuse {
    /// The port.
    pub address: SocketAddr,
    _bound: Socket,
}

/// See [`Refuse`].
pub fn refuse() -> Refuse {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    Refuse { address: socket.local_addr().unwrap().as_socket().unwrap(), _bound: socket }
}

/// Reads a request and resets the connection when `bytes` of its answer, which has 1000, were sent.
pub async fn reset_after(bytes: usize) -> Peer {
    Peer::serve(move |mut talk| async move {
        let Some(request) = talk.request().await else { return };
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        talk.say(vec![b'x'; bytes]).await;
        // A reset throws away what the other side has not read yet: it must have been seen to be cut.
        if request.target() == "/wait" {
            talk.wait().await;
        }
        talk.wire.reset();
    })
    .await
}

/// Closes every connection in good order when a request has been read, without an answer.
pub async fn hang_up() -> Peer {
    Peer::serve(|mut talk| async move {
        talk.request().await;
    })
    .await
}

/// Reads requests and never answers.
pub async fn never_answer() -> Peer {
    Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.wait().await;
    })
    .await
}

/// Sends a head that promises 10 bytes, and none of them.
pub async fn stall_after_head() -> Peer {
    Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        talk.wait().await;
    })
    .await
}

/// Sends a body of `pieces` bytes, one at a time with a pause between them.
pub async fn slow_body(pieces: usize, pause: std::time::Duration) -> Peer {
    Peer::serve(move |mut talk| async move {
        while talk.request().await.is_some() {
            talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {pieces}\r\n\r\n")).await;
            for _ in 0..pieces {
                tokio::time::sleep(pause).await;
                talk.say("x").await;
            }
        }
    })
    .await
}

/// Answers 413 when the head is here, closes its sending side, and throws away what still comes.
pub async fn early_response() -> Peer {
    Peer::serve(|mut talk| async move {
        talk.head().await;
        talk.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large").await;
        talk.wire.end().await;
        while talk.wire.more().await > 0 {
            talk.wire.ahead.clear();
        }
    })
    .await
}

/// Answers with these bytes and closes.
pub async fn bad_framing(answer: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        talk.request().await;
        talk.say(answer).await;
    })
    .await
}

/// Answers without a length and ends its direction of the connection.
pub async fn half_close(body: &'static str) -> Peer {
    Peer::serve(move |mut talk| async move {
        talk.request().await;
        talk.say(format!("HTTP/1.1 200 OK\r\n\r\n{body}")).await;
        talk.wire.end().await;
        talk.wait().await;
    })
    .await
}

/// Answers with bytes that are no HTTP.
pub async fn garbage() -> Peer {
    Peer::serve(|mut talk| async move {
        talk.request().await;
        talk.say([0x16, 0x03, 0x01, 0x00, 0xff, b'\r', b'\n', 0, b'\r', b'\n', b'\r', b'\n']).await;
        talk.wait().await;
    })
    .await
}

/// Passes bytes on to an address, those of its clients one at a time and each in a segment of its own.
pub async fn dribble(to: SocketAddr) -> Peer {
    Peer::serve(move |talk| async move {
        let (mut below, mut above) = Wire::connect(to).await.stream.into_split();
        let (mut from, mut back) = talk.wire.stream.into_split();
        let up = async {
            let mut piece = [0; 4096];
            while let Ok(count) = from.read(&mut piece).await
                && count > 0
            {
                for byte in &piece[..count] {
                    above.write_all(std::slice::from_ref(byte)).await?;
                    tokio::task::yield_now().await;
                }
            }
            above.shutdown().await
        };
        let down = tokio::io::copy(&mut below, &mut back);
        // However it ends.
        let _ = tokio::join!(up, down);
    })
    .await
}
