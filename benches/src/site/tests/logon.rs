use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::client::Credentials;
use crate::site::Kind;

const SERVICE: &str = "/CMUserService_WindowsAuth/applicationviewservice.asmx";

async fn site() -> SiteSystem {
    let spec = Spec::management_point("mp1.lab.test").user("ann", "secret of ann").user(r"OTHER\bob", "secret of bob");
    start(spec).await
}

async fn leg(client: &mut Client, token: &str) -> Answer {
    let headers = fields(&[("authorization", &format!("NTLM {token}"))]);
    client.request_with(Method::GET, SERVICE, headers, Bytes::new()).await.unwrap()
}

fn challenge(answer: &Answer) -> String {
    answer.headers["www-authenticate"].to_str().unwrap().strip_prefix("NTLM ").unwrap().to_owned()
}

fn user(answer: &Answer) -> Option<&str> {
    answer.headers.get("x-authenticated-user").map(|user| user.to_str().unwrap())
}

#[tokio::test]
async fn a_connection_keeps_its_user_until_it_begins_anew() {
    let site = site().await;
    let mut client = client(site.address()).with_user("ann", "secret of ann");
    let answer = client.request_as_user(Method::GET, SERVICE, HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), user(&answer)), (200, Some(r"LAB\ann")));
    let kept = client.request(Method::GET, SERVICE, Bytes::new()).await.unwrap();
    assert_eq!((kept.status.as_u16(), user(&kept)), (200, Some(r"LAB\ann")));
    let mut client = client.with_user(r"other\BOB", "secret of bob");
    let body = Bytes::from_static(b"<Envelope/>");
    let answer = client.request_as_user(Method::POST, SERVICE, HeaderMap::new(), body).await.unwrap();
    assert_eq!((answer.status.as_u16(), user(&answer)), (200, Some(r"OTHER\bob")));
    let begun = leg(&mut client, &Credentials::negotiate()).await;
    assert_eq!((begun.status.as_u16(), user(&begun)), (401, None));
    assert_eq!(client.request(Method::GET, SERVICE, Bytes::new()).await.unwrap().status, 401);
    let seen = site.counters().seen();
    let users: Vec<_> = seen.iter().map(|seen| seen.user.as_deref()).collect();
    let (ann, bob) = (Some(r"LAB\ann"), Some(r"OTHER\bob"));
    assert_eq!(users, [None, ann, ann, None, bob, None, None]);
    assert_eq!(seen.iter().map(|seen| seen.body_bytes).collect::<Vec<_>>(), [0, 0, 0, 0, 11, 0, 0]);
    assert_eq!((site.counters().connections(), site.counters().requests_of(Kind::Unauthorized)), (1, 4));
}

#[tokio::test]
async fn an_answer_is_good_once_and_on_its_connection_only() {
    let site = site().await;
    let (mut one, mut two) = (client(site.address()), client(site.address()));
    let ann = Credentials::new(r"LAB\ann", "secret of ann");
    let third = ann.authenticate(&challenge(&leg(&mut one, &Credentials::negotiate()).await)).unwrap();
    assert_eq!(leg(&mut two, &third).await.status, 401, "no challenge was sent on this connection");
    leg(&mut two, &Credentials::negotiate()).await;
    assert_eq!(leg(&mut two, &third).await.status, 401, "another challenge was sent on this connection");
    assert_eq!(leg(&mut one, &third).await.status, 200);
    assert_eq!(leg(&mut one, &third).await.status, 401, "a challenge is answered once");
}

#[tokio::test]
async fn wrong_names_passwords_and_messages_are_refused() {
    let site = site().await;
    let mut client = client(site.address());
    for (user, password) in
        [("ann", "secret of bob"), ("bob", "secret of bob"), (r"OTHER\ann", "secret of ann"), ("nobody", "")]
    {
        client = client.with_user(user, password);
        let answer = client.request_as_user(Method::GET, SERVICE, HeaderMap::new(), Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers.get("x-authenticated-user")), (401, None), "{user}");
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 2);
    }
    let ann = Credentials::new("ann", "secret of ann");
    let third = ann.authenticate(&challenge(&leg(&mut client, &Credentials::negotiate()).await)).unwrap();
    let mut altered = BASE64_STANDARD.decode(&third).unwrap();
    altered[72] ^= 1;
    assert_eq!(leg(&mut client, &BASE64_STANDARD.encode(altered)).await.status, 401, "the code over all messages");
    for nonsense in ["", "====", "TlRMTVNTUAADAAAA", "TlRMTVNTUAABAAAA", "TlRMTVNTUAA"] {
        assert_eq!(leg(&mut client, nonsense).await.status, 401, "{nonsense}");
    }
    assert_eq!(ann.authenticate("TlRMTVNTUAADAAAA"), None);
}

#[tokio::test]
async fn many_users_at_a_time_are_kept_apart() {
    let names: Vec<_> = (0..16).map(|number| format!("user{number}")).collect();
    let spec = names.iter().fold(Spec::management_point("mp1"), |spec, name| spec.user(name, name));
    let site = start(spec).await;
    let address = site.address();
    let users = names.into_iter().map(|name| {
        tokio::spawn(async move {
            let mut client = client(address).with_user(&name, &name);
            for _ in 0..5 {
                let answer =
                    client.request_as_user(Method::GET, SERVICE, HeaderMap::new(), Bytes::new()).await.unwrap();
                assert_eq!(user(&answer), Some(format!("LAB\\{name}").as_str()));
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap();
    }
    assert_eq!(site.counters().connections(), 16);
}
