//! One of two servers is ill, in one way after the other: how many requests fail, and whether an answer is another request's.
//!
//! The servers are those of [`crate::chaos`]: they know which request they answer, so a wrong answer is seen.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::super::options::Set;
use super::super::proxies::{Kind, Program};
use super::super::sheet::Line;
use super::super::stage::{Running, Setup, Stage};
use super::super::targets::{HOST, SMALL};
use super::Run;
use super::paced::{Ask, Clients};
use crate::chaos::faulty::{Content, Ill, Ledger, Reader, Server};

/// From the first request to the fault.
const BEFORE: Duration = Duration::from_secs(1);
/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(6);
/// How long is looked at what follows.
const AFTER: Duration = Duration::from_secs(3);
/// The address of the first client.
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
/// The body that is asked for, in bytes.
const LENGTH: usize = 1024;
/// The body of a message, in bytes.
const MESSAGE: usize = 512;
/// Every so many requests one is a message.
const MESSAGES: u64 = 5;

/// A row for each way of being ill.
const FAULTS: [(&str, Ill); 11] = [
    ("fault-refuses", Ill::Refuse),
    ("fault-silent", Ill::Silent),
    ("fault-hangs", Ill::Hang),
    ("fault-resets", Ill::Reset),
    ("fault-closes", Ill::CloseIdle),
    ("fault-404", Ill::Status(404)),
    ("fault-500", Ill::Status(500)),
    ("fault-503", Ill::Status(503)),
    ("fault-short", Ill::Short),
    ("fault-garbage", Ill::Garbage),
    ("fault-flaps", Ill::Flap),
];
/// The one whose answers no request has asked for.
const UNASKED: (&str, Ill) = ("fault-unasked", Ill::Long);
const WRONG: &str = "faults-wrong";

pub(super) async fn faults(run: &mut Run<'_>) -> anyhow::Result<()> {
    rows(run);
    for round in 0..run.stage.options.rounds {
        for at in run.order(run.stage.programs.len()) {
            let program = &run.stage.programs[at];
            if program.kind == Kind::Forwarder {
                continue;
            }
            let mut wrong = 0;
            for (row, ill) in FAULTS.into_iter().chain([UNASKED]) {
                match of_one(run.stage, program, ill).await {
                    Ok(seen) => {
                        wrong += seen.wrong;
                        run.sheet.put(row, program.name(), round, seen.failed as f64);
                        run.say(format!(
                            "faults        round {:2}  {:9} {}",
                            round + 1,
                            program.name(),
                            seen.told(ill)
                        ));
                    }
                    Err(why) => run.left_out(&format!(
                        "faults        round {:2}  {:9} left out while one {}: {why:#}",
                        round + 1,
                        program.name(),
                        ill.name()
                    )),
                }
            }
            run.sheet.put(WRONG, program.name(), round, wrong as f64);
        }
    }
    Ok(())
}

fn rows(run: &mut Run<'_>) {
    let note = "500 requests a second of 50 clients with addresses of their own, every fifth a message (CCM_POST), the full set of configurations. One of two \
                servers is ill for 6 s. Counted until 3 s later; 5 s without an answer is a failure.";
    for (row, ill) in FAULTS.into_iter().chain([UNASKED]) {
        let title = format!("Requests that fail when one of two servers {}", ill.name());
        run.sheet.row(Line::lower(row, title, "requests").note(note));
    }
    let note = "Whole answers with status 200 whose bytes are another request's, or no server's, in all of these runs of a round.";
    run.sheet.row(Line::lower(WRONG, "Answers to other requests", "answers").note(note).goal("0"));
}

/// What one fault did.
struct Done {
    failed: usize,
    all: u64,
    last: Duration,
    wrong: u64,
}

impl Done {
    fn told(&self, ill: Ill) -> String {
        let Self { failed, all, last, wrong } = self;
        let wrong = if *wrong > 0 { format!(", {wrong} WRONG ANSWERS") } else { String::new() };
        format!("{}: {failed} of {all} failed, the last {:.1} s after it began{wrong}", ill.name(), last.as_secs_f64())
    }
}

