//! A site system that can be made ill, and that knows which request it has seen.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::content::{Content, mixed};
use super::ledger::{Ledger, Repeat};
use super::schedule::{Ill, SERVERS};
use super::wire::{Head, Reader};
use crate::site::gate::Gate;

const PIECE: usize = 16 * 1024;
const FLAP: Duration = Duration::from_millis(150);
/// What comes after the body of a server that lies: it must reach no client.
const STOLEN: &[u8] = b"HTTP/1.1 200 OK\r\nX-Server: stolen\r\nX-Id: 0\r\nContent-Length: 6\r\n\r\nstolen";

/// How one is now. It serves well without an illness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mood {
    ill: Option<Ill>,
    /// Grows with each change.
    change: u64,
}

/// One simulated site system.
#[derive(Debug)]
pub(crate) struct Server {
    number: usize,
    pub(crate) address: SocketAddr,
    gate: Arc<Gate>,
    mood: watch::Sender<Mood>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What its connections know.
struct Shared {
    number: usize,
    ledger: Arc<Ledger>,
    mood: watch::Receiver<Mood>,
}

impl Server {
    /// Starts one on an address of its own, so that no other process has its port while it refuses.
    pub(crate) fn start(number: usize, ledger: &Arc<Ledger>) -> io::Result<Self> {
        let own = Ipv4Addr::new(127, 77, mixed(u64::from(std::process::id())) as u8, number as u8 + 1);
        Self::start_at(number, (own, 0).into(), ledger)
    }

    /// Starts one on this address. Its number is its place in [`SERVERS`].
    pub(crate) fn start_at(number: usize, address: SocketAddr, ledger: &Arc<Ledger>) -> io::Result<Self> {
        let gate = Arc::new(Gate::open(address)?);
        let mood = watch::Sender::new(Mood::default());
        let (its, ledger, hears) = (Arc::clone(&gate), Arc::clone(ledger), mood.subscribe());
        let accepting = tokio::spawn(async move {
            let mut acceptor = its.acceptor();
            loop {
                let (stream, _) = acceptor.accept().await;
                let shared = Shared { number, ledger: Arc::clone(&ledger), mood: hears.clone() };
                tokio::spawn(async move {
                    // Connections end in many ways here, and all of them are meant.
                    let _ = shared.converse(stream).await;
                });
            }
        });
        Ok(Self { number, address: gate.address(), gate, mood, accepting })
    }

    /// Makes it ill. The number is for [`Server::heal`].
    pub(crate) fn infect(&self, ill: Ill) -> u64 {
        // What cannot be listened on again would be seen at the end.
        let _ = self.gate.refuse(ill == Ill::Refuse);
        self.set(Some(ill))
    }

    /// Makes it well, unless it has been made ill in another way since then.
    pub(crate) fn heal(&self, change: u64) -> bool {
        if self.mood.borrow().change != change {
            return false;
        }
        self.set(None);
        self.gate.refuse(false).is_ok()
    }

    /// Makes it well, however it is ill.
    pub(crate) fn cure(&self) {
        self.set(None);
        // If it cannot be listened on again, it is not used again, which is seen.
        let _ = self.gate.refuse(false);
    }

    /// Refuses and takes connections in turn, for so long.
    pub(crate) async fn flap(&self, change: u64, lasts: Duration) {
        for time in 0..(lasts.as_millis() / FLAP.as_millis()) {
            if self.mood.borrow().change != change || self.gate.refuse(time % 2 == 0).is_err() {
                return;
            }
            tokio::time::sleep(FLAP).await;
        }
    }

    fn set(&self, ill: Option<Ill>) -> u64 {
        let change = self.mood.borrow().change + 1;
        self.mood.send_replace(Mood { ill, change });
        change
    }

    pub(crate) fn name(&self) -> &'static str {
        SERVERS[self.number]
    }
}

/// Who has signed in on a connection.
#[derive(Default)]
struct SignedIn {
    asked: Option<String>,
    user: Option<String>,
}

/// How a connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    End,
}

impl Shared {
    fn ill(&self) -> Option<Ill> {
        self.mood.borrow().ill
    }

    async fn converse(mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = Reader::new(stream);
        let mut signed_in = SignedIn::default();
        loop {
            self.while_ill(|ill| ill == Ill::Silent).await;
            let head = tokio::select! {
                head = reader.head() => head?,
                () = closes_idle(self.mood.clone()) => return Ok(()),
            };
            let Some(head) = head else { return Ok(()) };
            let Some(id) = head.number("x-chaos-id") else {
                self.while_ill(|ill| matches!(ill, Ill::Silent | Ill::Hang)).await;
                if self.probe(&mut reader, &head).await? == Next::End {
                    return Ok(());
                }
                continue;
            };
            let repeat = if head.first.contains("POST") { Repeat::Never } else { Repeat::May };
            self.ledger.arrived(id, self.number, repeat);
            self.take(&mut reader, &head, id).await?;
            self.while_ill(|ill| matches!(ill, Ill::Silent | Ill::Hang)).await;
            if self.answer(&mut reader.stream, &head, id, &mut signed_in).await? == Next::End {
                return Ok(());
            }
        }
    }

    async fn while_ill(&mut self, how: impl Fn(Ill) -> bool) {
        // The sender lives longer than the connections, and if not, it is over.
        let _ = self.mood.wait_for(|mood| !mood.ill.is_some_and(&how)).await;
    }

