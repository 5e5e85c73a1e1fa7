use super::*;
use crate::content::ContentFile;

fn report() -> ContentFile {
    ContentFile::new("inventory", "report", 200_001)
}

async fn points() -> (SiteSystem, SiteSystem) {
    let (one, two) = (start(Spec::management_point("mp1")).await.0, start(Spec::management_point("mp2")).await.0);
    for site in [&one, &two] {
        // Each packet goes to the next site system of a relay.
        site.faults().set_close_each(true);
    }
    (one, two)
}

#[tokio::test]
async fn a_lost_session_begins_the_upload_again() {
    let (one, two) = points().await;
    // Create-Session and a fragment to one, the next fragment to the other.
    let mut client = through(&[&one, &one, &two]).await;
    let step = client.upload(&report(), 64 * 1024).await.unwrap();
    assert_eq!((step.sessions_lost, step.is_smooth()), (1, false));
    assert_eq!(step.served_by.join(" "), "mp1 mp1 mp2 mp2 mp2 mp2 mp2 mp2 mp2");
    assert!(one.counters().uploads().is_empty());
    let uploads = two.counters().uploads();
    assert_eq!((uploads.len(), uploads[0].sha256), (1, report().hash()));
    // Only Close-Session goes to the other.
    let mut client = through(&[&one, &one, &two]).await;
    assert_eq!(client.upload(&report(), 1024 * 1024).await.unwrap().sessions_lost, 1);
}

#[tokio::test]
async fn sessions_that_are_always_lost_are_given_up() {
    let (one, two) = points().await;
    let mut client = through(&[&one, &two].repeat(10)).await;
    let result = client.upload(&report(), 64 * 1024).await;
    assert!(
        matches!(&result, Err(ClientError::Status { status, served_by, .. })
            if *status == 500 && served_by.as_deref() == Some("mp2")),
        "{result:?}"
    );
    assert_eq!((one.counters().requests(), two.counters().requests()), (6, 6));
}

#[tokio::test]
async fn a_refused_packet_is_not_a_lost_session() {
    let (site, client) = start(Spec::management_point("mp1")).await;
    let mut client = client.with_retries(3, Duration::from_millis(1));
    site.faults().set_status(Some(500));
    assert!(matches!(client.upload(&report(), 64 * 1024).await, Err(ClientError::Status { .. })));
    assert_eq!(site.counters().requests(), 1);
    site.faults().set_status(Some(503));
    site.faults().set_times(Some(2));
    let step = client.upload(&report(), 64 * 1024).await.unwrap();
    assert_eq!((step.retried, step.sessions_lost), (2, 0));
}

#[tokio::test]
async fn a_host_id_leads_the_client_away() {
    let (site, mut client) = start(Spec::management_point("mp1").bits_host_id("mp1.lab.test")).await;
    let step = client.upload(&report(), 64 * 1024).await.unwrap();
    assert_eq!(step.led_away.as_deref(), Some("mp1.lab.test"));
    let hosts: Vec<_> = site.counters().seen().iter().map(|seen| seen.header("host").unwrap().to_owned()).collect();
    assert_eq!((hosts[0].as_str(), hosts[1].as_str()), ("site.lab.test", "mp1.lab.test"));
    let (_site, mut client) = start(Spec::management_point("mp2")).await;
    assert_eq!(client.upload(&report(), 64 * 1024).await.unwrap().led_away, None);
}

#[tokio::test]
async fn a_large_message_is_an_upload_and_the_message_that_names_it() {
    let (site, mut client) = start(Spec::management_point("mp1")).await;
    let step = client.large_message(Report::HardwareInventory, &report(), 64 * 1024).await.unwrap();
    assert_eq!((step.requests, step.is_smooth()), (7, true));
    assert!(step.served_by.iter().all(|name| name == "mp1"));
    assert_eq!((site.counters().uploads().len(), site.counters().messages().len()), (1, 1));
    assert_eq!(site.counters().requests_of(Kind::Message), 1);
}
