//! The clients: each does one thing after another, as a Configuration Manager client does over a day.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rolegate_bench::client::{Client, ClientError, Scan, Step};
use rolegate_bench::content::Content;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::site::Place;
use super::tally::{Activity, Tally, Then};

/// The name that the clients believe the site has.
pub const HOST: &str = "site.lab.test";

/// Out of a hundred things that a client does.
const SHARES: [(Activity, u32); 7] = [
    (Activity::List, 22),
    (Activity::Policy, 25),
    (Activity::State, 25),
    (Activity::Locate, 5),
    (Activity::Download, 8),
    (Activity::Scan, 10),
    (Activity::Report, 5),
];
const LONGEST_PAUSE_MS: u64 = 40;
const PAUSE_BEFORE_RESENDING: Duration = Duration::from_millis(50);
const MAX_RESENDS: u32 = 20;

/// The clients that run.
#[derive(Debug)]
pub struct Fleet {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

struct Person {
    client: Client,
    place: Place,
    rng: fastrand::Rng,
    content: Arc<Content>,
    tally: Arc<Tally>,
}

/// Where the client with this number is: one is in no group, the others take turns.
#[must_use]
pub fn place(number: u16) -> Place {
    match number {
        3 => Place::Nowhere,
        _ => [Place::Hq, Place::Branch, Place::Remote][usize::from(number) % 3],
    }
}

impl Fleet {
    /// Starts the clients.
    #[must_use]
    pub fn start(proxy: SocketAddr, clients: u16, seed: u64, content: &Arc<Content>, tally: &Arc<Tally>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        for number in 0..clients {
            let place = place(number);
            let client = Client::new(place.address(number), proxy, HOST, rng.u64(..));
            let client = client.with_resend(MAX_RESENDS, PAUSE_BEFORE_RESENDING);
            let person =
                Person { client, place, rng: rng.fork(), content: Arc::clone(content), tally: Arc::clone(tally) };
            tasks.spawn(person.live(stopped.clone()));
        }
        Self { tasks, stop }
    }

    /// Lets every client finish what it is doing; gives how many did not in time.
    pub async fn stop(mut self, patience: Duration) -> usize {
        self.stop.send_replace(true);
        let all_gone = async { while self.tasks.join_next().await.is_some() {} };
        // Who is late is counted below.
        let _ = tokio::time::timeout(patience, all_gone).await;
        self.tasks.len()
    }
}

impl Person {
    async fn live(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let activity = self.choose();
            self.pursue(activity).await;
            let pause = Duration::from_millis(self.rng.u64(0..=LONGEST_PAUSE_MS));
            // Also over when the lab has gone away.
            let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
        }
    }

    fn choose(&mut self) -> Activity {
        let mut dice = self.rng.u32(..SHARES.iter().map(|(_, share)| share).sum::<u32>());
        for (activity, share) in SHARES {
            match dice.checked_sub(share) {
                Some(left) => dice = left,
                None => return activity,
            }
        }
        Activity::List
    }

    /// Does it, again and again while a server cannot take the message.
    async fn pursue(&mut self, activity: Activity) {
        for _ in 0..=MAX_RESENDS {
            let started = Instant::now();
            let end = self.act(activity).await;
            if self.tally.record(self.place, activity, started.elapsed(), end) == Then::GoOn {
                return;
            }
            tokio::time::sleep(PAUSE_BEFORE_RESENDING).await;
        }
        let title = activity.title();
        self.tally.fail(format!("a client in {}, {title}: refused {MAX_RESENDS} times over", self.place.title()));
    }

    async fn act(&mut self, activity: Activity) -> Result<Step, ClientError> {
        let content = Arc::clone(&self.content);
        let package = self.rng.usize(..content.packages().count().max(1));
        match activity {
            Activity::List => self.client.service_location().await,
            Activity::Policy => self.client.policy().await,
            Activity::State => self.client.state_message().await,
            Activity::Scan => self.client.scan(Scan::Again).await,
            Activity::Report => self.client.fsp_message().await,
            Activity::Locate | Activity::Download => match content.packages().nth(package) {
                Some(package) if activity == Activity::Locate => self.client.content_location(package.id()).await,
                Some(package) => self.client.download(package).await,
                None => Ok(Step::default()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_clients_are_in_four_places() {
        let places: std::collections::BTreeSet<_> = (0..4).map(place).collect();
        assert_eq!(places.len(), Place::ALL.len());
        assert_eq!((4..2000).filter(|number| place(*number) == Place::Nowhere).count(), 0);
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u32>(), 100);
    }
}
