//! A scan for software updates, in the order of the update protocol: configuration, cookies, rounds of updates that are new,
//! what these are, and how it went.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::exchange::Ask;
use super::messaging::needs;
use super::subject::Subject;
use super::{Answer, Client, ClientError, Step};
use crate::message::element;

const MAX_RESTARTS: u32 = 3;
/// A server has no more that is new.
const MAX_ROUNDS: u32 = 1000;
/// Updates that are asked for in one call.
const DETAILS: usize = 50;
/// Updates that a client knows from earlier scans and names in each round: some 5 KiB, which is an assumption.
const CACHED: u32 = 300;
/// Their numbers are beyond those of new ones.
const FIRST_CACHED: u32 = 1_000_000;

/// What a client knows of the server that it scans on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Nothing: it has never scanned there, and fetches all that the server has.
    First,
    /// It has scanned there before, and fetches what is new.
    Again,
}

/// A service of a software update point.
struct Service {
    page: &'static str,
    namespace: &'static str,
}

const CLIENT: Service = Service {
    page: "/ClientWebService/client.asmx",
    namespace: "http://www.microsoft.com/SoftwareDistribution/Server/ClientWebService",
};
const SIMPLE_AUTH: Service = Service {
    page: "/SimpleAuthWebService/SimpleAuth.asmx",
    namespace: "http://www.microsoft.com/SoftwareDistribution/Server/SimpleAuthWebService",
};
const REPORTING: Service = Service {
    page: "/ReportingWebService/ReportingWebService.asmx",
    namespace: "http://www.microsoft.com/SoftwareDistribution",
};

fn call(service: &Service, subject: Subject, content: &str) -> Ask {
    let (action, namespace) = (action(subject), service.namespace);
    let envelope = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope \
         xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
         <{action} xmlns=\"{namespace}\">{content}</{action}></soap:Body></soap:Envelope>"
    );
    Ask::new(Method::POST, service.page)
        .about(subject)
        .body(Bytes::from(envelope))
        .header("content-type", "text/xml; charset=utf-8")
        .header("soapaction", &format!("\"{namespace}/{action}\""))
        .header("user-agent", "Windows-Update-Agent")
}

/// The name of a call.
fn action(subject: Subject) -> &'static str {
    subject.name().trim_start_matches("scan ")
}

