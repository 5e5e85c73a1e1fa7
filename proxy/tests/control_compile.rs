//! Every mistake that the compiler of a configuration can find: where it points, what it says, and what it advises.
//!
//! In each example `«` and `»` enclose what must be pointed at; a mistake about something missing points at the place
//! that the person must complete.
#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rolegate::control::compile::{Compiled, RolePlan, compile};
use rolegate::control::config::{Problems, Severity, parse};
use rolegate::model::description::Thing;
use rolegate::model::live::Capacity;
use rolegate::model::role::Clock;
use rolegate::model::tier::TierKind;
use sha2::{Digest, Sha256};

use marks::{GROUP, LISTENER, MP1, SITE, error, look, warning, with, with_group};

#[path = "control_support/marks.rs"]
mod marks;

#[test]
fn the_plain_pieces_are_good() {
    for text in [with(""), with_group("")] {
        let (records, compiled) = look(&text);
        assert_eq!(records, []);
        let compiled = compiled.unwrap();
        assert_eq!(compiled.site.code, "P01");
        assert_eq!(compiled.roles.len(), 1);
        assert_eq!(compiled.listeners[0].name, "http");
    }
}

#[test]
fn the_site_and_the_process() {
    error(&format!("«»{LISTENER}{MP1}"), "the site code is missing", "[site]");
    for code in ["", "P1", "P001", "P-1", "Köl"] {
        let text = format!("[site]\ncode = «\"{code}\"»\n{LISTENER}{MP1}");
        error(&text, "is not a site code", "three letters or digits");
    }
    for entry in ["10.0.0.0/33", "proxy1", "10.0.0.0-10.0.0.9", ""] {
        let text = with(&format!("[proxy]\ntrusted_proxies = [\"10.0.0.1\", «\"{entry}\"»]\n"));
        error(&text, "is not an address or network", "10.0.0.0/24");
    }
    for (entry, what, help) in [
        (
            "127.84.7.5/16",
            "not the first address of its network",
            "\"127.84.0.0/16\" for the whole network, or \"127.84.7.5\"",
        ),
        ("2001:db8::5/64", "not the first address of its network", "\"2001:db8::/64\""),
        ("::ffff:10.0.0.1", "would match nothing", "IPv4"),
        ("::ffff:10.0.0.0/104", "would match nothing", "IPv4"),
    ] {
        let text = with(&format!("[proxy]\ntrusted_proxies = [\"10.0.0.1/32\", «\"{entry}\"»]\n"));
        error(&text, what, help);
    }
    for address in ["0.0.0.0:9180", "10.0.0.1:9180", "[::]:9180"] {
        let text = with(&format!("[admin]\naddress = «\"{address}\"»\n"));
        error(&text, "can be reached from other machines", "allow_remote = true");
        let allowed = with(&format!("[admin]\naddress = \"{address}\"\nallow_remote = true\n"));
        assert_eq!(look(&allowed).0, []);
    }
    for threads in ["0", "1025", "65535"] {
        error(&with(&format!("[proxy]\nthreads = «{threads}»\n")), "data threads", "from 1 to 1024");
    }
}

#[test]
fn listeners() {
    error(&format!("«»{SITE}{MP1}"), "there is no listener", "[[listeners]]");
    let second = |rest: &str| with(&format!("[[listeners]]\n{rest}"));
    error(&second("name = «\"x\"»\nroles = [\"MP\"]\n"), "a listener has no address", "address = ");
    error(&second("roles = [«\"MP\"»]\n"), "a listener has no address", "address = ");
    error(
        &second("name = «\"HTTP\"»\naddress = \"0.0.0.0:81\"\nroles = [\"MP\"]\n"),
        "another listener",
        "case do not differ",
    );
    for address in ["0.0.0.0:80", "10.0.0.9:80"] {
        let text = second(&format!("name = \"x\"\naddress = «\"{address}\"»\nroles = [\"MP\"]\n"));
        error(&text, "overlaps 0.0.0.0:80 of listener \"http\"", "a port of its own");
    }
    let text = second("name = \"x\"\naddress = «\"127.0.0.1:9180\"»\nroles = [\"MP\"]\n");
    error(&text, "overlaps 127.0.0.1:9180 of [admin]", "a port of its own");
    for apart in ["[::]:80", "0.0.0.0:8080", "127.0.0.2:9180"] {
        let text = second(&format!("name = \"x\"\naddress = \"{apart}\"\nroles = [\"MP\"]\n"));
        assert_eq!(look(&text).0, [], "{apart}");
    }
    error(&second("name = \"x\"\naddress = «\"0.0.0.0:81\"»\n"), "listener \"x\" serves no role", "add roles");
    let text = second("name = \"x\"\naddress = \"0.0.0.0:81\"\nroles = [\"MP\", «\"management-point\"»]\n");
    error(&text, "\"management-point\" is listed twice", "take one out");
    let text = second("name = \"x\"\naddress = \"0.0.0.0:81\"\nroles = [«\"DP\"»]\n");
    error(&text, "no site system holds Distribution point", "[[site_systems]]");
    let text = second("name = \"x\"\naddress = \"0.0.0.0:81\"\nroles = [«\"MQ\"»]\n");
    error(&text, "there is no role \"MQ\"", "did you mean \"MP\"");
    let text = second("name = \"x\"\naddress = \"0.0.0.0:81\"\nroles = [«\"site-server\"»]\n");
    error(&text, "has no client-facing listener", "leave this role out");
}

