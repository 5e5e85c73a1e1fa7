//! Every documented shape, and every fault, as a client sees them.

mod faults;
mod life;
mod logon;
mod secure;
mod shapes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{SiteSystem, Spec};
use crate::client::{Answer, Client, ClientError};
use crate::content::{Content, Package};

const PACKAGE: &str = "PKG00001";

fn content() -> Arc<Content> {
    let files = [("setup.msi", 300_000), ("file 2.cab", 5), ("empty.txt", 0)];
    Arc::new(Content::new([Package::new(PACKAGE, files), Package::new("Content_0f1a.1", [("a b.msi", 1000)])]))
}

async fn start(spec: Spec) -> SiteSystem {
    SiteSystem::start(spec).await.unwrap()
}

async fn point() -> SiteSystem {
    start(Spec::distribution_point("dp1", &content())).await
}

fn client(address: SocketAddr) -> Client {
    Client::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), address, "mp.lab.test", 7)
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    fields.iter().map(field).collect()
}

async fn ask(site: &SiteSystem, method: &str, target: &str, headers: &[(&'static str, &str)]) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    client(site.address()).request_with(method, target, fields(headers), Bytes::new()).await.unwrap()
}

async fn get(site: &SiteSystem, target: &str) -> (u16, String) {
    let answer = ask(site, "GET", target, &[]).await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// Everything that a server says to `text` before it closes, and how it closed.
async fn raw(address: SocketAddr, text: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    let ended = match stream.write_all(text.as_bytes()).await {
        Ok(()) => stream.read_to_end(&mut said).await.map(drop),
        Err(error) => Err(error),
    };
    (said, ended)
}

fn is_cut<T: std::fmt::Debug>(result: Result<T, ClientError>) -> bool {
    match result {
        Err(ClientError::Cut { .. }) => true,
        other => panic!("not cut: {other:?}"),
    }
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> bool {
    match result {
        Err(ClientError::Connect { .. }) => true,
        other => panic!("not refused: {other:?}"),
    }
}
