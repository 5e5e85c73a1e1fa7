use std::cell::RefCell;
use std::rc::Rc;

use tokio::net::TcpListener;

use super::*;
use crate::client::Tls;
use crate::content::Content;
use crate::pki::Authority;
use crate::site::{self, Role, SiteSystem, Spec};

const MANY: usize = 100;

async fn server() -> (SocketAddr, Alive) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, alive) = (listener.local_addr().unwrap(), Alive::default());
    tokio::spawn(serve(listener, alive.clone()));
    (address, alive)
}

fn get(target: &str) -> Opening {
    Opening::Get { target: target.to_owned(), host: "dp.lab.test".to_owned() }
}

fn plan(to: SocketAddr, opening: Opening) -> Plan {
    let sources = Some("127.1.0.0/16".parse().unwrap());
    Plan { connections: MANY, concurrency: 7, step: 40, sources, ..Plan::new(to, opening) }
}

/// Runs a plan until `until` is ready once all are open.
async fn held<F: Future<Output = ()>>(plan: Plan, until: impl FnOnce() -> F) -> Vec<Report> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&reports);
    run(plan, until, |report| {
        keep.borrow_mut().push(report.clone());
        Ok(())
    })
    .await
    .unwrap();
    reports.take()
}

fn opened(reports: &[Report]) -> (usize, usize, usize) {
    match reports.last() {
        Some(Report::End { opened, alive, failed, .. }) => (*opened, *alive, *failed),
        other => panic!("no end: {other:?}"),
    }
}

#[tokio::test]
async fn idle_connections_are_held_and_measured() {
    for opening in [get("/"), Opening::Line("Ping".to_owned())] {
        let (address, alive) = server().await;
        let all = alive.clone();
        let plan = Plan { pid: Some(std::process::id()), ..plan(address, opening) };
        let reports = held(plan, || async move { assert_eq!(all.count(), MANY) }).await;
        assert_eq!(opened(&reports), (MANY, MANY, 0));
        let steps = reports.iter().filter_map(|report| match report {
            Report::Step { alive, memory, .. } => Some((*alive, memory.is_some_and(|memory| memory.private > 0))),
            _ => None,
        });
        assert_eq!(steps.collect::<Vec<_>>(), [(0, true), (40, true), (80, true), (MANY, true), (MANY, true)]);
        let json = serde_json::to_string(&reports[1]).unwrap();
        assert!(
            json.starts_with("{\"report\":\"step\",\"alive\":40") && json.contains("bytes_per_connection"),
            "{json}"
        );
        crate::waiting::until(|| alive.count() == 0).await;
    }
}

#[tokio::test]
async fn secured_connections_come_from_many_addresses() {
    let authority = Authority::new("Lab Root CA");
    let spec = Spec::distribution_point("dp1", &Arc::new(Content::default()));
    let site = SiteSystem::start(spec.tls(site::Tls::new(authority.server(&["dp.lab.test"])))).await.unwrap();
    let tls = Tls::new().trusting(authority.certificate_pem()).connector().unwrap();
    let plan = Plan { tls: Some(tls), ..plan(site.address(), get("/SMS_DP_SMSPKG$/")) };
    let counters = site.counters();
    let reports = held(plan, || async { assert_eq!(counters.open_connections(), MANY as u64) }).await;
    assert_eq!(opened(&reports), (MANY, MANY, 0));
    let mut clients: Vec<_> = counters.seen().iter().map(|seen| seen.client.ip()).collect();
    clients.sort_unstable();
    clients.dedup();
    assert_eq!((clients.len(), clients[0].to_string().as_str()), (MANY, "127.1.0.1"));
}

#[tokio::test]
async fn those_that_close_are_opened_again() {
    let site = SiteSystem::start(Spec::new("bgb1").role(Role::ClientNotification)).await.unwrap();
    let plan = Plan { reconnect: true, ..plan(site.address(), Opening::Line("LogIn".to_owned())) };
    let until = async {
        site.kill();
        site.gone().await;
        site.restart().await.unwrap();
        crate::waiting::until(|| site.counters().connections() >= 2 * MANY as u64).await;
    };
    let reports = held(plan, || until).await;
    let Some(Report::End { opened, closed, failed, .. }) = reports.last() else { panic!("no end: {reports:?}") };
    assert_eq!((*opened, *closed, *failed), (MANY, MANY, 0));
}

#[tokio::test]
async fn what_cannot_be_opened_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reports = held(plan(address, get("/")), || async {}).await;
    let Some(Report::End { opened, failed, first_error, .. }) = reports.last() else { panic!("no end: {reports:?}") };
    assert_eq!((*opened, *failed), (0, MANY));
    assert!(first_error.as_ref().unwrap().contains("refused"), "{first_error:?}");
    assert!(raise_open_files(100).unwrap() >= 100);
    let nobody = Plan { pid: Some(u32::MAX), ..plan(address, get("/")) };
    assert!(run(nobody, || async {}, |_| Ok(())).await.is_err());
}