#[test]
fn roles_that_cannot_share_a_listener() {
    let mp = MP1.replace("\"MP\"]", "\"MP\", \"BGB\", \"portal\"]");
    let portal = "[roles.portal]\npreset = \"plain\"\npaths = [\"/portal\", \"/SMS_MP\"]\n";
    let listener = |roles: &str| format!("[[listeners]]\nname = \"x\"\naddress = \"0.0.0.0:81\"\nroles = {roles}\n");
    let rest = format!(
        "{}{}",
        listener("[\"BGB\"]").replace(":81", ":82").replace("\"x\"", "\"y\""),
        listener("[\"portal\"]").replace(":81", ":83").replace("\"x\"", "\"z\"")
    );
    let text = format!("{SITE}{LISTENER}{}{rest}{mp}{portal}", listener("[\"MP\", «\"BGB\"»]"));
    error(&text, "\"BGB\" is not HTTP and cannot share a listener", "of its own");
    let text = format!("{SITE}{LISTENER}{}{rest}{mp}{portal}", listener("[\"MP\", «\"portal\"»]"));
    error(&text, "\"MP\" and \"portal\" both serve \"/sms_mp/\"", "[roles.NAME]");
    let host = format!("{portal}hosts = [\"portal.contoso.com\"]\n");
    let text = format!("{SITE}{LISTENER}{}{rest}{mp}{host}", listener("[\"MP\", \"portal\"]"));
    assert_eq!(look(&text).0, [], "a host of its own tells them apart");
}

#[test]
fn roles() {
    let text = with("[roles.MP]\nmax_requests = 5\n[roles.«management-point»]\nmax_requests = 6\n");
    error(&text, "are the same role", "into one table");
    let text = format!("{SITE}{LISTENER}{}", MP1.replace("\"MP\"]", "\"MP\", «\"portl\"»]"))
        + "[roles.portal]\npreset = \"plain\"\npaths = [\"/p\"]\n";
    error(&text, "there is no role \"portl\"", "did you mean \"portal\", which [roles] defines?");
    let text = format!("{SITE}{LISTENER}{}", MP1.replace("\"MP\"]", "\"MP\", «\"a b c d\"»]"));
    error(&text, "there is no role \"a b c d\"", "[roles.NAME]");
}

#[test]
fn a_mistake_in_a_role_is_reported_once_whoever_uses_it() {
    let text = with(
        "[[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"MP\"]\n[roles.MP]\nbalance = «\"fair\"»\n",
    );
    error(&text, "`balance` cannot be \"fair\"", "write one of");
    let text = format!("{SITE}{LISTENER}{MP1}[roles.«nobody»]\npaths = [\"/x\"]\n");
    error(&text, "there is no role \"nobody\"", "preset = \"plain\"");
}

#[test]
fn site_systems() {
    let second = |rest: &str| with(&format!("[[site_systems]]\n{rest}"));
    error(&second("address = \"10.0.0.2\"\nroles = [«\"MP\"»]\n"), "a site system has no name", "name = ");
    error(
        &second("name = «\"MP1\"»\naddress = \"10.0.0.2\"\nroles = [\"MP\"]\n"),
        "another site system",
        "case do not differ",
    );
    error(
        &second("name = «\"mp2\"»\naddress = \"10.0.0.2\"\n"),
        "site system \"mp2\" holds no role",
        "roles = [\"MP\"]",
    );
    let text = second("name = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"MP\", «{ port = 81 }»]\n");
    error(&text, "this entry names no role", "role = \"DP\"");
    let text = second(
        "name = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"MP\", «{ role = \"management point\", port = 81 }»]\n",
    );
    error(&text, "\"mp2\" holds Management point twice", "one entry");
    let text = second("name = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [{ role = \"MP\", port = «0» }]\n");
    error(&text, "no port 0", "from 1 to 65535");
    let text = second("name = \"mp2\"\naddress = \"10.0.0.2\"\nweight = «0»\nroles = [\"MP\"]\n");
    error(&text, "`weight` cannot be 0", "from 1 to 1000");
}

