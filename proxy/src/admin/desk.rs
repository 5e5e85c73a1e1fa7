//! Who is answered when. `/health` and `/ready` are behind no other answer; long ones are few at a time, and are made on
//! threads of their own.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request;
use http::{Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Answer, Reader, body, text};
use super::query::Query;
use super::scrape::Scrapes;
use super::{Admin, Long, Page};

/// Long answers that are made or read at once, besides those of `/metrics`.
const LONG: usize = 4;
/// How long another one waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// What all admin connections share.
#[derive(Debug)]
pub(super) struct Desk {
    admin: Admin,
    scrapes: Scrapes,
    turns: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(admin: Admin) -> Self {
        Self { admin, scrapes: Scrapes::new(), turns: Arc::new(Semaphore::new(LONG)) }
    }

    /// The answer to a request.
    pub(super) async fn answer(&self, head: request::Parts, reader: &Arc<Reader>) -> Answer {
        let page = match self.admin.admit(&head) {
            Ok(page) => page,
            Err(refusal) => return short(*refusal, reader),
        };
        match page {
            Page::Index => short(self.admin.index(), reader),
            Page::Health => short(self.admin.health().await, reader),
            Page::Ready => short(self.admin.ready(), reader),
            Page::Metrics => self.metrics(reader).await,
            Page::Long(page) => self.long(page, &head, reader).await,
        }
    }

    async fn metrics(&self, reader: &Arc<Reader>) -> Answer {
        let admin = self.admin.clone();
        let Some(metrics) = self.scrapes.text(move || admin.render()).await else { return failed(reader) };
        let mut response = text(StatusCode::OK, body(metrics, reader, None));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    async fn long(&self, page: Long, head: &request::Parts, reader: &Arc<Reader>) -> Answer {
        let Ok(Ok(permit)) = timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await else {
            let say = "others are still reading long answers: try again\n".to_owned();
            let mut busy = text(StatusCode::SERVICE_UNAVAILABLE, say);
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return short(busy, reader);
        };
        let (admin, query) = (self.admin.clone(), Query::read(head.uri.query()));
        // The permit goes with the work, also when the one who asked has gone, and then with the answer.
        let made = tokio::task::spawn_blocking(move || (admin.long(page, &query), permit)).await;
        let Ok((response, permit)) = made else { return failed(reader) };
        response.map(|text| body(Arc::new(text), reader, Some(permit)))
    }
}

fn short(response: Response<String>, reader: &Arc<Reader>) -> Answer {
    response.map(|text| body(Arc::new(text), reader, None))
}

fn failed(reader: &Arc<Reader>) -> Answer {
    short(text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n".to_owned()), reader)
}
