//! Client notification: a connection that is held, with a ping now and then.
//!
//! How Microsoft frames it is not documented, so this speaks lines, as the simulated notification server does. With an HTTPS
//! target it speaks them over TLS, which is assumed: the channel is said to check the server's certificate, and no more.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep_until, timeout_at};

use super::desk::{Desk, Timing, add};
use crate::client::Subject;
use crate::dial::{Stream, dial_secured};
use crate::mix::mix;
use crate::record::{Failure, Recorder};

/// What is heard at a time. Longer messages are heard in pieces.
const PIECE: usize = 512;

/// Holds the connection of one client for as long as the run lasts. `said` is told of a client to whom the server said
/// something by itself.
pub(super) async fn hold(desk: Arc<Desk>, to: SocketAddr, client: u32, said: UnboundedSender<u32>) {
    let notification = &desk.fleet.notification;
    let scaled = |time: Duration| time.div_f64(desk.fleet.speedup);
    let (within, ping) = (scaled(notification.within), scaled(notification.ping));
    let mut dice = mix(desk.schedule.seed_of(client) ^ 0xb6b);
    let mut due = desk.started + within.mul_f64(part(dice));
    loop {
        sleep_until(due.into()).await;
        // Boxed, so that one who waits does not keep the room that connecting takes.
        if let Some(mut stream) = Box::pin(open(&desk, to, client, due)).await {
            let lost = listen(&desk, &mut stream, client, ping, &said).await;
            drop(stream);
            desk.record(Recorder::closed);
            let now = Instant::now();
            let timing = Timing { intended: now, began: now, ended: now, sent: 0, received: 0 };
            desk.sample(Subject::NotificationPing, desk.group(client), &timing, Err(lost));
        }
        dice = mix(dice);
        // At least a moment, whatever the speed: nobody tries again at once.
        due = Instant::now() + within.mul_f64(part(dice)).max(Duration::from_millis(100));
    }
}

/// 0 to 1.
fn part(dice: u64) -> f64 {
    f64::from(u32::try_from(dice >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// Something that waits for an answer, and is counted if it is given up.
struct Asked<'d> {
    desk: &'d Desk,
    subject: Subject,
    client: u32,
    began: Instant,
}

impl Asked<'_> {
    /// There is an answer, or will be none.
    fn over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.desk.unheard(self.subject, self.desk.group(self.client), self.began);
    }
}

async fn open(desk: &Desk, to: SocketAddr, client: u32, due: Instant) -> Option<Box<dyn Stream>> {
    let began = Instant::now();
    let asked = Asked { desk, subject: Subject::NotificationLogon, client, began };
    let opened = timeout_at((began + desk.fleet.timeout).into(), connect(desk, to, client)).await;
    let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let timing = Timing { intended: due, began, ended: Instant::now(), sent: 0, received: 0 };
    let result = match &opened {
        Ok(_) => Ok(()),
        // After the connection was made.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Failure::Closed),
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Err(Failure::of_stream(error))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Failure::Reset),
        Err(error) => Err(desk.not_connected(error)),
    };
    asked.over();
    desk.sample(Subject::NotificationLogon, desk.group(client), &timing, result);
    if opened.is_ok() {
        desk.record(Recorder::opened);
    }
    opened.ok()
}

async fn connect(desk: &Desk, to: SocketAddr, client: u32) -> io::Result<Box<dyn Stream>> {
    let mut stream = dial_secured(desk.source(client), to, desk.target.notification_tls(&desk.fleet)).await?;
    say(&mut stream, format!("Logon {client}\n").as_bytes()).await?;
    // What the server says by itself is no answer, whatever it is.
    while hear(&mut stream).await? == Heard::Push {}
    Ok(stream)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Answer,
    Push,
}

/// Waits until there is something to hear.
async fn hear(stream: &mut Box<dyn Stream>) -> io::Result<Heard> {
    poll_fn(|cx| {
        // Very many wait here: there is room for what is heard only while it is.
        let mut piece = [0; PIECE];
        let mut read = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        Poll::Ready(match read.filled() {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            heard if heard.starts_with(b"Pong ") => Ok(Heard::Answer),
            _ => Ok(Heard::Push),
        })
    })
    .await
}

async fn say(stream: &mut Box<dyn Stream>, text: &[u8]) -> io::Result<()> {
    stream.write_all(text).await?;
    // What is written to a secured stream may wait there.
    stream.flush().await
}

/// Pings and hears until the connection is lost, and says how.
async fn listen(
    desk: &Desk,
    stream: &mut Box<dyn Stream>,
    client: u32,
    ping: Duration,
    said: &UnboundedSender<u32>,
) -> Failure {
    // When the ping was sent that has no answer yet.
    let mut asked: Option<(Instant, Asked<'_>)> = None;
    let mut due = Instant::now() + ping.mul_f64(part(mix(desk.schedule.seed_of(client))));
    let lost = loop {
        let wake = asked.as_ref().map_or(due, |(_, asked)| asked.began + desk.fleet.timeout);
        tokio::select! {
            heard = hear(stream) => match heard {
                Ok(Heard::Answer) => if let Some((intended, ping)) = asked.take() {
                    let timing = Timing { intended, began: ping.began, ended: Instant::now(), sent: 5, received: 0 };
                    ping.over();
                    desk.sample(Subject::NotificationPing, desk.group(client), &timing, Ok(()));
                },
                Ok(Heard::Push) => {
                    add(&desk.troubles.pushes);
                    // Whoever does not listen any more has ended this task too.
                    let _ = said.send(client);
                }
                Err(error) => break Failure::of_stream(&error),
            },
            () = sleep_until(wake.into()) => match asked {
                Some(_) => break Failure::Timeout,
                None => {
                    if let Err(error) = say(stream, b"Ping\n").await {
                        break Failure::of_stream(&error);
                    }
                    asked =
                        Some((due, Asked { desk, subject: Subject::NotificationPing, client, began: Instant::now() }));
                    due += ping;
                }
            },
        }
    };
    if let Some((_, ping)) = asked {
        // The loss is counted instead.
        ping.over();
    }
    lost
}