#[test]
fn addresses_of_site_systems() {
    let second = |rest: &str| with(&format!("[[site_systems]]\n{rest}"));
    let text = second("name = «\"mp 2\"»\nroles = [\"MP\"]\n");
    error(&text, "\"mp 2\" is not an address or DNS name", "add address = ");
    let text = second("name = \"mp2\"\naddress = «\"10.0.0.2:8080\"»\nroles = [\"MP\"]\n");
    error(&text, "is not an address or DNS name", "the port goes into the role");
    for address in ["", "mp 2", "http//mp2", "10.0.0", "10.0.0.300", "a..b"] {
        let text = second(&format!("name = \"mp2\"\naddress = «\"{address}\"»\nroles = [\"MP\"]\n"));
        error(&text, "is not an address or DNS name", "mp1.contoso.com");
        let text = second(&format!("name = \"mp2\"\nroles = [{{ role = \"MP\", address = «\"{address}\"» }}]\n"));
        error(&text, "is not an address or DNS name", "mp1.contoso.com");
    }
    for good in ["mp2", "MP_2.Contoso.com", "mp2.contoso.com.", "2001:db8::2", "[2001:db8::2]", "10.0.0.2"] {
        let text = second(&format!("name = \"mp2\"\naddress = \"{good}\"\nroles = [\"MP\"]\n"));
        assert_eq!(look(&text).0, [], "{good}");
    }
}

#[test]
fn tls() {
    let tls = |system: &str| with(&format!("[[site_systems]]\n{system}"));
    let text = tls("name = \"mp2\"\naddress = «\"mp2-\"»\nroles = [{ role = \"MP\", tls = true }]\n");
    error(&text, "no certificate can be for \"mp2-\"", "in the certificate");
    let text =
        tls("name = \"mp2\"\naddress = «\"10.0.0.2\"»\ninsecure = true\nroles = [{ role = \"MP\", tls = true }]\n");
    warning(&text, "any certificate is accepted from \"10.0.0.2\"", "ca_file");
    let plain = tls("name = \"mp2\"\naddress = \"10.0.0.2\"\ninsecure = true\nroles = [\"MP\"]\n");
    assert_eq!(look(&plain).0, [], "nothing to say without TLS");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = |path: &str| with(&format!("[tls]\nca_file = «\"{path}\"»\n"));
    error(&ca(folder.path().join("absent").to_str().unwrap()), "cannot be read", "path and its permissions");
    error(&ca(folder.path().to_str().unwrap()), "cannot be read", "path and its permissions");
    error(&ca(&file("empty.pem", b"")), "holds no certificate", "certification authorities");
    error(&ca(&file("text.pem", b"hello\n")), "holds no certificate", "certification authorities");
    let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    error(&ca(&file("broken.pem", broken)), "is not a PEM file", "Base-64 (PEM)");
    let certificate = rcgen::generate_simple_self_signed(["mp2".to_owned()]).unwrap().cert.pem();
    let good = ca(&file("good.pem", certificate.as_bytes())).replace(['«', '»'], "");
    assert_eq!(look(&good).0, []);
}

#[test]
fn boundary_groups() {
    let second = |rest: &str| with_group(&format!("[[boundary_groups]]\n{rest}"));
    error(&second("site_systems = [«\"mp1\"»]\n"), "a boundary group has no name", "name = ");
    error(&second("name = «\"BERLIN\"»\n"), "another boundary group", "case do not differ");
    error(&second("name = «\"Default\"»\n"), "means the site default boundary group", "[default_boundary_group]");
    error(
        &second("name = \"x\"\nsite_systems = [«\"mp11\"»]\n"),
        "there is no site system \"mp11\"",
        "did you mean \"mp1\"",
    );
    error(
        &second("name = \"x\"\nsite_systems = [«\"server\"»]\n"),
        "there is no site system \"server\"",
        "[[site_systems]]",
    );
    let text = with_group("[default_boundary_group]\nsite_systems = [«\"server\"»]\n");
    error(&text, "there is no site system \"server\"", "[[site_systems]]");
    let text = with_group("[default_boundary_group]\nfallback = { «DP» = 30 }\n");
    error(&text, "no site system holds a role \"DP\"", "a role that is used");
}

#[test]
fn boundaries() {
    let first = |boundary: &str| with_group("").replace("\"10.1.0.0/16\"", boundary);
    error(&first("\"10.2.0.0/16\", «\"10.1.0.1/16\"»"), "is not the first address", "\"10.1.0.0/16\"");
    error(&first("«\"berlin\"»"), "\"berlin\" is not a boundary", "ad_site");
    let with_site = |boundary: &str| first(boundary) + "[ad_sites]\nHamburg = [\"10.3.0.0/16\"]\n";
    error(&with_site("«\"hamburg\"»"), "\"hamburg\" is not a boundary", "write { ad_site = \"hamburg\" }");
    error(&with_site("«{ ad_site = \"Hamborg\" }»"), "\"Hamborg\" is not in [ad_sites]", "did you mean \"hamburg\"");
    error(&with_site("«{ ad_site = \"Wien\" }»"), "\"Wien\" is not in [ad_sites]", "list its subnets");
    error(&with_site("«{ vpn = \"Auto:On\" }»"), "a VPN boundary (Auto:On)", "the addresses that the VPN gives");
    assert_eq!(look(&with_site("{ ad_site = \"HAMBURG\" }")).0, []);
    let site = |sites: &str| with_group(&format!("[ad_sites]\n{sites}\n"));
    error(&site("Hamburg = [\"10.3.0.0/16\", «\"10.3.0.0\"»]"), "a subnet without its mask", "/24");
    error(&site("Hamburg = [\"10.3.0.0/16\"]\n«hamburg» = []"), "another Active Directory site", "in one place");
    error(&site("Hamburg = [\"10.3.0.0/16\", «\"10.3.0.9/24\"»]"), "not the first address", "\"10.3.0.0/24\"");
    error(&site("Hamburg = [«\"10.3.0.0-10.3.0.9\"»]"), "Active Directory has networks", "10.1.0.0/16");
    let records = look(&site("A = [\"10.3.0.0/16\"]\nB = [\"10.3.0.0/255.255.0.0\", \"10.4.0.0/16\"]")).0;
    let messages: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the subnet 10.3.0.0/16 is one of the site \"B\" too",
            "the subnet 10.3.0.0/255.255.0.0 is one of the site \"A\" too",
        ]
    );
}

