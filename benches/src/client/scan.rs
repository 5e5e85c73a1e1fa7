//! A scan for software updates.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::exchange::Ask;
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
        self.good(&Ask::get("/ClientWebService/wusserverversion.xml"), &mut step).await?;
        for _ in 0..=MAX_RESTARTS {
            self.good(&call("GetConfig", "<protocolVersion>2.50</protocolVersion>"), &mut step).await?;
            let answer = self.good(&call("GetCookie", "<protocolVersion>2.50</protocolVersion>"), &mut step).await?;
            let text = String::from_utf8_lossy(&answer.body);
            let data = element(&text, "EncryptedData")
                .ok_or_else(|| ClientError::Protocol("the answer to GetCookie has no cookie".to_owned()))?;
            let cookie = format!("<cookie><EncryptedData>{data}</EncryptedData></cookie>");
            let ask = call("SyncUpdates", &cookie);
            let answer = self.whole(&ask, &mut step).await?;
            if answer.status.is_success() {
                return Ok(step);
            }
            if !is_fault(&answer, "InvalidCookie") && !is_fault(&answer, "ServerChanged") {
                return Err(ask.status_error(&answer));
            }
            step.restarted += 1;
        }
        Err(ClientError::Protocol(format!("no cookie was good, {MAX_RESTARTS} times over")))
    }
}
