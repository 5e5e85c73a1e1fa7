//! What people decide at run time about site systems: taken by the Director, kept in a file by a task of its own.
//!
//! The Director never waits for a disk. Whoever has asked is answered when the file is written, or when it is known that it cannot
//! be; what was decided holds in either case.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::state_file;
use crate::model::steering::{Kind, MOST, Override, Place, Steering};

/// States that wait to be written; each makes the ones before it superfluous.
const QUEUE: usize = 64;
/// A file that could not be written is tried again after this time.
const AGAIN: Duration = Duration::from_secs(30);
/// The wall clock may jump: it is looked at as often as this while something begins or ends by it.
const LOOK: Duration = Duration::from_secs(30);
/// No one waits for this.
const NEVER: Duration = Duration::from_secs(3600);

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put this in, in the place of the one that is there.
    Set(Override),
    /// Undo the one at this place.
    Undo(Place),
}

/// A change, and who hears of it.
#[derive(Debug)]
pub struct Wanted {
    /// What is to be changed.
    pub change: Change,
    /// Hears what became of it.
    pub reply: oneshot::Sender<Result<Outcome, String>>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The override that was there before.
    pub before: Option<Override>,
    /// Whether it survives a restart.
    pub kept: Kept,
}

/// Whether what was decided survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the file.
    Saved,
    /// There is no file.
    NoFile,
    /// The file could not be written, and why.
    Failed(String),
}

/// What the Director has of it.
#[derive(Debug)]
pub(super) struct Steerer {
    steering: Arc<Steering>,
    wall: WallClock,
    /// When it was looked last at what begins and ends.
    looked: u64,
    keeper: Option<mpsc::Sender<Save>>,
    unsaved: bool,
}

/// A clock of the wall, in seconds since 1970.
pub struct WallClock(Box<dyn Fn() -> u64 + Send + Sync>);

impl WallClock {
    /// Another one than that of the machine.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Box::new(now))
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", (self.0)())
    }
}

/// A state to be written, and who hears of it.
#[derive(Debug)]
struct Save {
    steering: Arc<Steering>,
    reply: Option<(oneshot::Sender<Result<Outcome, String>>, Outcome)>,
}

/// The task that writes the file.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    inbox: mpsc::Receiver<Save>,
}

/// The time of the wall clock, in seconds since 1970.
pub fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Steerer {
    /// Nothing is decided, and nothing is kept.
    pub(super) fn new() -> Self {
        Self { steering: Arc::default(), wall: WallClock::new(wall_clock), looked: 0, keeper: None, unsaved: false }
    }

    /// With another clock.
    pub(super) fn set_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    /// Goes on with what the file says, and keeps it there from now on.
    pub(super) fn keep_in(&mut self, path: PathBuf) -> Keeper {
        let mut steering = state_file::load(&path);
        let over = steering.expire(self.now());
        for own in steering.all() {
            let (what, by, since) = (own.wish.kind().as_str(), &own.by, state_file::date(own.since));
            tracing::warn!(what, subject = own.subject(), %by, since, "an override from before the start holds");
        }
        self.steering = Arc::new(steering);
        self.looked = self.now();
        self.unsaved = !over.is_empty();
        let (sender, inbox) = mpsc::channel(QUEUE);
        self.keeper = Some(sender);
        Keeper { path, inbox }
    }

    pub(super) fn steering(&self) -> &Arc<Steering> {
        &self.steering
    }

    pub(super) fn now(&self) -> u64 {
        (self.wall.0)()
    }

    /// When something begins or ends by itself, or the clock has to be looked at.
    pub(super) fn due(&self) -> Instant {
        let now = self.now();
        let next = self.steering.next_change(self.looked.min(now));
        let after = next.map_or(NEVER, |at| Duration::from_secs(at.saturating_sub(now)).min(LOOK));
        Instant::now() + after
    }

    /// Takes a change; gives what was there before. Nothing to undo is no mistake.
    ///
    /// # Errors
    /// A sentence for the person.
    pub(super) fn change(&mut self, change: Change) -> Result<Option<Override>, String> {
        let mut steering = (*self.steering).clone();
        let before = match change {
            Change::Set(new) if steering.at(&new.place()).is_none() && steering.len() >= MOST => {
                return Err(format!("there are {MOST} overrides already: undo some of them"));
            }
            Change::Set(new) => steering.set(new),
            Change::Undo(place) => steering.clear(&place),
        };
        self.steering = Arc::new(steering);
        Ok(before)
    }

    /// Looks at the clock; says what has begun or ended since the last look.
    pub(super) fn look(&mut self) -> Turned {
        let now = self.now();
        let before = std::mem::replace(&mut self.looked, now);
        let begun = |own: &&Override| own.begin.is_some_and(|begin| begin > before && begin <= now) && own.holds(now);
        let begun: Vec<Override> = self.steering.all().filter(begun).cloned().collect();
        let mut steering = (*self.steering).clone();
        let ended = steering.expire(now);
        if !ended.is_empty() {
            self.steering = Arc::new(steering);
            self.save(None);
        }
        for own in &begun {
            tell(own, "has begun");
        }
        for own in &ended {
            tell(own, "has ended");
        }
        Turned { any: !begun.is_empty() || !ended.is_empty(), weights: begun.iter().chain(&ended).any(is_weight) }
    }

    /// What could not be handed over to be written is handed over again.
    pub(super) fn save_again(&mut self) {
        if self.unsaved {
            self.save(None);
        }
    }

    /// Has the state written, and whoever asked told.
    pub(super) fn save(&mut self, reply: Option<(oneshot::Sender<Result<Outcome, String>>, Outcome)>) {
        let Some(keeper) = &self.keeper else { return answer(reply, &Kept::NoFile) };
        match keeper.try_send(Save { steering: Arc::clone(&self.steering), reply }) {
            Ok(()) => self.unsaved = false,
            Err(mpsc::error::TrySendError::Full(save) | mpsc::error::TrySendError::Closed(save)) => {
                self.unsaved = true;
                answer(save.reply, &Kept::Failed("others are still being written".to_owned()));
            }
        }
    }
}

