//! `[access_log]`, and the field with the number of a request.

use http::{HeaderName, header};

use crate::control::config::{Config, Problems, nearest, text};
use crate::model::access_log::{Always, LogField, LogFields, LogFormat, LogSettings, Sampling};
use crate::wire::secrets::Mask;

/// Fields that mean something else to servers.
const TAKEN: [HeaderName; 9] = [
    header::HOST,
    header::VIA,
    header::COOKIE,
    header::AUTHORIZATION,
    header::USER_AGENT,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::FORWARDED,
];

/// What the log says, if there is one.
pub(super) fn compile(config: &Config, problems: &mut Problems) -> Option<LogSettings> {
    let log = config.access_log.as_ref()?;
    let format = format(config, problems);
    let chosen = format.and_then(|format| fields(config, format, problems));
    let share = *log.sample.get_ref();
    if !(0.0..=1.0).contains(&share) {
        let text = format!("{share} is no part of all requests");
        problems.error(log.sample.span(), text, "write a number from 0 to 1: 0.01 logs one request of a hundred");
    }
    let fields: Box<[LogField]> = chosen?.into();
    let errors = if log.sample_errors { Always::Logged } else { Always::Drawn };
    Some(LogSettings {
        path: log.path.get_ref().as_str().into(),
        format: format?,
        has: LogFields::of(&fields),
        fields,
        // All of them is exactly all.
        sampling: Sampling { up_to: (share * u64::MAX as f64) as u64, errors },
    })
}

fn format(config: &Config, problems: &mut Problems) -> Option<LogFormat> {
    let written = &config.access_log.as_ref()?.format;
    let known = LogFormat::ALL.into_iter().find(|format| format.as_str() == written.get_ref());
    if known.is_none() {
        let names = LogFormat::ALL.map(LogFormat::as_str);
        let help = match nearest(written.get_ref(), names.into_iter()) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "write \"json\", \"combined\" or \"w3c\"".to_owned(),
        };
        problems.error(written.span(), format!("{:?} is no format of a log", written.get_ref()), help);
    }
    known
}

fn fields(config: &Config, format: LogFormat, problems: &mut Problems) -> Option<Vec<LogField>> {
    let Some(list) = &config.access_log.as_ref()?.fields else { return Some(format.usual().into()) };
    if format == LogFormat::Combined {
        let text = "the fields of the format \"combined\" are fixed";
        problems.error(list.span(), text, "leave `fields` out, or write format = \"json\" or \"w3c\"");
        return None;
    }
    if list.get_ref().is_empty() {
        problems.error(list.span(), "lines without fields say nothing", "name some, or leave `fields` out");
    }
    let mut chosen = Vec::new();
    for written in list.get_ref() {
        let name = written.get_ref();
        match format.fields().find(|field| field.name(format) == Some(name)) {
            Some(field) if chosen.contains(&field) => {
                problems.error(written.span(), format!("the field {name:?} is there twice"), "name it once");
            }
            Some(field) => chosen.push(field),
            None => {
                let help = help(name, format);
                let text = format!("{name:?} is no field of the format {:?}", format.as_str());
                problems.error(written.span(), text, help);
            }
        }
    }
    Some(chosen)
}

/// What may have been meant by a field that there is not.
fn help(name: &str, format: LogFormat) -> String {
    let others = [LogFormat::Json, LogFormat::W3c].into_iter().filter(|other| *other != format);
    let of_another = others.flat_map(|other| other.fields().filter(move |field| field.name(other) == Some(name)));
    let meant = of_another.filter_map(|field| field.name(format)).next();
    match meant.or_else(|| nearest(name, format.fields().filter_map(|field| field.name(format)))) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => {
            let names: Vec<_> = format.fields().filter_map(|field| field.name(format)).collect();
            format!("write one of {}", names.join(", "))
        }
    }
}

/// What no log shows of a target.
pub(super) fn mask(config: &Config) -> Mask {
    let names = config.access_log.clone().unwrap_or_default().mask;
    Mask::new(names.iter().map(|name| name.get_ref().as_str()))
}

