use super::*;
use crate::message::{self, Envelope, decode, element, from_utf16};
use crate::site::{ContentSeen, Kind, Role, names};
use crate::spread::Sizes;

fn post(content_type: &str, endpoint: &str, payload: &str) -> (HeaderMap, Bytes) {
    let header = Envelope { id: "m-1", client: "c-1234567", endpoint, host: "mp" }.header(payload.len());
    (fields(&[("content-type", content_type)]), message::encode(&header, payload))
}

async fn reply(site: &SiteSystem, path: &str, endpoint: &str, payload: &str) -> Answer {
    let (headers, body) = post(message::CONTENT_TYPE, endpoint, payload);
    let method = Method::from_bytes(b"CCM_POST").unwrap();
    client(site.address()).request_with(method, path, headers, body).await.unwrap()
}

fn payload(answer: &Answer) -> String {
    decode(answer.headers["content-type"].to_str().unwrap(), &answer.body).unwrap().payload
}

#[tokio::test]
async fn sms_aut_answers_every_documented_query_in_any_case() {
    let all = names(["mp1.lab.test", "mp2.lab.test"]);
    let site = start(Spec::management_point("mp1.lab.test").management_points(&all)).await;
    let (status, list) = get(&site, "/SMS_MP/.sms_aut?MPLIST").await;
    assert_eq!(status, 200);
    assert!(list.starts_with("<MPList><MP Name=\"MP1\" FQDN=\"mp1.lab.test\"><Version>"), "{list}");
    assert!(list.contains("FQDN=\"mp2.lab.test\"") && !list.contains("SiteCode"));
    let (_, list) = get(&site, "/sms_mp_altauth/.SMS_AUT?mplist1&p01").await;
    assert!(list.contains("SiteCode=\"P01\""), "{list}");
    assert_eq!(get(&site, "/SMS_MP/.sms_aut?MPLIST2&XYZ").await, (200, "<MPList></MPList>".to_owned()));
    assert_eq!(get(&site, "/SMS_MP/.sms_aut?MPCERT").await.0, 200);
    assert!(get(&site, "/SMS_MP/.sms_aut?MPKEYINFORMATION").await.1.contains("<SITECODE>P01</SITECODE>"));
    assert!(get(&site, "/SMS_MP/.sms_aut?MPKEYINFORMATIONMEDIA").await.1.contains("x64UnknownMachineGUID"));
    assert!(get(&site, "/SMS_MP/.sms_aut?SITESIGNCERT").await.1.contains("<X509Certificate>3082"));
    assert_eq!(get(&site, "/SMS_MP/.sms_aut?MPLOCATION&ir=10.0.0.1&ip=10.0.0.0").await.0, 200);
    assert_eq!(get(&site, "/SMS_MP/.sms_aut?NONSENSE").await.0, 400);
    all.store(Arc::new(vec!["mp3.lab.test".to_owned()]));
    assert!(get(&site, "/SMS_MP/.sms_aut?MPLIST").await.1.contains("mp3.lab.test"));
    assert_eq!(site.counters().requests_of(Kind::Authority), 10);
}

#[tokio::test]
async fn policies_and_configuration_items_are_found_by_their_names() {
    let site = start(Spec::management_point("mp1").policies(2, Sizes::fixed(8192))).await;
    let request = "<RequestAssignments/>";
    let assigned = payload(&reply(&site, "/CCM_System/Request", "MP_PolicyManager", request).await);
    let target = assigned.split("http://<mp>").nth(1).unwrap().split(']').next().unwrap();
    assert!(target.starts_with("/SMS_MP/.sms_pol?{"), "{target}");
    let answer = ask(&site, "GET", target, &[]).await;
    assert!(answer.status == 200 && answer.body.starts_with(&[0xff, 0xfe]) && answer.body.len() >= 8192);
    assert!(from_utf16(&answer.body).contains("<Policy PolicyID=\"{"));
    let other = start(Spec::management_point("mp2").policies(2, Sizes::fixed(8192))).await;
    assert_eq!(ask(&other, "GET", target, &[]).await.body, answer.body, "any management point of the site has it");
    assert_eq!(get(&site, "/SMS_MP/.sms_pol?{unknown}.1_00").await.0, 404);
    let item = format!("/SMS_MP/.sms_dcm?Id&DocumentId=A/B/PROPERTIES&Hash={}&Compression=zlib", "0".repeat(64));
    assert_eq!(get(&site, &item).await.0, 200);
    assert_eq!(get(&site, "/SMS_MP/.sms_dcm?Id").await.0, 404);
}