/// What a look at the clock has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turned {
    /// Something has begun or ended.
    pub(super) any: bool,
    /// A weight among it.
    pub(super) weights: bool,
}

fn is_weight(own: &Override) -> bool {
    own.wish.kind() == Kind::Weight
}

fn tell(own: &Override, verb: &'static str) {
    let (what, subject, by) = (own.wish.kind().as_str(), own.subject(), &own.by);
    tracing::warn!(what, subject, %by, "the override {verb} by itself");
}

fn answer(reply: Option<(oneshot::Sender<Result<Outcome, String>>, Outcome)>, kept: &Kept) {
    if let Some((reply, outcome)) = reply {
        // Whoever asked may have gone away.
        let _ = reply.send(Ok(Outcome { kept: kept.clone(), ..outcome }));
    }
}

impl Keeper {
    /// Writes what comes, the newest alone of what came meanwhile, until no one sends any more.
    pub(super) async fn run(mut self) {
        let mut failed: Option<Arc<Steering>> = None;
        loop {
            let received = match &failed {
                Some(_) => tokio::time::timeout(AGAIN, self.inbox.recv()).await.ok(),
                None => Some(self.inbox.recv().await),
            };
            let mut waiting = match received {
                Some(Some(save)) => vec![save],
                Some(None) => return,
                None => Vec::new(),
            };
            while let Ok(save) = self.inbox.try_recv() {
                waiting.push(save);
            }
            let newest = waiting.last().map(|save| Arc::clone(&save.steering)).or_else(|| failed.take());
            let Some(newest) = newest else { continue };
            let kept = self.write(&newest).await;
            failed = matches!(kept, Kept::Failed(_)).then_some(newest);
            waiting.into_iter().for_each(|save| answer(save.reply, &kept));
        }
    }

    async fn write(&self, steering: &Arc<Steering>) -> Kept {
        let (path, steering) = (self.path.clone(), Arc::clone(steering));
        let written = tokio::task::spawn_blocking(move || state_file::write(&path, &steering)).await;
        let error = match written {
            Ok(Ok(())) => return Kept::Saved,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let path = self.path.display();
        tracing::error!(%path, error, "overrides cannot be kept: after a restart those of the last good file hold");
        Kept::Failed(format!("{path}: {error}"))
    }
}
