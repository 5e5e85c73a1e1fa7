//! What a client asks and tells a management point and a fallback status point.

use bytes::Bytes;
use http::Method;

use super::exchange::Ask;
use super::messaging::{Post, any, needs};
use super::subject::Subject;
use super::{Answer, Client, ClientError, Step};
use crate::message::{Message, guid};

/// Digits of a certificate in hexadecimal: some 900 bytes.
const CERTIFICATE: usize = 1792;
/// And of a signature with a key of 2,048 bits.
const SIGNATURE: usize = 512;
/// A report that is sent in one message is no larger, in characters.
const MAX_REPORT: usize = 1024 * 1024;
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
        let ask = Ask::get("/SMS_MP/.sms_aut?MPLIST").about(Subject::ServiceLocation);
        self.good(&ask, &mut step, judge).await?;
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
        let ask = Ask::get("/SMS_MP/.sms_aut?MPCERT").about(Subject::ManagementPointCertificate);
        self.good(&ask, &mut step, judge).await?;
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
        let endpoint = "MP_ClientRegistration";
        self.message(Post { subject: Subject::Registration, endpoint, payload: &request }, &mut step, registered)
            .await?;
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
        self.relayed(Subject::StateMessage, &report, &mut step).await?;
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
        let post = Post { subject: Subject::Heartbeat, endpoint: "MP_DdrEndpoint", payload: &report };
        self.message(post, &mut step, any).await?;
        Ok(step)
    }

    /// Sends what software was used: a report of about so many bytes before it is packed, 1 MiB at most.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn metering(&mut self, bytes: usize) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let usage = self.noise(bytes.min(MAX_REPORT));
        let report = format!(
            "<Report><ReportHeader><Identification><Machine><ClientID>GUID:{}</ClientID></Machine></Identification>\
             <ReportDetails><ReportContent>Software Metering Data</ReportContent><ReportType>Full</ReportType>\
             </ReportDetails></ReportHeader><ReportBody>{usage}</ReportBody></Report>",
            self.id
        );
        self.relayed(Subject::SoftwareMetering, &report, &mut step).await?;
        Ok(step)
    }

    /// Asks for so many configuration items of applications.
    ///
    /// # Errors
    /// No answer, or one without the item.
    pub async fn configuration_items(&mut self, number: u32) -> Result<Step, ClientError> {
        let mut step = Step::default();
        for _ in 0..number {
            let (application, hash) = (guid(self.rng.u128(..)), self.noise(64));
            let target = format!(
                "{}/.sms_dcm?Id&DocumentId=ScopeId_LAB/RequiredApplication_{application}/1/MANIFEST&Hash={hash}\
                 &Compression=zlib",
                self.access.authority()
            );
            let is_it =
                |answer: Answer| needs(&answer.body, hash.as_bytes(), || "the answer is another document".to_owned());
            self.good(&Ask::get(&target).about(Subject::ConfigurationItem), &mut step, is_it).await?;
        }
        Ok(step)
    }

    /// Sends what the management point passes on: states, inventories, usage.
    pub(super) async fn relayed(&mut self, subject: Subject, report: &str, step: &mut Step) -> Result<(), ClientError> {
        self.message(Post { subject, endpoint: "MP_RelayEndpoint", payload: report }, step, any).await.map(drop)
    }

    /// Says to the fallback status point that a management point cannot be reached.
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn fsp_message(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let report =
            format!("<FspMessage><ClientID>GUID:{}</ClientID><State ID=\"1\" Topic=\"800\"/></FspMessage>", self.id);
        let ask = Ask::new(Method::POST, "/SMS_FSP/.sms_fsp").about(Subject::FallbackStatus);
        let ask = ask.body(Bytes::from(report)).header("content-type", "text/xml");
        self.good(&ask, &mut step, |_| Ok(())).await?;
        Ok(step)
    }
}
