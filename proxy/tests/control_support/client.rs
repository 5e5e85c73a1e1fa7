//! A client with one keep-alive connection that says when it broke.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;

pub struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The site system that answered; `None` when it was the proxy.
    pub fn server(&self) -> Option<&str> {
        self.headers.get("x-site-system").map(|name| name.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, &address.to_string()).await
    }

    /// Asks for another host than the address.
    pub async fn connect_as(address: SocketAddr, host: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), host).await
    }

    /// From one of the loopback addresses.
    pub async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.into(), 0)).unwrap();
        Self::over(socket.connect(address).await.unwrap(), &address.to_string()).await
    }

    async fn over(stream: TcpStream, host: &str) -> Self {
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { host: host.to_owned(), sender }
    }

    /// One request on the connection.
    pub async fn send(&mut self, method: &str, target: &str) -> Result<Answer, String> {
        self.send_with(method, target, &[]).await
    }

    /// As [`Client::send`], with more fields.
    pub async fn send_with(&mut self, method: &str, target: &str, more: &[(&str, &str)]) -> Result<Answer, String> {
        let request = Request::builder().method(method).uri(target).header("host", &self.host);
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::default()).unwrap();
        let whole = async {
            self.sender.ready().await.map_err(|error| format!("the connection is gone: {error}"))?;
            let response = self.sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("the body broke: {error}"))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(PATIENCE, whole)
            .await
            .map_err(|_| format!("{method} {target}: no answer in {PATIENCE:?}"))?
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target).await.unwrap()
    }

    /// Whether the other side has closed the connection.
    pub fn closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// One request on a connection of its own.
pub async fn get(address: SocketAddr, target: &str) -> Answer {
    Client::connect(address).await.get(target).await
}
