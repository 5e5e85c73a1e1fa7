//! What a client asks a management point and a fallback status point.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::exchange::Ask;
use super::{Answer, Client, ClientError, Step, is_transient};
use crate::message::{self, Envelope, Message, guid};

const MAX_POLICIES: usize = 10_000;
/// Digits of a certificate in hexadecimal: some 900 bytes.
const CERTIFICATE: usize = 1792;
/// And of a signature with a key of 2,048 bits.
const SIGNATURE: usize = 512;
/// A certificate in hexadecimal begins like this.
const CERTIFICATE_BEGINS: &[u8] = b"3082";

impl Client {
    /// Asks for the list of management points.
    ///
    /// # Errors
    /// No answer, or no list.
    pub async fn service_location(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let judge = |answer: Answer| needs(&answer.body, b"<MPList", || "the answer to MPLIST is no list".to_owned());
        self.good(&Ask::get("/SMS_MP/.sms_aut?MPLIST"), &mut step, judge).await?;
        Ok(step)
    }

    /// Asks for the certificate that the management point signs with.
    ///
    /// # Errors
    /// No answer, or no certificate in it.
    pub async fn management_point_certificate(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let judge = |answer: Answer| {
            needs(&answer.body, CERTIFICATE_BEGINS, || "the answer to MPCERT has no certificate".to_owned())
        };
        self.good(&Ask::get("/SMS_MP/.sms_aut?MPCERT"), &mut step, judge).await?;
        Ok(step)
    }

    /// Asks for the machine's policy assignments, then fetches every policy.
    ///
    /// # Errors
    /// No assignments, or a policy that could not be fetched.
    pub async fn policy(&mut self) -> Result<Step, ClientError> {
        self.policy_of(MAX_POLICIES).await
    }

