//! Very many connections that do nothing, and what they cost a process.
//!
//! [`run`] opens connections from many addresses, each of which says one thing, hears the answer and is then idle. It
//! counts those that close, opens them again if told to, and reads the memory of another process meanwhile. [`serve`]
//! is the other side: a server that costs next to nothing per connection.

mod memory;
mod open;
mod serve;
mod tally;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

pub use memory::Memory;
pub use serve::{Alive, serve};
pub use tally::Report;

use crate::client::Connector;
use tally::Tally;

/// How long after a failure a connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a connection says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A `GET` of this target of this host, whose whole answer is read.
    Get {
        /// The target.
        target: String,
        /// The host.
        host: String,
    },
    /// A line, whose answer is a line.
    Line(String),
}

/// Which connections to hold.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to.
    pub to: SocketAddr,
    /// What each says.
    pub opening: Opening,
    /// Whether and how they are secured.
    pub tls: Option<Connector>,
    /// How many.
    pub connections: usize,
    /// The addresses that they come from in turn; one that the system chooses if `None`.
    pub sources: Option<IpNet>,
    /// How many are being opened at a time.
    pub concurrency: usize,
    /// How long one may take to be opened.
    pub timeout: Duration,
    /// After how many there is a report.
    pub step: usize,
    /// The process whose memory is in the reports.
    pub pid: Option<u32>,
    /// Whether those that close are opened again.
    pub reconnect: bool,
}

impl Plan {
    /// A thousand connections to `to`, a hundred at a time.
    #[must_use]
    pub const fn new(to: SocketAddr, opening: Opening) -> Self {
        Self {
            to,
            opening,
            tls: None,
            connections: 1000,
            sources: None,
            concurrency: 100,
            timeout: Duration::from_secs(30),
            step: 5000,
            pid: None,
            reconnect: false,
        }
    }
}

/// What happened to one connection.
#[derive(Debug)]
enum Event {
    Opened { again: bool },
    Failed { again: bool, error: io::Error },
    Closed,
}

/// Lets this process open so many connections, if the system lets it, and returns how many it may.
///
/// # Errors
/// The system does not tell.
pub fn raise_open_files(connections: u64) -> io::Result<u64> {
    let wanted = connections.saturating_add(128);
    let limit = rlimit::increase_nofile_limit(wanted)?;
    if limit < wanted && rlimit::setrlimit(rlimit::Resource::NOFILE, wanted, wanted).is_ok() {
        return Ok(connections);
    }
    Ok(limit.saturating_sub(128))
}

/// Opens all connections, says so step by step, and holds them until `until` is ready, which counts from the time when
/// all of them were tried.
///
/// # Errors
/// The memory of the process cannot be read at the start, or a report cannot be given.
pub async fn run<F: Future<Output = ()>>(
    plan: Plan,
    until: impl FnOnce() -> F,
    mut report: impl FnMut(&Report) -> io::Result<()>,
) -> io::Result<()> {
    let step = plan.step.max(1);
    let (total, pid) = (plan.connections, plan.pid);
    let permits = Arc::new(Semaphore::new(plan.concurrency.max(1)));
    let plan = Arc::new(plan);
    let (events, mut heard) = mpsc::channel(1024);
    let mut tally = Tally::new(pid)?;
    report(&tally.step())?;
    // Dropped at the end, and all connections with it.
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..total {
        tasks.spawn(hold(Arc::clone(&plan), Arc::clone(&permits), number, events.clone()));
        if (number + 1) % step == 0 || number + 1 == total {
            while tally.tried() < number + 1 {
                let Some(event) = heard.recv().await else { break };
                tally.count(event);
            }
            report(&tally.step())?;
        }
    }
    let mut until = std::pin::pin!(until());
    let mut seconds = tokio::time::interval_at(Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = &mut until => break,
            Some(event) = heard.recv() => tally.count(event),
            _ = seconds.tick() => if let Some(second) = tally.second() {
                report(&second)?;
            },
        }
    }
    while let Ok(event) = heard.try_recv() {
        tally.count(event);
    }
    report(&tally.step())?;
    report(&tally.end())
}

/// The life of one connection.
async fn hold(plan: Arc<Plan>, permits: Arc<Semaphore>, number: usize, events: mpsc::Sender<Event>) {
    let mut again = false;
    loop {
        let Ok(permit) = permits.acquire().await else { return };
        // Boxed, so that a connection that is held does not keep the room that opening it took.
        let opened = Box::pin(tokio::time::timeout(plan.timeout, open::open(&plan, number))).await;
        drop(permit);
        let (event, stream) = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => (Event::Opened { again }, Some(stream)),
            Err(error) => (Event::Failed { again, error }, None),
        };
        // Whoever does not listen any more has ended this task too.
        let _ = events.send(event).await;
        match stream {
            Some(stream) => {
                open::ended(stream).await;
                let _ = events.send(Event::Closed).await;
            }
            None if plan.reconnect => tokio::time::sleep(PAUSE).await,
            None => {}
        }
        if !plan.reconnect {
            return;
        }
        again = true;
    }
}
