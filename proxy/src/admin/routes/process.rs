//! What concerns the process: its configuration is read again, and how much it logs.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::Admin;
use crate::admin::answer::{Answer, answered, json, text};
use crate::admin::change::{Change, Done};
use crate::admin::described::{Questioned, Refused};
use crate::admin::desk::{AtDesk, Desk};
use crate::admin::parameters::Parameters;
use crate::control::director::Order;
use crate::process_log::{self, Levels};

pub(in crate::admin) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(reload)).routes(routes!(log_level, set_log_level, reset_log_level))
}

/// How a reload went.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Whether the new configuration is served.
    pub accepted: bool,
    /// The number of the configuration that is served.
    pub generation: u64,
    /// Every mistake in a configuration that was rejected, as `rolegate check` prints them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errors: Option<String>,
}

/// How much is logged.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLevel {
    /// Now: a level, or what `RUST_LOG` may say.
    pub level: String,
    /// At the start, as `RUST_LOG` said.
    pub at_start: String,
}

impl From<Levels> for LogLevel {
    fn from(levels: Levels) -> Self {
        Self { level: levels.now, at_start: levels.at_start }
    }
}

/// Reads the configuration file, and those that it names, again; waits until it is served or rejected.
#[utoipa::path(post, path = "/reload", tag = "process", responses(
    (status = 200, body = Reloaded, description = "It is served."),
    (status = 422, body = Reloaded, description = "It was rejected: the old one goes on serving."),
    Refused,
), security(("token" = [])))]
async fn reload(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    let work = move |admin: &Admin| match parameters.only(&[]) {
        Ok(()) => admin.reload(),
        Err(mistakes) => Done::nothing(answered::<()>(Err(mistakes))),
    };
    change.carry_out(&desk, work).await
}

/// How much is logged.
#[utoipa::path(get, path = "/log-level", tag = "process", responses(
    (status = 200, body = LogLevel),
    (status = 409, body = String, content_type = "text/plain", description = "The program that runs the proxy has a log of its own."),
    Questioned,
))]
async fn log_level(State(desk): AtDesk, parameters: Parameters) -> Answer {
    let levels = |_: &Admin| process_log::levels().map_or_else(not_ours, |levels| json(&LogLevel::from(levels)));
    desk.long(move |admin| match parameters.only(&[]) {
        Ok(()) => levels(admin),
        Err(mistakes) => answered::<()>(Err(mistakes)),
    })
    .await
}

/// Logs more or less from now on.
#[utoipa::path(put, path = "/log-level", tag = "process", params(
    ("level" = String, Query, description = "off, error, warn, info, debug or trace, or targets with one each: `info,h2=debug`."),
), responses(
    (status = 200, body = LogLevel),
    (status = 409, body = String, content_type = "text/plain", description = "The program that runs the proxy has a log of its own."),
    Refused,
), security(("token" = [])))]
async fn set_log_level(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    let work = move |_: &Admin| match (parameters.only(&["level"]), parameters.one("level")) {
        (Err(mistakes), _) => Done::nothing(answered::<()>(Err(mistakes))),
        (Ok(()), None) => {
            Done::nothing(answered::<()>(Err(vec!["level is missing: how much is to be logged".to_owned()])))
        }
        (Ok(()), Some(level)) => levels_are(process_log::set_level(level)),
    };
    change.carry_out(&desk, work).await
}

/// Logs as much as at the start, as `RUST_LOG` said.
#[utoipa::path(delete, path = "/log-level", tag = "process", responses(
    (status = 200, body = LogLevel),
    (status = 409, body = String, content_type = "text/plain", description = "The program that runs the proxy has a log of its own."),
    Refused,
), security(("token" = [])))]
async fn reset_log_level(State(desk): AtDesk, change: Change, parameters: Parameters) -> Answer {
    let work = move |_: &Admin| match parameters.only(&[]) {
        Ok(()) => levels_are(process_log::reset_level()),
        Err(mistakes) => Done::nothing(answered::<()>(Err(mistakes))),
    };
    change.carry_out(&desk, work).await
}

fn not_ours() -> Answer {
    text(StatusCode::CONFLICT, "the program that runs this proxy has a log of its own\n")
}

fn levels_are(changed: Result<Levels, process_log::Refused>) -> Done {
    match changed {
        Ok(levels) => {
            let level = LogLevel::from(levels);
            Done { answer: json(&level), sentence: Some(format!("the log level is {}", level.level)) }
        }
        Err(process_log::Refused::NotOurs) => Done::nothing(not_ours()),
        Err(process_log::Refused::Wrong(mistake)) => Done::nothing(answered::<()>(Err(vec![mistake]))),
    }
}

impl Admin {
    fn reload(&self) -> Done {
        let (reply, answer) = oneshot::channel();
        let sent = self.handles.orders.blocking_send(Order::ReloadFileAndTell(reply)).is_ok();
        let Some(told) = sent.then(|| answer.blocking_recv().ok()).flatten() else {
            return Done::nothing(text(StatusCode::SERVICE_UNAVAILABLE, "the proxy is shutting down\n"));
        };
        match told {
            Ok(generation) => Done {
                answer: json(&Reloaded { accepted: true, generation, errors: None }),
                sentence: Some(format!("reloaded: configuration {generation} is served")),
            },
            Err(errors) => {
                let generation = self.handles.snapshots.current().generation;
                let mut answer = json(&Reloaded { accepted: false, generation, errors: Some(errors) });
                *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
                let sentence = format!("reload rejected: configuration {generation} is still served");
                Done { answer, sentence: Some(sentence) }
            }
        }
    }
}
