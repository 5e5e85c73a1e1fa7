//! Fields of one kind: a word of a list, a number in bounds, a port, a duration; and the tables made only of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::text;
use crate::control::config::problem::{Problems, nearest, quoted};
use crate::control::config::types::{RetryOverrides, TimeoutOverrides};
use crate::control::config::units::HumanDuration;
use crate::model::role::{Retry, Timeouts};

/// IIS closes a connection that has been idle for this long.
const IIS_IDLE: Duration = Duration::from_secs(120);

pub(super) fn override_retry(retry: &mut Retry, o: &RetryOverrides, problems: &mut Problems) {
    number(&mut retry.attempts, o.attempts.as_ref(), "attempts", 0..=7, problems);
    number(&mut retry.budget_percent, o.budget_percent.as_ref(), "budget_percent", 0..=100, problems);
    let per_second = o.budget_min_per_second.as_ref();
    number(&mut retry.budget_min_per_second, per_second, "budget_min_per_second", 0..=1_000_000, problems);
    if let Some(list) = &o.methods {
        retry.methods = text::each(list, text::method, problems);
        for method in list.iter().filter(|method| method.get_ref().ends_with("POST") || method.get_ref() == "PATCH") {
            problems.warning(
                method.span(),
                format!("a repeated {} may be carried out twice", quoted(method.get_ref())),
                "leave it out: a client of ConfigMgr keeps its message and sends it again by itself",
            );
        }
    }
    if let Some(list) = &o.on_status {
        for status in list.iter().filter(|status| !(402..=599).contains(status.get_ref())) {
            problems.error(
                status.span(),
                format!("{} is no status that another site system could do better", status.get_ref()),
                "write statuses from 402 to 599; 401 is part of signing in",
            );
        }
        retry.on_status = list.iter().map(|status| *status.get_ref()).collect();
    }
}

pub(super) fn override_timeouts(timeouts: &mut Timeouts, o: &TimeoutOverrides, problems: &mut Problems) {
    duration(&mut timeouts.connect, o.connect);
    duration(&mut timeouts.response_header, o.response_header);
    duration(&mut timeouts.request_body_idle, o.request_body_idle);
    duration(&mut timeouts.response_body_idle, o.response_body_idle);
    duration(&mut timeouts.tunnel_idle, o.tunnel_idle);
    timeouts.total = o.total.map_or(timeouts.total, HumanDuration::get);
    if let Some(idle) = &o.upstream_idle {
        duration(&mut timeouts.upstream_idle, Some(*idle.get_ref()));
        if timeouts.upstream_idle >= IIS_IDLE {
            problems.warning(
                idle.span(),
                "IIS closes a connection that has been idle for 120 s, so a request may meet one that is just closing",
                "write less than \"120s\", unless the timeout of IIS was raised too",
            );
        }
    }
}

pub(in crate::control) fn word<T: Copy>(
    to: &mut T,
    written: Option<&Spanned<String>>,
    key: &str,
    known: &[(&str, T)],
    problems: &mut Problems,
) {
    let Some(written) = written else { return };
    match known.iter().find(|(word, _)| *word == written.get_ref()) {
        Some((_, value)) => *to = *value,
        None => {
            let help = match nearest(written.get_ref(), known.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => {
                    let all: Vec<String> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
                    format!("write one of {}", all.join(", "))
                }
            };
            problems.error(written.span(), format!("`{key}` cannot be {}", quoted(written.get_ref())), help);
        }
    }
}

pub(in crate::control) fn number(
    to: &mut u32,
    written: Option<&Spanned<u32>>,
    key: &str,
    possible: RangeInclusive<u32>,
    problems: &mut Problems,
) {
    let Some(written) = written else { return };
    if possible.contains(written.get_ref()) {
        *to = *written.get_ref();
        return;
    }
    let help = match (possible.start(), possible.end()) {
        (start, &u32::MAX) => format!("write a number from {start}"),
        (start, end) => format!("write a number from {start} to {end}"),
    };
    problems.error(written.span(), format!("`{key}` cannot be {}", written.get_ref()), help);
}

pub(super) fn port(to: &mut u16, written: Option<&Spanned<u16>>, problems: &mut Problems) {
    match written {
        Some(written) if *written.get_ref() == 0 => {
            problems.error(written.span(), "a site system has no port 0", "write a number from 1 to 65535");
        }
        Some(written) => *to = *written.get_ref(),
        None => {}
    }
}

pub(super) fn duration(to: &mut Duration, written: Option<HumanDuration>) {
    *to = written.and_then(HumanDuration::finite).unwrap_or(*to);
}