#[test]
fn a_client_is_in_the_active_directory_site_of_its_most_specific_subnet() {
    let sites = "[ad_sites]\nHub = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
                 Lyon = [\"10.1.0.0/16\", \"10.1.3.0/24\", \"2001:db8:1::/48\"]\nLab = [\"10.1.2.0/24\"]\n";
    let group = |name: &str, boundaries: &str| {
        format!("[[boundary_groups]]\nname = \"{name}\"\nboundaries = [{boundaries}]\nsite_systems = [\"mp1\"]\n")
    };
    let (hub, lyon) = (group("Hub", "{ ad_site = \"Hub\" }"), group("Lyon", "{ ad_site = \"lyon\" }"));
    let text = with(&(hub.clone() + &lyon + &group("Range", "\"10.1.0.0-10.1.2.255\"") + sites));
    let (records, compiled) = look(&text);
    // A second subnet of Lyon in Hub says nothing new.
    let [lyon, lab] = records.as_slice() else { panic!("{records:#?}") };
    let expected =
        "a client at 10.1.0.0 is in the Active Directory site \"Lyon\" and not in \"Hub\", whose subnet 10.0.0.0/8";
    assert!(lyon.message.starts_with(expected), "{lyon:?}");
    assert_eq!((lyon.severity, lyon.text.as_str()), (Severity::Warning, "\"10.1.0.0/16\""));
    assert!(lyon.help.contains("add \"10.1.0.0/16\" to the boundaries"), "{lyon:?}");
    assert!(lab.message.contains("10.1.2.0 is in the Active Directory site \"Lab\" and not in \"Lyon\""), "{lab:?}");
    let site = compiled.unwrap().site;
    for (client, groups) in [
        ("10.9.0.1", &[0][..]),
        ("10.1.0.1", &[1, 2]),
        ("10.1.2.1", &[2]),
        ("10.1.3.1", &[1]),
        ("10.2.0.0", &[0]),
        ("11.0.0.0", &[]),
        ("2001:db8::1", &[0]),
        ("2001:db8:1::1", &[1]),
    ] {
        let found: Vec<u16> = site.boundaries.groups_of(client.parse().unwrap()).iter().map(|group| group.0).collect();
        assert_eq!(found, groups, "{client}");
    }
    // Both readings are the same where one group has both sites.
    let same = with(&(group("All", "{ ad_site = \"Hub\" }, { ad_site = \"Lyon\" }, { ad_site = \"Lab\" }") + sites));
    assert_eq!(look(&same).0, []);
}

#[test]
fn neighbors() {
    let first = |neighbors: &str| {
        with_group(&format!(
            "neighbors = [{neighbors}]\n[[boundary_groups]]\nname = \"Wien\"\nsite_systems = [\"mp1\"]\n"
        ))
    };
    let unnamed = first("{ fallback = { MP = 0 } }").replace("\"Berlin\"", "«\"Berlin\"»");
    error(&unnamed, "a neighbor of this group is not named", "{ group = ");
    error(&first("{ group = «\"berlin\"» }"), "cannot be its own neighbor", "take it out");
    error(&first("{ group = \"Wien\" }, { group = «\"wien\"» }"), "\"wien\" is a neighbor twice", "one relationship");
    error(&first("{ group = «\"Wein\"» }"), "there is no boundary group \"Wein\"", "did you mean \"wien\"");
    error(&first("{ group = «\"Rom\"» }"), "there is no boundary group \"Rom\"", "[[boundary_groups]]");
    error(&first("{ group = \"Wien\", fallback = { «SUP» = 30 } }"), "holds a role \"SUP\"", "a role that is used");
    for good in [
        "{ group = \"wien\", fallback = { \"management point\" = 0 } }",
        "{ group = \"default\", fallback = { mp = \"never\" } }",
    ] {
        assert_eq!(look(&first(good)).0, [], "{good}");
    }
    let useless = |time: &str| {
        let text = first(&format!("{{ group = \"Wien\", fallback = {{ «mp» = {time} }} }}"));
        text.replace("name = \"Wien\"\nsite_systems = [\"mp1\"]", "name = \"Wien\"")
    };
    let records = look(&useless("0").replace(['«', '»'], "")).0;
    let messages: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
    let both = [
        "the boundary group \"Wien\" has no Management point to fall back to",
        "none of the site_systems of \"Wien\" is a Management point",
    ];
    assert_eq!(messages, both);
    assert_eq!(look(&useless("\"never\"").replace(['«', '»'], "")).0, []);
}

#[test]
fn descriptions() {
    let longest = "é".repeat(128);
    let all = format!(
        "{SITE}description = \"all\"\n{LISTENER}description = \"in front\"\n{MP1}description = \"in the cellar\"\n\
         {GROUP}description = \"{longest}\"\n[default_boundary_group]\ndescription = \" the rest \"\n\
         [roles.mp]\ndescription = \"\"\n"
    );
    let (records, compiled) = look(&all);
    assert_eq!(records, []);
    let descriptions = &compiled.unwrap().site.descriptions;
    for (thing, name, text) in [
        (Thing::Site, "", Some("all")),
        (Thing::Listener, "HTTP", Some("in front")),
        (Thing::SiteSystem, "mp1", Some("in the cellar")),
        (Thing::BoundaryGroup, "berlin", Some(longest.as_str())),
        (Thing::BoundaryGroup, "Default-Site-Boundary-GroupP01", Some("the rest")),
        (Thing::Role, "management-point", None),
        (Thing::Role, "Berlin", None),
    ] {
        assert_eq!(descriptions.of(thing, name).as_deref(), text, "{thing:?} {name}");
    }
    error(&with_group(&format!("description = «\"{longest}x\"»\n")), "this description has 257 bytes", "at most 256");
    error(&with_group("description = «\"a\\nb\"»\n"), "one line", "in one line");
}

/// Two distribution points and a software update point, in the groups of a piece.
fn with_content(piece: &str) -> String {
    let roles = "[\"MP\", \"DP\", \"SUP\", \"SMP\"]";
    let (listener, mp) = (LISTENER.replace("[\"MP\"]", roles), MP1.replace("[\"MP\"]", roles));
    let second = "[[site_systems]]\nname = \"dp2\"\naddress = \"10.0.0.2\"\nroles = [\"DP\"]\n";
    format!("{SITE}{listener}{mp}{second}{piece}")
}

const PREFERRED: &str = "[fallback]\nmodel = \"preferred\"\n";

fn plan<'a>(compiled: &'a Compiled, role: &str) -> &'a RolePlan {
    compiled.roles.iter().find(|plan| plan.role.short == role).unwrap()
}

