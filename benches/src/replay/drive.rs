//! A thread of a replay: sends the requests of its clients when they are due.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinError, JoinSet};

use super::log::{Log, Request, Shape};
use super::plan::Plan;
use crate::fleet::Kept;
use crate::load::{Answer, Connection, Dialer, Outgoing, SCRATCH, Scratch, Timer};
use crate::record::{ConnectFault, Failure, Recorder, Sample};

/// How often the recorder hands over its seconds, kept connections are looked through, and it is seen that all is over.
const TICK: Duration = Duration::from_millis(50);
/// Requests that are begun in a row before those under way have their turn.
const BATCH: usize = 64;

/// What all threads share.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) log: Arc<Log>,
    pub(super) plan: Plan,
    /// The series of each shape.
    pub(super) series: Vec<usize>,
    /// The address of each client; unspecified if the system chooses.
    pub(super) sources: Vec<IpAddr>,
    pub(super) dialer: Dialer,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) threads: usize,
    pub(super) begin: Instant,
    pub(super) total: Duration,
    /// Requests under way and connections kept, for each thread.
    pub(super) under_way: usize,
    pub(super) kept: usize,
}

impl Job {
    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// What a thread tells in the end, besides what it recorded.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// It was ended before its time.
    pub(super) was_stopped: bool,
    /// Requests that had to wait because too many were under way.
    waited: u64,
    /// Requests that were due and not sent.
    unsent: u64,
    /// Connections that this machine could not open.
    lacking: u64,
    /// Connections that were closed before their time.
    closed_early: u64,
}

impl Ended {
    pub(super) const fn add(&mut self, other: Self) {
        self.was_stopped |= other.was_stopped;
        self.waited += other.waited;
        self.unsent += other.unsent;
        self.lacking += other.lacking;
        self.closed_early += other.closed_early;
    }

    /// Why figures may be the generator's, where so many requests may be under way.
    pub(super) fn doubts(&self, under_way: u64) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut say = |count: u64, text: String| doubts.extend((count > 0).then(|| format!("{count} {text}")));
        say(
            self.waited,
            format!(
                "requests had to wait because {under_way} were under way: their waiting is in the latencies. The target was \
                 too slow for this log, or --under-way, or the limit of open files, is too low."
            ),
        );
        say(
            self.unsent,
            "requests were due and not yet sent when the time was over: they are errors (unsent), and would have been the \
             slowest."
                .to_owned(),
        );
        say(
            self.lacking,
            "connections could not be opened because this machine lacked a local port, an open file or the address for \
             them."
                .to_owned(),
        );
        say(
            self.closed_early,
            "kept connections were closed before their time, because there are too few open files: clients opened more \
             connections than they would."
                .to_owned(),
        );
        doubts
    }
}

/// What the requests of a thread share.
struct Shared {
    job: Arc<Job>,
    recorder: RefCell<Recorder>,
    kept: RefCell<Kept<Held>>,
    scratch: Scratch,
    ended: RefCell<Ended>,
}

/// A connection that is counted as long as it is open.
struct Held {
    connection: Connection,
    shared: std::rc::Weak<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.recorder.borrow_mut().closed();
        }
    }
}

/// Sends what thread `number` has to send.
pub(super) fn work(job: &Arc<Job>, number: usize, recorder: Recorder) -> io::Result<Ended> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let keep = job.plan.keep;
    let shared = Rc::new(Shared {
        job: Arc::clone(job),
        recorder: RefCell::new(recorder),
        kept: RefCell::new(Kept::new(if keep.is_zero() { 0 } else { job.kept }, keep)),
        scratch: Scratch::new(SCRATCH),
        ended: RefCell::default(),
    });
    runtime.block_on(drive(&shared, number))?;
    // What is under way goes with it.
    drop(runtime);
    let over = shared.since_begin(Instant::now());
    let Some(shared) = Rc::into_inner(shared) else { return Err(io::Error::other("a request outlives its thread")) };
    let mut ended = shared.ended.into_inner();
    ended.closed_early = shared.kept.borrow().closed_early;
    let mut recorder = shared.recorder.into_inner();
    recorder.drop_under_way();
    recorder.finish(if ended.was_stopped { over } else { job.total });
    Ok(ended)
}

