//! State migration points, and the roles that boundary groups say little about.

use std::fmt::Write;

use rolegate::model::decision::{Decision, Refusal};
use rolegate::model::facts::Facts;

use super::{LATE, explain, set, used};
use crate::control_support::minutes::{Got, Site, from, worked_example};
use crate::control_support::world::facts;

const STATE: &str = "/SMSSMP/x";

/// Servers `a1` in A and `b1` in its neighbor B, with one role.
fn two(role: &str, more: &str) -> Site {
    let mut text =
        format!("[site]\ncode = \"P01\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"{role}\"]\n{more}\n");
    for (place, (name, net)) in [("a1", "10.1.0.0/16"), ("b1", "10.2.0.0/16")].into_iter().enumerate() {
        writeln!(
            text,
            "[[site_systems]]\nname = \"{name}\"\naddress = \"10.9.0.{place}\"\nroles = [\"{role}\"]\n\
             [[boundary_groups]]\nname = \"{}\"\nboundaries = [\"{net}\"]\nsite_systems = [\"{name}\"]",
            &name[..1]
        )
        .unwrap();
    }
    Site::new(&text)
}

fn refused(site: &Site, host: Option<&str>) -> bool {
    let snapshot = site.world.snapshot();
    let decided = Decision::new(&snapshot, &Facts { host, ..facts("10.1.0.1", STATE) }, 0);
    matches!(decided, Err(Refusal::NotNamed(_)))
}

#[test]
fn smp_by_name() {
    let mut site = two("SMP", "");
    for client in ["10.1.0.1", "10.2.0.1", "10.77.0.1"] {
        for server in ["a1", "b1"] {
            assert_eq!(site.named(Some(server), client, STATE, 0), from(server), "{client}: the state is there");
        }
    }
    assert!(refused(&site, Some("smp.contoso.com")) && refused(&site, None), "421: no name says where the state is");
    let text = worked_example("").replace("\"DP\", \"MP\", \"SUP\"", "\"SMP\"");
    let alone = text.split("[[site_systems]]").take(2).collect::<Vec<_>>().join("[[site_systems]]");
    let mut alone = Site::new(&alone);
    assert_eq!(alone.named(Some("smp.contoso.com"), "10.1.0.1", STATE, 0), from("a1"), "one alone may have any name");
}

#[test]
fn smp_server_down() {
    let mut site = two("SMP", "");
    site.down(&["a1"]);
    // Nobody is well there: panic = "serve" would ask it all the same.
    let told = explain(&site, Some("a1"), "10.1.0.1", STATE);
    assert!(told.pick.is_none(), "{:?}", told.pick);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", STATE, LATE), Got::Nobody, "it is not replaced");
    assert!(refused(&site, Some("smp.contoso.com")));
}

#[test]
fn smp_no_fallback() {
    let mut site = two("SMP", "[roles.SMP]\nlocality = \"boundary-groups\"\n");
    assert_eq!(site.named(Some("a1"), "10.1.0.1", STATE, 0), from("a1"));
    site.down(&["a1"]);
    assert_eq!(site.named(Some("a1"), "10.1.0.1", STATE, LATE), Got::Nobody);
    assert_eq!(site.named(Some("b1"), "10.1.0.1", STATE, LATE), Got::Nobody, "B is not for clients of A");
    assert!(refused(&site, Some("smp.contoso.com")));
}

/// Own groups first, all others at once, back at once.
fn prefers(role: &str, path: &str) {
    let mut site = two(role, "");
    assert_eq!(used(&mut site, None, "10.1.7", path, 0), set(["a1"]), "{role}");
    assert_eq!(site.named(Some("b1"), "10.1.7.1", path, 0), from("b1"), "{role}");
    site.down(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", path, 0), set(["b1"]), "{role}");
    assert_eq!(site.named(Some("a1"), "10.1.7.1", path, 0), from("b1"), "{role}");
    site.up(&["a1"]);
    assert_eq!(used(&mut site, None, "10.1.7", path, 0), set(["a1"]), "{role}");
}

/// Every server for every client.
fn anywhere(role: &str, path: &str) {
    let mut site = two(role, "");
    let both = set(["a1", "b1"]);
    for network in ["10.1.7", "10.2.7", "10.77.0"] {
        let mut seen = used(&mut site, None, network, path, 0);
        for round in 1..8 {
            seen.extend(used(&mut site, None, network, path, round));
        }
        assert_eq!(seen, both, "{role} {network}");
    }
    assert!(explain(&site, Some("a1"), "10.1.0.1", path).named.unwrap().contains("means nothing"), "{role}");
    site.down(&["a1"]);
    assert_eq!(used(&mut site, Some("a1"), "10.1.7", path, 0), set(["b1"]), "{role}");
}

#[test]
fn application_catalog() {
    prefers("application-catalog-website-point", "/CMApplicationCatalog/");
    prefers("application-catalog-web-service-point", "/CMApplicationCatalogSvc/ApplicationOfferService.svc");
}

#[test]
fn reporting_services_point() {
    prefers("reporting-services-point", "/ReportServer");
}

#[test]
fn fallback_status_point() {
    anywhere("fallback-status-point", "/SMS_FSP/.sms_fsp");
}

#[test]
fn enrollment_points() {
    anywhere("enrollment-proxy-point", "/EnrollmentServer/Discovery.svc");
    anywhere("enrollment-point", "/EnrollmentService/x");
}

#[test]
fn sms_provider() {
    let (role, path) = ("sms-provider", "/AdminService/v1.0/Device");
    let mut site = two(role, "");
    let mut seen = used(&mut site, None, "10.1.7", path, 0);
    for round in 1..8 {
        seen.extend(used(&mut site, None, "10.1.7", path, round));
    }
    assert_eq!(seen, set(["a1", "b1"]));
    assert_eq!(used(&mut site, Some("b1"), "10.1.7", path, 0), set(["b1"]), "a ticket is for one server");
    site.down(&["b1"]);
    assert_eq!(used(&mut site, Some("b1"), "10.1.7", path, 0), set(["a1"]));
}
