//! What the request path does with an answer: learn from it, then hand it on, go on to another server, or give up.

use std::net::IpAddr;

use http::{Method, StatusCode};

use crate::data::path::exchange::Exchange;
use crate::data::path::forwarding::write_decision;
use crate::data::path::session::Session;
use crate::data::thread::misses::{Charged, WINDOW_MS};
use crate::data::thread::search::{self, Turn};
use crate::data::upstream::worker::Worker;
use crate::error::{Error, Retry};
use crate::metrics::Miss;
use crate::model::balance::{Nobody, Pick, Tried};
use crate::model::cluster::EndpointIndex;
use crate::model::content::Said;
use crate::model::decision::Decision;
use crate::model::endpoint::Trial;
use crate::model::explain;
use crate::model::learn::{Learned, Unserved};
use crate::model::live::Verdict;
use crate::model::note::{Note, Search};
use crate::model::turned_away::Back;
use crate::wire::head::ResponseHead;
use crate::wire::known::{Known, KnownSet};

/// Names a host that the client is to send the rest of an upload to (MC-BUP, section 1.3.4.2): past the proxy.
const BITS_HOST: KnownSet = KnownSet::of(&[Known::BitsHostId, Known::BitsHostIdFallbackTimeout]);

/// Seconds after which a client that got 503 may ask again; a random number of them is added so that the clients of an
/// outage do not come back together.
const RETRY_AFTER: u64 = 30;

/// What is done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client gets it.
    Serve,
    /// Another server is asked.
    Elsewhere,
    /// The client gets an error.
    Fail(Error),
}

/// Learns from an answer, and tells the control thread of news.
pub fn learn(session: &Session, decision: &Decision<'_>, pick: &Pick, method: &Method, status: StatusCode) -> Learned {
    let learned = decision.learn(pick, method, status);
    let Some(content) = decision.content else { return learned };
    let metrics = &decision.cluster.topology.metrics;
    match learned.said {
        Said::Content(Verdict::Lacks) => metrics.miss(Miss::Content).increment(1),
        Said::NoFile | Said::NoSuchFile => metrics.miss(Miss::File).increment(1),
        Said::NoListing => metrics.miss(Miss::Listing).increment(1),
        Said::Content(Verdict::Has) | Said::FileHere | Said::Nothing => {}
    }
    if let (true, Said::Content(verdict)) = (learned.news, learned.said) {
        metrics.learned(verdict).increment(1);
    }
    // What follows from a file that is missing is known when the search for it has ended.
    if learned.news && !matches!(learned.said, Said::NoFile | Said::NoSuchFile | Said::FileHere) {
        session.worker.note(Note::Answer {
            content: content.id.into(),
            folder: content.folder.into(),
            said: learned.said,
        });
    }
    learned
}

/// The search for something has ended with this answer: servers that lacked a file are asked for its content.
pub fn search_over(session: &Session, decision: &Decision<'_>, misses: &Missed, client: IpAddr, said: Said) {
    let search = match said {
        Said::Content(Verdict::Has) | Said::FileHere => {
            session.worker.misses.pay_back(client, misses.charged);
            Search::Found
        }
        Said::NoFile => Search::InVain,
        Said::Content(Verdict::Lacks) | Said::NoSuchFile | Said::NoListing | Said::Nothing => return,
    };
    let Some(content) = decision.content else { return };
    if !misses.doubts.is_empty() {
        let endpoints = misses.doubts.iter().map(|&endpoint| decision.cluster.endpoint(endpoint).state.id).collect();
        session.worker.note(Note::Doubt { endpoints, folder: content.folder.into(), search });
    }
}

/// The budget keeps retries from multiplying work at servers that are in trouble. A request that no server has seen is no
/// work yet.
pub fn may_retry(session: &Session, decision: &Decision<'_>, retry: Retry) -> bool {
    let topology = &decision.cluster.topology;
    let allowed = retry == Retry::Unsent || session.worker.may_retry(decision.cluster_id, &topology.role.retry);
    let counter = if allowed { &topology.metrics.retries } else { &topology.metrics.retries_refused };
    counter.increment(1);
    allowed
}

