//! What the request path does with an answer: learn from it, then hand it on, go on to another server, or give up.

use http::{Method, StatusCode};

use crate::data::path::exchange::Exchange;
use crate::data::path::forwarding::write_decision;
use crate::data::path::session::Session;
use crate::data::thread::search::{Search, Turn};
use crate::error::Error;
use crate::metrics::Miss;
use crate::model::balance::{NoPick, Nobody, Pick, Tried};
use crate::model::content::Said;
use crate::model::decision::Decision;
use crate::model::explain;
use crate::model::learn::Learned;
use crate::model::live::Verdict;
use crate::model::note::Note;
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
pub fn learn(
    session: &Session,
    decision: &Decision<'_>,
    pick: &Pick,
    method: &Method,
    path: &str,
    status: StatusCode,
) -> Learned {
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
    if learned.news && !matches!(learned.said, Said::NoSuchFile | Said::FileHere) {
        let end = decision.route.map_or(0, |route| route.prefix.len()) + 1 + content.id.len();
        session.worker.note(Note::Answer {
            endpoint: decision.cluster.endpoint(pick.endpoint).state.id,
            content: content.id.into(),
            folder: path.get(..end).unwrap_or(path).into(),
            said: learned.said,
        });
    }
    learned
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
pub async fn await_turn(session: &Session, decision: &Decision<'_>, tried: &Tried, search: &mut Option<Search>) {
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
    said: Said,
    repeatable: bool,
) -> Outcome {
    match decision.pick(tried, session.worker.ticker.now_ms(), 0) {
        Ok(_) if tried.is_full() || !repeatable => {
            exchange.retry_after = Some(1);
            Outcome::Fail(Error::Searching)
        }
        Ok(_) => Outcome::Elsewhere,
        // A server that cannot be asked now may have it.
        Err(nobody) if nobody.unasked && said != Said::NoListing => {
            Outcome::Fail(nobody_left(session, exchange, decision, nobody, None))
        }
        Err(_) => {
            // That a file is not there is no sign yet that the group's servers lack its content.
            let lacks = |endpoint| decision.lacks_content(endpoint);
            if tried.iter().any(|&endpoint| lacks(endpoint)) {
                start_clock(session, decision);
            }
            Outcome::Serve
        }
    }
}

/// Nobody can serve the request: the error that the client gets, and when it may come back.
pub fn nobody_left(
    session: &Session,
    exchange: &mut Exchange,
    decision: &Decision<'_>,
    nobody: Nobody,
    last: Option<Error>,
) -> Error {
    match nobody.why {
        // Nothing that another group could do better later.
        NoPick::UploadLost | NoPick::Overloaded => return nobody.why.into(),
        NoPick::NoServer | NoPick::NoneWell | NoPick::Lacking | NoPick::AllTried => {}
    }
    let waits = start_clock(session, decision);
    let jitter = retry_after(session.worker.dice());
    match waits {
        Some(seconds) => {
            // A server that may serve the client now may be back before the next tier opens, unless there is none.
            let none = nobody.why == NoPick::NoServer && decision.stay.is_none();
            let soon = if none { seconds } else { seconds.min(jitter) };
            exchange.retry_after = Some(soon);
            Error::NotYet
        }
        None => last.unwrap_or(nobody.why.into()),
    }
}

/// Starts the fallback clock if there is something to wait for. Gives the seconds until the next tier opens.
fn start_clock(session: &Session, decision: &Decision<'_>) -> Option<u64> {
    let waits = decision.unserved()?;
    let topology = &decision.cluster.topology;
    topology.metrics.waits.increment(1);
    if let (true, Some(key)) = (waits.started, decision.clock_key()) {
        topology.metrics.clocks_started.increment(1);
        session.worker.note(Note::Clock {
            key,
            role: std::sync::Arc::clone(&topology.role),
            groups: decision.group_names().map(Into::into).collect(),
            content: decision.content.map(|content| content.id.into()),
        });
    }
    Some(waits.seconds())
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