async fn of_one(stage: &Stage, program: &Program, ill: Ill) -> anyhow::Result<Done> {
    let ledger = Arc::new(Ledger::new(0));
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let servers = [Server::start_at(0, local, &ledger)?, Server::start_at(1, local, &ledger)?];
    let start = Running::start(stage, program, servers.each_ref().map(|server| server.address), Setup::of(Set::Full));
    let proxy = start.await.map_err(anyhow::Error::msg)?;
    // Health checks have found both.
    tokio::time::sleep(BEFORE).await;
    let wrong = Rc::new(Cell::new(0));
    let how = Checked { to: proxy.http, ledger: Arc::clone(&ledger), wrong: Rc::clone(&wrong) };
    let clients = Clients::start(how, BEFORE + LASTS + AFTER);
    let (began, seen) = clients
        .while_they_ask(async {
            tokio::time::sleep(BEFORE).await;
            let began = Instant::now();
            let change = servers[1].infect(ill);
            if ill == Ill::Flap {
                servers[1].flap(change, LASTS).await;
            } else {
                tokio::time::sleep(LASTS).await;
            }
            servers[1].heal(change);
            began
        })
        .await;
    let (failed, last) = seen.since(began);
    anyhow::ensure!(ledger.used(0) > 0 && ledger.used(1) > 0, "a server got no request");
    anyhow::ensure!(seen.failed.len() == failed, "{} failed before the fault", seen.failed.len() - failed);
    Ok(Done { failed, all: seen.failed.len() as u64 + seen.done, last, wrong: wrong.get() + ledger.violations() })
}

/// Requests whose answers are compared byte for byte.
struct Checked {
    to: SocketAddr,
    ledger: Arc<Ledger>,
    wrong: Rc<Cell<u64>>,
}

impl Ask for Checked {
    type Connection = Reader<TcpStream>;

    async fn ask(&self, client: u32, kept: &mut Option<Reader<TcpStream>>) -> Option<()> {
        let mut reader = match kept.take() {
            Some(reader) if is_open(&reader.stream) => reader,
            _ => {
                // Each client has an address of its own: a distribution point that serves one is kept to.
                let socket = TcpSocket::new_v4().ok()?;
                socket.set_reuseaddr(true).ok()?;
                socket.bind((Ipv4Addr::from_bits(FIRST_CLIENT.to_bits() + client), 0).into()).ok()?;
                let stream = socket.connect(self.to).await.ok()?;
                stream.set_nodelay(true).ok()?;
                Reader::new(stream)
            }
        };
        let id = self.ledger.id();
        reader.stream.write_all(&request(id)).await.ok()?;
        let head = reader.head().await.ok()??;
        let (mut body, mut bytes) = (head.response_body(), Vec::new());
        while let Some(piece) = reader.piece(&mut body, LENGTH * 16).await.ok()? {
            bytes.extend_from_slice(&piece);
        }
        if !head.closes() && !reader.has_more() {
            *kept = Some(reader);
        }
        if head.status() != 200 {
            return None;
        }
        let of_server = |name: &str| bytes == Content::new(id, name).take(LENGTH);
        let right = head.number("x-id") == Some(id) && head.get("x-server").is_some_and(of_server);
        if !right {
            self.wrong.set(self.wrong.get() + 1);
        }
        right.then_some(())
    }
}

/// Whether the proxy has not closed it, as far as can be seen.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn request(id: u64) -> Vec<u8> {
    let fields = format!("Host: {HOST}\r\nX-Chaos-Id: {id}\r\nX-Chaos-Length: {LENGTH}\r\n");
    if !id.is_multiple_of(MESSAGES) {
        return format!("GET {SMALL} HTTP/1.1\r\n{fields}\r\n").into_bytes();
    }
    let head = format!(
        "CCM_POST /ccm_system/request HTTP/1.1\r\n{fields}X-Chaos-Body: {MESSAGE}\r\nContent-Length: {MESSAGE}\r\n\r\n"
    );
    [head.into_bytes(), Content::new(id, "client").take(MESSAGE)].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn checked(to: SocketAddr) -> Checked {
        Checked { to, ledger: Arc::new(Ledger::new(0)), wrong: Rc::default() }
    }

    #[tokio::test]
    async fn a_servers_own_answers_are_right() {
        let how = checked(([127, 0, 0, 1], 1).into());
        let server = Server::start_at(1, ([127, 0, 0, 1], 0).into(), &how.ledger).unwrap();
        let (how, mut kept) = (Checked { to: server.address, ..how }, None);
        for _ in 0..2 * MESSAGES {
            assert!(how.ask(0, &mut kept).await.is_some());
        }
        server.infect(Ill::Status(500));
        assert!(how.ask(0, &mut kept).await.is_none());
        assert_eq!((how.wrong.get(), how.ledger.used(1), how.ledger.violations()), (0, 2 * MESSAGES + 1, 0));
    }

    #[tokio::test]
    async fn an_answer_to_another_request_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let how = checked(listener.local_addr().unwrap());
        let lies = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let body = Content::new(7, "mp1").take(LENGTH);
            let head = format!("HTTP/1.1 200 OK\r\nX-Server: mp1\r\nX-Id: 7\r\nContent-Length: {LENGTH}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        };
        let mut kept = None;
        let (asked, ()) = tokio::join!(how.ask(0, &mut kept), lies);
        assert_eq!((asked, how.wrong.get()), (None, 1));
    }
}