/// Offset and kind of the links of the first group.
fn links(compiled: &Compiled, role: &str) -> Vec<(u32, TierKind)> {
    plan(compiled, role).groups[0].links.iter().map(|link| (link.offset, link.kind)).collect()
}

#[test]
fn fallback_settings() {
    let table = |lines: &str| with(&format!("[fallback]\n{lines}\n"));
    error(&table("model = «\"older\"»"), "`model` cannot be \"older\"", "\"relationships\", \"preferred\"");
    error(&table("clock = «\"later\"»"), "`clock` cannot be \"later\"", "\"honor\", \"immediate\"");
    for speedup in ["0", "100001"] {
        error(&table(&format!("speedup = «{speedup}»")), "`speedup` cannot be", "from 1 to 100000");
    }
    warning(&table("speedup = «60»"), "pass 60 times as fast", "real clients");
    for clocks in ["0", "16777217"] {
        error(&table(&format!("max_clocks = «{clocks}»")), "`max_clocks` cannot be", "from 1 to 16777216");
    }
    for agent in ["", " SMS", "SMS\\t", "é"] {
        let text = table(&format!("exempt_user_agents = [\"x\", «\"{agent}\"»]"));
        error(&text, "no User-Agent begins with", "SMS CCM 5.0 TS");
    }
    for key in ["[fallback]\nexempt_content", "[content]\ndiscover"] {
        for id in ["", "a/b", "a b", &"x".repeat(129)] {
            let text = with(&format!("{key} = [\"P0100003\", «\"{id}\"»]\n"));
            error(&text, "is not the id of a content", "\"P0100003\"");
        }
    }
    for section in ["content", "affinity"] {
        for entries in ["0", "67108865"] {
            let text = with(&format!("[{section}]\nmax_entries = «{entries}»\n"));
            error(&text, "`max_entries` cannot be", "from 1 to 67108864");
        }
    }
    let text = table("slow_or_fallback = «\"download\"»");
    error(&text, "a setting of deployments before ConfigMgr 1610", "model = \"preferred\"");
    let text = table("model = \"preferred\"\nslow_or_fallback = «\"no\"»");
    error(&text, "`slow_or_fallback` cannot be \"no\"", "\"do-not-download\"");
}