#[tokio::test]
async fn messages_are_answered_by_endpoint_and_reports_are_counted_by_id() {
    let site = start(Spec::management_point("mp1").content(&content()).distribution_points(&names(["dp7"]))).await;
    let request = "/ccm_system/request";
    let asked = "<ContentLocationRequest><Package ID=\"PKG00001\" Version=\"1\"/></ContentLocationRequest>";
    let location = payload(&reply(&site, request, "MP_LocationManager", asked).await);
    assert!(location.contains("http://dp7/SMS_DP_SMSPKG$/PKG00001") && location.contains("PKG00001.1.tar"));
    let updates = payload(&reply(&site, request, "MP_LocationManager", "<WSUSLocationRequest/>").await);
    assert!(updates.contains("WSUSURL=\"http://"));
    for known in ["EnumerateMPLocationRequest", "SiteInformationRequest", "AssignedSiteRequest"] {
        let answer = payload(&reply(&site, request, "MP_LocationManager", &format!("<{known}/>")).await);
        assert!(answer.starts_with(&format!("<{}", known.replace("Request", "Reply"))), "{answer}");
    }
    let registered = reply(&site, request, "MP_ClientRegistration", "<ClientRegistrationRequest/>").await;
    assert!(payload(&registered).contains("SMSID=\"GUID:c-1234567\""));
    assert!(site.counters().messages().is_empty());
    for _ in 0..2 {
        assert!(!reply(&site, "/ccm_system_altauth/request", "MP_RelayEndpoint", "<Report/>").await.body.is_empty());
    }
    assert_eq!(site.counters().messages(), [("m-1".to_owned(), 2)].into());
}