async fn drive(shared: &Rc<Shared>, number: usize) -> io::Result<()> {
    let (job, timer) = (&shared.job, Timer::new()?);
    let mut tasks = JoinSet::new();
    let requests = job.log.requests.iter().enumerate();
    let own = requests.filter(|(_, request)| request.client as usize % job.threads == number);
    let mut own = own.map(|(place, request)| (job.plan.tempo.due(place, request), request)).peekable();
    let mut begun = 0;
    while let Some((due, request)) = own.next_if(|(due, _)| *due < job.total) {
        let has_waited = is_time(shared, &timer, due, &mut tasks).await?;
        if shared.is_over() {
            let left = std::iter::once((due, request)).chain(own.take_while(|(due, _)| *due < job.total));
            shared.unsent(left);
            break;
        }
        let now = Instant::now();
        let waited = now.saturating_duration_since(job.begin + due);
        if has_waited {
            shared.ended.borrow_mut().waited += 1;
        } else {
            shared.recorder.borrow_mut().late(due, waited);
        }
        if waited < job.plan.timeout {
            shared.recorder.borrow_mut().begun();
            tasks.spawn_local(ask(Rc::clone(shared), *request, due, now));
        } else {
            shared.record(request, due, &Timing { began: now, sent: 0, received: 0 }, Err(Failure::Timeout));
        }
        begun += 1;
        if begun % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Until the time is over, and then for as long as the last may take.
    let last = job.begin + job.total + job.plan.timeout;
    while !job.is_stopped() && (!tasks.is_empty() && Instant::now() < last || !shared.is_over()) {
        shared.beat();
        let end = (job.begin + job.total).saturating_duration_since(Instant::now());
        if tasks.is_empty() {
            tokio::time::sleep(end.min(TICK)).await;
        } else if let Ok(Some(task)) = tokio::time::timeout(TICK, tasks.join_next()).await {
            outcome(task);
        }
    }
    shared.ended.borrow_mut().was_stopped = job.is_stopped();
    Ok(())
}

/// Waits until something is due and there is a place for it, or all is over. Says whether there was no place when it was due.
async fn is_time(shared: &Shared, timer: &Timer, due: Duration, tasks: &mut JoinSet<()>) -> io::Result<bool> {
    let (job, mut has_waited) = (&shared.job, false);
    loop {
        while let Some(task) = tasks.try_join_next() {
            outcome(task);
        }
        let left = (job.begin + due).saturating_duration_since(Instant::now());
        if shared.is_over() {
            return Ok(has_waited);
        } else if !left.is_zero() {
            shared.beat();
            timer.sleep(left.min(TICK)).await?;
        } else if tasks.len() >= job.under_way {
            has_waited = true;
            shared.beat();
            if let Ok(Some(task)) = tokio::time::timeout(TICK, tasks.join_next()).await {
                outcome(task);
            }
        } else {
            return Ok(has_waited);
        }
    }
}

fn outcome(task: Result<(), JoinError>) {
    // None is ever aborted, so that it is a panic.
    if let Err(Ok(panic)) = task.map_err(JoinError::try_into_panic) {
        std::panic::resume_unwind(panic);
    }
}

/// When a request was begun, and how much of it there was.
struct Timing {
    began: Instant,
    sent: u64,
    received: u64,
}

impl Shared {
    /// Since the first request could be due.
    fn since_begin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.job.begin).min(self.job.total)
    }

    fn is_over(&self) -> bool {
        self.job.is_stopped() || self.since_begin(Instant::now()) >= self.job.total
    }

    /// What has to be done several times a second.
    fn beat(&self) {
        let now = Instant::now();
        let last = self.job.total.saturating_sub(Duration::from_nanos(1));
        self.recorder.borrow_mut().tick(self.since_begin(now).min(last));
        // What it closes is counted where others count.
        self.kept.borrow_mut().sweep(now);
    }

    fn record(&self, request: &Request, due: Duration, timing: &Timing, result: Result<(), Failure>) {
        let over = Instant::now();
        let sample = Sample {
            at: due,
            latency: over.saturating_duration_since(self.job.begin + due),
            service: over.saturating_duration_since(timing.began),
            sent: timing.sent,
            received: timing.received,
            result,
        };
        self.recorder.borrow_mut().record(self.job.series[request.shape as usize], &sample);
    }

    /// Counts what was due until now and is not sent any more.
    fn unsent<'r>(&self, left: impl Iterator<Item = (Duration, &'r Request)>) {
        let now = self.since_begin(Instant::now());
        for (due, request) in left.take_while(|(due, _)| *due < now) {
            self.ended.borrow_mut().unsent += 1;
            self.recorder.borrow_mut().fail(self.job.series[request.shape as usize], due, Failure::Unsent, 1);
        }
    }
}

