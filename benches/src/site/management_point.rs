//! Management point: `.sms_aut`, `.sms_pol`, `.sms_dcm`, client files and the HTTP form of client notification.

use std::fmt::Write as _;
use std::sync::OnceLock;

use http::{Response, StatusCode};

use super::body::SiteBody;
use super::counters::Kind;
use super::files::serve;
use super::policies::site_guid;
use super::reply;
use super::request::Asked;
use super::spec::Spec;
use crate::content::{ContentFile, hex};
use crate::message::escape;
use crate::mix::{mix, mix_text};

const VERSION: &str = "9128";
const CLIENT_SETUP: u64 = 3 * 1024 * 1024;

pub(crate) fn authority(asked: &Asked<'_>) -> (Kind, Response<SiteBody>) {
    if !matches!(asked.method(), "GET" | "HEAD") {
        return (Kind::Authority, reply::method_not_allowed("GET, HEAD"));
    }
    let rest = asked.rest;
    if rest.eq_ignore_ascii_case("/.sms_aut") {
        (Kind::Authority, query(asked))
    } else if rest.eq_ignore_ascii_case("/.sms_pol") {
        (Kind::Policy, policy(asked))
    } else if rest.eq_ignore_ascii_case("/.sms_dcm") {
        (Kind::ConfigurationItem, configuration_item(asked))
    } else {
        (Kind::Authority, reply::not_found())
    }
}

fn query(asked: &Asked<'_>) -> Response<SiteBody> {
    let spec = &asked.shared.spec;
    let (verb, argument) = asked.query().split_once('&').unwrap_or((asked.query(), ""));
    let verb = verb.to_ascii_uppercase();
    let needs_database =
        verb.starts_with("MPLIST") || verb.starts_with("MPKEY") || verb == "MPLOCATION" || verb == "GETCLIENTAFFINITY";
    if needs_database && asked.shared.faults.database_is_down() {
        return reply::server_error();
    }
    match verb.as_str() {
        "MPLIST" => reply::xml(list(spec, None)),
        "MPLIST1" | "MPLIST2" if argument.is_empty() || argument.eq_ignore_ascii_case(&spec.site_code) => {
            reply::xml(list(spec, Some(&spec.site_code)))
        }
        "MPLIST1" | "MPLIST2" => reply::xml("<MPList></MPList>"),
        "MPCERT" => reply::xml(format!("<MPCertificate>{}</MPCertificate>", certificate(&spec.name))),
        "MPKEYINFORMATION" => reply::xml(format!(
            "<MPKEYINFORMATION><FQDN>{}</FQDN><SITECODE>{}</SITECODE><CERTIFICATE>{}</CERTIFICATE></MPKEYINFORMATION>",
            escape(&spec.name),
            escape(&spec.site_code),
            certificate(&spec.name)
        )),
        "MPKEYINFORMATIONMEDIA" => reply::xml(format!(
            "<MPKEYINFORMATION><SITECODE>{}</SITECODE><UnknownMachines x86UnknownMachineGUID=\"{}\" \
             x64UnknownMachineGUID=\"{}\"/></MPKEYINFORMATION>",
            escape(&spec.site_code),
            site_guid(&spec.site_code, 86),
            site_guid(&spec.site_code, 64)
        )),
        "SITESIGNCERT" => reply::xml(format!(
            "<SiteSigningCert><X509Certificate>{}</X509Certificate></SiteSigningCert>",
            certificate(&spec.site_code)
        )),
        "SMSTRC" => reply::xml(format!("<SMSTRC><MP Name=\"{}\"/></SMSTRC>", escape(&spec.name))),
        "MPLOCATION" => reply::xml(list(spec, Some(&spec.site_code))),
        "GETCLIENTAFFINITY" => reply::xml(format!("<ClientAffinity ID=\"{}\"/>", escape(argument))),
        _ => reply::html(StatusCode::BAD_REQUEST, "400 - Bad request."),
    }
}

fn list(spec: &Spec, site_code: Option<&str>) -> String {
    let mut xml = String::from("<MPList>");
    for fqdn in spec.management_points.load().iter() {
        let name = fqdn.split('.').next().unwrap_or(fqdn).to_ascii_uppercase();
        let site = site_code.map_or_else(String::new, |code| format!(" SiteCode=\"{}\"", escape(code)));
        write!(
            xml,
            "<MP Name=\"{}\" FQDN=\"{}\"{site}><Version>{VERSION}</Version><Capabilities SchemaVersion=\"1.0\">\
             <Property Name=\"SSLState\" Value=\"0\"/></Capabilities></MP>",
            escape(&name),
            escape(fqdn)
        )
        .expect("writing to a string cannot fail");
    }
    xml.push_str("</MPList>");
    xml
}

fn certificate(of: &str) -> String {
    let seed = mix_text(0x3082, of);
    (0..96).fold(String::from("3082"), |text, word| text + &hex(&mix(seed ^ word).to_be_bytes()))
}

fn policy(asked: &Asked<'_>) -> Response<SiteBody> {
    if asked.shared.faults.database_is_down() {
        return reply::server_error();
    }
    let body = asked.shared.policies.body(asked.query());
    body.map_or_else(reply::not_found, |body| reply::with(StatusCode::OK, "text/xml; charset=utf-16", body))
}

fn configuration_item(asked: &Asked<'_>) -> Response<SiteBody> {
    if asked.shared.faults.database_is_down() {
        return reply::server_error();
    }
    let fields = || asked.query().split('&').filter_map(|field| field.split_once('='));
    let field = |name: &str| fields().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match (field("DocumentId"), field("Hash")) {
        (Some(document), Some(hash)) if hash.len() == 64 => {
            let xml = format!("<Document Id=\"{}\" Hash=\"{}\"/>", escape(document), escape(hash));
            reply::with(StatusCode::OK, "application/octet-stream", xml)
        }
        _ => reply::not_found(),
    }
}

pub(crate) fn client_files(asked: &Asked<'_>) -> Response<SiteBody> {
    static SETUP: OnceLock<[ContentFile; 2]> = OnceLock::new();
    let files = SETUP.get_or_init(|| {
        [("ccmsetup.exe", CLIENT_SETUP), ("ccmsetup.cab", 16 * 1024)]
            .map(|(name, size)| ContentFile::new("CCM_Client", name, size))
    });
    if asked.header("accept").is_some_and(|accept| accept.eq_ignore_ascii_case("application/json")) {
        return reply::html(StatusCode::NOT_ACCEPTABLE, "406 - Client browser does not accept the MIME type.");
    }
    let name = asked.rest.trim_start_matches('/');
    match files.iter().find(|file| file.name().eq_ignore_ascii_case(name)) {
        Some(file) => serve(asked, file),
        None => reply::not_found(),
    }
}

pub(crate) fn notification(asked: &Asked<'_>) -> Response<SiteBody> {
    if !asked.rest.eq_ignore_ascii_case("/handler.ashx") {
        return reply::not_found();
    }
    reply::xml(format!("<BgbResponse Server=\"{}\"/>", escape(&asked.shared.spec.name)))
}
