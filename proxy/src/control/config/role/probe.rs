//! `probe` and `passive` of a role.

use std::ops::Range;
use std::time::Duration;

use rolegate_health::PassivePolicy;
use toml::Spanned;

use super::fields::{duration, number, port, word};
use super::text;
use crate::control::config::problem::{Problems, quoted};
use crate::control::config::types::{PassiveOverrides, ProbeOverrides, StatusRange};
use crate::control::config::units::HumanDuration;
use crate::model::role::{HttpProbe, ProbeKind, Protocol, Role};

/// The first 64 KiB of a body are searched.
const LONGEST_TEXT: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Tcp,
    Http,
}

const KINDS: [(&str, Kind); 3] = [("none", Kind::None), ("tcp", Kind::Tcp), ("http", Kind::Http)];

pub(super) fn override_probe(role: &mut Role, o: &ProbeOverrides, at: &Range<usize>, problems: &mut Problems) {
    let before = match role.probe.kind {
        ProbeKind::None => Kind::None,
        ProbeKind::Tcp => Kind::Tcp,
        ProbeKind::Http(_) => Kind::Http,
    };
    let question = first_http_field(o, at);
    // Who writes a question wants it to be asked.
    let mut kind = if question.is_some() { Kind::Http } else { before };
    word(&mut kind, o.kind.as_ref(), "kind", &KINDS, problems);
    match (kind, question) {
        (Kind::None | Kind::Tcp, Some((key, span))) => problems.error(
            span,
            format!("`{key}` is about an HTTP probe, and `kind` is another"),
            format!("write kind = \"http\", or leave `{key}` out"),
        ),
        (Kind::None, None) => role.probe.kind = ProbeKind::None,
        (Kind::Tcp, None) => role.probe.kind = ProbeKind::Tcp,
        (Kind::Http, _) => role.probe.kind = ProbeKind::Http(http_probe(&role.probe.kind, o, at, problems)),
    }
    let mut number_of_port = role.probe.port.unwrap_or(0);
    port(&mut number_of_port, o.port.as_ref(), problems);
    role.probe.port = (number_of_port != 0).then_some(number_of_port);
    if role.protocol == Protocol::Tcp && kind == Kind::Http && role.probe.port.is_none() {
        let at = o.kind.as_ref().map_or(at.clone(), Spanned::span);
        let message = format!("the port of the role {} does not speak HTTP", role.name);
        problems.error(at, message, "write the `port` that answers the probe, such as port = 80");
    }
    override_schedule(role, o, problems);
}

/// Key and place of the first field that is about an HTTP question.
fn first_http_field(o: &ProbeOverrides, at: &Range<usize>) -> Option<(&'static str, Range<usize>)> {
    let text = |key, text: &Option<Spanned<String>>| text.as_ref().map(|text| (key, text.span()));
    text("method", &o.method)
        .or_else(|| text("target", &o.target))
        .or_else(|| text("host", &o.host))
        .or_else(|| o.status.as_ref().map(|list| ("status", list.first().map_or(at.clone(), Spanned::span))))
        .or_else(|| o.body_contains.as_ref().map(|_| ("body_contains", at.clone())))
        .or_else(|| text("second_opinion", &o.second_opinion))
}

fn http_probe(base: &ProbeKind, o: &ProbeOverrides, at: &Range<usize>, problems: &mut Problems) -> HttpProbe {
    let mut probe = match base {
        ProbeKind::Http(probe) => probe.clone(),
        ProbeKind::None | ProbeKind::Tcp => HttpProbe {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            host: None,
            status: vec![(200, 399)],
            body_contains: None,
            second_opinion: None,
        },
    };
    if let Some(target) = &o.target {
        // They belong to the old question.
        (probe.body_contains, probe.second_opinion) = (None, None);
        probe.target = text::one(target, text::target, problems).unwrap_or(probe.target);
    }
    if let Some(method) = &o.method {
        probe.method = text::one(method, text::method, problems).unwrap_or(probe.method);
    }
    if let Some(host) = &o.host {
        probe.host = text::one(host, text::authority, problems);
    }
    if let Some(list) = &o.status {
        if list.is_empty() {
            problems.error(at.clone(), "no status means well, so no site system would", "write status = [\"200-299\"]");
        }
        probe.status = list.iter().filter_map(|range| status(range, problems)).collect();
    }
    if let Some(text) = &o.body_contains {
        probe.body_contains = (!text.is_empty()).then(|| text.clone());
        if text.len() > LONGEST_TEXT {
            let message = "`body_contains` is longer than the part of a body that is searched";
            problems.error(at.clone(), message, "write a text of a few words");
        }
    }
    if let Some(target) = &o.second_opinion {
        let some = !target.get_ref().is_empty();
        probe.second_opinion = if some { text::one(target, text::target, problems) } else { None };
    }
    if probe.method == "HEAD" && probe.body_contains.is_some() {
        let at = o.method.as_ref().map_or(at.clone(), Spanned::span);
        let message = "an answer to HEAD has no body, so `body_contains` is never found";
        problems.error(at, message, "write method = \"GET\", or body_contains = \"\"");
    }
    probe
}