    /// Asks for the machine's policy assignments, then fetches `most` of the policies: those that have changed.
    ///
    /// # Errors
    /// No assignments, or a policy that could not be fetched.
    pub async fn policy_of(&mut self, most: usize) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let name = &self.id[..8];
        let request = format!(
            "<RequestAssignments SchemaVersion=\"1.00\" ACK=\"false\" RequestType=\"Always\"><Identification><Machine>\
             <ClientID>GUID:{}</ClientID><FQDN>{name}.lab.test</FQDN><NetBIOSName>{name}</NetBIOSName><SID/></Machine>\
             <User/></Identification><PolicySource>SMS:PRI</PolicySource><Resource ResourceType=\"Machine\"/>\
             <ServerCookie/></RequestAssignments>",
            self.id
        );
        let assigned = |reply: &Message| {
            needs(reply.payload.as_bytes(), b"<ReplyAssignments", || "the answer has no policy assignments".to_owned())
        };
        let reply = self.message("MP_PolicyManager", &request, &mut step, assigned).await?;
        // The reply says <mp> where a client puts the name that it uses.
        let locations = reply.payload.split("http://<mp>").skip(1).take(most.min(MAX_POLICIES));
        for location in locations {
            let target = location.split([']', '<']).next().unwrap_or_default();
            let judge = |answer: Answer| {
                let is_utf16 = answer.body.starts_with(&[0xff, 0xfe]);
                if is_utf16 { Ok(()) } else { Err(ClientError::Protocol(format!("{target} is no UTF-16"))) }
            };
            self.good(&Ask::get(target), &mut step, judge).await?;
        }
        Ok(step)
    }

    /// Registers, as a client that is new: with two certificates of its own. They are noise here, which takes as many bytes.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn registration(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let name = self.id[..8].to_owned();
        let [encryption, signing, signature] = [CERTIFICATE, CERTIFICATE, SIGNATURE].map(|digits| self.noise(digits));
        let request = format!(
            "<ClientRegistrationRequest><Data HashAlgorithm=\"1.2.840.113549.1.1.11\" SMSID=\"\" \
             RequestType=\"Registration\" TimeStamp=\"2024-01-01T00:00:00Z\"><AgentInformation \
             AgentIdentity=\"CCMSetup.exe\" AgentVersion=\"5.00.9000.0000\" AgentType=\"0\"/><Certificates>\
             <Encryption Encoding=\"HexBinary\" KeyType=\"1\">{encryption}</Encryption>\
             <Signing Encoding=\"HexBinary\" KeyType=\"1\">{signing}</Signing></Certificates><DiscoveryProperties>\
             <Property Name=\"Netbios Name\" Value=\"{name}\"/><Property Name=\"FQ Name\" Value=\"{name}.lab.test\"/>\
             </DiscoveryProperties></Data><Signature><SignatureValue>{signature}</SignatureValue></Signature>\
             </ClientRegistrationRequest>"
        );
        let registered = |reply: &Message| {
            let why = || "the answer to a registration is none".to_owned();
            needs(reply.payload.as_bytes(), b"<ClientRegistrationResponse", why)
        };
        self.message("MP_ClientRegistration", &request, &mut step, registered).await?;
        Ok(step)
    }

    /// So many digits in hexadecimal, 32 at a time.
    fn noise(&mut self, digits: usize) -> String {
        (0..digits / 32).map(|_| format!("{:032X}", self.rng.u128(..))).collect()
    }

    /// Sends one state message, under an id of its own.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn state_message(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let report = format!(
            "<Report><ReportHeader><Identification><Machine><ClientID>GUID:{}</ClientID></Machine></Identification>\
             <ReportDetails><ReportContent>State Message Data</ReportContent><ReportType>Full</ReportType>\
             </ReportDetails></ReportHeader><ReportBody><StateMessage MessageTime=\"20240101000000.000000+000\">\
             <Topic ID=\"{}\" Type=\"500\" IDType=\"3\"/><State ID=\"2\" Criticality=\"0\"/></StateMessage>\
             </ReportBody></Report>",
            self.id,
            guid(self.rng.u128(..))
        );
        self.message("MP_RelayEndpoint", &report, &mut step, any).await?;
        Ok(step)
    }

    /// Sends a heartbeat discovery record.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn heartbeat(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let name = &self.id[..8];
        let report = format!(
            "<Report><ReportHeader><Identification><Machine><ClientInstalled>1</ClientInstalled><ClientType>1\
             </ClientType><ClientID>GUID:{}</ClientID><NetBIOSName>{name}</NetBIOSName></Machine></Identification>\
             <ReportDetails><ReportContent>Inventory Data</ReportContent><ReportType>Full</ReportType>\
             </ReportDetails><InventoryAction ActionType=\"Predefined\"><Description>Discovery</Description>\
             </InventoryAction></ReportHeader><ReportBody><Instance Class=\"CCM_DiscoveryData\"><IPAddress>{}\
             </IPAddress><Domain>lab.test</Domain></Instance></ReportBody></Report>",
            self.id, self.line.way.source
        );
        self.message("MP_DdrEndpoint", &report, &mut step, any).await?;
        Ok(step)
    }

    /// Asks where a package is.
    ///
    /// # Errors
    /// No answer, or none that names the package.
    pub async fn content_location(&mut self, content_id: &str) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let request = format!(
            "<ContentLocationRequest SchemaVersion=\"1.00\" BGRVersion=\"1\">\
             <Package ID=\"{content_id}\" Version=\"1\"/>\
             <ClientLocationInfo LocationType=\"SMSPackage\" AllowHTTP=\"1\">\
             <IPAddresses><IPAddress Address=\"{}\"/></IPAddresses></ClientLocationInfo></ContentLocationRequest>",
            self.line.way.source
        );
        let named = |reply: &Message| {
            let why = || format!("the location reply does not name {content_id}");
            needs(reply.payload.as_bytes(), format!("/SMS_DP_SMSPKG$/{content_id}").as_bytes(), why)
        };
        self.message("MP_LocationManager", &request, &mut step, named).await?;
        Ok(step)
    }

    /// Says to the fallback status point that a management point cannot be reached.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn fsp_message(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let report =
            format!("<FspMessage><ClientID>GUID:{}</ClientID><State ID=\"1\" Topic=\"800\"/></FspMessage>", self.id);
        let ask =
            Ask::new(Method::POST, "/SMS_FSP/.sms_fsp").body(Bytes::from(report)).header("content-type", "text/xml");
        self.good(&ask, &mut step, |_| Ok(())).await?;
        Ok(step)
    }

    /// Sends a message until it is answered, always under the same id: a server that got it before knows it again. A reply
    /// that `judge` refuses was no good answer.
    pub(super) async fn message(
        &mut self,
        endpoint: &str,
        payload: &str,
        step: &mut Step,
        judge: impl Fn(&Message) -> Result<(), ClientError>,
    ) -> Result<Message, ClientError> {
        let id = guid(self.rng.u128(..));
        let header = Envelope { id: &id, client: &self.id, endpoint, host: &self.line.way.host }.header(payload.len());
        let ask = Ask::extension("CCM_POST", "/ccm_system/request")
            .body(message::encode(&header, payload))
            .header("content-type", message::CONTENT_TYPE)
            .header("user-agent", "ccmhttp");
        let read = |answer: Answer| {
            let reply = reply(&ask, endpoint, &answer)?;
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

/// The reply in an answer to a message.
fn reply(ask: &Ask, endpoint: &str, answer: &Answer) -> Result<Message, ClientError> {
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
