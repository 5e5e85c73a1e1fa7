//! Client messages and their replies.

use http::StatusCode;

use super::exchange::Ask;
use super::subject::Subject;
use super::{Access, Answer, Client, ClientError, Step, is_transient};
use crate::message::{self, Envelope, Message, guid};

/// A message before it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Post<'a> {
    pub(super) subject: Subject,
    /// Who is to read it: `MP_PolicyManager`.
    pub(super) endpoint: &'static str,
    pub(super) payload: &'a str,
}

impl Post<'_> {
    /// The request that brings it, under an id of its own.
    pub(super) fn ask(&self, client: &mut Client, access: Access) -> Ask {
        let id = guid(client.rng.u128(..));
        let host = &client.line.way.host;
        let header = Envelope { id: &id, client: &client.id, endpoint: self.endpoint, host }.header(self.payload.len());
        Ask::extension("CCM_POST", access.messages())
            .about(self.subject)
            .body(message::encode(&header, self.payload))
            .header("content-type", message::CONTENT_TYPE)
            .header("user-agent", "ccmhttp")
    }

    /// The reply in an answer to it.
    pub(super) fn reply(&self, ask: &Ask, answer: &Answer) -> Result<Message, ClientError> {
        let endpoint = self.endpoint;
        if answer.status != StatusCode::OK {
            return Err(ask.status_error(answer));
        }
        if answer.body.is_empty() {
            return Err(ClientError::Protocol(format!("{endpoint} refused a message")));
        }
        let content_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        message::decode(content_type, &answer.body)
            .ok_or_else(|| ClientError::Protocol(format!("the reply of {endpoint} cannot be read")))
    }
}

impl Client {
    /// Sends a message until it is answered, always under the same id: a server that got it before knows it again. A reply
    /// that `judge` refuses was no good answer.
    pub(super) async fn message(
        &mut self,
        post: Post<'_>,
        step: &mut Step,
        judge: impl Fn(&Message) -> Result<(), ClientError>,
    ) -> Result<Message, ClientError> {
        let access = self.access;
        let ask = post.ask(self, access);
        let read = |answer: Answer| {
            let reply = post.reply(&ask, &answer)?;
            judge(&reply)?;
            Ok(reply)
        };
        let mut resends = self.resends;
        loop {
            let replied = self.line.judged(&ask, step, read).await;
            let again = match &replied {
                Err(ClientError::Cut { .. }) => true,
                Err(ClientError::Status { status, .. }) => is_transient(*status),
                Ok(_) | Err(_) => false,
            };
            if !again || resends == 0 {
                return replied;
            }
            resends -= 1;
            step.resent += 1;
            tokio::time::sleep(self.resend_pause).await;
        }
    }
}

/// Every reply that can be read will do.
#[allow(clippy::unnecessary_wraps)]
pub(super) const fn any(_: &Message) -> Result<(), ClientError> {
    Ok(())
}

/// That this is somewhere in what was answered.
pub(super) fn needs(answered: &[u8], what: &[u8], why: impl FnOnce() -> String) -> Result<(), ClientError> {
    let is_there = answered.windows(what.len()).any(|window| window == what);
    if is_there { Ok(()) } else { Err(ClientError::Protocol(why())) }
}
