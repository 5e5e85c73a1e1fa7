//! Client messages: `CCM_POST /ccm_system*/request`.

use std::fmt::Write as _;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;
use super::counters::Kind;
use super::policies::Policies;
use super::reply;
use super::request::Asked;
use super::spec::Spec;
use crate::content::{Package, hex};
use crate::message::{self, Message, element, escape};

const METHODS: &str = "CCM_POST, GET, HEAD";

pub(crate) fn answer(asked: &Asked<'_>) -> (Kind, Response<SiteBody>) {
    let request = asked.rest.eq_ignore_ascii_case("/request");
    let response = match asked.method() {
        "CCM_POST" if request => receive(asked),
        "GET" | "HEAD" if asked.rest.is_empty() || asked.rest == "/" => {
            reply::html(StatusCode::FORBIDDEN, "403 - Forbidden: Access is denied.")
        }
        "CCM_POST" | "GET" | "HEAD" => reply::not_found(),
        _ => reply::method_not_allowed(METHODS),
    };
    (Kind::Message, response)
}

/// What a management point says to a message that it refuses or cannot read: 200 and nothing else.
fn refused() -> Response<SiteBody> {
    reply::empty(StatusCode::OK)
}

fn receive(asked: &Asked<'_>) -> Response<SiteBody> {
    if asked.shared.faults.database_is_down() {
        return reply::server_error();
    }
    let Some(message) = asked.header("content-type").and_then(|kind| message::decode(kind, &asked.body.data)) else {
        return refused();
    };
    let (Some(id), Some(endpoint)) = (element(&message.header, "ID"), element(&message.header, "TargetEndpoint"))
    else {
        return refused();
    };
    let spec = &asked.shared.spec;
    let payload = match endpoint {
        "MP_PolicyManager" => assignments(&asked.shared.policies, &message),
        "MP_LocationManager" => location(spec, &message.payload),
        "MP_ClientRegistration" => registration(asked, &message),
        "MP_RelayEndpoint" | "MP_DdrEndpoint" => {
            asked.shared.counters.message(id.trim_matches(['{', '}']));
            Some("<Accepted/>".to_owned())
        }
        "MP_TokenManager" | "MP_ClientIdManager" => Some("<Reply/>".to_owned()),
        _ => None,
    };
    payload.map_or_else(refused, |payload| {
        let header = format!(
            "<Msg SchemaVersion=\"1.1\"><CorrelationID>{id}</CorrelationID><SourceHost>{}</SourceHost>\
             <Hooks><Hook3 Name=\"zlib-compress\"/></Hooks></Msg>",
            escape(&spec.name)
        );
        let mut response = reply::empty(StatusCode::OK);
        *response.body_mut() = SiteBody::memory(message::encode(&header, &payload));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(message::CONTENT_TYPE));
        response
    })
}

/// All policies, or as many as the client's cookie says have changed: a real site reads something else in its cookie.
fn assignments(policies: &Policies, message: &Message) -> Option<String> {
    if !message.payload.contains("<RequestAssignments") {
        return None;
    }
    let client = element(&message.header, "SourceID").unwrap_or_default();
    let changed = element(&message.payload, "ServerCookie").and_then(|cookie| cookie.parse::<usize>().ok());
    let (kind, assigned): (_, Vec<_>) = match changed {
        Some(number) => ("Delta", policies.changed(client, number).collect()),
        None => ("Full", policies.all().collect()),
    };
    let mut xml = format!("<ReplyAssignments SchemaVersion=\"1.00\" ReplyType=\"{kind}\">");
    for policy in assigned {
        let (id, version) = policy.split_once('.').unwrap_or((policy, ""));
        write!(
            xml,
            "<PolicyAssignment PolicyAssignmentID=\"{id}\"><Policy PolicyID=\"{id}\" PolicyVersion=\"{version}\" \
             PolicyCategory=\"SoftwareDistribution\" PolicyFlags=\"0\"><PolicyLocation>\
             <![CDATA[http://<mp>/SMS_MP/.sms_pol?{policy}]]></PolicyLocation></Policy></PolicyAssignment>"
        )
        .expect("writing to a string cannot fail");
    }
    xml.push_str("<ServerCookie>2024-01-01 00:00:00.000</ServerCookie></ReplyAssignments>");
    Some(xml)
}

