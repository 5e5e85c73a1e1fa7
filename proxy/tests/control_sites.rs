//! Every mistake about several sites: where it points, what it says, and what it advises.
#![allow(clippy::unwrap_used, missing_docs)]

use rolegate::control::config::Severity;

use marks::{error, look, warning};

#[path = "control_support/marks.rs"]
mod marks;

const P01: &str = "[[sites]]\ncode = \"P01\"\nhosts = [\"cm1.contoso.com\"]\n";
const P02: &str = "[[sites]]\ncode = \"P02\"\n";
const S01: &str = "[[sites]]\ncode = \"S01\"\nprimary = \"P01\"\n";
const LISTENER: &str = "[[listeners]]\naddress = \"0.0.0.0:80\"\nroles = [\"MP\"]\n";

/// A management point of each primary site.
fn rest() -> String {
    let system = |number: u8| {
        format!(
            "[[site_systems]]\nname = \"mp{number}\"\nsite = \"P0{number}\"\naddress = \"10.0.0.{number}\"\nroles = [\"MP\"]\n"
        )
    };
    format!("{LISTENER}{}{}", system(1), system(2))
}

/// A good configuration with more.
fn with(more: &str) -> String {
    format!("{P01}{P02}{}{more}", rest())
}

/// Two errors, each with the text that it points at and words of its message.
#[track_caller]
fn both(text: &str, expected: [(&str, &str); 2]) {
    let (mut records, compiled) = look(text);
    assert!(compiled.is_none());
    records.retain(|record| record.severity == Severity::Error);
    assert_eq!(records.len(), 2, "{records:#?}");
    for (at, message) in expected {
        let found = records.iter().position(|record| record.text == at && record.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("no error at {at} says {message}: {records:#?}"));
        records.remove(found);
    }
}

#[test]
fn several_sites_compile() {
    let (records, compiled) = look(&with(""));
    assert_eq!(records, []);
    let site = compiled.unwrap().site;
    assert_eq!(site.code, "P01, P02");
    assert_eq!(*site.group_names, ["Default-Site-Boundary-GroupP01", "Default-Site-Boundary-GroupP02"]);
}

#[test]
fn codes() {
    error(&format!("«[[sites]]»\ndescription = \"x\"\n{P01}{P02}{}", rest()), "the site code is missing", "[[sites]]");
    error(&format!("[[sites]]\ncode = «\"P1\"»\n{P01}{P02}{}", rest()), "is not a site code", "three letters");
    let twice = format!("{P01}{P02}[[sites]]\ncode = \"p02\"\n{}", rest());
    both(&twice, [("\"p02\"", "the code of two sites"), ("\"P02\"", "used again further down")]);
    let lonely = format!("{P01}{P02}[[sites]]\ncode = «\"P03\"»\n{}", rest());
    warning(&lonely, "no site system belongs to the site \"P03\"", "take the site out");
}

#[test]
fn one_site_beside_several() {
    let site = format!("[site]\ncode = \"P09\"\n{P01}{P02}{}", rest());
    both(&site, [("\"P09\"", "[site] describes the one site"), ("\"P01\"", "[[sites]] begins here, beside [site]")]);
    let group = with("[default_boundary_group]\nsite_systems = [\"mp1\"]\n");
    both(
        &group,
        [
            ("\"mp1\"", "[default_boundary_group] describes the one site"),
            ("\"P01\"", "[[sites]] begins here, beside [default_boundary_group]"),
        ],
    );
}

#[test]
fn secondary_sites() {
    let text = |more: &str| format!("{P01}{P02}{S01}{more}{}", rest());
    error(&text("[[sites]]\ncode = \"S02\"\nprimary = «\"P03\"»\n"), "there is no site \"P03\"", "did you mean");
    error(&text("[[sites]]\ncode = \"S02\"\nprimary = «\"S02\"»\n"), "its own primary site", "take it out");
    let chain = text("[[sites]]\ncode = \"S02\"\nprimary = \"S01\"\n");
    both(&chain, [("\"S01\"", "is a secondary site itself"), ("\"P01\"", "it makes \"S01\" a secondary site")]);
    let idle = format!(
        "{P01}{P02}{S01}{}[[listeners]]\naddress = \"0.0.0.0:81\"\nroles = [\"FSP\"]\n\
         [[site_systems]]\nname = «\"fsp2\"»\nsite = \"S01\"\naddress = \"10.0.0.9\"\nroles = [\"FSP\"]\n\
         [[site_systems]]\nname = \"fsp1\"\nsite = \"P01\"\naddress = \"10.0.0.8\"\nroles = [\"FSP\"]\n",
        rest()
    );
    warning(&idle, "of a secondary site gets no request", "another locality");
}

