//! What the user is told to look at and to try.

use std::net::SocketAddr;

use rolegate_bench::content::{Content, ContentFile, Package};

use super::options::Options;
use super::site::Place;
use super::traffic;

/// What is running, at the start.
pub(super) fn introduction(options: &Options, proxy: SocketAddr, admin: SocketAddr) -> String {
    let count = |place| (0..options.clients).filter(|number| traffic::place(*number) == place).count();
    let [hq, branch, remote, nowhere] = Place::ALL.map(count);
    format!(
        "The site LAB on this machine, for {}, and a rolegate in front of it at http://{proxy}\n  \
         HQ      127.1.0.0/16  {hq:>3} clients  MP1 MP2 DP1 SUP1  falls back to Branch\n  \
         Branch  127.2.0.0/16  {branch:>3} clients  DP2               falls back to HQ\n  \
         Remote  127.3.0.0/16  {remote:>3} clients  DP3               falls back to HQ; DP3 is a fallback source for all\n  \
         no group              {nowhere:>3} client   SUP1 by default   FSP1 serves everybody\n\
         http://{admin}/ is its status page, rolegate status --admin {admin} says the same; Ctrl-C ends it early\n",
        humantime::format_duration(options.duration)
    )
}

/// Where the page was, at the end.
pub(super) fn farewell(admin: SocketAddr) -> String {
    format!("\nThe status page was http://{admin}/, and is gone with the lab. With --keep it stays up")
}

/// Commands to try while the lab stays up.
pub(super) fn commands(proxy: SocketAddr, admin: SocketAddr, content: &Content) -> String {
    let from = |place: Place| place.address(0);
    let list = format!("http://{proxy}/SMS_MP/.sms_aut?MPLIST");
    // The shortest one, for a line that can be read.
    let package = content.packages().min_by_key(|package| package.id().len());
    let id = package.map(Package::id).unwrap_or_default();
    let name = package.and_then(|package| package.files().first()).map(ContentFile::name).unwrap_or_default();
    let folder = format!("http://{proxy}/SMS_DP_SMSPKG$/{id}");
    let lines = [
        format!("curl -si --interface {} '{list}'", from(Place::Hq)),
        format!("curl -si --interface {} -X PROPFIND -H 'Depth: 1' '{folder}'", from(Place::Branch)),
        format!("curl -sD - -o /dev/null --interface {} '{folder}/sccm?/{name}'", from(Place::Remote)),
        format!("curl -sD - -o /dev/null --interface {} -r 0-99 '{folder}/sccm?/{name}'", from(Place::Nowhere)),
        format!("curl -s http://{admin}/status"),
        format!("curl -s http://{admin}/metrics"),
    ];
    let heading =
        "\nThe lab stays up until Ctrl-C. X-Site-System in an answer says who served; --interface says where you are:";
    format!("{heading}\n  {}\nThe status page: http://{admin}/", lines.join("\n  "))
}