/// The field with the number of a request, unless there is none.
pub(super) fn request_id_field(config: &Config, problems: &mut Problems) -> Option<HeaderName> {
    let written = &config.proxy.request_id_field;
    if written.get_ref() == "off" {
        return None;
    }
    let name = text::one(written, text::field, problems).and_then(|name| HeaderName::try_from(name).ok())?;
    if TAKEN.contains(&name) || name.as_str().starts_with("x-forwarded-") {
        let message = format!("{name} has another meaning");
        problems.error(written.span(), message, "write a name such as \"X-Request-ID\", or \"off\"");
        return None;
    }
    Some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::config::parse;

    /// What is said about the lines of a section.
    fn said(lines: &str) -> Result<LogSettings, String> {
        let source = format!("[access_log]\n{lines}\n");
        let mut problems = Problems::new();
        let config = parse(&source, &mut problems);
        let settings = compile(&config, &mut problems);
        match problems.is_empty() {
            true => Ok(settings.unwrap()),
            false => Err(problems.iter().map(|problem| format!("{}: {}\n", problem.message, problem.help)).collect()),
        }
    }

    fn is_refused(lines: &str, words: &[&str]) {
        let told = said(lines).unwrap_err();
        for word in words {
            assert!(told.contains(word), "{word:?} is not in\n{told}");
        }
    }

    #[test]
    fn what_is_left_out_is_as_it_always_was() {
        let settings = said("").unwrap();
        assert_eq!((settings.format, &*settings.path), (LogFormat::Json, "-"));
        assert_eq!(&*settings.fields, LogFormat::Json.usual());
        assert_eq!(settings.sampling, Sampling { up_to: u64::MAX, errors: Always::Logged });
    }

    #[test]
    fn fields_come_in_the_order_in_which_they_are_written() {
        let settings = said("format = \"w3c\"\nfields = [\"time\", \"date\", \"cs(User-Agent)\", \"x-role\"]").unwrap();
        assert_eq!(*settings.fields, [LogField::Time, LogField::Date, LogField::UserAgent, LogField::Role]);
        assert!(settings.has.has(LogField::Role) && !settings.has.has(LogField::Referer));
    }

    #[test]
    fn mistakes_are_told_with_what_may_have_been_meant() {
        is_refused("format = \"W3\"", &["\"W3\" is no format", "did you mean \"w3c\"?"]);
        is_refused("format = \"syslog\"", &["write \"json\", \"combined\" or \"w3c\""]);
        is_refused("fields = [\"sc-status\"]", &["no field of the format \"json\"", "did you mean \"status\"?"]);
        is_refused(
            "fields = [\"taget\", \"role\", \"role\"]",
            &["did you mean \"target\"?", "\"role\" is there twice"],
        );
        is_refused("fields = [\"zzzzzzzz\"]", &["write one of ts, snapshot"]);
        is_refused("format = \"w3c\"\nfields = [\"user_agent\"]", &["did you mean \"cs(User-Agent)\"?"]);
        is_refused("fields = []", &["lines without fields"]);
        is_refused("format = \"combined\"\nfields = [\"ts\"]", &["are fixed"]);
        is_refused("sample = 1.5", &["1.5 is no part", "from 0 to 1"]);
        is_refused("sample = -1.0", &["-1 is no part"]);
        assert_eq!(
            said("sample = 0.0\nsample_errors = false").unwrap().sampling,
            Sampling { up_to: 0, errors: Always::Drawn }
        );
    }

    #[test]
    fn names_of_request_ids() {
        let field = |name: &str| {
            let mut problems = Problems::new();
            let config = parse(&format!("[proxy]\nrequest_id_field = {name:?}\n"), &mut problems);
            let field = request_id_field(&config, &mut problems);
            (field.map(|field| field.as_str().to_owned()), problems.len())
        };
        assert_eq!(field("off"), (None, 0));
        assert_eq!(field("X-Request-ID"), (Some("x-request-id".to_owned()), 0));
        for name in ["Host", "authorization", "X-Forwarded-For", "a b", ""] {
            assert_eq!(field(name), (None, 1), "{name}");
        }
    }
}