/// The text of an answer to this call, if it is one.
fn answers(subject: Subject) -> impl Fn(Answer) -> Result<String, ClientError> {
    let action = action(subject);
    move |answer| {
        needs(&answer.body, format!("{action}Response").as_bytes(), || format!("the answer to {action} is none"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// This element of an answer to this call.
fn with(subject: Subject, name: &'static str) -> impl Fn(Answer) -> Result<String, ClientError> {
    move |answer| {
        let text = answers(subject)(answer)?;
        let why = || ClientError::Protocol(format!("the answer to {} has no {name}", action(subject)));
        element(&text, name).map(str::to_owned).ok_or_else(why)
    }
}

/// The numbers of the updates in an answer to `SyncUpdates`.
fn updates(text: &str) -> Vec<u32> {
    let infos = text.split("<UpdateInfo>").skip(1);
    infos.filter_map(|info| element(info, "ID")?.parse().ok()).collect()
}

fn is_fault(answer: &Answer, code: &str) -> bool {
    answer.status == StatusCode::INTERNAL_SERVER_ERROR
        && element(&String::from_utf8_lossy(&answer.body), "ErrorCode") == Some(code)
}

fn numbers(name: &str, numbers: impl Iterator<Item = u32>) -> String {
    let mut xml = format!("<{name}>");
    for number in numbers {
        write!(xml, "<int>{number}</int>").expect("writing to a string cannot fail");
    }
    write!(xml, "</{name}>").expect("writing to a string cannot fail");
    xml
}

/// What a scan came to on one server.
enum Scanned {
    Done,
    BeginAgain,
}

/// The cookie of a scan, as each call has it.
struct Cookie(String);

impl Cookie {
    fn call(&self, subject: Subject, content: &str) -> Ask {
        let cookie = format!("<cookie><EncryptedData>{}</EncryptedData></cookie>{content}", self.0);
        call(&CLIENT, subject, &cookie)
    }
}

impl Client {
    /// Scans for updates. A server that does not know the cookie makes the client begin again, as on one where it has never
    /// been.
    ///
    /// # Errors
    /// A call failed for another reason, or no server knew its own cookies.
    pub async fn scan(&mut self, scan: Scan) -> Result<Step, ClientError> {
        let mut step = Step::default();
        let version = |answer: Answer| needs(&answer.body, b"<", || "the version file is no XML".to_owned());
        let ask = Ask::get("/ClientWebService/wusserverversion.xml").about(Subject::ScanVersion);
        self.good(&ask, &mut step, version).await?;
        let mut scan = scan;
        for _ in 0..=MAX_RESTARTS {
            match self.scan_once(scan, &mut step).await? {
                Scanned::Done => return Ok(step),
                Scanned::BeginAgain => step.restarted += 1,
            }
            scan = Scan::First;
        }
        Err(ClientError::Protocol(format!("no cookie was good, {MAX_RESTARTS} times over")))
    }

    async fn scan_once(&mut self, scan: Scan, step: &mut Step) -> Result<Scanned, ClientError> {
        let wish = "<protocolVersion>2.50</protocolVersion>";
        let config = call(&CLIENT, Subject::ScanConfig, wish);
        let config = self.good(&config, step, answers(Subject::ScanConfig)).await?;
        let has_to_register = element(&config, "IsRegistrationRequired") == Some("true");
        let computer =
            format!("<clientId>{}</clientId><targetGroupName/><dnsName>{}</dnsName>", self.id, &self.id[..8]);
        let authorize = call(&SIMPLE_AUTH, Subject::ScanAuthorization, &computer);
        let proof = self.good(&authorize, step, with(Subject::ScanAuthorization, "CookieData")).await?;
        // A server takes a client's word for that it has been there.
        let before = match scan {
            Scan::First => "",
            Scan::Again => "<oldCookie><Expiration>2034-01-01T00:00:00Z</Expiration></oldCookie>",
        };
        let wish = format!("<authCookies><CookieData>{proof}</CookieData></authCookies>{before}{wish}");
        let ask = call(&CLIENT, Subject::ScanCookie, &wish);
        let cookie = Cookie(self.good(&ask, step, with(Subject::ScanCookie, "EncryptedData")).await?);
        if has_to_register && scan == Scan::First {
            let name = &self.id[..8];
            let info = format!(
                "<computerInfo><DnsName>{name}.lab.test</DnsName><OSMajorVersion>10</OSMajorVersion></computerInfo>"
            );
            if self.with_cookie(&cookie, Subject::ScanRegistration, &info, step).await?.is_none() {
                return Ok(Scanned::BeginAgain);
            }
        }
        let Some(new) = self.rounds(&cookie, scan, step).await? else { return Ok(Scanned::BeginAgain) };
        for some in new.chunks(DETAILS) {
            let wish = numbers("revisionIDs", some.iter().copied());
            if self.with_cookie(&cookie, Subject::ScanDetails, &wish, step).await?.is_none() {
                return Ok(Scanned::BeginAgain);
            }
        }
        let report = format!(
            "<eventBatch><ReportingEvent><EventID>147</EventID><Found>{}</Found></ReportingEvent></eventBatch>",
            new.len()
        );
        self.good(&call(&REPORTING, Subject::ScanReport, &report), step, answers(Subject::ScanReport)).await?;
        Ok(Scanned::Done)
    }

    /// Asks what is new until nothing is, and returns the numbers of all that was; `None` if the server does not know the
    /// cookie.
    async fn rounds(&mut self, cookie: &Cookie, scan: Scan, step: &mut Step) -> Result<Option<Vec<u32>>, ClientError> {
        let cached = match scan {
            Scan::First => 0,
            Scan::Again => CACHED,
        };
        let cached = numbers("InstalledNonLeafUpdateIDs", (0..cached).map(|number| FIRST_CACHED + number));
        let mut new: Vec<u32> = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let known = numbers("OtherCachedUpdateIDs", new.iter().copied());
            let wish = format!("<parameters>{cached}{known}</parameters>");
            let Some(text) = self.with_cookie(cookie, Subject::ScanSync, &wish, step).await? else { return Ok(None) };
            let before = new.len();
            new.extend(updates(&text));
            if new.len() == before {
                return Ok(Some(new));
            }
        }
        Err(ClientError::Protocol(format!("there was something new {MAX_ROUNDS} times over")))
    }

    /// The text of the answer to a call with a cookie; `None` if the server does not know the cookie.
    async fn with_cookie(
        &mut self,
        cookie: &Cookie,
        subject: Subject,
        content: &str,
        step: &mut Step,
    ) -> Result<Option<String>, ClientError> {
        let ask = cookie.call(subject, content);
        let judge = |answer: Answer| match answer.status.is_success() {
            true => answers(subject)(answer).map(Some),
            false if is_fault(&answer, "InvalidCookie") || is_fault(&answer, "ServerChanged") => Ok(None),
            false => Err(ask.status_error(&answer)),
        };
        self.line.judged(&ask, step, judge).await
    }
}
