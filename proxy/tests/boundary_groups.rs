//! Microsoft's boundary groups row by row, with one shared name and with the servers' own names: every test here is named
//! in docs/boundary-groups.md, and every cell of that document has one.
#![allow(clippy::unwrap_used, missing_docs)]

mod boundary_cells;
mod control_support;
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use boundary_cells::{explain, used};
use control_support::minutes::{PACKAGE, Site, worked_example};
use rolegate::control::config::Source;
use rolegate::control::director;
use support::{Message, PATIENCE, Peer, Proxy, status};

/// The names of the boundary groups that a client is in.
fn groups(site: &Site, client: &str) -> Vec<String> {
    explain(site, None, client, PACKAGE).boundary_groups.into_iter().map(|group| group.name).collect()
}

/// Microsoft's example with other boundaries of C.
fn with_boundaries(boundaries: &str, more: &str) -> String {
    worked_example(more).replace("[\"10.3.0.0/16\"]", boundaries)
}

fn refusal(text: String) -> String {
    director::read(&Source { name: "test.toml".to_owned(), text }, false).unwrap_err().to_string()
}

#[test]
fn groups_by_range_and_subnet() {
    let site =
        Site::new(&with_boundaries("[\"10.3.0.5-10.3.1.9\", \"10.4.8.0/255.255.252.0\", \"10.5.5.5-10.5.5.5\"]", ""));
    for (client, inside) in [
        ("10.3.0.4", false),
        ("10.3.0.5", true),
        ("10.3.1.9", true),
        ("10.3.1.10", false),
        ("10.4.8.0", true),
        ("10.4.11.255", true),
        ("10.4.12.0", false),
        ("10.5.5.5", true),
        ("10.5.5.6", false),
        ("::ffff:10.5.5.5", true),
    ] {
        assert_eq!(groups(&site, client) == ["C"], inside, "{client}");
    }
    let said = refusal(with_boundaries("[\"10.3.0.0\"]", ""));
    assert!(said.contains("a subnet without its mask"), "{said}");
}

#[test]
fn groups_by_ipv6_prefix() {
    let site = Site::new(&with_boundaries("[\"2001:db8:1:2\"]", ""));
    assert_eq!(groups(&site, "2001:db8:1:2:ffff::1"), ["C"]);
    assert!(groups(&site, "2001:db8:1:3::1").is_empty());
}

#[test]
fn groups_by_active_directory_site() {
    let sites = "[ad_sites]\nhub = [\"10.0.0.0/8\"]\nlyon = [\"10.3.4.0/22\"]\nnice = [\"10.3.5.0/24\"]\n";
    let site = Site::new(
        &with_boundaries("[{ ad_site = \"lyon\" }]", sites).replace("[\"10.2.0.0/16\"]", "[{ ad_site = \"hub\" }]"),
    );
    assert_eq!(groups(&site, "10.3.4.1"), ["C"], "in the most specific site alone");
    assert_eq!(groups(&site, "10.3.8.1"), ["B"], "in the catch-all");
    assert!(groups(&site, "10.3.5.1").is_empty(), "in a site that no boundary names");
    assert_eq!(groups(&site, "10.1.0.1"), ["A", "B"], "ranges stay a union with that of the site");
}

#[test]
fn groups_by_vpn() {
    for vpn in ["[\"Auto:On\"]", "[\"Name:CONTOSOVPN\"]", "[{ vpn = \"Description:CONTOSOMAINVPN\" }]"] {
        let said = refusal(with_boundaries(vpn, ""));
        assert!(said.contains("VPN boundary") && said.contains("addresses"), "{said}");
    }
    let site = Site::new(&with_boundaries("[\"10.99.0.0/16\"]", ""));
    assert_eq!(groups(&site, "10.99.3.4"), ["C"], "the addresses that the VPN gives");
}

#[test]
fn groups_overlapping() {
    let site = Site::new(&with_boundaries("[\"10.1.5.0/24\", \"10.2.0.0/16\"]", ""));
    assert_eq!(groups(&site, "10.1.5.1"), ["A", "C"]);
    assert_eq!(groups(&site, "10.2.0.1"), ["B", "C"], "the same boundary in two groups");
    assert_eq!(groups(&site, "10.1.6.1"), ["A"]);
}

#[test]
fn groups_none() {
    let mut site = Site::new(&worked_example(""));
    for client in ["10.77.0.1", "203.0.113.9", "2001:db8::1"] {
        let told = explain(&site, None, client, PACKAGE);
        let why = told.no_boundary_group.unwrap();
        assert!(why.contains("Default-Site-Boundary-GroupP01"), "{client}: {why}");
    }
    // So a client on the internet uses what the default group has.
    assert_eq!(used(&mut site, None, "203.0.113", PACKAGE, 0), BTreeSet::from(["d1".to_owned()]));
    assert_eq!(used(&mut site, Some("a1"), "203.0.113", PACKAGE, 0), BTreeSet::from(["d1".to_owned()]));
}