/// Sends a request, and records what becomes of it.
async fn ask(shared: Rc<Shared>, request: Request, due: Duration, began: Instant) {
    let job = &shared.job;
    let mut held = shared.kept.borrow_mut().take(request.client, began);
    let asked = exchange(&shared, &request, &mut held);
    let answer = tokio::time::timeout(job.plan.timeout, asked).await.unwrap_or(Err(Failure::Timeout));
    let received = answer.map_or(0, |answer| answer.body);
    let result = answer.and_then(|answer| judge(request.status, answer.status));
    if result == Err(Failure::Connect(ConnectFault::Lacking)) {
        shared.ended.borrow_mut().lacking += 1;
    }
    shared.record(&request, due, &Timing { began, sent: u64::from(request.body), received }, result);
    shared.recorder.borrow_mut().ended();
    if let (Ok(Answer { keep: true, .. }), Some(held)) = (answer, held) {
        shared.kept.borrow_mut().put(request.client, held, Instant::now());
    }
}

/// Whether an answer of this status is good where the log has that one; 0 if it has none. What was not modified for a client
/// that had it is whole for one that has nothing.
fn judge(logged: u16, status: u16) -> Result<(), Failure> {
    let class = |status: u16| if status == 304 { 2 } else { status / 100 };
    let is_good = if logged < 100 { status < 400 } else { class(logged) == class(status) };
    if is_good { Ok(()) } else { Err(Failure::Status(status)) }
}

/// Sends a request on the connection if that is still good, and otherwise on a new one.
async fn exchange(shared: &Rc<Shared>, request: &Request, held: &mut Option<Held>) -> Result<Answer, Failure> {
    if let Some(idle) = held
        && idle.connection.is_stale(&shared.scratch).await
    {
        *held = None;
    }
    let job = &shared.job;
    let open = match held {
        Some(open) => open,
        None => {
            let source = job.sources[request.client as usize];
            let connection = Box::pin(job.dialer.open_from(source)).await?;
            shared.recorder.borrow_mut().opened();
            held.insert(Held { connection, shared: Rc::downgrade(shared) })
        }
    };
    let shape = &job.log.shapes[request.shape as usize];
    let bytes = head(shape, request, &job.plan);
    let outgoing = Outgoing { bytes: &bytes, filler: request.body as usize, head_only: &*shape.method == "HEAD" };
    open.connection.exchange(outgoing, &shared.scratch).await
}

/// What a request begins with.
fn head(shape: &Shape, request: &Request, plan: &Plan) -> Vec<u8> {
    let Shape { method, target, host, agent, .. } = shape;
    let host = plan.host.as_deref().or(host.as_deref()).unwrap_or(&plan.to.host);
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(agent) = agent {
        text += &format!("User-Agent: {agent}\r\n");
    }
    if &**method == "PROPFIND" {
        text += "Depth: 1\r\n";
    }
    if request.range > 0 {
        text += &format!("Range: bytes=0-{}\r\n", request.range - 1);
    }
    if request.body > 0 || method.ends_with("POST") || matches!(&**method, "PUT" | "PATCH") {
        text += &format!("Content-Length: {}\r\n", request.body);
    }
    text += "\r\n";
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_if_it_is_of_the_class_that_the_log_has() {
        for (logged, status, is_good) in [
            (200, 206, true),
            (304, 200, true),
            (404, 403, true),
            (200, 404, false),
            (404, 200, false),
            (302, 200, false),
            (500, 503, true),
            (0, 302, true),
            (0, 404, false),
        ] {
            let expected = if is_good { Ok(()) } else { Err(Failure::Status(status)) };
            assert_eq!(judge(logged, status), expected, "{logged} and {status}");
        }
    }
}
