//! A run's thresholds as JUnit XML, which build servers read.

use std::io;
use std::time::{Duration, SystemTime};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::figures::doubts;
use super::thresholds::{Line, lines, nothing_answered};
use crate::record::{Outcome, Run};

/// A test case.
struct Case {
    name: String,
    /// Its kind and what is to be said, if it failed.
    failure: Option<(&'static str, String)>,
}

/// Writes a run as one suite of tests: that something was answered, and a test for each threshold. One that was not judged has
/// failed. Doubts are the suite's output.
///
/// # Errors
///
/// When `to` cannot be written.
pub fn write_junit(run: &Run, to: &mut dyn io::Write) -> io::Result<()> {
    let cases: Vec<_> = std::iter::once(answered(run)).chain(lines(run).into_iter().map(case)).collect();
    let [tests, failures] = [cases.len(), cases.iter().filter(|case| case.failure.is_some()).count()];
    let numbers = [("tests", tests.to_string()), ("failures", failures.to_string()), ("errors", "0".to_owned())];
    let numbers = || numbers.iter().map(|(name, value)| (*name, value.as_str()));
    let (time, began) = (format!("{:.3}", run.measured_s.max(0.0)), timestamp(run.started_unix_ms));
    let name = clean(&if run.label.is_empty() { run.name.clone() } else { format!("{} {}", run.name, run.label) });
    let class = clean(&format!("fleet.{}", run.name));
    let doubts = clean(&doubts(run).join("\n"));
    let mut xml = Writer::new_with_indent(to, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites").with_attributes(numbers()).write_inner_content(|xml| {
        let suite = xml.create_element("testsuite").with_attribute(("name", name.as_str())).with_attributes(numbers());
        let suite = suite.with_attribute(("time", time.as_str())).with_attribute(("timestamp", began.as_str()));
        suite.write_inner_content(|xml| {
            for case in &cases {
                write_case(xml, &class, case)?;
            }
            if !doubts.is_empty() {
                xml.create_element("system-out").write_text_content(BytesText::new(&doubts))?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    xml.into_inner().write_all(b"\n")
}

fn write_case(xml: &mut Writer<&mut dyn io::Write>, class: &str, case: &Case) -> io::Result<()> {
    let name = clean(&case.name);
    let element = xml.create_element("testcase").with_attributes([("classname", class), ("name", name.as_str())]);
    match &case.failure {
        None => element.write_empty()?,
        Some((kind, text)) => element.write_inner_content(|xml| {
            let text = clean(text);
            xml.create_element("failure")
                .with_attributes([("message", text.as_str()), ("type", *kind)])
                .write_empty()?;
            Ok(())
        })?,
    };
    Ok(())
}

fn answered(run: &Run) -> Case {
    let failure = nothing_answered(run).map(|why| ("nothing answered", why));
    Case { name: "something was answered".to_owned(), failure }
}

fn case(line: Line) -> Case {
    let failure = match line.outcome {
        Outcome::Met => None,
        Outcome::Missed | Outcome::NotJudged => Some((line.outcome.word(), line.found)),
    };
    Case { name: line.threshold, failure }
}

fn timestamp(unix_ms: u64) -> String {
    // The last second that humantime can write: the year 9999.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs((unix_ms / 1000).min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string().trim_end_matches('Z').to_owned()
}

/// Without what XML cannot have, not even escaped.
fn clean(text: &str) -> String {
    let allowed = |letter: &char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|letter| if allowed(&letter) { letter } else { '\u{fffd}' }).collect()
}