    /// Reads the body of a request, which must be what its client has sent.
    async fn take(&self, reader: &mut Reader<TcpStream>, head: &Head, id: u64) -> io::Result<()> {
        let (mut body, mut content, mut len) = (head.body(), Content::new(id, "client"), 0);
        while let Some(piece) = reader.piece(&mut body, PIECE).await? {
            len += piece.len() as u64;
            if !content.matches(&piece) {
                self.ledger.violation(format_args!("{}: bytes of request {id} are not its client's", self.name()));
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let meant = head.number("x-chaos-body").unwrap_or(0);
        if len != meant {
            self.ledger.violation(format_args!("{}: request {id} came with {len} bytes of {meant}", self.name()));
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        SERVERS[self.number]
    }

    /// What rolegate asks by itself: whether it is well, and which content is here.
    async fn probe(&self, reader: &mut Reader<TcpStream>, head: &Head) -> io::Result<Next> {
        let mut body = head.body();
        while reader.piece(&mut body, PIECE).await?.is_some() {}
        let status = match self.ill() {
            Some(Ill::Status(status)) => status,
            Some(Ill::Garbage) => {
                reader.stream.write_all(b"\x15\x03 this is no HTTP\r\n\r\n").await?;
                return Ok(Next::End);
            }
            _ if head.first.starts_with("PROPFIND") => 404,
            _ => 200,
        };
        let text = if head.first.starts_with("HEAD") { "" } else { "<MPList/>" };
        let answer = format!("HTTP/1.1 {status} Probed\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        reader.stream.write_all(answer.as_bytes()).await?;
        Ok(Next::Request)
    }

    async fn answer(&self, stream: &mut TcpStream, head: &Head, id: u64, signed_in: &mut SignedIn) -> io::Result<Next> {
        let (mut status, mut extra) = (200, String::new());
        if let Some(token) = head.get("authorization").and_then(|value| value.strip_prefix("NTLM ")) {
            status = self.sign_in(token, id, signed_in);
        }
        if let Some(Ill::Status(other)) = self.ill() {
            status = other;
        }
        if status == 401 {
            extra.push_str("WWW-Authenticate: NTLM Y2hhbGxlbmdl\r\n");
        }
        let wanted = head.number("x-chaos-length").unwrap_or(0);
        let len = usize::try_from(if status == 200 { wanted } else { wanted.min(512) }).unwrap_or(0);
        let user = signed_in.user.as_deref().unwrap_or("-");
        let ill = self.ill();
        // Half of them say their length, the others come in chunks; a lie needs a length.
        let chunked = mixed(id).is_multiple_of(2) && !matches!(ill, Some(Ill::Short | Ill::Long));
        let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {len}") };
        let head = format!(
            "HTTP/1.1 {status} Answer\r\nX-Server: {}\r\nX-Id: {id}\r\nX-User: {user}\r\nX-Length: {len}\r\n\
             {framing}\r\n{extra}\r\n",
            self.name()
        );
        if ill == Some(Ill::Garbage) {
            stream.write_all(b"\x15\x03 this is no HTTP\r\n\r\n").await?;
            return Ok(Next::End);
        }
        if ill == Some(Ill::Reset) && mixed(id).is_multiple_of(3) {
            stream.set_zero_linger()?;
            return Ok(Next::End);
        }
        if ill == Some(Ill::Long) && len == 0 {
            stream.write_all(&[head.as_bytes(), STOLEN].concat()).await?;
            return Ok(Next::Request);
        }
        stream.write_all(head.as_bytes()).await?;
        self.send(stream, id, Answer { len, chunked, ill }).await
    }

    async fn send(&self, stream: &mut TcpStream, id: u64, answer: Answer) -> io::Result<Next> {
        let Answer { len, chunked, ill } = answer;
        let mut content = Content::new(id, self.name());
        let end = if matches!(ill, Some(Ill::Reset | Ill::Short)) { len / 2 } else { len };
        let mut sent = 0;
        while sent < end {
            let dribbles = self.ill() == Some(Ill::Dribble);
            let mut piece = content.take((end - sent).min(if dribbles { 1024 } else { PIECE }));
            sent += piece.len();
            if ill == Some(Ill::Long) && sent == end {
                // With the last bytes, so that it is there before another request can be.
                piece.extend_from_slice(STOLEN);
            }
            if chunked {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            stream.write_all(&piece).await?;
            if chunked {
                stream.write_all(b"\r\n").await?;
            }
            if dribbles {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
        match ill {
            Some(Ill::Reset) => stream.set_zero_linger()?,
            _ if chunked => stream.write_all(b"0\r\n\r\n").await?,
            _ => {}
        }
        let ends = matches!(ill, Some(Ill::Reset | Ill::Short | Ill::CloseIdle));
        Ok(if ends { Next::End } else { Next::Request })
    }

    /// The status for a step of signing in.
    fn sign_in(&self, token: &str, id: u64, signed_in: &mut SignedIn) -> u16 {
        match token.split_once('.') {
            Some(("1", user)) => {
                signed_in.asked = Some(user.to_owned());
                signed_in.user = None;
                401
            }
            Some(("3", user)) if signed_in.asked.as_deref() == Some(user) => {
                signed_in.user = Some(user.to_owned());
                200
            }
            _ => {
                let others = signed_in.asked.as_deref().unwrap_or("no user");
                self.ledger.violation(format_args!(
                    "{}: request {id} ends signing in ({token}) on a connection of {others}",
                    self.name()
                ));
                403
            }
        }
    }
}

/// A body that is sent.
struct Answer {
    len: usize,
    chunked: bool,
    ill: Option<Ill>,
}

/// Ready when idle connections are closed. Never, when the server is over.
async fn closes_idle(mut mood: watch::Receiver<Mood>) {
    if mood.wait_for(|mood| mood.ill == Some(Ill::CloseIdle)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
