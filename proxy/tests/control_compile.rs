//! Every mistake that the compiler of a configuration can find: where it points, what it says, and what it advises.
//!
//! In each example `«` and `»` enclose what must be pointed at; a mistake about something missing points at the place
//! that the person must complete.
#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::fs::PermissionsExt;

use rolegate::control::compile::compile;
use rolegate::control::config::{Problems, Severity, parse};
use rolegate::model::description::Thing;
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
        let allowed = with(&format!("[admin]\naddress = «\"{address}\"»\nallow_remote = true\n"));
        warning(&allowed, "other machines are answered /health and /ready alone", "set token_file");
    }
    for threads in ["0", "1025", "65535"] {
        error(&with(&format!("[proxy]\nthreads = «{threads}»\n")), "data threads", "from 1 to 1024");
    }
}

#[test]
fn listeners() {
    error(&format!("«»{SITE}{MP1}"), "there is no listener", "[[listeners]]");
    let second = |rest: &str| with(&format!("[[listeners]]\n{rest}"));
    let unplaced = |rest: &str| with(&format!("«[[listeners]]»\n{rest}"));
    error(&unplaced("name = \"x\"\nroles = [\"MP\"]\n"), "a listener has no address", "address = ");
    error(&unplaced("roles = [\"MP\"]\n"), "a listener has no address", "address = ");
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
    let unnamed = with("«[[site_systems]]»\naddress = \"10.0.0.2\"\nroles = [\"MP\"]\n");
    error(&unnamed, "a site system has no name", "name = ");
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
    let unnamed = with_group("«[[boundary_groups]]»\nsite_systems = [\"mp1\"]\n");
    error(&unnamed, "a boundary group has no name", "name = ");
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
    error(&first("«{ fallback = { MP = 0 } }»"), "a neighbor of this group is not named", "{ group = ");
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
    assert_eq!(compiled.unwrap().site.admin.token, Some(Sha256::digest("0123456789abcdef").into()));
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

    let ungrouped =
        with_group("").replace("site_systems = [\"mp1\"]", "").replace("[[boundary_groups]]", "«[[boundary_groups]]»");
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
