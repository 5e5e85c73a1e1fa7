//! Asks the admin listener of a running rolegate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::failure::Mistake;
use crate::control::encoding::utf8;

/// An audit of a large site takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where rolegate is asked.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Where {
    /// The admin address of the running rolegate.
    #[arg(long, default_value = "127.0.0.1:9180")]
    pub(super) admin: SocketAddr,
}

/// What changes of state need.
#[derive(Args, Clone, Debug)]
pub(super) struct Authority {
    /// A file with the token of [admin] token_file.
    #[arg(long, value_name = "PATH", env = "ROLEGATE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// Asks a question.
pub(super) fn get(at: Where, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
    ask(at.admin, Method::GET, &target(path, query), None)
}

/// Changes something.
pub(super) fn post(at: Where, authority: &Authority, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
    let Some(file) = &authority.token_file else {
        let help = "--token-file or ROLEGATE_TOKEN_FILE names the file that [admin] token_file names";
        return Err(Mistake::usage("changes need a token").help(help).into());
    };
    let token = std::fs::read(file).with_context(|| format!("cannot read the token in {}", file.display()))?;
    let Some(token) = token_in(token) else {
        let what = format!("{} has no token in it", file.display());
        return Err(Mistake::refused(what).help("is it the file that [admin] token_file names?").into());
    };
    ask(at.admin, Method::POST, &target(path, query), Some(&token))
}

/// The token in a file's bytes, as the server reads it.
fn token_in(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(utf8(bytes).ok()?).ok()?;
    let token = text.trim();
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| token.to_owned())
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(at: Where, body: &str) -> anyhow::Result<T> {
    serde_json::from_str(body).ok().with_context(|| format!("what answers at {} is not this rolegate", at.admin))
}

fn target(path: &str, query: &[(&str, String)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

fn ask(admin: SocketAddr, method: Method, target: &str, token: Option<&str>) -> anyhow::Result<String> {
    let (status, body) = answer(admin, method, target, token, PATIENCE)?;
    if status == StatusCode::OK {
        return Ok(body);
    }
    let what = if body.trim().is_empty() { status.to_string() } else { body.trim().to_owned() };
    Err(if status == StatusCode::BAD_REQUEST { Mistake::usage(what) } else { Mistake::refused(what) }.into())
}

/// Asks, and gives whatever status the answer has.
pub(super) fn look(at: Where, path: &str, patience: Duration) -> anyhow::Result<(StatusCode, String)> {
    answer(at.admin, Method::GET, path, None, patience)
}

fn answer(
    admin: SocketAddr,
    method: Method,
    target: &str,
    token: Option<&str>,
    patience: Duration,
) -> anyhow::Result<(StatusCode, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime
        .block_on(async { tokio::time::timeout(patience, send(admin, method, target, token)).await })
        .with_context(|| format!("{admin} did not answer within {} seconds", patience.as_secs()))?;
    answer.with_context(|| {
        let help = "--admin names another address: that of [admin] address in the configuration that runs";
        Mistake::refused(format!("no rolegate answers at {admin}")).help(help)
    })
}

async fn send(
    admin: SocketAddr,
    method: Method,
    target: &str,
    token: Option<&str>,
) -> anyhow::Result<(StatusCode, String)> {
    let stream = tokio::net::TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, admin.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
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