#[test]
fn what_is_remembered_and_for_how_long() {
    let compiled = look(&with("")).1.unwrap();
    let (site, fallback) = (&compiled.site, &compiled.site.fallback);
    assert_eq!((fallback.speedup, fallback.clock_idle), (1, Duration::from_secs(6 * 3600)));
    assert_eq!(
        (&*fallback.exempt_user_agents, fallback.exempt_content.len()),
        (&["SMS CCM 5.0 TS".into(), "ccmsetup".into()][..], 0)
    );
    assert_eq!((site.content.missing_ttl.as_secs(), site.content.known_ttl.as_secs()), (300, 86_400));
    assert_eq!((site.content.discover.len(), site.content.discover_interval.as_secs()), (0, 3600));
    assert_eq!((site.upload_idle.as_secs(), site.decision_header, site.admin_token), (86_400, false, None));
    assert_eq!(compiled.fixed.capacity, Capacity::default());

    let text = with(
        "[fallback]\nclock_idle = \"1h\"\nmax_clocks = 1\nexempt_user_agents = []\nexempt_content = [\"P0100003\"]\n\
         [content]\nmissing_ttl = \"1s\"\nknown_ttl = \"2s\"\nmax_entries = 2\ndiscover = [\"P0100004\"]\n\
         discover_interval = \"3s\"\n[affinity]\nmax_entries = 3\nupload_idle = \"4s\"\n\
         [proxy]\ndecision_header = true\n",
    );
    let compiled = look(&text).1.unwrap();
    let (site, fallback) = (&compiled.site, &compiled.site.fallback);
    assert_eq!((fallback.clock_idle.as_secs(), fallback.exempt_user_agents.len()), (3600, 0));
    assert_eq!(
        (&*fallback.exempt_content, &*site.content.discover),
        (&["P0100003".into()][..], &["P0100004".into()][..])
    );
    let times = [site.content.missing_ttl, site.content.known_ttl, site.content.discover_interval, site.upload_idle];
    assert_eq!((times.map(|time| time.as_secs()), site.decision_header), ([1, 2, 3, 4], true));
    assert_eq!(compiled.fixed.capacity, Capacity { clocks: 1, verdicts: 2, affinities: 3 });
}

#[test]
fn clocks_of_all_roles_and_of_one() {
    let text = with_content("[fallback]\nclock = \"immediate\"\n[roles.DP]\nclock = \"honor\"\n");
    let compiled = look(&text).1.unwrap();
    let clocks = ["MP", "DP", "SUP"].map(|role| plan(&compiled, role).role.clock);
    assert_eq!(clocks, [Clock::Immediate, Clock::Honor, Clock::Immediate]);
}

#[test]
fn times_that_a_role_does_not_know() {
    let wien = "[[boundary_groups]]\nname = \"Wien\"\nsite_systems = [\"dp2\", \"mp1\"]\n";
    let group = |neighbors: &str| with_content(&format!("{GROUP}neighbors = [{neighbors}]\n{wien}"));
    let text = group("{ group = \"Wien\", fallback = { DP = 20, MP = «20», SUP = 30 } }");
    warning(&text, "of the role Management point is fixed at 0 or never", "write 0 or \"never\"");
    let compiled = look(&text.replace(['«', '»'], "")).1.unwrap();
    assert_eq!(links(&compiled, "MP"), [(0, TierKind::Neighbor), (0, TierKind::Default)], "20 counts as 0");
    assert_eq!(links(&compiled, "DP"), [(20, TierKind::Neighbor), (120, TierKind::Default)]);
    assert_eq!(links(&compiled, "SUP"), [(30, TierKind::Neighbor), (120, TierKind::Default)]);
    assert_eq!(links(&compiled, "SMP"), []);
    let text = group("{ group = \"Wien\", fallback = { SMP = «0», MP = \"never\" } }");
    warning(&text, "State migration point has no working fallback", "write \"never\"");
    let compiled = look(&text.replace(['«', '»'], "")).1.unwrap();
    assert_eq!((links(&compiled, "SMP"), links(&compiled, "MP")), (vec![], vec![(0, TierKind::Default)]));
    assert_eq!(look(&group("{ group = \"Wien\", fallback = { SMP = \"never\", MP = 0 } }")).0, []);
    let text = with_group("[default_boundary_group]\nfallback = { MP = «30» }\n");
    warning(&text, "fixed at 0 or never", "write 0 or \"never\"");
    let text = with_content(&format!("{GROUP}[roles.DP]\nfallback_rule = \"at-once\"\n"));
    assert_eq!(links(&look(&text).1.unwrap(), "DP"), [(0, TierKind::Default)], "the 120 of its preset count as 0");
}

