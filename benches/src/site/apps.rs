//! Which application of a site system a path belongs to.

use http::{Response, StatusCode};

use super::body::SiteBody;
use super::counters::Kind;
use super::request::Asked;
use super::spec::Role;
use super::{distribution_point, management_point, messaging, pages, reply, update_point, upload};

/// An application below the root of a site system's web site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    Authority,
    Messaging,
    Incoming,
    ClientFiles,
    TokenService,
    UserService,
    Notification,
    Packages,
    Signatures,
    UpdateService,
    UpdateFiles,
    FallbackStatus,
    StateMigration,
    Page,
}

impl App {
    /// Whether its answers depend on what is in a request's body.
    pub(crate) const fn reads_bodies(self) -> bool {
        matches!(self, Self::Messaging | Self::Incoming | Self::UpdateService)
    }
}

struct Row {
    segment: &'static str,
    role: Role,
    app: App,
    windows_auth: bool,
}

const fn open(segment: &'static str, role: Role, app: App) -> Row {
    Row { segment, role, app, windows_auth: false }
}

const fn closed(segment: &'static str, role: Role, app: App) -> Row {
    Row { segment, role, app, windows_auth: true }
}

const ROWS: &[Row] = &[
    open("SMS_MP", Role::ManagementPoint, App::Authority),
    closed("SMS_MP_WindowsAuth", Role::ManagementPoint, App::Authority),
    open("SMS_MP_TokenAuth", Role::ManagementPoint, App::Authority),
    open("SMS_MP_AltAuth", Role::ManagementPoint, App::Authority),
    open("CCM_System", Role::ManagementPoint, App::Messaging),
    closed("CCM_System_WindowsAuth", Role::ManagementPoint, App::Messaging),
    open("CCM_System_TokenAuth", Role::ManagementPoint, App::Messaging),
    open("CCM_System_AltAuth", Role::ManagementPoint, App::Messaging),
    open("CCM_Incoming", Role::ManagementPoint, App::Incoming),
    open("CCM_Client", Role::ManagementPoint, App::ClientFiles),
    open("CCM_STS", Role::ManagementPoint, App::TokenService),
    open("CMUserService", Role::ManagementPoint, App::UserService),
    closed("CMUserService_WindowsAuth", Role::ManagementPoint, App::UserService),
    open("bgb", Role::ManagementPoint, App::Notification),
    open("SMS_DP_SMSPKG$", Role::DistributionPoint, App::Packages),
    open("NOCERT_SMS_DP_SMSPKG$", Role::DistributionPoint, App::Packages),
    open("CCMTOKENAUTH_SMS_DP_SMSPKG$", Role::DistributionPoint, App::Packages),
    open("SMS_DP_SMSSIG$", Role::DistributionPoint, App::Signatures),
    open("NOCERT_SMS_DP_SMSSIG$", Role::DistributionPoint, App::Signatures),
    open("CCMTOKENAUTH_SMS_DP_SMSSIG$", Role::DistributionPoint, App::Signatures),
    open("ClientWebService", Role::SoftwareUpdatePoint, App::UpdateService),
    open("SimpleAuthWebService", Role::SoftwareUpdatePoint, App::UpdateService),
    open("ReportingWebService", Role::SoftwareUpdatePoint, App::UpdateService),
    open("ServerSyncWebService", Role::SoftwareUpdatePoint, App::UpdateService),
    open("DssAuthWebService", Role::SoftwareUpdatePoint, App::UpdateService),
    closed("ApiRemoting30", Role::SoftwareUpdatePoint, App::UpdateService),
    open("Selfupdate", Role::SoftwareUpdatePoint, App::UpdateFiles),
    open("Content", Role::SoftwareUpdatePoint, App::UpdateFiles),
    open("SMS_FSP", Role::FallbackStatusPoint, App::FallbackStatus),
    open("SMSSMP", Role::StateMigrationPoint, App::StateMigration),
    open("CMApplicationCatalogSvc", Role::ApplicationCatalogWebService, App::Page),
    closed("CMApplicationCatalog", Role::ApplicationCatalogWebsite, App::Page),
    open("EnrollmentServer", Role::EnrollmentProxyPoint, App::Page),
    open("EnrollmentService", Role::EnrollmentPoint, App::Page),
    closed("Reports", Role::ReportingServicesPoint, App::Page),
    closed("ReportServer", Role::ReportingServicesPoint, App::Page),
    closed("AdminService", Role::SmsProvider, App::Page),
    open("AdminService_TokenAuth", Role::SmsProvider, App::Page),
];

fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_at(path.find('/').unwrap_or(path.len()))
}

fn row(segment: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.segment.eq_ignore_ascii_case(segment))
}

/// The application that a path belongs to, if one of `roles` brings it, and the rest of the path.
pub(crate) fn find<'a>(roles: &[Role], path: &'a str) -> (Option<App>, &'a str) {
    let (segment, rest) = split(path);
    (row(segment).filter(|row| roles.contains(&row.role)).map(|row| row.app), rest)
}

/// Whether this request must prove its user first.
pub(crate) fn authenticate(app: App, asked: &Asked<'_>) -> bool {
    if matches!(app, App::Packages | App::Signatures) && !asked.shared.spec.anonymous_content {
        return true;
    }
    row(split(asked.head.uri.path()).0).is_some_and(|row| row.windows_auth)
}

/// The answer to a request, and what it was about.
pub(crate) fn answer(app: App, asked: &Asked<'_>) -> (Kind, Response<SiteBody>) {
    match app {
        App::Authority => management_point::authority(asked),
        App::Messaging => messaging::answer(asked),
        App::Incoming => (Kind::Upload, upload::answer(asked)),
        App::ClientFiles => (Kind::ClientFiles, management_point::client_files(asked)),
        App::Notification => (Kind::Notification, management_point::notification(asked)),
        App::TokenService | App::UserService => (Kind::Page, reply::html(StatusCode::OK, "Service")),
        App::Packages => distribution_point::packages(asked),
        App::Signatures => (Kind::Signature, distribution_point::signatures(asked)),
        App::UpdateService => (Kind::Update, update_point::service(asked)),
        App::UpdateFiles => (Kind::Update, update_point::files(asked)),
        App::FallbackStatus => (Kind::FallbackStatus, pages::fallback_status(asked)),
        App::StateMigration => (Kind::StateMigration, pages::state_migration(asked)),
        App::Page => (Kind::Page, pages::page(asked)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_any_case_and_only_for_roles_that_are_held() {
        let roles = [Role::ManagementPoint, Role::DistributionPoint];
        assert_eq!(find(&roles, "/sms_mp/.sms_aut"), (Some(App::Authority), "/.sms_aut"));
        assert_eq!(find(&roles, "/SMS_MP_ALTAUTH/.sms_aut"), (Some(App::Authority), "/.sms_aut"));
        assert_eq!(find(&roles, "/sms_dp_smspkg$/PKG"), (Some(App::Packages), "/PKG"));
        assert_eq!(find(&roles, "/SMS_DP_SMSPKG$"), (Some(App::Packages), ""));
        assert_eq!(find(&roles, "/SMS_FSP/.sms_fsp"), (None, "/.sms_fsp"));
        assert_eq!(find(&roles, "*"), (None, ""));
        assert_eq!(find(&roles, ""), (None, ""));
    }
}