fn status(written: &Spanned<StatusRange>, problems: &mut Problems) -> Option<(u16, u16)> {
    let (shown, range) = match written.get_ref() {
        StatusRange::One(status) => (status.to_string(), Some((*status, *status))),
        StatusRange::Range(text) => {
            let bounds = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.trim().parse::<u16>().ok();
            (quoted(text), number(bounds.0).zip(number(bounds.1)))
        }
    };
    match range {
        Some((first, last)) if first > last => problems.error(
            written.span(),
            format!("the range of statuses {shown} ends before it starts"),
            format!("write \"{last}-{first}\""),
        ),
        Some((first, last)) if first >= 100 && last <= 599 => return Some((first, last)),
        Some(_) | None => problems.error(
            written.span(),
            format!("{shown} is not a status or a range of them"),
            "write a number from 100 to 599, or a range such as \"200-299\"",
        ),
    }
    None
}

fn override_schedule(role: &mut Role, o: &ProbeOverrides, problems: &mut Problems) {
    let schedule = &mut role.probe.schedule;
    let spanned = |written: &Option<Spanned<HumanDuration>>| written.as_ref().map(|written| *written.get_ref());
    duration(&mut schedule.interval, spanned(&o.interval));
    duration(&mut schedule.fast_interval, o.fast_interval);
    duration(&mut schedule.down_interval, o.down_interval);
    duration(&mut schedule.timeout, spanned(&o.timeout));
    number(&mut schedule.rise, o.rise.as_ref(), "rise", 1..=1000, problems);
    number(&mut schedule.fall, o.fall.as_ref(), "fall", 1..=1000, problems);
    number(&mut schedule.jitter_percent, o.jitter_percent.as_ref(), "jitter_percent", 0..=100, problems);
    if let Some(written) = o.timeout.as_ref().or(o.interval.as_ref())
        && schedule.timeout >= schedule.interval
    {
        let (timeout, interval) = (shown(schedule.timeout), shown(schedule.interval));
        problems.warning(
            written.span(),
            format!("a probe may take {timeout}, but the next one is due after {interval}"),
            "write a `timeout` that is shorter than the `interval`",
        );
    }
}

pub(super) fn override_passive(
    passive: &mut PassivePolicy,
    o: &PassiveOverrides,
    at: &Range<usize>,
    problems: &mut Problems,
) {
    let consecutive = o.consecutive_failures.as_ref();
    number(&mut passive.consecutive_failures, consecutive, "consecutive_failures", 0..=u32::MAX, problems);
    number(&mut passive.failure_percent, o.failure_percent.as_ref(), "failure_percent", 0..=100, problems);
    number(&mut passive.min_requests, o.min_requests.as_ref(), "min_requests", 1..=u32::MAX, problems);
    duration(&mut passive.window, o.window);
    duration(&mut passive.eject_time, o.eject_time);
    duration(&mut passive.max_eject_time, o.max_eject_time.as_ref().map(|written| *written.get_ref()));
    if passive.eject_time > passive.max_eject_time {
        let (first, longest) = (shown(passive.eject_time), shown(passive.max_eject_time));
        problems.error(
            o.max_eject_time.as_ref().map_or(at.clone(), Spanned::span),
            format!("the first ejection lasts {first}, and the longest only {longest}"),
            format!("write a `max_eject_time` of \"{first}\" or more, or a shorter `eject_time`"),
        );
    }
}

fn shown(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
