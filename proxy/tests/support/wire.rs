//! HTTP/1.1 byte for byte, for either side of a connection.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::within;

/// A request or a response as it was on the wire.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Header fields, as they were spelled and in their order.
    pub fields: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
    /// The connection ended before the message did.
    pub cut: bool,
}

impl Message {
    /// All values of a field, whatever the name's case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        of.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a field; a repeated one is an error.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there {} times: {:?}", all.len(), self.fields);
        all.first().copied()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts that the proxy made this answer, and why.
    #[track_caller]
    pub fn is_own(&self, status: u16, reason: &str) {
        assert_eq!(self.status(), status, "{self:?}");
        let said = self.field("proxy-status").unwrap_or_default();
        assert!(said.starts_with("rolegate; error=") && said.contains(&format!("error={reason};")), "{self:?}");
    }

    /// Asserts that a server made this answer.
    #[track_caller]
    pub fn is_from_server(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?} {}", self.text());
        assert_eq!(self.field("proxy-status"), None, "{self:?}");
        assert!(!self.cut, "{self:?}");
    }
}

enum Framing {
    Nothing,
    Length(usize),
    Chunks,
    UntilEnd,
}

/// One side of a connection and what was read ahead.
pub struct Wire<S = TcpStream> {
    /// The socket, or what is on it.
    pub stream: S,
    /// Bytes that were read and not used.
    pub ahead: Vec<u8>,
}

/// A client's side of a connection with TLS.
pub type TlsWire = Wire<TlsStream<TcpStream>>;

impl Wire {
    /// Takes a socket.
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    /// Opens a connection.
    pub async fn connect(to: SocketAddr) -> Self {
        Self::new(within("connect", TcpStream::connect(to)).await.unwrap())
    }

    /// Opens a connection from an address.
    pub async fn connect_from(source: IpAddr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        Self::new(within("connect", socket.connect(to)).await.unwrap())
    }

    /// Opens a connection whose receive buffer is as small as the system allows.
    pub async fn connect_narrow(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::new(within("connect", socket.connect(to)).await.unwrap())
    }

    /// Closes with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes what is on a socket.
    pub fn over(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// Sends bytes. A connection that is gone swallows them.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let said = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within("say", said).await.is_ok()
    }

    /// Ends the sending direction.
    pub async fn end(&mut self) {
        // The other side may be gone.
        let _ = self.stream.shutdown().await;
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, request: &str) -> Message {
        assert!(self.say(request).await, "the connection is gone");
        self.response(request.split(' ').next().unwrap_or_default()).await
    }

    /// Reads the final response to a method.
    pub async fn response(&mut self, method: &str) -> Message {
        loop {
            let mut response = self.response_head().await;
            let status = response.status();
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let framing = match status {
                _ if response.cut || method == "HEAD" => Framing::Nothing,
                101 | 204 | 304 => Framing::Nothing,
                _ => framing(&response).unwrap_or(Framing::UntilEnd),
            };
            self.body(&mut response, framing).await;
            return response;
        }
    }

    /// Reads a response head, an interim one too.
    pub async fn response_head(&mut self) -> Message {
        let head = self.head().await;
        head.unwrap_or_else(|| Message { cut: true, ..Message::default() })
    }

    /// Reads a request with its body; `None` at the end of the connection.
    pub async fn request(&mut self) -> Option<Message> {
        let mut request = self.head().await?;
        self.rest_of(&mut request).await;
        Some(request)
    }

    /// Reads the body of a request whose head was read.
    pub async fn rest_of(&mut self, request: &mut Message) {
        let framing = framing(request).unwrap_or(Framing::Nothing);
        self.body(request, framing).await;
    }

    /// Reads a head; `None` when the connection ends before it is complete.
    pub async fn head(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.more().await == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Some(Message { start, fields: lines.filter_map(field).collect(), ..Message::default() })
    }

    async fn body(&mut self, message: &mut Message, framing: Framing) {
        match framing {
            Framing::Nothing => {}
            Framing::Length(length) => {
                let read = self.take(length).await;
                message.cut = read.len() < length;
                message.body = read;
            }
            Framing::UntilEnd => while self.more().await > 0 {},
            Framing::Chunks => self.chunks(message).await,
        }
        if matches!(framing, Framing::UntilEnd) {
            message.body = std::mem::take(&mut self.ahead);
        }
    }

    async fn chunks(&mut self, message: &mut Message) {
        message.cut = true;
        loop {
            let Some(line) = self.line().await else { return };
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            let piece = self.take(size).await;
            let whole = piece.len() == size;
            message.body.extend(piece);
            if !whole || self.line().await.is_none() {
                return;
            }
        }
        while let Some(line) = self.line().await {
            match field(&line) {
                Some(trailer) => message.trailers.push(trailer),
                None => {
                    message.cut = false;
                    return;
                }
            }
        }
    }

    /// Reads a line without its end.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 2);
                return Some(line);
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// Reads this many bytes, or those before the end of the connection.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count && self.more().await > 0 {}
        let count = count.min(self.ahead.len());
        self.ahead.drain(..count).collect()
    }

    /// Whether the connection ends, now or soon. Anything that still comes is an error.
    #[track_caller]
    pub fn ends(&mut self) -> impl Future<Output = ()> {
        let from = std::panic::Location::caller();
        async move {
            let more = self.more().await;
            assert!(more == 0 && self.ahead.is_empty(), "{from}: {:?}", String::from_utf8_lossy(&self.ahead));
        }
    }

    /// Waits for the end of the connection, whatever comes before.
    pub async fn wait_for_the_end(&mut self) {
        while self.more().await > 0 {}
    }

    /// Reads some bytes; 0 at the end of the connection, however it ended.
    pub async fn more(&mut self) -> usize {
        let mut piece = [0; 16 * 1024];
        let read = within("read", self.stream.read(&mut piece)).await.unwrap_or(0);
        self.ahead.extend_from_slice(&piece[..read]);
        read
    }
}

fn framing(message: &Message) -> Option<Framing> {
    let codings = message.all("transfer-encoding");
    if codings.iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Some(Framing::Chunks);
    }
    message.field("content-length").map(|length| Framing::Length(length.parse().unwrap()))
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}
