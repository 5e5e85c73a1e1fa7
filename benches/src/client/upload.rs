//! A large message: a BITS upload.

use http::HeaderMap;

use super::exchange::Ask;
use super::{Client, ClientError, Step};
use crate::content::ContentFile;
use crate::message::guid;
use crate::site::PROTOCOL;

const MAX_FRAGMENT: u64 = 16 * 1024 * 1024;

fn packet(target: &str, kind: &str, session: &str) -> Ask {
    let ask = Ask::extension("BITS_POST", target)
        .header("bits-packet-type", kind)
        .header("accept-encoding", "Identity")
        .header("user-agent", "Microsoft BITS/7.8");
    if session.is_empty() { ask } else { ask.header("bits-session-id", session) }
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, ClientError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| ClientError::Protocol(format!("the answer to a BITS_POST has no {name}")))
}

impl Client {
    /// Uploads `file` in fragments of at most `fragment` bytes, in one session.
    ///
    /// # Errors
    /// A packet was refused, or the connection ended.
    pub async fn upload(&mut self, file: &ContentFile, fragment: u64) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let target = format!("/CCM_Incoming/{{{}}}", guid(self.rng.u128(..)));
        let create = packet(&target, "Create-Session", "").header("bits-supported-protocols", PROTOCOL);
        let answer = self.good(&create, &mut step).await?;
        let session = field(&answer.headers, "bits-session-id")?.to_owned();
        let size = file.size();
        let mut sent = 0;
        while sent < size {
            let len = fragment.clamp(1, MAX_FRAGMENT).min(size - sent);
            let body = file.pieces(sent, len).fold(bytes::BytesMut::new(), |mut body, piece| {
                body.extend_from_slice(&piece);
                body
            });
            let ask = packet(&target, "Fragment", &session)
                .header("content-range", &format!("bytes {sent}-{}/{size}", sent + len - 1))
                .body(body.freeze());
            let answer = self.good(&ask, &mut step).await?;
            let received = field(&answer.headers, "bits-received-content-range")?.parse().unwrap_or(0);
            if received <= sent || received > size {
                return Err(ClientError::Protocol(format!("a fragment from {sent} was received up to {received}")));
            }
            sent = received;
        }
        self.good(&packet(&target, "Close-Session", &session), &mut step).await?;
        Ok(step)
    }
}