fn registration(asked: &Asked<'_>, message: &Message) -> Option<String> {
    if !message.payload.contains("<ClientRegistrationRequest") {
        return None;
    }
    let client = element(&message.header, "SourceID").unwrap_or_default();
    let address = asked.client().ip();
    Some(format!(
        "<ClientRegistrationResponse ResponseType=\"Registration\" TimeStamp=\"2024-01-01T00:00:00Z\" Status=\"1\" \
         SMSID=\"{}\" Seen=\"{address}\"/>",
        escape(client)
    ))
}

fn location(spec: &Spec, request: &str) -> Option<String> {
    let site = escape(&spec.site_code);
    if request.contains("<ContentLocationRequest") {
        return Some(content_location(spec, request, &site));
    }
    if request.contains("<WSUSLocationRequest") {
        return Some(format!(
            "<WSUSLocationReply SchemaVersion=\"1.00\"><Sites><Site><MPSite SiteCode=\"{site}\"/><LocationRecords>\
             <LocationRecord WSUSURL=\"http://{0}:8530\" ServerName=\"{0}\" Version=\"38\"/></LocationRecords></Site>\
             </Sites></WSUSLocationReply>",
            escape(&spec.name)
        ));
    }
    let known = [
        "EnumerateMPLocationRequest",
        "SiteInformationRequest",
        "AssignedSiteRequest",
        "UpdateSFRequest",
        "TokenServicesRequest",
    ];
    let root = known.into_iter().find(|root| request.contains(&format!("<{root}")))?;
    let reply = root.replace("Request", "Reply");
    let mut xml = format!("<{reply} SchemaVersion=\"1.00\"><Site SiteCode=\"{site}\"/>");
    for name in spec.management_points.load().iter() {
        write!(xml, "<ManagementPoint Name=\"{}\"/>", escape(name)).expect("writing to a string cannot fail");
    }
    write!(xml, "</{reply}>").expect("writing to a string cannot fail");
    Some(xml)
}

fn content_location(spec: &Spec, request: &str, site: &str) -> String {
    let id = request.split("<Package ID=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let mut xml = String::from("<ContentLocationReply SchemaVersion=\"1.00\">");
    let package = spec.content.package(id);
    if let Some(file) = package.and_then(|package| package.files().first()).filter(|file| file.size() <= 1024 * 1024) {
        // Hashing a large file here would hold every other request up.
        write!(
            xml,
            "<ContentInfo PackageFlags=\"0\"><ContentHashValues><Hash Algorithm=\"32780\" HashString=\"{}\" \
             HashPreference=\"4\"/></ContentHashValues></ContentInfo>",
            hex(&file.hash())
        )
        .expect("writing to a string cannot fail");
    }
    write!(
        xml,
        "<Sites><Site><MPSite SiteCode=\"{site}\" MasterSiteCode=\"{site}\" SiteLocality=\"LOCAL\" \
         IISPreferedPort=\"80\" IISSSLPreferedPort=\"443\"/><LocationRecords>"
    )
    .expect("writing to a string cannot fail");
    let signature = escape(&package.map_or_else(|| format!("{id}.1.tar"), Package::signature_name));
    for point in spec.distribution_points.load().iter() {
        let (point, id) = (escape(point), escape(id));
        write!(
            xml,
            "<LocationRecord><URL Name=\"http://{point}/SMS_DP_SMSPKG$/{id}\" \
             Signature=\"http://{point}/SMS_DP_SMSSIG$/{signature}\" Capability=\"0\"/><Version>8239</Version>\
             <ServerRemoteName>{point}</ServerRemoteName><DPType>SERVER</DPType><Locality>LOCAL</Locality>\
             </LocationRecord>"
        )
        .expect("writing to a string cannot fail");
    }
    xml.push_str("</LocationRecords></Site></Sites></ContentLocationReply>");
    xml
}