const FOLDER: &str = "/SMS_DP_SMSPKG$/ABC00012";

/// A distribution point that has the content or lacks it.
async fn point(has: bool) -> Peer {
    Peer::answering(move |_, _| if has { status(207, "<listing/>") } else { status(404, "no such content here") }).await
}

/// A (a1, a2) falls back to B (b1) after ten minutes, which pass in a second, and to nobody else.
fn serve(points: &[(&str, &Peer)], more: &str) -> Proxy {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n[fallback]\nspeedup = 600\n[proxy]\nthreads = 1\n{more}\n[admin]\n\
         address = \"127.0.0.1:0\"\n[[listeners]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\nroles = [\"DP\"]\n\
         [roles.DP]\nprobe = {{ kind = \"none\" }}\n"
    );
    for (name, peer) in points {
        let (ip, port) = (peer.address.ip(), peer.address.port());
        text += &format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"{ip}\"\nroles = [{{ role = \"DP\", port = {port} }}]\n"
        );
    }
    Proxy::start(
        &(text
            + "[[boundary_groups]]\nname = \"A\"\nboundaries = [\"127.0.1.0/24\"]\nsite_systems = [\"a1\", \"a2\"]\n\
           neighbors = [{ group = \"B\", fallback = { DP = 10 } }]\n\
           [[boundary_groups]]\nname = \"B\"\nboundaries = [\"127.0.2.0/24\"]\nsite_systems = [\"b1\"]\n\
           [default_boundary_group]\nfallback = { DP = \"never\" }\n"),
    )
}

async fn list(proxy: &Proxy, client: &str, host: &str, more: &str) -> Message {
    let request = format!("PROPFIND {FOLDER} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    proxy.open_from(client).await.ask(&request).await
}

/// Requests that a server has had from clients: the proxy's own questions say who asks.
fn asked(peer: &Peer) -> usize {
    let own = |request: &&Message| !request.field("user-agent").is_some_and(|agent| agent.starts_with("rolegate/"));
    peer.heard().iter().filter(own).count()
}

#[tokio::test]
async fn dp_content_missing() {
    // One of the group has it: the client hears of no 404.
    let (lacks, has, far) = (point(false).await, point(true).await, point(true).await);
    let proxy = serve(&[("a1", &lacks), ("a2", &has), ("b1", &far)], "");
    for client in 1..12 {
        list(&proxy, &format!("127.0.1.{client}"), "dp.lab.test", "").await.is_from_server(207);
    }
    list(&proxy, "127.0.1.20", "a1", "").await.is_from_server(207);
    assert_eq!(asked(&lacks), 1, "asked once, and remembered");
    assert_eq!(asked(&far), 0);
}

#[tokio::test]
async fn dp_content_missing_in_the_group() {
    let (a1, a2, b1) = (point(false).await, point(false).await, point(true).await);
    let proxy = serve(&[("a1", &a1), ("a2", &a2), ("b1", &b1)], "");
    // By name: the client has its own clock, and none of ours starts.
    list(&proxy, "127.0.1.1", "a1", "").await.is_from_server(404);
    assert_eq!((asked(&a1), asked(&a2), asked(&b1)), (1, 1, 0), "both of the group were asked");
    assert_eq!(proxy.metric("rolegate_fallback_clocks_started_total", &[]), 0.0);
    list(&proxy, "127.0.1.1", "b1", "").await.is_from_server(207);
    assert_eq!(asked(&b1), 1, "it has been given that name, so it has waited");
    // By a shared name: our clock.
    let answer = list(&proxy, "127.0.1.2", "dp.lab.test", "").await;
    answer.is_from_server(404);
    assert_eq!(asked(&b1), 1, "not before its time");
    let begun = Instant::now();
    while list(&proxy, "127.0.1.2", "dp.lab.test", "").await.status() != 207 {
        assert!(begun.elapsed() < PATIENCE, "ten minutes pass in a second");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(asked(&b1), 2);
}

#[tokio::test]
async fn groups_behind_address_translation() {
    let (a1, a2, b1) = (point(true).await, point(true).await, point(true).await);
    let proxy = serve(&[("a1", &a1), ("a2", &a2), ("b1", &b1)], "trusted_proxies = [\"127.0.9.0/24\"]");
    for (from, said, of_a) in [
        ("127.0.9.1", "X-Forwarded-For: 127.0.1.5\r\n", true),
        ("127.0.9.1", "X-Forwarded-For: 127.0.2.5\r\n", false),
        ("127.0.2.1", "X-Forwarded-For: 127.0.1.5\r\n", false),
    ] {
        let before = asked(&b1);
        list(&proxy, from, "dp.lab.test", said).await.is_from_server(207);
        assert_eq!(asked(&b1) == before, of_a, "{from} {said}");
    }
    let answer = list(&proxy, "127.0.9.1", "dp.lab.test", "").await;
    answer.is_own(503, "destination_unavailable");
}