/// What one request has missed at the servers that it was sent to.
#[derive(Debug, Default)]
pub struct Missed {
    /// How many have said that they lack something.
    pub count: u32,
    /// Those that lack a file, which was news: they may lack the content.
    pub doubts: Tried,
    /// Questions that were taken out of the budget.
    pub charged: u32,
}

impl Missed {
    /// This server lacks something.
    pub fn note(&mut self, endpoint: EndpointIndex, learned: Learned) {
        self.count += 1;
        if learned.news && learned.said == Said::NoFile {
            // Not more than are tried.
            let _ = self.doubts.try_push(endpoint);
        }
    }
}

/// Whether an answer is about something that another server may have.
pub fn is_missing(said: Said) -> bool {
    match said {
        Said::Content(Verdict::Lacks) | Said::NoFile | Said::NoSuchFile | Said::NoListing => true,
        Said::Content(Verdict::Has) | Said::FileHere | Said::Nothing => false,
    }
}

/// Lets one request at a time search for what a server lacks: the others wait for what it finds, but not for ever.
/// `search` is this request's turn to search, once it has it.
pub async fn await_turn(
    session: &Session,
    decision: &Decision<'_>,
    tried: &Tried,
    search: &mut Option<search::Search>,
) {
    if search.is_none() && decision.pick(tried, session.worker.ticker.now_ms(), 0).is_ok() {
        match session.worker.searches.turn(decision.search_key()) {
            Turn::Mine(mine) => *search = Some(mine),
            Turn::Another(bell) => {
                let patience = decision.cluster.topology.role.timeouts.response_header;
                // Whether it has found something or not, what it has learned is known now.
                let _ = session.timer.within(patience, bell.notified()).await;
                session.timer.clear();
            }
        }
    }
}

/// A server lacks what was asked for: the next one that may have it is asked. The client gets the 404 only when every
/// server that it may use has said so; a request that cannot be sent again is told to come back, and will go elsewhere.
pub fn missing(
    session: &Session,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    tried: &Tried,
    (said, missed, repeatable): (Said, &mut Missed, bool),
) -> Outcome {
    let now_ms = session.worker.ticker.now_ms();
    match decision.pick(tried, now_ms, 0) {
        Ok(_) if tried.is_full() || !repeatable => {
            exchange.retry_after = Some(1);
            Outcome::Fail(Error::Searching)
        }
        Ok(_) => match session.worker.misses.charge(exchange.client, now_ms) {
            Charged::Asks => {
                missed.charged += 1;
                Outcome::Elsewhere
            }
            Charged::Waits => {
                exchange.retry_after = Some(WINDOW_MS / 1000);
                Outcome::Fail(Error::Searching)
            }
        },
        // A server that cannot be asked now may have it.
        Err(nobody) if nobody.unasked && said != Said::NoListing => {
            Outcome::Fail(nobody_left(session, exchange, decision, nobody, None))
        }
        Err(_) => {
            // That a file is not there is no sign yet that the group's servers lack its content.
            let lacks = |endpoint| decision.lacks_content(endpoint);
            if tried.iter().any(|&endpoint| lacks(endpoint)) {
                start_clock(&session.worker, decision, Unserved::Lacking);
            }
            Outcome::Serve
        }
    }
}

/// The server that is asked next, after those that were tried.
///
/// # Errors
/// What the client gets, when there is none.
pub fn next(
    session: &Session,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    tried: &Tried,
    last: Option<Error>,
) -> Result<(Pick, Option<Trial>), Error> {
    match decision.pick(tried, session.worker.ticker.now_ms(), session.worker.dice()) {
        Ok(pick) => Ok((pick, None)),
        Err(nobody) => match last_resort(session, decision, tried, last) {
            Some((pick, trial)) => Ok((pick, Some(trial))),
            None => Err(nobody_left(session, exchange, decision, nobody, last)),
        },
    }
}

