//! Before a run: whether the target is there and has what the scenario needs.
//!
//! What is missing is said at once with what to do about it. That is nobody who listens or speaks HTTP, a role for which the
//! answer is 404, 502 or 503, or 403, which is for clients that have to show a certificate, and content that is not there or
//! is refused in this way. Other errors are no reason not to begin: they may be what is to be measured.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::activity::Activity;
use super::desk::Target;
use super::probe::look;
use super::scenario::Fleet;
use crate::client::{Access, Answer, Client, ClientError};
use crate::content::Package;
use crate::dial::dial_secured;
use crate::record::{ConnectFault, Failure};

/// Nobody waits longer for an answer before a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// No more packages are named.
const NAMED: usize = 5;

/// What there is of what a fleet needs.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The run makes no sense: sentences that say why, and what to do.
    pub wrong: Vec<String>,
    /// It does, but something is to be known.
    pub notes: Vec<String>,
    /// The packages that are there.
    pub content: Vec<Arc<Package>>,
    /// What the target has nobody for, as many sites do not: the run makes sense without.
    pub left_out: Vec<Activity>,
}

/// Asks the target for what the scenario needs, once each.
pub async fn check(fleet: &Fleet, target: &Target) -> Found {
    let mut found = Found { content: fleet.content.clone(), ..Found::default() };
    for group in fleet.groups.iter().filter(|group| group.share > 0.0) {
        let mut client = client(fleet, target, group.address(0));
        match client.request(Method::GET, "/SMS_MP/.sms_aut?MPCERT", Bytes::new()).await {
            Ok(answer) => found.wrong.extend(elsewhere(&answer, target)),
            Err(error) => found.wrong.push(unreachable(&error, fleet, target, group.address(0)).await),
        }
        if !found.wrong.is_empty() {
            return found;
        }
    }
    let source = fleet.groups.iter().find(|group| group.share > 0.0).and_then(|group| group.address(0));
    let mut client = client(fleet, target, source);
    let roles = [("MP", "/SMS_MP/.sms_aut?MPLIST"), ("SUP", "/ClientWebService/wusserverversion.xml")];
    for (role, path) in roles {
        if needs(fleet, role) {
            let status = answer(&mut client, &Method::GET, path).await;
            found.role(fleet, role, path, &status);
        }
    }
    found.luxuries(fleet, &mut client).await;
    if needs(fleet, "DP") {
        found.packages(fleet, &mut client).await;
    }
    found.notification(fleet, target).await;
    found
}

fn needs(fleet: &Fleet, role: &str) -> bool {
    Activity::ALL.into_iter().any(|activity| activity.role() == role && fleet.does(activity))
}

fn client(fleet: &Fleet, target: &Target, source: Option<IpAddr>) -> Client {
    let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let client = Client::new(source, target.address, &target.host, 0).with_timeout(PATIENCE.min(fleet.timeout));
    match &target.tls {
        Some(tls) => client.with_connector(tls.clone()),
        None => client,
    }
}

async fn answer(client: &mut Client, method: &Method, path: &str) -> Result<StatusCode, ClientError> {
    client.request(method.clone(), path, Bytes::new()).await.map(|answer| answer.status)
}

/// That the target sends its clients away, if it does.
fn elsewhere(answer: &Answer, target: &Target) -> Option<String> {
    let to = answer.headers.get("location").and_then(|to| to.to_str().ok());
    let to = to.filter(|_| answer.status.is_redirection())?;
    Some(format!(
        "{} sends its clients elsewhere ({} to {to}), where clients of ConfigMgr do not go: give the address that they use",
        target.address, answer.status
    ))
}

async fn unreachable(error: &ClientError, fleet: &Fleet, target: &Target, source: Option<IpAddr>) -> String {
    let from = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let tls = target.tls.as_ref().map(|tls| (tls, target.host.as_str()));
    let advice = match error {
        ClientError::Connect { source: why, .. } => match (Failure::of_opening(why), why.kind()) {
            (Failure::Connect(ConnectFault::Refused), _) => {
                "nothing listens there: start the proxy, or a site with 'site --system all=MP+DP+SUP@ADDRESS --content \
                 PKG00001:4x256KiB'"
            }
            (_, ErrorKind::AddrNotAvailable | ErrorKind::InvalidInput) => {
                "clients cannot come from that address: give the [[groups]] addresses of this machine, or --no-sources"
            }
            (Failure::Tls(fault), _) => Failure::Tls(fault)
                .advice()
                .unwrap_or("check whether it speaks TLS, and ca, certificate and key under [tls]"),
            _ => "check the address and what is in between, or give --no-sources if clients have addresses of loopback",
        }
        .to_owned(),
        ClientError::Timeout { .. } => "it takes connections and does not answer: check that it speaks HTTP".to_owned(),
        ClientError::Cut { how: Failure::Tls(fault), .. } => {
            Failure::Tls(*fault).advice().unwrap_or("check certificate and key under [tls]").to_owned()
        }
        _ => look(from, target.address, tls, PATIENCE.min(fleet.timeout)).await.unwrap_or_else(|| {
            "it does not speak HTTP as it should: check the address, and whether it is http or https".to_owned()
        }),
    };
    let from = source.map(|source| format!(" from {source}")).unwrap_or_default();
    format!("{} cannot be used{from}: {error}; {advice}", target.address)
}

/// Whether a status says that nobody there serves such a request.
const fn is_nobody(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY)
}

