//! A large message: a BITS upload, and the message that goes with it.

use http::HeaderMap;

use super::exchange::Ask;
use super::subject::Subject;
use super::{Answer, Client, ClientError, Step};
use crate::content::ContentFile;
use crate::message::guid;
use crate::site::{PROTOCOL, SESSION_NOT_FOUND};

const MAX_FRAGMENT: u64 = 16 * 1024 * 1024;
const MAX_SESSIONS_LOST: u32 = 5;

/// What is uploaded, with a message that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A hardware inventory.
    HardwareInventory,
    /// A software inventory.
    SoftwareInventory,
    /// The logs of the client, which an administrator has asked for.
    Logs,
}

impl Report {
    const fn upload(self) -> Subject {
        match self {
            Self::HardwareInventory | Self::SoftwareInventory => Subject::InventoryUpload,
            Self::Logs => Subject::LogUpload,
        }
    }

    const fn message(self) -> Subject {
        match self {
            Self::HardwareInventory => Subject::HardwareInventory,
            Self::SoftwareInventory => Subject::SoftwareInventory,
            Self::Logs => Subject::LogMessage,
        }
    }

    const fn content(self) -> &'static str {
        match self {
            Self::HardwareInventory | Self::SoftwareInventory => "Inventory Data",
            Self::Logs => "Client Logs",
        }
    }
}

/// How one upload session ended that was not refused.
enum End {
    Closed,
    Lost(ClientError),
}

/// An upload session as its client knows it.
struct Session {
    subject: Subject,
    target: String,
    id: String,
    /// Whom the server wants to be asked for from now on.
    host: Option<String>,
}

impl Session {
    fn packet(&self, kind: &str) -> Ask {
        let ask = Ask::extension("BITS_POST", &self.target)
            .about(self.subject)
            .header("bits-packet-type", kind)
            .header("accept-encoding", "Identity")
            .header("user-agent", "Microsoft BITS/7.8");
        let ask = if self.id.is_empty() { ask } else { ask.header("bits-session-id", &self.id) };
        match &self.host {
            Some(host) => ask.header("host", host),
            None => ask,
        }
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn needed<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, ClientError> {
    field(headers, name).ok_or_else(|| ClientError::Protocol(format!("the answer to a BITS_POST has no {name}")))
}

/// Whether the server does not know the session. The error code has two names.
fn is_lost(answer: &Answer) -> bool {
    let code = field(&answer.headers, "bits-error-code").or_else(|| field(&answer.headers, "bits-error"));
    !answer.status.is_success() && code.is_some_and(|code| code.trim().eq_ignore_ascii_case(SESSION_NOT_FOUND))
}

impl Client {
    /// Uploads `file` in fragments of at most `fragment` bytes. A server that does not know the session makes the
    /// client begin again with a new one.
    ///
    /// # Errors
    /// A packet was refused, the connection ended, or no server knew its own sessions.
    pub async fn upload(&mut self, file: &ContentFile, fragment: u64) -> Result<Step, ClientError> {
        let name = guid(self.rng.u128(..));
        self.upload_as(&name, Report::HardwareInventory, file, fragment).await
    }

    /// Uploads `file`, then sends the message that says where it is: both belong on one management point.
    ///
    /// # Errors
    /// The upload failed, or the message was not accepted.
    pub async fn large_message(
        &mut self,
        report: Report,
        file: &ContentFile,
        fragment: u64,
    ) -> Result<Step, ClientError> {
        let name = guid(self.rng.u128(..));
        let mut step = self.upload_as(&name, report, file, fragment).await?;
        let text = format!(
            "<Report><ReportHeader><Identification><Machine><ClientID>GUID:{}</ClientID></Machine></Identification>\
             <ReportDetails><ReportContent>{}</ReportContent><ReportType>Full</ReportType></ReportDetails>\
             </ReportHeader><ReportBody><Payload Upload=\"{{{name}}}\" Size=\"{}\"/></ReportBody></Report>",
            self.id,
            report.content(),
            file.size()
        );
        self.relayed(report.message(), &text, &mut step).await?;
        Ok(step)
    }

    async fn upload_as(
        &mut self,
        name: &str,
        report: Report,
        file: &ContentFile,
        fragment: u64,
    ) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let begin = || Session {
            subject: report.upload(),
            target: format!("/CCM_Incoming/{{{name}}}"),
            id: String::new(),
            host: None,
        };
        loop {
            match self.session(begin(), file, fragment, &mut step).await? {
                End::Closed => return Ok(step),
                End::Lost(error) if step.sessions_lost == MAX_SESSIONS_LOST => return Err(error),
                End::Lost(_) => step.sessions_lost += 1,
            }
        }
    }

    async fn session(
        &mut self,
        mut session: Session,
        file: &ContentFile,
        fragment: u64,
        step: &mut Step,
    ) -> Result<End, ClientError> {
        let create = session.packet("Create-Session").header("bits-supported-protocols", PROTOCOL);
        let created = |answer: Answer| {
            if !answer.status.is_success() {
                return Err(create.status_error(&answer));
            }
            let id = needed(&answer.headers, "bits-session-id")?.to_owned();
            Ok((id, field(&answer.headers, "bits-host-id").map(str::to_owned)))
        };
        (session.id, session.host) = self.line.patient(&create, self.patience, step, created).await?;
        if session.host.is_some() {
            step.led_away.clone_from(&session.host);
        }
        let size = file.size();
        let mut sent = 0;
        while sent < size {
            let len = fragment.clamp(1, MAX_FRAGMENT).min(size - sent);
            let body = file.pieces(sent, len).fold(bytes::BytesMut::new(), |mut body, piece| {
                body.extend_from_slice(&piece);
                body
            });
            let ask = session
                .packet("Fragment")
                .header("content-range", &format!("bytes {sent}-{}/{size}", sent + len - 1))
                .body(body.freeze());
            let taken = |answer: Answer| {
                Packet::read(&ask, &answer, |headers| {
                    let received = needed(headers, "bits-received-content-range")?.parse().unwrap_or(0);
                    if received <= sent || received > size {
                        return Err(ClientError::Protocol(format!(
                            "a fragment from {sent} was received up to {received}"
                        )));
                    }
                    Ok(received)
                })
            };
            match self.line.patient(&ask, self.patience, step, taken).await? {
                Packet::Taken(received) => sent = received,
                Packet::Lost(error) => return Ok(End::Lost(error)),
            }
        }
        let close = session.packet("Close-Session");
        let acknowledged =
            |answer: Answer| Packet::read(&close, &answer, |headers| needed(headers, "bits-packet-type").map(drop));
        Ok(match self.line.patient(&close, self.patience, step, acknowledged).await? {
            Packet::Taken(()) => End::Closed,
            Packet::Lost(error) => End::Lost(error),
        })
    }
}

/// What became of a packet that was not refused.
enum Packet<T> {
    Taken(T),
    Lost(ClientError),
}

impl<T> Packet<T> {
    fn read(
        ask: &Ask,
        answer: &Answer,
        taken: impl FnOnce(&HeaderMap) -> Result<T, ClientError>,
    ) -> Result<Self, ClientError> {
        match is_lost(answer) {
            true => Ok(Self::Lost(ask.status_error(answer))),
            false if answer.status.is_success() => taken(&answer.headers).map(Self::Taken),
            false => Err(ask.status_error(answer)),
        }
    }
}