#[test]
fn what_is_said_of_a_role_holds_for_its_relatives() {
    let wien = "[[boundary_groups]]\nname = \"Wien\"\nsite_systems = [\"mp1\"]\n";
    let own = "[roles.users]\npreset = \"MP\"\npaths = [\"/CMUserService\"]\n\
               [roles.MP]\npaths_remove = [\"/CMUserService\"]\n\
               [roles.files]\npreset = \"DP\"\npaths = [\"/files\"]\n\
               [[site_systems]]\nname = \"b1\"\naddress = \"10.0.0.9\"\nroles = [\"users\", \"client-notification\", \"files\"]\n\
               [[listeners]]\naddress = \"0.0.0.0:81\"\nroles = [\"users\", \"files\"]\n\
               [[listeners]]\naddress = \"0.0.0.0:10123\"\nroles = [\"client-notification\"]\n";
    let with = |said: &str, default: &str| {
        let group = format!("{GROUP}neighbors = [{{ group = \"Wien\", fallback = {{ {said} }} }}]\n{wien}");
        let text = with_content(&format!("{group}{own}[default_boundary_group]\nfallback = {{ {default} }}\n"));
        let (problems, compiled) = look(&text);
        compiled.unwrap_or_else(|| panic!("{problems:?}"))
    };
    let of = |compiled: &Compiled, role: &str| -> Vec<(u32, TierKind)> {
        let plan = compiled.roles.iter().find(|plan| plan.role.short == role || plan.role.name == role).unwrap();
        plan.groups[0].links.iter().map(|link| (link.offset, link.kind)).collect()
    };
    let never = with("MP = \"never\", DP = 30", "MP = \"never\"");
    for role in ["MP", "client-notification", "users"] {
        assert_eq!(of(&never, role), [], "{role}");
    }
    assert_eq!(of(&never, "files"), [(30, TierKind::Neighbor), (120, TierKind::Default)]);
    let otherwise = with("MP = \"never\", users = 0, DP = 30, files = 10", "MP = \"never\", client-notification = 0");
    assert_eq!(of(&otherwise, "users"), [(0, TierKind::Neighbor)]);
    assert_eq!(of(&otherwise, "client-notification"), [(0, TierKind::Default)]);
    assert_eq!(of(&otherwise, "files"), [(10, TierKind::Neighbor), (120, TierKind::Default)]);
}

#[test]
fn the_model_without_relationships() {
    let preferred = |piece: &str| with_content(&format!("{GROUP}{piece}{PREFERRED}"));
    let text = preferred("neighbors = [{ group = «\"Wien\"» }]\n[[boundary_groups]]\nname = \"Wien\"\n");
    error(&text, "the older model has no relationships between boundary groups", "take the neighbor out");
    let text = preferred("[default_boundary_group]\nsite_systems = [«\"dp2\"»]\n");
    error(&text, "no relationships and no site default boundary group", "fallback_source = true");
    let text = preferred("[default_boundary_group]\nfallback = { «DP» = 30 }\n");
    error(&text, "no relationships and no site default boundary group", "model = \"relationships\"");

    let text = preferred("").replace("[\"mp1\"]", "[\"mp1\", { name = \"dp2\", connection = \"slow\" }]");
    let (records, compiled) = look(&text);
    assert_eq!(records, []);
    let compiled = compiled.unwrap();
    for role in ["MP", "DP", "SUP", "SMP"] {
        assert_eq!(links(&compiled, role), [], "{role}");
    }
    let dp = plan(&compiled, "DP");
    assert_eq!((&dp.groups[0].members[..], &dp.groups[0].slow[..]), (&[0][..], &[1][..]));
    assert!(dp.distant && !dp.ungrouped && !plan(&compiled, "MP").ungrouped);
    assert!(plan(&compiled, "SUP").ungrouped, "every client may use all of them");
    let text = text.replace("\"preferred\"", "\"preferred\"\nslow_or_fallback = \"do-not-download\"");
    assert!(!plan(&look(&text).1.unwrap(), "DP").distant);
    let slow_alone = preferred("").replace("[\"mp1\"]", "[{ name = \"mp1\", connection = \"slow\" }]");
    let (records, compiled) = look(&slow_alone);
    assert_eq!((records, plan(&compiled.unwrap(), "MP").ungrouped), (vec![], false));
    // The same without a word about a model: a software update point that no group names is worth a warning.
    let text = with_content("[[boundary_groups]]\nname = «\"Berlin\"»\nsite_systems = [\"dp2\"]\n");
    let (records, _) = look(&text.replace(['«', '»'], ""));
    let [record] = records.as_slice() else { panic!("{records:#?}") };
    assert!(record.message.contains("the role Software update point"), "{record:?}");
    let (records, _) = look(&format!("{}{PREFERRED}", text.replace(['«', '»'], "")));
    assert_eq!(records, [], "groups of that time hold none");
}

#[test]
fn connections() {
    let group = |entries: &str| with_content(&GROUP.replace("[\"mp1\"]", &format!("[{entries}]")));
    let text = group("\"mp1\", { name = \"dp2\", connection = «\"slow\"» }");
    error(&text, "slow connections are of the model before ConfigMgr 1610", "a neighbor of this group with time 0");
    assert_eq!(look(&group("\"mp1\", { name = \"dp2\", connection = \"fast\" }, { name = \"DP2\" }")).0, []);
    let text = group("\"mp1\", { name = \"dp2\", connection = «\"slo\"» }");
    error(&text, "`connection` cannot be \"slo\"", "did you mean \"slow\"?");
    error(&group("\"mp1\", «{ connection = \"fast\" }»"), "this entry names no site system", "name = \"dp1\"");
    error(&group("\"mp1\", { name = «\"dp3\"» }"), "there is no site system \"dp3\"", "did you mean \"dp2\"");
    let twice = group("\"dp2\", \"mp1\", { name = «\"DP2\"», connection = \"slow\" }") + PREFERRED;
    error(&twice, "\"DP2\" has a fast and a slow connection", "write it once");
}

