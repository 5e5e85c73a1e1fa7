//! A scan for software updates.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::exchange::Ask;
use super::management::needs;
use super::{Answer, Client, ClientError, Step};
use crate::message::element;

const MAX_RESTARTS: u32 = 3;

fn call(action: &str, content: &str) -> Ask {
    let envelope = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope \
         xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
         <{action} xmlns=\"http://www.microsoft.com/SoftwareDistribution/Server/ClientWebService\">{content}</{action}>\
         </soap:Body></soap:Envelope>"
    );
    let name = format!("\"http://www.microsoft.com/SoftwareDistribution/Server/ClientWebService/{action}\"");
    Ask::new(Method::POST, "/ClientWebService/client.asmx")
        .body(Bytes::from(envelope))
        .header("content-type", "text/xml; charset=utf-8")
        .header("soapaction", &name)
        .header("user-agent", "Windows-Update-Agent")
}

/// That an answer to this action is one.
fn answers(action: &str) -> impl Fn(Answer) -> Result<String, ClientError> {
    move |answer| {
        needs(&answer.body, format!("{action}Response").as_bytes(), || format!("the answer to {action} is none"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// The cookie in the answer to `GetCookie`.
fn cookie(answer: Answer) -> Result<String, ClientError> {
    let text = answers("GetCookie")(answer)?;
    let data = element(&text, "EncryptedData");
    data.map(str::to_owned).ok_or_else(|| ClientError::Protocol("the answer to GetCookie has no cookie".to_owned()))
}

/// What the answer to `SyncUpdates` comes to.
enum Synced {
    Done,
    BeginAgain,
}

fn is_fault(answer: &Answer, code: &str) -> bool {
    answer.status == StatusCode::INTERNAL_SERVER_ERROR
        && element(&String::from_utf8_lossy(&answer.body), "ErrorCode") == Some(code)
}

impl Client {
    /// Scans for updates. A server that does not know the cookie makes the client begin again, as a real one does.
    ///
    /// # Errors
    /// A call failed for another reason, or no server knew its own cookies.
    pub async fn scan(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let version = |answer: Answer| needs(&answer.body, b"<", || "the version file is no XML".to_owned());
        self.good(&Ask::get("/ClientWebService/wusserverversion.xml"), &mut step, version).await?;
        for _ in 0..=MAX_RESTARTS {
            let wish = "<protocolVersion>2.50</protocolVersion>";
            self.good(&call("GetConfig", wish), &mut step, answers("GetConfig")).await?;
            let data = self.good(&call("GetCookie", wish), &mut step, cookie).await?;
            let ask = call("SyncUpdates", &format!("<cookie><EncryptedData>{data}</EncryptedData></cookie>"));
            let synced = |answer: Answer| match answer.status.is_success() {
                true => answers("SyncUpdates")(answer).map(|_| Synced::Done),
                false if is_fault(&answer, "InvalidCookie") || is_fault(&answer, "ServerChanged") => {
                    Ok(Synced::BeginAgain)
                }
                false => Err(ask.status_error(&answer)),
            };
            match self.line.judged(&ask, &mut step, synced).await? {
                Synced::Done => return Ok(step),
                Synced::BeginAgain => step.restarted += 1,
            }
        }
        Err(ClientError::Protocol(format!("no cookie was good, {MAX_RESTARTS} times over")))
    }
}
