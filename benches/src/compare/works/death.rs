//! One of two origins dies: how many requests fail, and for how long.
//!
//! The requests come at a fixed rate from clients of its own, whatever becomes of those before: one that is due while its
//! client's connection is in use gets a new one. So a proxy that lets requests hang has not fewer that fail.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::options::Set;
use super::super::proxies::Program;
use super::super::rates;
use super::super::sheet::Line;
use super::super::stage::{Origins, Running, Setup};
use super::super::targets::{HOST, SMALL};
use super::Run;
use super::paced::{Ask, Clients};

/// From the first request to the death.
const BEFORE: Duration = Duration::from_secs(2);
/// How long is looked at what follows, at least.
const AFTER: Duration = Duration::from_secs(8);

const ROWS: [&str; 2] = ["death-failed", "death-time"];

type Connection = SendRequest<Empty<Bytes>>;

pub(super) async fn death(run: &mut Run<'_>) -> anyhow::Result<()> {
    let note = "500 GETs a second on 50 connections, the full set of configurations. One of two origins gets SIGKILL after 2 s. \
                No request waits for another; 5 s without an answer is a failure.";
    run.sheet
        .row(Line::lower("death-failed", "Requests that fail when an origin dies", "requests").note(note).goal("0"));
    let note = "0 when none fails. The same requests.";
    run.sheet.row(Line::lower("death-time", "From an origin's death to the last failure", "ms").note(note));
    for round in 0..run.stage.options.rounds {
        for at in run.order(run.stage.programs.len()) {
            let program = &run.stage.programs[at];
            if let Err(why) = of_one(run, program, round).await {
                run.left_out(&format!("death         round {:2}  {:9} left out: {why:#}", round + 1, program.name()));
            }
        }
    }
    Ok(())
}

async fn of_one(run: &mut Run<'_>, program: &Program, round: usize) -> anyhow::Result<()> {
    let mut origins = Origins::start(run.stage).await?;
    let start = Running::start(run.stage, program, origins.addresses(), Setup::of(Set::Full));
    let proxy = start.await.map_err(anyhow::Error::msg)?;
    // Health checks have found both.
    tokio::time::sleep(BEFORE).await;
    let clients = Clients::start(Get(proxy.http), BEFORE + AFTER.max(run.duration()));
    let (killed, seen) = clients
        .while_they_ask(async {
            tokio::time::sleep(BEFORE).await;
            origins.two = None;
            Instant::now()
        })
        .await;
    let ((failed, last), name) = (seen.since(killed), proxy.name());
    let before = seen.failed.len() - failed;
    if before > 0 {
        run.doubt(&ROWS, &format!("{name} had {before} failed requests before the death, which do not count."));
    }
    run.sheet.put("death-failed", name, round, failed as f64);
    run.sheet.put("death-time", name, round, rates::millis(last));
    let told = format!(
        "{failed} of {} failed, the last {:.0} ms after the death",
        seen.failed.len() as u64 + seen.done,
        rates::millis(last)
    );
    run.say(format!("death         round {:2}  {name:9} {told}", round + 1));
    Ok(())
}

/// A small file.
struct Get(SocketAddr);

impl Ask for Get {
    type Connection = Connection;

    async fn ask(&self, _client: u32, kept: &mut Option<Connection>) -> Option<()> {
        ask(self.0, kept).await
    }
}

/// One request, on the connection that is there or a new one. `None` if it was not answered with 200 and a whole body.
async fn ask(to: SocketAddr, connection: &mut Option<Connection>) -> Option<()> {
    let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(to).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::task::spawn_local(driver);
            sender
        }
    };
    sender.ready().await.ok()?;
    let request = http::Request::get(SMALL).header("host", HOST).body(Empty::new()).ok()?;
    let response = sender.send_request(request).await.ok()?;
    let good = response.status() == 200;
    response.into_body().collect().await.ok()?;
    *connection = Some(sender);
    good.then_some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn clients_count_what_fails() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async move {
            for answer in
                ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", ""]
            {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut piece = [0; 1024];
                let _ = stream.read(&mut piece).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        let clients = tokio::task::LocalSet::new();
        let asked = clients.run_until(async {
            let mut good = Vec::new();
            for _ in 0..3 {
                good.push(ask(address, &mut None).await.is_some());
            }
            good
        });
        let (asked, ()) = tokio::join!(asked, server);
        assert_eq!(asked, [true, false, false]);
        assert!(clients.run_until(ask(address, &mut None)).await.is_none(), "nobody listens");
    }
}
