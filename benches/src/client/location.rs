//! Where a client asks where things are.

use super::messaging::{Post, needs};
use super::subject::Subject;
use super::{Client, ClientError, Step};
use crate::message::Message;

/// Who answers such questions.
const ENDPOINT: &str = "MP_LocationManager";

impl Client {
    /// Asks which management points there are, what site it is, and which software update points there are: what a client
    /// asks again about once a day.
    ///
    /// # Errors
    /// No answer, or none to what was asked.
    pub async fn locations(&mut self) -> Result<Step, ClientError> {
        let mut step = Step::default();
        for (subject, root) in [
            (Subject::ManagementPointLocation, "EnumerateMPLocation"),
            (Subject::SiteInformation, "SiteInformation"),
            (Subject::UpdatePointLocation, "WSUSLocation"),
        ] {
            let request = format!(
                "<{root}Request SchemaVersion=\"1.00\"><AssignedSite SiteCode=\"P01\"/><ClientLocationInfo>{}\
                 </ClientLocationInfo></{root}Request>",
                self.addresses()
            );
            let answered = |reply: &Message| {
                let why = || format!("the answer to {root}Request is none");
                needs(reply.payload.as_bytes(), format!("<{root}Reply").as_bytes(), why)
            };
            self.message(Post { subject, endpoint: ENDPOINT, payload: &request }, &mut step, answered).await?;
        }
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
             <ClientLocationInfo LocationType=\"SMSPackage\" AllowHTTP=\"1\">{}</ClientLocationInfo>\
             </ContentLocationRequest>",
            self.addresses()
        );
        let named = |reply: &Message| {
            let why = || format!("the location reply does not name {content_id}");
            needs(reply.payload.as_bytes(), format!("/SMS_DP_SMSPKG$/{content_id}").as_bytes(), why)
        };
        let post = Post { subject: Subject::ContentLocation, endpoint: ENDPOINT, payload: &request };
        self.message(post, &mut step, named).await?;
        Ok(step)
    }

    fn addresses(&self) -> String {
        format!("<IPAddresses><IPAddress Address=\"{}\"/></IPAddresses>", self.line.way.source)
    }
}