#[tokio::test]
async fn a_refused_message_is_200_and_empty() {
    let site = start(Spec::management_point("mp1")).await;
    let request = "/ccm_system_altauth/request";
    for (content_type, endpoint, body) in
        [("text/xml", "MP_RelayEndpoint", "<A/>"), (message::CONTENT_TYPE, "MP_Unknown", "<A/>")]
    {
        let (headers, body) = post(content_type, endpoint, body);
        let method = Method::from_bytes(b"CCM_POST").unwrap();
        let answer = client(site.address()).request_with(method, request, headers, body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    }
    let empty = ask(&site, "CCM_POST", request, &[]).await;
    assert_eq!((empty.status.as_u16(), empty.headers["content-length"].to_str().unwrap()), (200, "0"));
    assert_eq!(get(&site, "/ccm_system_altauth/").await.0, 403);
    assert_eq!(ask(&site, "POST", request, &[]).await.status, 405);
}

#[tokio::test]
async fn windows_authentication_belongs_to_one_connection() {
    let site = start(Spec::management_point("mp1")).await;
    let answer = ask(&site, "GET", "/ccm_system_windowsauth/", &[]).await;
    let offers: Vec<_> = answer.headers.get_all("www-authenticate").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!((answer.status.as_u16(), offers), (401, vec![b"Negotiate".as_slice(), b"NTLM"]));
    let user_service = "/CMUserService_WindowsAuth/applicationviewservice.asmx";
    let step = client(site.address()).windows_auth(user_service).await.unwrap();
    assert_eq!((step.requests, step.reopened), (3, 0));
    site.faults().set_close_each(true);
    let spread = client(site.address()).windows_auth(user_service).await;
    assert!(matches!(spread, Err(ClientError::Status { status, .. }) if status == 401), "{spread:?}");
    site.faults().set_close_each(false);
    let ticket = ask(&site, "GET", user_service, &[("authorization", "Negotiate YIIabc")]).await;
    assert_eq!(ticket.status, 200);
}

#[tokio::test]
async fn an_upload_session_lives_in_one_server() {
    let (one, two) = (
        start(Spec::management_point("mp1").bits_host_id("mp1.lab.test")).await,
        start(Spec::management_point("mp2")).await,
    );
    let file = crate::content::ContentFile::new("inventory", "report", 200_001);
    let step = client(one.address()).upload(&file, 64 * 1024).await.unwrap();
    assert_eq!(step.requests, 6);
    let uploads = one.counters().uploads();
    assert_eq!((uploads.len(), uploads[0].bytes, uploads[0].sha256), (1, 200_001, file.hash()));
    assert_eq!(one.counters().seen()[0].method, "BITS_POST");

    let create = [("bits-packet-type", "Create-Session"), ("bits-supported-protocols", crate::site::PROTOCOL)];
    let created = ask(&one, "BITS_POST", "/CCM_Incoming/{1}", &create).await;
    assert_eq!(created.headers["bits-host-id"], "mp1.lab.test");
    let session = created.headers["bits-session-id"].to_str().unwrap().to_owned();
    for (site, packet, status) in [
        (&one, "Ping", 200),
        (&two, "Cancel-Session", 500),
        (&two, "Close-Session", 500),
        (&two, "Fragment", 500),
        (&one, "Cancel-Session", 200),
        (&one, "Cancel-Session", 500),
        (&one, "Nonsense", 400),
    ] {
        let headers = [("bits-packet-type", packet), ("bits-session-id", session.as_str())];
        let answer = ask(site, "BITS_POST", "/CCM_Incoming/{1}", &headers).await;
        assert_eq!(answer.status, status, "{packet}");
        for name in ["bits-error-code", "bits-error"] {
            let code = answer.headers.get(name).and_then(|code| code.to_str().ok());
            assert_eq!(code == Some("0x8020001f"), status == 500, "{packet} {name}");
        }
    }
}

#[tokio::test]
async fn fragments_may_overlap_but_leave_no_gap() {
    let site = start(Spec::management_point("mp1")).await;
    let create = [("bits-packet-type", "create-session"), ("bits-supported-protocols", crate::site::PROTOCOL)];
    let created = ask(&site, "BITS_POST", "/CCM_Incoming/{1}", &create).await;
    let session = created.headers["bits-session-id"].to_str().unwrap().to_owned();
    let fragments =
        [("0-3", "abcd", 200, "4"), ("6-7", "gh", 416, "4"), ("2-5", "cdef", 200, "6"), ("6-7", "gh", 200, "8")];
    for (range, body, status, received) in fragments {
        let range = format!("bytes {range}/8");
        let headers = [("bits-packet-type", "Fragment"), ("bits-session-id", &session), ("content-range", &range)];
        let method = Method::from_bytes(b"BITS_POST").unwrap();
        let body = Bytes::from_static(body.as_bytes());
        let sent = client(site.address()).request_with(method, "/CCM_Incoming/{1}", fields(&headers), body).await;
        let answer = sent.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.headers["bits-received-content-range"].to_str().unwrap()),
            (status, received)
        );
    }
    let close = [("bits-packet-type", "Close-Session"), ("bits-session-id", session.as_str())];
    assert_eq!(ask(&site, "BITS_POST", "/CCM_Incoming/{1}", &close).await.status, 200);
    use sha2::{Digest, Sha256};
    assert_eq!(site.counters().uploads()[0].sha256, <[u8; 32]>::from(Sha256::digest(b"abcdefgh")));
}

