//! Drain, maintenance and weight of site systems: what holds, and how it is changed.

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::answer::{Answer, answered};
use crate::admin::change::Change;
use crate::admin::described::{Questioned, Refused};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::steering::listing::{self, Listing};
use crate::steering::when::Window;
use crate::steering::{self, Asked, Command, Steered};

/// What every change may have.
const COMMON: [&str; 4] = ["server", "role", "comment", "by"];
/// What undoes a weight.
const RESET: &str = "reset";

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(overrides))
        .routes(routes!(drain))
        .routes(routes!(undrain))
        .routes(routes!(maintenance))
        .routes(routes!(weight))
}

/// What people have decided about site systems, and what is under way there.
#[utoipa::path(get, path = "/steering", tag = "steering", params(
    ("server" = Option<String>, Query, description = "Only this site system, be it steered or not."),
    ("role" = Option<String>, Query, description = "Only this role."),
), responses((status = 200, body = Listing), Questioned))]
async fn overrides(State(desk): AtDesk, parameters: Parameters) -> Answer {
    desk.long(move |admin| {
        let asked = parameters.only(&["server", "role"]).and_then(|()| {
            let snapshot = admin.handles.snapshots.current();
            listing::asked(&snapshot, parameters.one("server"), parameters.one("role"))
        });
        answered(asked)
    })
    .await
}

/// Sends nothing new to a site system, or to one of its roles; what is under way ends there.
#[utoipa::path(post, path = "/drain", tag = "steering", params(
    ("server" = String, Query, description = "The site system."),
    ("role" = Option<String>, Query, description = "Only this role of it."),
    ("comment" = Option<String>, Query, description = "Why, for others to read."),
    ("by" = Option<String>, Query, description = "Who asks."),
), responses((status = 200, body = Steered), Refused), security(("token" = [])))]
async fn drain(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    steer(&desk, &change, parameters, &[], |_| Ok(Command::Drain)).await
}

/// Undoes `/drain`.
#[utoipa::path(post, path = "/undrain", tag = "steering", params(
    ("server" = String, Query, description = "The site system."),
    ("role" = Option<String>, Query, description = "The role, if that was drained."),
    ("comment" = Option<String>, Query, description = "Why, for the log."),
    ("by" = Option<String>, Query, description = "Who asks."),
), responses((status = 200, body = Steered), Refused), security(("token" = [])))]
async fn undrain(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    steer(&desk, &change, parameters, &[], |_| Ok(Command::Undrain)).await
}

/// Sends nothing at all to a site system, now or for a planned time, and takes it for failed nowhere.
#[utoipa::path(post, path = "/maintenance", tag = "steering", params(
    ("server" = String, Query, description = "The site system."),
    ("role" = Option<String>, Query, description = "Only this role of it."),
    ("begin" = Option<String>, Query, description = "When it begins: RFC 3339, or so long from now (`2h`). Absent: now."),
    ("end" = Option<String>, Query, description = "When it ends by itself. `now`: it is over, or is not to be."),
    ("for" = Option<String>, Query, description = "How long it lasts, instead of `end`."),
    ("comment" = Option<String>, Query, description = "Why, for others to read."),
    ("by" = Option<String>, Query, description = "Who asks."),
), responses((status = 200, body = Steered), Refused), security(("token" = [])))]
async fn maintenance(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    steer(&desk, &change, parameters, &["begin", "end", "for"], |parameters| {
        let given = |name| parameters.one(name).map(str::to_owned);
        let window = Window { begin: given("begin"), end: given("end"), lasts: given("for") };
        let ends = window.end.as_deref().is_some_and(|end| end.trim().eq_ignore_ascii_case("now"));
        let alone = window.begin.is_none() && window.lasts.is_none();
        Ok(if ends && alone { Command::EndMaintenance } else { Command::Maintenance(window) })
    })
    .await
}

/// Gives a site system another share of the traffic.
#[utoipa::path(post, path = "/weight", tag = "steering", params(
    ("server" = String, Query, description = "The site system."),
    ("role" = Option<String>, Query, description = "Only this role of it."),
    ("weight" = String, Query, description = "1 to 1000, a percentage of the configured weight such as `50%`, or `reset`."),
    ("comment" = Option<String>, Query, description = "Why, for others to read."),
    ("by" = Option<String>, Query, description = "Who asks."),
), responses((status = 200, body = Steered), Refused), security(("token" = [])))]
async fn weight(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    steer(&desk, &change, parameters, &["weight"], |parameters| match parameters.one("weight") {
        None => Err("weight is missing: 1 to 1000, a percentage such as 50%, or reset".to_owned()),
        Some(reset) if reset.eq_ignore_ascii_case(RESET) => Ok(Command::ResetWeight),
        Some(weight) => Ok(Command::Weight(weight.to_owned())),
    })
    .await
}

/// Reads what is asked, and has it done. Every mistake is told at once.
async fn steer(
    desk: &Desk,
    change: &Change,
    parameters: Parameters,
    more: &[&str],
    command: fn(&Parameters) -> Result<Command, String>,
) -> Answer {
    let known: Vec<&str> = COMMON.iter().chain(more).copied().collect();
    let mut mistakes = parameters.only(&known).err().unwrap_or_default();
    let command = command(&parameters).map_err(|mistake| mistakes.push(mistake)).ok();
    let given = |name| parameters.one(name).map(str::to_owned);
    let server = given("server");
    if server.is_none() {
        mistakes.push("server is missing: the name of a site system".to_owned());
    }
    let (Some(command), Some(server), true) = (command, server, mistakes.is_empty()) else {
        return answered::<Steered>(Err(mistakes));
    };
    let asked =
        Asked { server, role: given("role"), comment: given("comment"), by: given("by"), from: change.origin() };
    let runtime = tokio::runtime::Handle::current();
    desk.long(move |admin| answered(runtime.block_on(steering::steer(&admin.handles, &asked, &command)))).await
}