/// The first of these, and how many more there are.
fn few(names: &[&str]) -> String {
    let shown = &names[..names.len().min(NAMED)];
    let more = names.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

impl Found {
    fn role(&mut self, fleet: &Fleet, role: &str, path: &str, status: &Result<StatusCode, ClientError>) {
        let its = Activity::ALL.into_iter().filter(|activity| activity.role() == role && fleet.does(*activity));
        let off: Vec<_> = its.map(|activity| format!("--set activities.{activity}.share=0")).collect();
        match status {
            Ok(status) if is_nobody(*status) => self.wrong.push(format!(
                "nobody answers for the role {role} ({status} for {path}): let a site system hold it, leave it out with {}, \
                 or begin all the same with --no-check",
                off.join(" ")
            )),
            Ok(StatusCode::FORBIDDEN) => self.wrong.push(format!(
                "{role} refuses clients (403 Forbidden for {path}): it may want https, and a certificate that it takes \
                 (--certificate and --key); leave it out with {}, or begin all the same with --no-check",
                off.join(" ")
            )),
            Ok(status) if !status.is_success() => {
                self.notes.push(format!("{role} answers {path} with {status}: errors are to be expected"));
            }
            Ok(_) => {}
            Err(error) => self.notes.push(format!("{role}: {error}: errors are to be expected")),
        }
    }

    /// What a site need not have: a fallback status point, Windows authentication and tokens for users.
    async fn luxuries(&mut self, fleet: &Fleet, client: &mut Client) {
        let by_token = "/CCM_System_TokenAuth/";
        let users = match fleet.details.user_access {
            Access::Token => by_token,
            Access::Anonymous | Access::Windows => "/CCM_System_WindowsAuth/",
        };
        let fallback = "/SMS_FSP/.sms_fsp";
        for (activity, path) in [(Activity::UserPolicy, users), (Activity::FallbackStatus, fallback)] {
            if !fleet.does(activity) {
                continue;
            }
            match answer(client, &Method::GET, path).await {
                Ok(status) if is_nobody(status) => {
                    self.notes.push(format!("nobody answers {path} ({status}), so that {activity} is left out"));
                    self.left_out.push(activity);
                }
                _ => {}
            }
        }
        if fleet.token > 0.0
            && let Ok(status) = answer(client, &Method::GET, by_token).await
            && is_nobody(status)
        {
            self.wrong.push(format!(
                "nobody answers {by_token} ({status}), where clients with a token go: leave them out with --set token=0"
            ));
        }
    }

    async fn packages(&mut self, fleet: &Fleet, client: &mut Client) {
        let Ok(propfind) = Method::from_bytes(b"PROPFIND") else { return };
        let mut there = Vec::new();
        let (mut missing, mut refused) = (Vec::new(), Vec::new());
        for package in std::mem::take(&mut self.content) {
            match answer(client, &propfind, &format!("/SMS_DP_SMSPKG$/{}", package.id())).await {
                Ok(StatusCode::NOT_FOUND) => missing.push(package.id().to_owned()),
                Ok(StatusCode::FORBIDDEN) => refused.push(package.id().to_owned()),
                Ok(status) if is_nobody(status) => return self.role(fleet, "DP", "a listing of content", &Ok(status)),
                _ => there.push(package),
            }
        }
        if there.is_empty() && !refused.is_empty() {
            let listing = format!("a listing of {}", refused.join(", "));
            return self.role(fleet, "DP", &listing, &Ok(StatusCode::FORBIDDEN));
        }
        if there.is_empty() {
            self.wrong.push(format!(
                "no distribution point has any of the content: {}. Distribute one of them (site: --content \
                 PKG00001:4x256KiB), name what there is as [[content]] or with --content ID:COUNTxSIZE, or leave \
                 downloads out with --set activities.content.share=0",
                missing.join(", ")
            ));
        } else {
            let names: Vec<_> = there.iter().map(|package| package.id()).collect();
            self.notes.push(format!("content: {}", few(&names)));
            let refused: Vec<_> = refused.iter().map(String::as_str).collect();
            if !refused.is_empty() {
                self.notes.push(format!("content that is refused, and left out: {}", few(&refused)));
            }
        }
        self.content = there;
    }

    pub(super) async fn notification(&mut self, fleet: &Fleet, target: &Target) {
        match target.notification {
            Some(address) => {
                let tls = target.notification_tls(fleet);
                let connecting = dial_secured(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address, tls);
                let failed = match tokio::time::timeout(PATIENCE, connecting).await {
                    Ok(Ok(_)) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "no answer".to_owned(),
                };
                let advice = match tls {
                    None => "",
                    Some(_) => " --tls-notification, and --set notification.tls=false is for one without TLS",
                };
                self.wrong.push(format!(
                    "client notification cannot be reached at {address}: {failed}; a site listens for it with \
                     'site --system bgb=BGB@{address}'{advice}"
                ));
            }
            None if fleet.notification.needed => self.wrong.push(
                "the scenario is about client notification: say where it is with --notification 127.0.0.1:10123"
                    .to_owned(),
            ),
            None if !fleet.does_anything() => self.wrong.push(
                "nobody does anything in this scenario but to hold a connection for client notification: say where it is \
                 with --notification 127.0.0.1:10123, or give it activities with a period, or a storm"
                    .to_owned(),
            ),
            None if fleet.notification.share > 0.0 => {
                self.notes.push("no client notification: --notification 127.0.0.1:10123 would add it".to_owned());
            }
            None => {}
        }
    }
}