#[tokio::test]
async fn listings_name_files_in_the_form_that_clients_fetch() {
    let site = point().await;
    let answer = ask(&site, "PROPFIND", "/sms_dp_smspkg$/Content_0f1a.1", &[]).await;
    let xml = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 207);
    assert_eq!(element(&xml, "D:href"), Some("http://mp.lab.test/SMS_DP_SMSPKG$/Content_0f1a.1/sccm?/a%20b.msi"));
    assert_eq!(element(&xml, "D:getcontentlength"), Some("1000"));
    assert_eq!(ask(&site, "PROPFIND", "/SMS_DP_SMSPKG$/NOTHERE1", &[]).await.status, 404);
    for directory in ["/SMS_DP_SMSPKG$/", "/SMS_DP_SMSPKG$", "/SMS_DP_SMSPKG$/Datalib", "/SMS_DP_SMSPKG$/PKG00001/"] {
        assert_eq!(get(&site, directory).await.0, 200, "{directory}");
        assert_eq!(ask(&site, "HEAD", directory, &[]).await.status, 200, "{directory}");
    }
    assert_eq!(ask(&site, "POST", "/SMS_DP_SMSPKG$/PKG00001", &[]).await.status, 405);
}

#[tokio::test]
async fn files_are_served_whole_in_part_and_not_at_all() {
    let site = point().await;
    let content = content();
    let file = content.package(PACKAGE).unwrap().file("setup.msi").unwrap();
    let whole: Vec<u8> = file.pieces(0, u64::MAX).flat_map(|piece| piece.to_vec()).collect();
    for target in [
        "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi",
        "/NOCERT_SMS_DP_SMSPKG$/PKG00001/setup.msi",
        "/ccmtokenauth_sms_dp_smspkg$/pkg00001/SCCM?/SETUP.MSI",
    ] {
        assert_eq!(ask(&site, "GET", target, &[]).await.body, whole, "{target}");
    }
    let target = "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi";
    let head = ask(&site, "HEAD", target, &[]).await;
    assert_eq!((head.headers["content-length"].as_bytes(), head.body.len()), (b"300000".as_slice(), 0));
    let part = ask(&site, "GET", target, &[("range", "bytes=100-65999")]).await;
    assert_eq!(
        (part.status.as_u16(), part.headers["content-range"].as_bytes()),
        (206, b"bytes 100-65999/300000".as_slice())
    );
    assert_eq!(part.body, whole[100..66_000]);
    let none = ask(&site, "GET", target, &[("range", "bytes=300000-")]).await;
    assert_eq!((none.status.as_u16(), none.headers["content-range"].as_bytes()), (416, b"bytes */300000".as_slice()));
    let etag = head.headers["etag"].to_str().unwrap();
    for (tag, status) in [(etag, 206), ("\"other\"", 200)] {
        let headers = [("range", "bytes=0-9"), ("if-range", tag)];
        assert_eq!(ask(&site, "GET", target, &headers).await.status, status);
    }
    let modified = head.headers["last-modified"].to_str().unwrap();
    for (date, status) in [(modified, 200), ("Mon, 01 Jan 2001 00:00:00 GMT", 412)] {
        assert_eq!(ask(&site, "GET", target, &[("if-unmodified-since", date)]).await.status, status);
    }
    let spaced = ask(&site, "GET", "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%202.cab", &[]).await;
    assert_eq!((spaced.status.as_u16(), spaced.body.len()), (200, 5));
    assert_eq!(get(&site, "/SMS_DP_SMSPKG$/PKG00001/sccm?/empty.txt").await, (200, String::new()));
    assert_eq!(get(&site, "/SMS_DP_SMSPKG$/PKG00001/sccm?/missing.txt").await.0, 404);
    assert_eq!(site.counters().seen()[0].target, "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi");
}

