//! Who is answered when. `/health` and `/ready` are behind no other answer; long ones are few at a time, and are made on
//! threads of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use http::header::{self, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Admin;
use super::answer::{Answer, Turn, failed, text};
use super::scrape::Scrapes;

/// Long answers that are made or read at once, besides those of `/metrics`.
const LONG: usize = 4;
/// How long another one waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// How a handler gets at the desk.
pub(super) type AtDesk = State<Arc<Desk>>;

/// What all admin connections share.
#[derive(Debug)]
pub(super) struct Desk {
    /// What is shown.
    pub(super) admin: Admin,
    /// The texts of `/metrics`.
    pub(super) scrapes: Scrapes,
    turns: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(admin: Admin) -> Arc<Self> {
        Arc::new(Self { admin, scrapes: Scrapes::new(), turns: Arc::new(Semaphore::new(LONG)) })
    }

    /// An answer that takes a while, or waits for a lock that others may hold: made on a thread of its own, when it is its turn.
    pub(super) async fn long(&self, make: impl FnOnce(&Admin) -> Answer + Send + 'static) -> Answer {
        let Ok(Ok(permit)) = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await else {
            let mut busy = text(StatusCode::SERVICE_UNAVAILABLE, "others are still reading long answers: try again\n");
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return busy;
        };
        let admin = self.admin.clone();
        // The permit goes with the work, also when the one who asked has gone, and then with the answer.
        let made = tokio::task::spawn_blocking(move || (make(&admin), permit)).await;
        let Ok((mut answer, permit)) = made else { return failed() };
        answer.extensions_mut().insert(Turn::new(permit));
        answer
    }
}
