//! What kind of request a line of a log is, as far as its method and its target tell.

use crate::record::SeriesKey;

/// What a target is for: the name of a series in a report, and the role that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// `policy body`.
    pub name: &'static str,
    /// `MP`; empty if that is not known.
    pub role: &'static str,
}

const fn mp(name: &'static str) -> Message {
    Message { name, role: "MP" }
}

const fn dp(name: &'static str) -> Message {
    Message { name, role: "DP" }
}

const fn sup(name: &'static str) -> Message {
    Message { name, role: "SUP" }
}

/// What is not of a site's own paths.
const OTHER: Message = Message { name: "other", role: "" };

/// First parts of paths, in small letters, without what says how a client authenticates.
const APPLICATIONS: [(&str, Message); 13] = [
    ("ccm_system", mp("client message")),
    ("ccm_incoming", mp("upload")),
    ("ccm_client", mp("client installation")),
    ("ccm_sts", mp("token")),
    ("cmuserservice", mp("user service")),
    ("bgb", mp("notification over HTTP")),
    ("clientwebservice", sup("scan")),
    ("simpleauthwebservice", sup("scan authorization")),
    ("reportingwebservice", sup("scan report")),
    ("serversyncwebservice", sup("server synchronization")),
    ("selfupdate", sup("scan version")),
    ("content", sup("update content")),
    ("sms_fsp", Message { name: "fallback status", role: "FSP" }),
];
/// How a client authenticates, at the end or at the beginning of the first part of a path.
const ENDINGS: [&str; 3] = ["_windowsauth", "_tokenauth", "_altauth"];
const BEGINNINGS: [&str; 2] = ["nocert_", "ccmtokenauth_"];

/// The message type of a request. Several that go to the same address are one: what tells them apart is in their bodies.
#[must_use]
pub fn message_of(method: &str, target: &str) -> Message {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.to_ascii_lowercase();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let first = ENDINGS.iter().find_map(|ending| first.strip_suffix(ending)).unwrap_or(first);
    let first = BEGINNINGS.iter().find_map(|beginning| first.strip_prefix(beginning)).unwrap_or(first);
    match first {
        "sms_mp" => of_sms_mp(rest, query),
        "sms_dp_smspkg$" | "sms_dp_smssig$" => of_content(method, first),
        _ => APPLICATIONS.iter().find(|(name, _)| *name == first).map_or(OTHER, |(_, message)| *message),
    }
}

fn of_sms_mp(rest: &str, query: &str) -> Message {
    let verb = query.split('&').next().unwrap_or_default().to_ascii_uppercase();
    match (rest, verb.as_str()) {
        (".sms_pol", _) => mp("policy body"),
        (".sms_dcm", _) => mp("configuration item"),
        (".sms_aut", "MPLIST" | "MPLIST1" | "MPLIST2") => mp("service location"),
        (".sms_aut", "MPCERT") => mp("MP certificate"),
        (".sms_aut", "MPKEYINFORMATION" | "MPKEYINFORMATIONMEDIA" | "SITESIGNCERT") => mp("site key"),
        (".sms_aut", "MPLOCATION") => mp("MP location"),
        _ => mp("MP request"),
    }
}

fn of_content(method: &str, first: &str) -> Message {
    match method {
        _ if first.starts_with("sms_dp_smssig") => dp("signature"),
        "PROPFIND" => dp("content listing"),
        "HEAD" => dp("content size"),
        _ => dp("content"),
    }
}

/// The series of these message types.
pub(super) fn keys(messages: &[Message]) -> Vec<SeriesKey> {
    let key = |message: &Message| SeriesKey {
        message: message.name.to_owned(),
        role: message.role.to_owned(),
        group: String::new(),
    };
    messages.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_say_what_they_are_for() {
        for (method, target, name, role) in [
            ("GET", "/SMS_MP/.sms_aut?MPLIST", "service location", "MP"),
            ("GET", "/sms_mp_altauth/.sms_aut?mpcert", "MP certificate", "MP"),
            ("GET", "/SMS_MP/.sms_pol?{a}.2_00", "policy body", "MP"),
            ("GET", "/SMS_MP/.sms_aut?MPLOCATION&ir=10.0.0.1", "MP location", "MP"),
            ("CCM_POST", "/ccm_system_windowsauth/request", "client message", "MP"),
            ("BITS_POST", "/CCM_Incoming/{a}/{b}", "upload", "MP"),
            ("PROPFIND", "/SMS_DP_SMSPKG$/PKG00001", "content listing", "DP"),
            ("HEAD", "/NOCERT_SMS_DP_SMSPKG$/PKG00001/sccm?/a.exe", "content size", "DP"),
            ("GET", "/CCMTOKENAUTH_SMS_DP_SMSPKG$/PKG00001/a.exe", "content", "DP"),
            ("GET", "/SMS_DP_SMSSIG$/PKG00001.1.tar", "signature", "DP"),
            ("POST", "/ClientWebService/client.asmx", "scan", "SUP"),
            ("GET", "/Content/AB/CD.cab", "update content", "SUP"),
            ("POST", "/SMS_FSP/.sms_fsp", "fallback status", "FSP"),
            ("GET", "/", "other", ""),
            ("GET", "/SMS_MPx/a", "other", ""),
        ] {
            assert_eq!(message_of(method, target), Message { name, role }, "{method} {target}");
        }
    }
}