#[tokio::test]
async fn signatures_are_there_and_every_point_has_its_own_time_stamps() {
    let (one, two) = (point().await, start(Spec::distribution_point("dp2", &content())).await);
    assert_eq!(get(&one, "/SMS_DP_SMSSIG$/PKG00001.1.tar").await.0, 200);
    assert_eq!(get(&one, "/SMS_DP_SMSSIG$/Content_0f1a.1.tar").await.0, 200);
    assert_eq!(get(&one, "/SMS_DP_SMSSIG$/PKG00009.1.tar").await.0, 404);
    let target = "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi";
    let (one, two) = (ask(&one, "HEAD", target, &[]).await, ask(&two, "HEAD", target, &[]).await);
    for validator in ["etag", "last-modified"] {
        assert_ne!(one.headers[validator], two.headers[validator]);
    }
}

#[tokio::test]
async fn a_point_may_ask_for_a_user() {
    let site = start(Spec::distribution_point("dp1", &content()).anonymous_content(false)).await;
    let target = "/SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi";
    assert_eq!(get(&site, target).await.0, 401);
    assert!(client(site.address()).windows_auth(target).await.is_ok());
}

#[tokio::test]
async fn an_update_point_has_its_pages_and_knows_its_own_cookies() {
    let start_point = |name: &str| Spec::new(name).role(Role::SoftwareUpdatePoint);
    let (one, two) = (start(start_point("sup1")).await, start(start_point("sup2")).await);
    for page in [
        "/ClientWebService/client.asmx",
        "/ClientWebService/wusserverversion.xml",
        "/SimpleAuthWebService/SimpleAuth.asmx",
        "/selfupdate/wuident.cab",
        "/Content/7A/0123456789ABCDEF.txt",
    ] {
        assert_eq!(get(&one, page).await.0, 200, "{page}");
    }
    assert_eq!(get(&one, "/ApiRemoting30/WebService.asmx").await.0, 401);
    let call = |site: &SiteSystem, action: &str, body: String| {
        let headers = fields(&[("soapaction", &format!("\"http://x/{action}\"")), ("content-type", "text/xml")]);
        let mut client = client(site.address());
        async move {
            let target = "/ClientWebService/client.asmx";
            let answer = client.request_with(Method::POST, target, headers, body.into()).await.unwrap();
            (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
        }
    };
    let (_, cookie) = call(&one, "GetCookie", String::new()).await;
    let cookie = format!("<EncryptedData>{}</EncryptedData>", element(&cookie, "EncryptedData").unwrap());
    assert_eq!(call(&one, "SyncUpdates", cookie.clone()).await.0, 200);
    let (status, fault) = call(&two, "SyncUpdates", cookie.clone()).await;
    assert_eq!((status, element(&fault, "ErrorCode")), (500, Some("InvalidCookie")));
    let shared =
        [start(start_point("a").update_database("db")).await, start(start_point("b").update_database("db")).await];
    let (_, cookie) = call(&shared[0], "GetCookie", String::new()).await;
    let cookie = format!("<EncryptedData>{}</EncryptedData>", element(&cookie, "EncryptedData").unwrap());
    assert_eq!(call(&shared[1], "SyncUpdates", cookie).await.0, 200);
}

#[tokio::test]
async fn the_other_roles_answer_where_they_are_held() {
    let spec = Role::NAMES.iter().fold(Spec::new("all"), |spec, (_, role)| spec.role(*role));
    let site = start(spec).await;
    for (method, target, status) in [
        ("POST", "/SMS_FSP/.sms_fsp", 200),
        ("GET", "/SMS_FSP/.sms_fsp", 405),
        ("GET", "/SMSSMP/state?1", 404),
        ("POST", "/SMSSMP/state?1", 200),
        ("GET", "/SMSSMP/state?1", 200),
        ("GET", "/CMApplicationCatalogSvc/ApplicationOfferService.svc", 200),
        ("GET", "/CMApplicationCatalog", 401),
        ("GET", "/EnrollmentServer/Discovery.svc", 200),
        ("POST", "/EnrollmentService/DeviceEnrollmentService.svc", 200),
        ("GET", "/Reports", 401),
        ("GET", "/ReportServer", 401),
        ("GET", "/AdminService/v1.0/$metadata", 401),
        ("GET", "/AdminService_TokenAuth/v1.0/$metadata", 200),
        ("HEAD", "/CCM_Client/ccmsetup.exe", 200),
        ("GET", "/CCM_Client/nothing.exe", 404),
        ("GET", "/bgb/handler.ashx?RequestType=LogIn", 200),
        ("POST", "/CCM_STS", 200),
        ("GET", "/nothing", 404),
    ] {
        let answer = ask(&site, method, target, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.served_by()), (status, Some("all")), "{method} {target}");
    }
    assert_eq!(ask(&site, "GET", "/CCM_Client/ccmsetup.exe", &[("accept", "application/json")]).await.status, 406);
    let bare = start(Spec::new("bare")).await;
    assert_eq!(get(&bare, "/SMS_MP/.sms_aut?MPLIST").await.0, 404);
    assert_eq!(bare.counters().requests_of(Kind::Unknown), 1);
}

