//! The rows. Each comment says what is known and what is only assumed; assumed fields are listed in `presets.rs` too.
//!
//! Timeouts, probes' rhythm, limits and retry budgets are choices of this proxy, not facts about ConfigMgr.

use std::time::Duration;

use rolegate_health::{PassivePolicy, Schedule};

use crate::model::field_set::FieldSet;
use crate::model::role::{
    Balance, CertificateRule, Clock, Fallback, FallbackRule, HttpProbe, Locality, Naming, Panic, Probe, ProbeKind,
    Protocol, ProxyProtocol, Reach, Retry, Role, Timeouts,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What servers, modules and frameworks are known to take for the word of a proxy in front of them: who the client is, what it
/// has shown, what it really asks for. A client that sends one speaks for us.
const STRIP_FIELDS: [&str; 29] = [
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Remote-User",
    "X-Originating-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto-Version",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Client-Cert",
    "X-Client-Cert-*",
    "X-SSL-*",
    "SSL-Client-*",
    "Front-End-Https",
    "MS-ASPNETCORE-*",
    "X-Original-*",
    "X-Rewrite-URL",
    "X-HTTP-Method*",
    "X-Method-Override",
    "Proxy",
];

/// Where Connected Cache fetches from.
const CACHED_HOSTS: [&str; 14] = [
    "assets1.xboxlive.com",
    "assets2.xboxlive.com",
    "au.b1.download.windowsupdate.com",
    "au.download.windowsupdate.com",
    "b1.download.windowsupdate.com",
    "dl.delivery.mp.microsoft.com",
    "download.windowsupdate.com",
    "emdl.ws.microsoft.com",
    "officecdn.microsoft.com",
    "officecdn.microsoft.com.edgesuite.net",
    "shswda01.download.manage-selfhost.microsoft.com",
    "swdc01.manage.microsoft.com",
    "swdc02.manage.microsoft.com",
    "tlu.dl.delivery.mp.microsoft.com",
];

/// Every HTTP row starts here. `connection_auth` is on although nothing is known about the application: an upstream
/// connection that a client has authenticated must not be shared, and looking for the handshake costs next to nothing. A server
/// that answers 500 to whatever is read from it is no good server, so that is tried elsewhere and counts as a failure.
pub(super) fn plain() -> Role {
    Role {
        name: "plain".to_owned(),
        short: String::new(),
        title: "Plain".to_owned(),
        protocol: Protocol::Http,
        paths: words(&["/"]),
        methods: Vec::new(),
        session_paths: Vec::new(),
        site_database_paths: Vec::new(),
        hosts: Vec::new(),
        port: 80,
        tls_port: 443,
        tls: false,
        http2: false,
        lend_certificate: false,
        client_certificates: CertificateRule::Listener,
        via: true,
        forwarded: true,
        replica: false,
        proxy_protocol: ProxyProtocol::Off,
        source_addresses: Vec::new(),
        strip_fields: FieldSet::new(STRIP_FIELDS),
        upgrades: Vec::new(),
        locality: Locality::Site,
        reach: Reach::Site,
        default_fallback: Fallback::Minutes(120),
        times_of: None,
        fallback_rule: FallbackRule::Offsets,
        clock: Clock::Honor,
        balance: Balance::LeastRequests,
        hash_balance_factor: 0,
        same_subnet_first: false,
        affinity: None,
        client_field: None,
        named: Naming::FirstIfDistinct,
        upload_affinity: false,
        panic: Panic::Serve,
        connection_auth: true,
        retry: with_500(retry(2, &["GET", "HEAD", "OPTIONS"])),
        max_body: Some(64 * MIB),
        max_requests: 1024,
        timeouts: Timeouts {
            connect: seconds(3),
            response_header: seconds(60),
            request_body_idle: seconds(30),
            response_body_idle: seconds(60),
            total: Some(seconds(300)),
            // IIS closes an idle connection after 120 s; half of it keeps a reused one from being closed under a request.
            upstream_idle: seconds(55),
            tunnel_idle: seconds(3600),
        },
        probe: Probe { kind: ProbeKind::Tcp, port: None, schedule: schedule(5, 2) },
        passive: PassivePolicy::default(),
        slow_start: seconds(30),
    }
}

/// Management point.
///
/// - paths: the IIS applications of a management point; `AltAuth` exists in builds from about 2022.
///   `/SMS_MP_MBAM` takes BitLocker recovery keys (seen in public code), `/omadm` is of on-premises device management (in
///   Microsoft's enrollment scripts).
/// - methods: the verbs Microsoft lists for intranet and internet management points. `BITS_POST` carries large messages
///   to `/CCM_Incoming`.
/// - probe: `MPLIST` needs IIS, the ISAPI and the site database; `MPCERT` only the first two. All management points of
///   a site share the database, so it is asked every 10 s, not every 5.
/// - sessions: a client is logged in for notifications, and Software Center signed in, at one management point. User deployments
///   do not work at one with a database replica (Microsoft Learn, database replicas for management points).
/// - locality: the list of management points that a client gets has all of its site, those of its boundary groups first
///   (Microsoft Learn, boundary groups and management points). The fallback time of a relationship is 0 or never.
/// - panic: when all fail together the shared database is the likely cause, and `.sms_pol` or `/CCM_Client` may work.
/// - retry: 500 is what a management point answers that has lost its database; another one may still have it.
///   `CCM_POST` is never repeated once a server may have seen it; the client keeps its message and sends again.
/// - `max_body`: a log upload on demand reaches 100 MB. Sizes of other messages are not documented.
pub(super) fn management_point() -> Role {
    Role {
        paths: words(&[
            "/SMS_MP",
            "/SMS_MP_WindowsAuth",
            "/SMS_MP_TokenAuth",
            "/SMS_MP_AltAuth",
            "/CCM_System",
            "/CCM_System_WindowsAuth",
            "/CCM_System_TokenAuth",
            "/CCM_System_AltAuth",
            "/CCM_Incoming",
            "/CCM_Client",
            "/CCM_STS",
            "/CMUserService",
            "/CMUserService_WindowsAuth",
            "/BGB",
            "/SMS_MP_MBAM",
            "/omadm",
        ]),
        methods: words(&["GET", "HEAD", "POST", "PROPFIND", "CCM_POST", "BITS_POST"]),
        session_paths: words(&["/BGB", "/CMUserService", "/CMUserService_WindowsAuth"]),
        site_database_paths: words(&["/CMUserService", "/CMUserService_WindowsAuth"]),
        locality: Locality::Prefer,
        default_fallback: Fallback::Minutes(0),
        fallback_rule: FallbackRule::AtOnce,
        upload_affinity: true,
        retry: with_500(retry(2, &["GET", "HEAD", "OPTIONS", "PROPFIND"])),
        max_body: Some(128 * MIB),
        probe: Probe {
            kind: ProbeKind::Http(HttpProbe {
                body_contains: Some("<MPList".to_owned()),
                second_opinion: Some("/SMS_MP/.sms_aut?MPCERT".to_owned()),
                ..question("GET", "/SMS_MP/.sms_aut?MPLIST", &[(200, 200)])
            }),
            port: None,
            schedule: schedule(10, 5),
        },
        ..row("management-point", "MP", "Management point")
    }
}

/// Distribution point.
///
/// - paths: the virtual directories of packages and signatures; the prefixes say how the client authenticates.
///   `/SMS_MCS` controls multicast (seen in posted logs of task sequences).
/// - methods: those Microsoft lists, which only read and so may go to another server, and the `CCM_POST` of multicast, which
///   is never repeated once a server may have seen it.
/// - probe: the directory itself. 401 (access needs an account), 403 (a client certificate is wanted) and 404 (no
///   listing) come from a server that lives; none of them proves content.
/// - panic: BITS asks again later, and a server that is ill would break its downloads.
/// - retry: content is files, so 500 is no answer about one but a fault of the server's.
/// - affinity: BITS comes back after ten minutes when a transfer failed for a passing reason, so a download is remembered a
///   little longer. BITS begins a file again when its time stamp or ETag changes, and copies on two servers differ in both.
/// - no limit for the whole exchange: content is large and links are slow.
/// - `max_body` is an assumption: `PROPFIND` may carry a few lines of XML.
pub(super) fn distribution_point() -> Role {
    let base = row("distribution-point", "DP", "Distribution point");
    Role {
        paths: words(&[
            "/SMS_DP_SMSPKG$",
            "/SMS_DP_SMSSIG$",
            "/NOCERT_SMS_DP_SMSPKG$",
            "/NOCERT_SMS_DP_SMSSIG$",
            "/CCMTOKENAUTH_SMS_DP_SMSPKG$",
            "/CCMTOKENAUTH_SMS_DP_SMSSIG$",
            "/SMS_MCS",
            "/SMS_MCS_AltAuth",
        ]),
        methods: words(&["GET", "HEAD", "PROPFIND", "CCM_POST"]),
        locality: Locality::BoundaryGroups,
        reach: Reach::Hierarchy,
        balance: Balance::Content,
        hash_balance_factor: 150,
        same_subnet_first: true,
        named: Naming::First,
        affinity: Some(seconds(15 * 60)),
        panic: Panic::Refuse,
        retry: with_500(retry(2, &["GET", "HEAD", "PROPFIND"])),
        max_body: Some(64 * KIB),
        timeouts: Timeouts { response_header: seconds(30), total: None, ..base.timeouts },
        probe: Probe {
            kind: ProbeKind::Http(question(
                "HEAD",
                "/SMS_DP_SMSPKG$/",
                &[(200, 299), (401, 401), (403, 403), (404, 404)],
            )),
            port: None,
            schedule: schedule(5, 2),
        },
        ..base
    }
}

/// Software update point (WSUS).
///
/// - ports: 8530/8531; a site may use 80/443 instead.
/// - probe: `SimpleAuth.asmx` is answered by ASP.NET inside `WsusPool`. `wusserverversion.xml` is a static file that IIS
///   serves although the application cannot start, so it would call a server well that fails every scan.
/// - balance: a client that meets another database does a full catalog scan, so it stays with its server.
/// - affinity: a client scans every seven days, and two weeks survive a holiday. A server that has recovered does not
///   get its clients back: each move costs a full scan.
/// - retry: a SOAP fault travels with 500, so 500 is an answer and not a failure. `POST` is never repeated, although
///   GetConfig and GetCookie would allow it: the proxy does not read SOAP.
/// - `max_body` is an assumption: the size of a report batch is not documented.
pub(super) fn software_update_point() -> Role {
    let base = row("software-update-point", "SUP", "Software update point");
    Role {
        paths: words(&[
            "/ClientWebService",
            "/SimpleAuthWebService",
            "/ReportingWebService",
            "/Selfupdate",
            "/Content",
            "/ServerSyncWebService",
            "/ApiRemoting30",
            "/DssAuthWebService",
        ]),
        methods: words(&["GET", "HEAD", "POST"]),
        port: 8530,
        tls_port: 8531,
        locality: Locality::BoundaryGroups,
        fallback_rule: FallbackRule::LastKnownGood,
        balance: Balance::Client,
        affinity: Some(seconds(14 * 24 * 3600)),
        named: Naming::First,
        retry: retry(2, &["GET", "HEAD"]),
        timeouts: Timeouts { response_header: seconds(120), total: Some(seconds(600)), ..base.timeouts },
        probe: Probe {
            kind: ProbeKind::Http(question("GET", "/SimpleAuthWebService/SimpleAuth.asmx", &[(200, 200)])),
            port: None,
            schedule: schedule(10, 5),
        },
        ..base
    }
}

/// State migration point.
///
/// - paths and methods are assumptions: an ISAPI (`smpisapi.dll`) answers, and its URL is not documented. An empty list of
///   methods lets every one through.
/// - named: the user state lies on one server only. The management point hands its name out, and the proxy obeys.
/// - locality: the management point has already chosen among the client's groups for a capture, and for a restore the
///   state is where it was captured, whatever group the client is in now. So any site system that was named may be
///   reached; the fallback time is `never` all the same, for whoever overrides the locality.
/// - probe: only that the port opens, because no URL is known. The state itself moves over SMB and not through here.
/// - retry: there is no second server to try.
pub(super) fn state_migration_point() -> Role {
    let base = row("state-migration-point", "SMP", "State migration point");
    Role {
        paths: words(&["/SMSSMP"]),
        default_fallback: Fallback::Never,
        fallback_rule: FallbackRule::None,
        named: Naming::Only,
        retry: retry(0, &[]),
        timeouts: Timeouts { total: Some(seconds(600)), ..base.timeouts },
        ..base
    }
}

/// Application Catalog web service point (removed in 1910).
///
/// - paths and the target of the probe: as public installation scripts write them.
/// - locality: any of them serves any client; those of a client's groups are near.
pub(super) fn application_catalog_web_service_point() -> Role {
    Role {
        paths: words(&["/CMApplicationCatalogSvc"]),
        methods: words(&["GET", "HEAD", "POST"]),
        locality: Locality::Prefer,
        default_fallback: Fallback::Minutes(0),
        fallback_rule: FallbackRule::AtOnce,
        retry: retry(2, &["GET", "HEAD"]),
        probe: Probe {
            kind: ProbeKind::Http(question(
                "GET",
                "/CMApplicationCatalogSvc/ApplicationOfferService.svc",
                &[(200, 200)],
            )),
            port: None,
            schedule: schedule(10, 5),
        },
        ..row("application-catalog-web-service-point", "", "Application Catalog web service point")
    }
}

/// Application Catalog website point (removed in 1910).
///
/// - path: `/CMApplicationCatalog`, with Windows authentication.
/// - locality: as above.
/// - balance: by client, so that what the website remembers about a user stays with it.
/// - the probe's statuses are an assumption: 401 where Windows authentication is asked for, redirects count as alive.
pub(super) fn application_catalog_website_point() -> Role {
    Role {
        paths: words(&["/CMApplicationCatalog"]),
        methods: words(&["GET", "HEAD", "POST"]),
        locality: Locality::Prefer,
        default_fallback: Fallback::Minutes(0),
        fallback_rule: FallbackRule::AtOnce,
        balance: Balance::Client,
        retry: retry(2, &["GET", "HEAD"]),
        probe: Probe {
            kind: ProbeKind::Http(question("GET", "/CMApplicationCatalog/", &[(200, 399), (401, 401)])),
            port: None,
            schedule: schedule(10, 5),
        },
        ..row("application-catalog-website-point", "", "Application Catalog website point")
    }
}

/// Fallback status point.
///
/// - port: 80 only; ConfigMgr has no HTTPS for this role. Clients are told its name at installation, so boundary groups
///   play no part.
/// - path is an assumption: no source confirms `/SMS_FSP`. So the probe only opens a connection.
/// - `max_body` is an assumption: state messages are small.
pub(super) fn fallback_status_point() -> Role {
    Role {
        paths: words(&["/SMS_FSP"]),
        methods: words(&["GET", "HEAD", "POST"]),
        retry: retry(2, &["GET", "HEAD"]),
        max_body: Some(MIB),
        ..row("fallback-status-point", "FSP", "Fallback status point")
    }
}

/// Enrollment proxy point.
///
/// - HTTPS 443 is confirmed, and that several may stand behind one name.
/// - paths are an assumption: `/EnrollmentServer` is the default virtual application name of the generic enrollment
///   protocol. So the probe only opens a TLS connection.
pub(super) fn enrollment_proxy_point() -> Role {
    Role {
        paths: words(&["/EnrollmentServer"]),
        methods: words(&["GET", "HEAD", "POST"]),
        tls: true,
        balance: Balance::Client,
        retry: retry(2, &["GET", "HEAD"]),
        ..row("enrollment-proxy-point", "", "Enrollment proxy point")
    }
}

/// Enrollment point: spoken to by enrollment proxy points. As the row above, with `/EnrollmentService` assumed.
pub(super) fn enrollment_point() -> Role {
    Role { paths: words(&["/EnrollmentService"]), ..enrollment_row("enrollment-point", "Enrollment point") }
}

fn enrollment_row(name: &str, title: &str) -> Role {
    Role { name: name.to_owned(), title: title.to_owned(), ..enrollment_proxy_point() }
}

/// Reporting services point (SQL Server Reporting Services).
///
/// - paths: the defaults of Reporting Services; those of the instance `SSRS` and of Power BI Report Server are an assumption. A
///   named instance has others: `paths_add`. Windows authentication.
/// - methods are an assumption beyond GET and POST: the web portal's interface uses the rest.
/// - locality: boundary groups only say which one is near. ConfigMgr knows no such association; where no group names one, all
///   are used.
/// - balance: by client, because a rendered report is paged through in a session on one server.
/// - a report may take long before its first byte.
/// - the probe's statuses are an assumption as far as redirects to the portal's start page go.
pub(super) fn reporting_services_point() -> Role {
    let base = row("reporting-services-point", "RSP", "Reporting services point");
    Role {
        paths: words(&["/Reports", "/ReportServer", "/Reports_SSRS", "/ReportServer_SSRS", "/PowerBI"]),
        methods: words(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        locality: Locality::Prefer,
        default_fallback: Fallback::Minutes(0),
        fallback_rule: FallbackRule::AtOnce,
        balance: Balance::Client,
        named: Naming::First,
        retry: retry(2, &["GET", "HEAD"]),
        timeouts: Timeouts { response_header: seconds(300), total: Some(seconds(1800)), ..base.timeouts },
        probe: Probe {
            kind: ProbeKind::Http(question("GET", "/ReportServer", &[(200, 399), (401, 401)])),
            port: None,
            schedule: schedule(10, 5),
        },
        ..base
    }
}

/// SMS Provider: the AdminService.
///
/// - port: 443 only, answered by HTTP.sys without IIS.
/// - named: a Kerberos ticket is for one server, the one whose name the client has used.
/// - methods: those of its OData interface.
/// - probe: 401 to a question without credentials says that the provider lives.
/// - a query over WMI may take minutes before its first byte.
pub(super) fn sms_provider() -> Role {
    let base = row("sms-provider", "", "SMS Provider");
    Role {
        paths: words(&["/AdminService", "/AdminService_TokenAuth"]),
        methods: words(&["GET", "HEAD", "POST", "PATCH", "DELETE"]),
        tls: true,
        named: Naming::First,
        retry: retry(2, &["GET", "HEAD"]),
        timeouts: Timeouts { response_header: seconds(120), total: Some(seconds(600)), ..base.timeouts },
        probe: Probe {
            kind: ProbeKind::Http(question("GET", "/AdminService/v1.0/$metadata", &[(200, 299), (401, 401)])),
            port: None,
            schedule: schedule(10, 5),
        },
        ..base
    }
}

/// Microsoft Connected Cache on a distribution point: a cache of what Delivery Optimization downloads.
///
/// - hosts: the names that its rewrite rules list (Microsoft Learn, troubleshoot Connected Cache). Requests keep the name that the
///   content comes from in their `Host`. Some clients are said to name the cache instead; their paths are not documented.
/// - locality: it is meant for the members of its boundary group. Delivery Optimization goes to the internet by itself, so there is no
///   fallback, and 503 is better than a cache that is ill.
/// - probe: the test file that Microsoft names. It comes from the internet, so it is asked seldom.
/// - methods and `max_body` are assumptions: content is files.
pub(super) fn connected_cache() -> Role {
    let base = row("connected-cache", "MCC", "Microsoft Connected Cache");
    Role {
        hosts: words(&CACHED_HOSTS),
        methods: words(&["GET", "HEAD"]),
        locality: Locality::BoundaryGroups,
        default_fallback: Fallback::Never,
        fallback_rule: FallbackRule::None,
        balance: Balance::Client,
        named: Naming::Ignore,
        panic: Panic::Refuse,
        connection_auth: false,
        retry: retry(2, &["GET", "HEAD"]),
        max_body: Some(64 * KIB),
        timeouts: Timeouts { total: None, ..base.timeouts },
        probe: Probe {
            kind: ProbeKind::Http(HttpProbe {
                host: Some("b1.download.windowsupdate.com".to_owned()),
                ..question("HEAD", "/mscomtest/wuidt.gif", &[(200, 299)])
            }),
            port: None,
            schedule: schedule(60, 10),
        },
        ..base
    }
}

/// Client notification: the management point's TCP channel.
///
/// - port: 10123, tried by clients before the HTTP fallback `/bgb`. The stream is opaque.
/// - locality: that of the management point, of which it is a part; so are the times of boundary groups.
/// - tunnel idle time is an assumption: reports of the keepalive go up to 15 minutes, twice that is safe.
/// - `max_requests` (connections here) is an assumption: 25,000 clients of one management point, twice, because the
///   second takes the clients of the first when it goes down.
pub(super) fn client_notification() -> Role {
    let base = row("client-notification", "BGB", "Client notification");
    Role {
        protocol: Protocol::Tcp,
        paths: Vec::new(),
        port: 10123,
        tls_port: 10123,
        locality: Locality::Prefer,
        default_fallback: Fallback::Minutes(0),
        times_of: Some("management-point".to_owned()),
        fallback_rule: FallbackRule::AtOnce,
        connection_auth: false,
        retry: retry(2, &[]),
        max_body: None,
        max_requests: 50_000,
        timeouts: Timeouts { total: None, tunnel_idle: seconds(30 * 60), ..base.timeouts },
        ..base
    }
}

fn row(name: &str, short: &str, title: &str) -> Role {
    Role { name: name.to_owned(), short: short.to_owned(), title: title.to_owned(), ..plain() }
}

fn retry(attempts: u32, methods: &[&str]) -> Retry {
    Retry {
        attempts,
        methods: words(methods),
        on_status: if methods.is_empty() { Vec::new() } else { vec![502, 503, 504] },
        budget_percent: 20,
        budget_min_per_second: 10,
    }
}

/// 500 in answer to a method that only reads is a fault of the server's too. Not where an application answers so for its own
/// reasons: a SOAP fault, a report or a page with a mistake in it.
fn with_500(retry: Retry) -> Retry {
    Retry { on_status: vec![500, 502, 503, 504], ..retry }
}

fn question(method: &str, target: &str, status: &[(u16, u16)]) -> HttpProbe {
    HttpProbe {
        method: method.to_owned(),
        target: target.to_owned(),
        host: None,
        status: status.to_vec(),
        body_contains: None,
        second_opinion: None,
    }
}

fn schedule(interval: u64, timeout: u64) -> Schedule {
    Schedule { interval: seconds(interval), timeout: seconds(timeout), ..Schedule::default() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
