//! What `rolegate check` says about a client certificate of ours: whom it is lent to, and whether it serves any client.
#![allow(clippy::unwrap_used, missing_docs)]

use handshake::{Pki, lasting};
use marks::{SITE, look, warning};
use rolegate_bench::pki::Wanted;

#[path = "control_support/handshake.rs"]
mod handshake;
#[path = "control_support/marks.rs"]
mod marks;

/// Files, and what is made of them.
struct Lab {
    pki: Pki,
    /// `client_certificate` and `client_key`, the first with marks.
    own: String,
    listener: String,
}

impl Lab {
    fn new() -> Self {
        let pki = Pki::new();
        let ours = pki.authority.issue(&lasting(Wanted::client("rolegate")));
        let certificate = pki.write("ours.crt", &ours.certificate_pem);
        let own =
            format!("client_certificate = «{certificate}»\nclient_key = {}\n", pki.write("ours.key", &ours.key_pem));
        let listener = pki.entry("listener", &pki.server(&["mp1.lab.test"]));
        Self { pki, own, listener }
    }

    /// Two listeners with these roles, a plain one and one that asks for certificates like this.
    fn site(&self, plain: &str, asking: &str, mode: &str, rest: &str) -> String {
        let ca = self.pki.path("ca.crt");
        let mut text = format!("{SITE}[tls]\nca_file = {ca}\n");
        if !plain.is_empty() {
            text += &format!("[[listeners]]\nname = \"http\"\naddress = \"0.0.0.0:80\"\nroles = [{plain}]\n");
        }
        if !asking.is_empty() {
            text += &format!(
                "[[listeners]]\nname = \"https\"\naddress = \"0.0.0.0:443\"\nroles = [{asking}]\n[listeners.tls]\n\
                 certificates = [{}]\n{mode}\n",
                self.listener
            );
        }
        text + rest
    }

    fn asks(&self, mode: &str) -> String {
        format!("client_certificates = \"{mode}\"\nclient_ca_file = {}", self.pki.path("ca.crt"))
    }

    fn shared(&self, text: &str) -> String {
        text.replace("[tls]\n", &format!("[tls]\n{}", self.own))
    }
}

const MP: &str = "[roles.MP]\ntls = true\n[[site_systems]]\nname = \"mp1.lab.test\"\nroles = [\"MP\"]\n";
const BOTH: &str = "[roles.MP]\ntls = true\n[roles.DP]\ntls = true\n\
                    [[site_systems]]\nname = \"mp1.lab.test\"\nroles = [\"MP\", \"DP\"]\n";

fn unmarked(text: &str) -> String {
    text.replace(['«', '»'], "")
}

#[track_caller]
fn fine(text: &str) {
    assert_eq!(look(&unmarked(text)).0, [], "{text}");
}

#[test]
fn a_certificate_that_no_client_can_use() {
    let lab = Lab::new();
    let said = "for probes alone and for no client";
    let help = "lend_certificate = true in [roles.NAME]";
    let plain = lab.site("\"MP\"", "", "", MP);
    fine(&plain);
    warning(&lab.shared(&plain), "asks clients of Management point for a certificate", help);
    warning(&format!("{plain}{}", lab.own), said, "client_certificates = \"optional\" or \"required\"");
    warning(&lab.shared(&lab.site("\"MP\"", "\"MP\"", "", MP)), said, help);
    warning(
        &lab.shared(&lab.site("\"MP\", \"DP\"", "", "", BOTH)),
        "of Distribution point, Management point for",
        help,
    );
    warning(&lab.shared(&lab.site("\"MP\"", "\"DP\"", &lab.asks("required"), BOTH)), "of Management point for", help);
    for mode in ["optional", "required"] {
        fine(&lab.shared(&lab.site("", "\"MP\"", &lab.asks(mode), MP)));
        fine(&lab.shared(&lab.site("\"MP\"", "\"MP\"", &lab.asks(mode), MP)));
    }
    fine(&lab.shared(&plain.replace("roles = [\"MP\"]\n[roles", "roles = [\"MP\"]\npassthrough = true\n[roles")));
}

#[test]
fn a_certificate_that_is_lent_to_clients_without_one() {
    let lab = Lab::new();
    let lends =
        |text: &str| unmarked(&lab.shared(text)).replace("tls = true\n[[", "tls = true\nlend_certificate = «true»\n[[");
    let (help, not_only) = ("take lend_certificate out", "show no certificate are lent ours");
    warning(&lends(&lab.site("\"MP\"", "", "", MP)), "clients of listener \"http\" that show no certificate", help);
    let all = lends(&lab.site("\"MP\"", "\"MP\"", "", MP));
    warning(
        &all,
        "listener \"http\" and \"https\" that show no certificate",
        "client_certificates below [listeners.tls]",
    );
    warning(&lends(&lab.site("", "\"MP\"", &lab.asks("optional"), MP)), not_only, help);
    warning(&lends(&lab.site("", "\"MP\"", &lab.asks("required"), MP)), "take them for rolegate", help);
    let exempt = |list: &str| format!("{}\nclient_certificate_exempt = [{list}]", lab.asks("required"));
    warning(&lends(&lab.site("", "\"MP\"", &exempt("\"/\""), MP)), not_only, help);
    warning(&lends(&lab.site("", "\"MP\"", &exempt("\"/SMS_MP/a\""), MP)), not_only, help);
    fine(&lends(&lab.site("", "\"MP\"", &exempt(""), MP)));
    fine(&lends(&lab.site("", "\"MP\"", &exempt("\"/SMS_DP_SMSPKG$\""), MP)));
    fine(&unmarked(&lends(&lab.site("\"MP\"", "", "", MP))).replace("client_", "# client_"));
    fine(
        &lends(&lab.site("\"MP\"", "", "", MP))
            .replace("«true»", "true\npaths = [\"/\"]")
            .replace("roles = [\"MP\"]\n[roles", "roles = [\"MP\"]\npassthrough = true\n[roles"),
    );
    let one = "{ role = \"mp\", lend_certificate = «true» }";
    let text = unmarked(&lab.shared(&lab.site("\"MP\"", "", "", MP)));
    let (before, after) = text.rsplit_once("\"MP\"").unwrap();
    let at_one = format!("{before}{one}{after}");
    warning(&at_one, not_only, help);
    let not_here = lends(&lab.site("\"MP\"", "", "", MP)).replace("«true»", "true");
    let (before, after) = not_here.rsplit_once("\"MP\"").unwrap();
    let not_here = format!("{before}{}{after}", one.replace("«true»", "false"));
    assert!(look(&not_here).0[0].message.contains("for probes alone"));
}

