//! Asks the admin listener of a running rolegate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::request::Builder;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::Address;
use crate::control::encoding::utf8;

/// An audit of a large site takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where rolegate is asked, and with what right.
#[derive(Args, Clone, Debug)]
pub(super) struct Where {
    /// The admin address of the running rolegate: host:port, https://host:port, or the path of its Unix socket.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9180", env = "ROLEGATE_ADMIN")]
    pub(super) admin: Address,
    /// A PEM file with the authorities that its certificate is verified with, for https; without it, the public ones.
    #[arg(long, value_name = "PATH")]
    cacert: Option<PathBuf>,
    /// A PEM file with a client certificate that [admin] client_authorities trusts, for https.
    #[arg(long, value_name = "PATH", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with its key.
    #[arg(long, value_name = "PATH", requires = "cert")]
    key: Option<PathBuf>,
    /// A file with the token of [admin] token_file: changes need it, and questions from another machine.
    #[arg(long, value_name = "PATH", env = "ROLEGATE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Where {
    /// The token, if a file is named.
    fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let token = std::fs::read(file).with_context(|| format!("cannot read the token in {}", file.display()))?;
        match token_in(token) {
            Some(token) => Ok(Some(token)),
            None => bail!("{} has no token in it: is it the file that [admin] token_file names?", file.display()),
        }
    }
}

/// Asks a question.
pub(super) fn get(at: &Where, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
    // From this machine none is needed, and one who may only ask cannot read it.
    let token = at.token().ok().flatten();
    answered(send(at, Method::GET, &target(path, query), token.as_deref())?)
}

/// Changes something.
pub(super) fn post(at: &Where, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
    answered(change(at, Method::POST, path, query)?)
}

/// Changes something, and gives the status and the body of the answer, whatever they are.
pub(super) fn change(
    at: &Where,
    method: Method,
    path: &str,
    query: &[(&str, String)],
) -> anyhow::Result<(StatusCode, String)> {
    // Over the Unix socket, and with a client certificate, none is needed.
    let token = match &at.admin {
        Address::Unix(_) => at.token().ok().flatten(),
        Address::Http(_) | Address::Https(_) => at.token()?,
    };
    if token.is_none() && at.cert.is_none() && !matches!(at.admin, Address::Unix(_)) {
        bail!("changes need a token: --token-file or ROLEGATE_TOKEN_FILE names the file that [admin] token_file names");
    }
    send(at, method, &target(path, query), token.as_deref())
}

/// The token in a file's bytes, as the server reads it.
fn token_in(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(utf8(bytes).ok()?).ok()?;
    let token = text.trim();
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| token.to_owned())
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(at: &Where, body: &str) -> anyhow::Result<T> {
    serde_json::from_str(body).ok().with_context(|| format!("what answers at {} is not this rolegate", at.admin))
}

fn target(path: &str, query: &[(&str, String)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// The body of an answer that is what was asked for.
fn answered((status, body): (StatusCode, String)) -> anyhow::Result<String> {
    if status != StatusCode::OK {
        bail!("{}", if body.trim().is_empty() { status.to_string() } else { body.trim().to_owned() });
    }
    Ok(body)
}

fn send(at: &Where, method: Method, target: &str, token: Option<&str>) -> anyhow::Result<(StatusCode, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut request = Request::builder().method(method).uri(target);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let admin = &at.admin;
    let exchanged = async { tokio::time::timeout(PATIENCE, connect(at, request)).await };
    let answer = runtime
        .block_on(exchanged)
        .with_context(|| format!("{admin} did not answer within {} seconds", PATIENCE.as_secs()))?;
    answer.with_context(|| format!("no rolegate answers at {admin}; --admin names another address"))
}

async fn connect(at: &Where, request: Builder) -> anyhow::Result<(StatusCode, String)> {
    match &at.admin {
        Address::Http(host) => {
            let stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
            exchange(stream, request.header(header::HOST, host.to_string())).await
        }
        Address::Https(host) => {
            let connector = TlsConnector::from(Arc::new(trust(at)?));
            let name = ServerName::try_from(host.name.clone())?;
            let stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
            let stream = connector.connect(name, stream).await?;
            exchange(stream, request.header(header::HOST, host.to_string())).await
        }
        Address::Unix(path) => {
            exchange(UnixStream::connect(path).await?, request.header(header::HOST, "localhost")).await
        }
    }
}

/// Whose certificates are believed, and what is shown.
fn trust(at: &Where) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = &at.cacert {
        roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).with_context(|| format!("{} has no authority in it", file.display()))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let (Some(certificate), Some(key)) = (&at.cert, &at.key) else { return Ok(builder.with_no_client_auth()) };
    let private =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read the key {}", key.display()))?;
    Ok(builder.with_client_auth_cert(certificates(certificate)?, private)?)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.with_context(|| format!("cannot read the certificates {}", file.display()))
}

async fn exchange<S>(stream: S, request: Builder) -> anyhow::Result<(StatusCode, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_whatever_editor_wrote_them() {
        for written in [&b"abc\r\n"[..], b"\xef\xbb\xbfabc", b"\xff\xfea\0b\0c\0"] {
            assert_eq!(token_in(written.to_vec()).as_deref(), Some("abc"));
        }
        for none in [&b""[..], b" \n", b"a b", b"\xffabc"] {
            assert_eq!(token_in(none.to_vec()), None);
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let pairs = [("target", "/SMS_DP_SMSPKG$/A b?{x}&y".to_owned()), ("field", "A: ü".to_owned())];
        let expected = "/explain?target=%2FSMS_DP_SMSPKG%24%2FA+b%3F%7Bx%7D%26y&field=A%3A+%C3%BC";
        assert_eq!(target("/explain", &pairs), expected);
        assert_eq!(target("/clocks", &[]), "/clocks");
    }
}