#[test]
fn the_token_of_the_admin_listener() {
    let folder = tempfile::tempdir().unwrap();
    let file = |content: &[u8], mode: u32| {
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        with(&format!("[admin]\ntoken_file = «{path:?}»\n"))
    };
    let elsewhere = |path: &std::path::Path| with(&format!("[admin]\ntoken_file = «{path:?}»\n"));
    error(&elsewhere(&folder.path().join("absent")), "cannot be read", "path and its permissions");
    error(&elsewhere(folder.path()), "it is not a file", "path and its permissions");
    error(&file(b" \n", 0o600), "is empty", "openssl rand");
    error(&file(b"fifteen letters\n", 0o600), "does not have 16 to 4096 characters", "openssl rand");
    error(&file(&[b'x'; 4097], 0o600), "does not have 16 to 4096 characters", "openssl rand");
    error(&file(b"two words and more", 0o600), "cannot stand in a header field", "openssl rand");
    error(&file(b"0123456789abcde\xff", 0o600), "cannot stand in a header field", "openssl rand");
    for mode in [0o640, 0o604] {
        warning(&file(b"0123456789abcdef", mode), "other users of this machine may read the token", "chmod 600");
    }
    let (records, compiled) = look(&file(b"\t0123456789abcdef\r\n", 0o400).replace(['«', '»'], ""));
    assert_eq!(records, []);
    assert_eq!(compiled.unwrap().site.admin_token, Some(Sha256::digest("0123456789abcdef").into()));
}

#[test]
fn more_than_can_be_counted() {
    let mut text = with("");
    for group in 0..=u16::MAX {
        text.push_str(&format!("[[boundary_groups]]\nname = \"{group}\"\n"));
    }
    let mut problems = Problems::new();
    let config = parse(&text, &mut problems);
    assert!(compile(&config, &mut problems).is_none());
    let found = problems.json("x", &text);
    assert!(
        found.iter().any(|record| record.message == "65536 boundary groups" && record.help.contains("65534")),
        "{found:?}"
    );

    let mut text = with("");
    for system in 0..=u16::MAX {
        text.push_str(&format!("[[site_systems]]\nname = \"x{system}\"\nroles = [\"MP\"]\n"));
    }
    let mut problems = Problems::new();
    let config = parse(&text, &mut problems);
    assert!(compile(&config, &mut problems).is_none());
    let found = problems.json("x", &text);
    let [record] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (record.text.as_str(), record.message.as_str()),
        ("\"x65535\"", "there are more than 65535 site systems")
    );
}

#[test]
fn warnings_do_not_reject() {
    let text = with("").replace("name = \"mp1\"", "name = «\"mp1\"»");
    let (head, tail) = text.split_at(text.find("[[site_systems]]").unwrap());
    let unserved = format!("{head}{}", tail.replace("[\"MP\"]", "[\"MP\", \"DP\"]"));
    warning(&unserved, "no listener serves Distribution point, which \"mp1\" holds", "[[listeners]]");
    assert!(look(&unserved.replace(['«', '»'], "")).1.is_some());

    let ungrouped = with_group("").replace("site_systems = [\"mp1\"]", "").replace("\"Berlin\"", "«\"Berlin\"»");
    assert_eq!(look(&ungrouped.replace(['«', '»'], "")).0, [], "groups only put management points in order");
    let ungrouped = ungrouped.replace("[\"MP\"]", "[\"DP\"]");
    warning(&ungrouped, "no boundary group names a site system with the role Distribution point", "add them");
    assert!(look(&ungrouped.replace(['«', '»'], "")).1.is_some());
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = "[site]\ncode = \"P0\"\n\
        [proxy]\nthreads = 0\ntrusted_proxies = [\"x\"]\n\
        [admin]\naddress = \"0.0.0.0:9180\"\n\
        [[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\", \"DP\", \"XX\"]\n\
        [[site_systems]]\nname = \"mp 1\"\nroles = [\"MP\"]\n\
        [[site_systems]]\nname = \"mp2\"\naddress = \"10.0.0.2\"\nroles = [\"MP\"]\nweight = 0\n\
        [[boundary_groups]]\nname = \"a\"\nboundaries = [\"10.0.0.1\"]\nsite_systems = [\"mp3x\"]\n\
        neighbors = [{ group = \"b\" }]\n";
    let (records, compiled) = look(text);
    assert!(compiled.is_none());
    let lines: Vec<usize> = records.iter().map(|record| record.line).collect();
    assert_eq!(lines, [2, 4, 5, 7, 10, 10, 12, 18, 21, 22, 23], "{records:#?}");
    assert!(records.iter().all(|record| record.severity == Severity::Error));
}

#[test]
fn a_mistake_of_spelling_does_not_make_something_missing() {
    // The parser takes the misspelled key out; that there is no address is then not worth saying.
    let text = format!("{SITE}{MP1}[[listeners]]\nadress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n");
    let mut problems = Problems::new();
    let config = parse(&text, &mut problems);
    assert!(problems.is_fatal());
    assert!(compile(&config, &mut problems).is_none());
    assert_eq!(problems.len(), 1, "{}", problems.render("test.toml", &text, false));
}