#[test]
fn names_of_sites() {
    let host = |hosts: &str| format!("{P01}{P02}hosts = {hosts}\n{}", rest());
    error(&host("[«\"*.contoso.com\"»]"), "is not a host name", "without *");
    error(&host("[\"cm2\", «\"CM2.\"»]"), "listed twice", "take one out");
    let shared = host("[\"CM1.contoso.com\"]");
    both(&shared, [("\"CM1.contoso.com\"", "is a name of two sites"), ("\"cm1.contoso.com\"", "of another site too")]);
    let server = host("[\"10.0.0.1\"]");
    let (records, _) = look(&server);
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(texts, ["\"10.0.0.1\"", "\"10.0.0.1\""], "{records:#?}");
    assert!(records[0].message.contains("is a site system of another site"), "{records:#?}");
    assert!(records[1].message.contains("is in the hosts of another site"), "{records:#?}");
    assert_eq!(look(&host("[\"10.0.0.2\", \"mp2\"]")).0, [], "names of its own servers are no mistake");
}

#[test]
fn what_belongs_to_a_site() {
    let bare = with("[[site_systems]]\nname = «\"mp3\"»\naddress = \"10.0.0.3\"\nroles = [\"MP\"]\n");
    error(&bare, "\"mp3\" belongs to none of them", "with one of P01, P02");
    let system = with("[[site_systems]]\nname = \"mp3\"\nsite = «\"P03\"»\naddress = \"10.0.0.3\"\nroles = [\"MP\"]\n");
    error(&system, "there is no site \"P03\"", "did you mean");
    error(
        &with("[[boundary_groups]]\nname = \"x\"\nsite = «\"XYZ\"»\n"),
        "there is no site \"XYZ\"",
        "one of the [[sites]]",
    );
    let listener = with("[[listeners]]\naddress = \"0.0.0.0:81\"\nroles = [\"MP\"]\nsite = «\"XYZ\"»\n");
    error(&listener, "there is no site \"XYZ\"", "one of the [[sites]]");
    let single = format!(
        "{}{}",
        marks::with(""),
        "[[boundary_groups]]\nname = \"x\"\nsite = «\"XYZ\"»\nsite_systems = [\"mp1\"]\n"
    );
    error(&single, "there is no site \"XYZ\"", "leave `site` out");
    assert_eq!(look(&single.replace("«\"XYZ\"»", "\"p01\"")).0, [], "the code of the one site is none");
}

#[test]
fn boundary_groups_of_sites() {
    let group = |name: &str, more: &str| {
        format!("[[boundary_groups]]\nname = {name}\nsite_systems = [\"mp1\", \"mp2\"]\n{more}\n")
    };
    let default = with(&group("\"x\"", "neighbors = [{ group = «\"default\"» }]"));
    error(&default, "this boundary group belongs to none of them", "Default-Site-Boundary-GroupP01");
    let missing = with(&group("\"x\"", "neighbors = [{ group = «\"Default-Site-Boundary-GroupP03\"» }]"));
    error(&missing, "there is no boundary group", "did you mean");
    error(
        &with(&group("«\"default-site-boundary-groupP02\"»", "")),
        "means the site default boundary group",
        "of its site",
    );
    for good in [
        "site = \"P02\"\nneighbors = [{ group = \"default\" }]",
        "neighbors = [{ group = \"Default-Site-Boundary-GroupP02\" }]",
    ] {
        assert_eq!(look(&with(&group("\"x\"", good))).0, []);
    }
    let overlap = with(
        &(group("\"x\"", "site = \"P01\"\nboundaries = [\"10.1.0.0/16\"]")
            + &group("\"y\"", "site = «\"P02\"»\nboundaries = [\"10.1.2.0/24\"]")),
    );
    warning(
        &overlap,
        "\"x\" and \"y\" have addresses in common and assign to two sites",
        "make the boundaries disjoint",
    );
    let same = overlap.replace("«\"P02\"»", "\"P01\"");
    assert_eq!(look(&same).0, []);
}