#[test]
fn the_handshake_of_a_tcp_role_lets_no_stranger_in() {
    let lab = Lab::new();
    let tcp = MP.replace("\"MP\"", "\"client-notification\"").replace("roles.MP", "roles.client-notification");
    let lends = tcp.replace("tls = true\n", "tls = true\nlend_certificate = «true»\n");
    let site = |mode: &str, rest: &str| {
        unmarked(&lab.shared(&lab.site("", "\"client-notification\"", &lab.asks(mode), ""))) + rest
    };
    fine(&site("required", &lends));
    fine(&site("optional", &tcp));
    warning(&site("optional", &lends), "take them for rolegate", "take lend_certificate out");
}

#[track_caller]
fn doubted(text: &str) -> Vec<String> {
    let (records, compiled) = look(&unmarked(text));
    let compiled = compiled.unwrap_or_else(|| panic!("{records:#?}"));
    rolegate::control::doubts::doubts(&compiled)
}

#[test]
fn tls_on_one_side_alone() {
    let lab = Lab::new();
    let http = MP.replace("tls = true", "tls = false");
    let before = doubted(&lab.site("\"MP\"", "", "", MP));
    let [line] = &before[..] else { panic!("{before:?}") };
    assert!(line.contains("listener \"http\" has HTTP and Management point at \"mp1.lab.test\" has HTTPS"), "{line}");
    assert!(line.contains("does not support HTTP in front of HTTPS site systems; give the listener"), "{line}");
    let behind = doubted(&lab.site("", "\"MP\"", "", &http));
    let [line] = &behind[..] else { panic!("{behind:?}") };
    assert!(line.contains("does not support HTTPS in front of HTTP site systems; write tls = true"), "{line}");
    let passed = lab.site("\"MP\"", "", "", MP).replace(
        "[roles",
        "[[listeners]]\naddress = \"0.0.0.0:444\"\n\
                roles = [\"MP\"]\npassthrough = true\n[roles",
    );
    assert_eq!(doubted(&passed).len(), 1, "it is the site system's own");
    for fine in [lab.site("", "\"MP\"", "", MP), lab.site("\"MP\"", "", "", &http)] {
        assert_eq!(doubted(&fine), [""; 0]);
    }
    let own = MP.replace("\"MP\"", "\"web\"").replace("roles.MP]", "roles.web]\npreset = \"plain\"");
    assert_eq!(
        doubted(&lab.site("\"web\"", "", "", &own)),
        [""; 0],
        "a role of one's own is no business of Microsoft's"
    );
}

#[test]
fn a_listener_whose_clients_can_show_nothing_beside_one_whose_clients_can() {
    let lab = Lab::new();
    let said = |text: &str| {
        let lines = doubted(text).into_iter().filter(|line| line.contains("can show no certificate"));
        lines.collect::<Vec<_>>()
    };
    let both = lab.shared(&lab.site("\"MP\"", "\"MP\"", &lab.asks("required"), MP));
    let lines = said(&both);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("listener \"http\" can show no certificate, so \"mp1.lab.test\" is not shown"), "{line}");
    assert_eq!(said(&lab.shared(&lab.site("", "\"MP\"", &lab.asks("required"), MP))), [""; 0]);
    assert_eq!(said(&lab.site("\"MP\"", "\"MP\"", &lab.asks("required"), MP)), [""; 0], "there is nothing to show");
    let lent = both.replace("tls = true\n[[", "tls = true\nlend_certificate = true\n[[");
    assert_eq!(said(&lent), [""; 0]);
}

#[test]
fn the_rule_of_a_role_says_who_is_a_stranger() {
    let lab = Lab::new();
    let lends = |mode: &str, rule: &str| {
        let more = format!("tls = true\nclient_certificates = \"{rule}\"\nlend_certificate = «true»\n[[");
        let exempt = if mode == "required" || rule == "required" { "\nclient_certificate_exempt = []" } else { "" };
        let text = lab.site("", "\"MP\"", &format!("{}{exempt}", lab.asks(mode)), MP);
        unmarked(&lab.shared(&text)).replace("tls = true\n[[", &more)
    };
    fine(&lends("optional", "required"));
    fine(&lends("required", "required"));
    warning(&lends("required", "none"), "show no certificate are lent ours", "take lend_certificate out");
}
