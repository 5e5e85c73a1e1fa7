//! What a request to the admin listener may be, and the id that it has in answers and in the log.

use axum::extract::Request;
use axum::middleware::Next;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use tower_http::request_id::{MakeRequestId, RequestId};

use super::answer::{Answer, text};

/// Bytes of a path with its query.
const LONGEST_TARGET: usize = 8 << 10;
/// Bytes of a body. No address reads one yet.
pub(super) const LONGEST_BODY: usize = 64 << 10;
/// Bytes of the head of a request.
pub(super) const LONGEST_HEAD: usize = 16 << 10;
/// Bytes of an id that a request brings.
const LONGEST_ID: usize = 128;
/// The field with the id.
pub(super) const ID: HeaderName = HeaderName::from_static("x-request-id");

/// Refuses what is too long, and takes away an id that could not stand in a log.
pub(super) async fn bound(mut request: Request, next: Next) -> Answer {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        return text(StatusCode::URI_TOO_LONG, "path and query have at most 8 KiB\n");
    }
    if !fits(request.headers()) {
        request.headers_mut().remove(ID);
    }
    next.run(request).await
}

fn fits(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(ID).iter();
    let id = given.next().map_or(&[][..], HeaderValue::as_bytes);
    given.next().is_none() && (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Makes ids for requests that bring none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids;

impl MakeRequestId for Ids {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&format!("{:032x}", fastrand::u128(..))).ok().map(RequestId::new)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_not_stand_in_a_log_are_not_taken() {
        let with =
            |ids: &[&[u8]]| ids.iter().map(|id| (ID, HeaderValue::from_bytes(id).unwrap())).collect::<HeaderMap>();
        assert!(fits(&with(&[b"4bf92f35-77b3"])));
        let wrong: [&[&[u8]]; 5] = [&[], &[b""], &[b"a b"], &[b"\xff"], &[&[b'x'; LONGEST_ID + 1]]];
        for wrong in wrong {
            assert!(!fits(&with(wrong)), "{wrong:?}");
        }
        let mut two = with(&[b"a"]);
        two.append(ID, HeaderValue::from_static("b"));
        assert!(!fits(&two));
    }
}