#[tokio::test]
async fn what_was_asked_for_a_content_id_is_counted() {
    let site = point().await;
    for (method, target) in [
        ("PROPFIND", "/SMS_DP_SMSPKG$/PKG00001"),
        ("HEAD", "/sms_dp_smspkg$/pkg00001/sccm?/setup.msi"),
        ("GET", "/NOCERT_SMS_DP_SMSPKG$/PKG00001/sccm?/setup.msi"),
        ("GET", "/SMS_DP_SMSPKG$/PKG00001/sccm?/nothing"),
        ("PROPFIND", "/SMS_DP_SMSPKG$/PKG00009"),
        ("GET", "/SMS_DP_SMSSIG$/PKG00001.1.tar"),
        ("GET", "/nothing/PKG00001"),
    ] {
        ask(&site, method, target, &[]).await;
    }
    let counters = site.counters();
    assert_eq!(counters.content("Pkg00001"), ContentSeen { listings: 1, reads: 3, not_found: 1 });
    assert_eq!(counters.content("PKG00009"), ContentSeen { listings: 1, reads: 0, not_found: 1 });
    assert_eq!(counters.content("PKG00001.1.tar"), ContentSeen::default());
    assert_eq!((counters.requests_of(Kind::ContentListing), counters.requests_of(Kind::Content)), (2, 3));
    assert_eq!(counters.not_found(), 3);
}

#[tokio::test]
async fn what_was_seen_can_be_asked() {
    let site = start(Spec::new("fsp1").role(Role::FallbackStatusPoint)).await;
    let headers = fields(&[("x-forwarded-for", "10.1.2.3")]);
    let target = "/SMS_FSP/.sms_fsp?{a}$%20";
    let body = Bytes::from(vec![7; 100_000]);
    client(site.address()).request_with(Method::POST, target, headers, body.clone()).await.unwrap();
    let seen = site.counters().seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.status), ("POST", target, 200));
    assert_eq!((seen.header("Host"), seen.header("X-Forwarded-For")), (Some("mp.lab.test"), Some("10.1.2.3")));
    assert_eq!(seen.client.ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    use sha2::{Digest, Sha256};
    assert_eq!((seen.body_bytes, seen.body_sha256), (100_000, Some(Sha256::digest(&body).into())));
    assert!(seen.complete && site.counters().bytes_in() > 100_000 && site.counters().bytes_out() > 0);
    let mut client = client(site.address());
    for _ in 0..1100 {
        client.request(Method::GET, "/x", Bytes::new()).await.unwrap();
    }
    assert_eq!((site.counters().seen().len(), site.counters().requests()), (1024, 1101));
}