/// All servers that may be asked have refused before anything was sent: one that is said to be down is asked, by one request at a
/// time.
fn last_resort(
    session: &Session,
    decision: &Decision<'_>,
    tried: &Tried,
    last: Option<Error>,
) -> Option<(Pick, Trial)> {
    last.filter(|error| error.retry() == Retry::Unsent)?;
    let now_ms = session.worker.ticker.now_ms();
    let pick = decision.last_resort(tried, now_ms, session.worker.dice())?;
    let trial = Trial::take(&decision.cluster.endpoint(pick.endpoint).state, now_ms)?;
    decision.cluster.topology.metrics.retries.increment(1);
    Some((pick, trial))
}

/// An attempt at a server that is said to be down is over.
pub fn end_trial<T>(session: &Session, trial: Option<Trial>, attempted: &Result<T, Error>) {
    let Some(trial) = trial else { return };
    match attempted {
        Ok(_) => trial.answered(session.worker.ticker.now_ms()),
        Err(_) => trial.failed(),
    }
}

/// Nobody can serve the request: the error that the client gets, and when it may come back.
fn nobody_left(
    session: &Session,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    nobody: Nobody,
    last: Option<Error>,
) -> Error {
    let turned = decision.turned_away(nobody);
    if nobody.why.is_search() {
        start_clock(&session.worker, decision, Unserved::Unable);
    }
    match turned.back {
        Back::Usual => {}
        Back::At(seconds) => exchange.retry_after = Some(seconds),
        Back::By(seconds) => exchange.retry_after = Some(seconds.min(retry_after(session.worker.dice()))),
    }
    match (turned.error, last) {
        // Nothing else can be said of it than what the last server did.
        (Error::NoServer | Error::TakenOut | Error::NoneWell, Some(last)) => last,
        (error, _) => error,
    }
}

/// Starts the fallback clock if there is something to wait for.
pub fn start_clock(worker: &Worker, decision: &Decision<'_>, why: Unserved) {
    let Some(waits) = decision.unserved(why) else { return };
    let topology = &decision.cluster.topology;
    topology.metrics.waits.increment(1);
    if let (true, Some(key)) = (waits.started, decision.clock_key()) {
        topology.metrics.clocks_started.increment(1);
        worker.note(Note::Clock {
            key,
            role: std::sync::Arc::clone(&topology.role),
            site: topology.site.clone(),
            groups: decision.group_names().map(Into::into).collect(),
            content: decision.content.map(|content| content.id.into()),
        });
    }
}

/// What [`served`] needs of an exchange besides its decision.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method of the request.
    pub method: &'a Method,
    /// What the answer says about the content.
    pub said: Said,
    /// How many servers were asked.
    pub attempts: u32,
}

/// The client gets this answer: what follows for where it stays, and what is written into it.
pub fn served(decision: &Decision<'_>, pick: &Pick, head: &Head<'_>, response: &mut ResponseHead) {
    let (topology, status) = (&decision.cluster.topology, response.status);
    if decision.served(pick, head.said, status) {
        topology.metrics.moves.increment(1);
    }
    let fields = &mut response.fields;
    if topology.role.upload_affinity && head.method.as_str() == "BITS_POST" {
        if status.is_success() {
            decision.uploaded(pick, fields);
        }
        fields.remove_all(BITS_HOST);
    }
    if decision.site().decision_header {
        write_decision(fields, &explain::short(decision, pick, head.attempts));
    }
}

/// Seconds after which a client may come back that got 503 for want of a server.
pub fn retry_after(dice: u64) -> u64 {
    RETRY_AFTER + dice % RETRY_AFTER
}
