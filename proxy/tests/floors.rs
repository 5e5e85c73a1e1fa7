//! The shape of the code: imports go down only and in no circle, the model knows no clock, no dice and no runtime, and no file
//! grows out of the size that a reader holds in mind. Functions are clippy's (`too_many_lines`).
#![allow(clippy::unwrap_used, missing_docs)]

mod floor_support;

use std::path::{Path, PathBuf};

use floor_support::{Package, files, module_of, named};

/// A file longer than this is two files.
const LONGEST_FILE: usize = 600;
/// What the model and the wire must not name. Time and dice are passed in.
const PASSED_IN: [&str; 9] = [
    "tokio",
    "fastrand",
    "rand",
    "hyper::body",
    "hyper::client",
    "hyper::server",
    "hyper_util",
    "Instant::now",
    "SystemTime::now",
];
const PACKAGES: [&str; 4] = ["proxy/src", "health/src", "benches/src", "examples/src"];

/// Modules of the crate, from the bottom to the top. Modules of one floor may use each other, except `control` and `data`.
const FLOORS: [&[&str]; 4] = [
    &["wire"],
    &["model", "error", "connection_error", "metrics"],
    &["control", "data"],
    &[
        "app",
        "admin",
        "page",
        "cli",
        "status",
        "explain",
        "figures",
        "learned",
        "lookup",
        "steering",
        "text",
        "access_log",
        "process_log",
        "limits",
        "main",
        "lib",
    ],
];
/// The floors of the data plane, from the bottom to the top.
const DATA_FLOORS: [&str; 7] = ["thread", "transport", "upstream", "path", "tunnel", "downstream", "run"];

/// The floor on which modules do not know each other.
const APART: usize = 2;

/// Circles that are still there, as many files as each has. A change may make one smaller, never larger.
const CIRCLES: [(&str, &[usize]); 4] =
    [("proxy/src", &[]), ("health/src", &[]), ("benches/src", &[]), ("examples/src", &[])];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Why `from` may not use `to`.
fn objection(from: &str, to: &str) -> Option<String> {
    let (Some(own), Some(other)) = (floor(from), floor(to)) else {
        return Some(format!("{from} or {to} stands on no floor: give it one in this test"));
    };
    if from == to {
        return None;
    }
    if other > own {
        return Some(format!("{from} must not use {to}, which stands above it"));
    }
    (own == APART && other == APART).then(|| format!("{from} and {to} must not know each other"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, module) in Package::read(&root().join("proxy/src")).modules {
        let from = name.split("::").next().unwrap();
        for named in &module.named {
            // What `lib.rs` itself has are modules alone.
            let Some(to) = named.path.first() else { continue };
            seen += 1;
            let place = format!("{}:{}", module.file.display(), named.line);
            wrong.extend(objection(from, to).map(|why| format!("{place}: {why}")));
        }
    }
    assert_none("imports that go up or across", &wrong);
    assert!(seen > 1000, "only {seen} imports were found: the reader is blind");
}

#[test]
fn the_data_plane_has_floors_too() {
    let floor = |name: &str| DATA_FLOORS.iter().position(|floor| *floor == name);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (name, module) in Package::read(&root().join("proxy/src")).modules {
        let Some(from) = name.strip_prefix("data::").map(|rest| rest.split("::").next().unwrap()) else { continue };
        let own = floor(from).unwrap_or_else(|| panic!("{from} is no floor: give it a place in this test"));
        for named in module.named.iter().filter(|named| named.path.first().is_some_and(|first| first == "data")) {
            let Some(to) = named.path.get(1) else { continue };
            seen += 1;
            if floor(to).is_none_or(|other| other > own) {
                wrong.push(format!("{}:{}: {from} uses {to}", module.file.display(), named.line));
            }
        }
    }
    assert_none("imports that go up", &wrong);
    assert!(seen > 100, "only {seen} imports were found: the reader is blind");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for (package, known) in CIRCLES {
        let read = Package::read(&root().join(package));
        let mut found = read.cycles();
        found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        let sizes: Vec<usize> = found.iter().map(Vec::len).collect();
        let told: Vec<String> = found.iter().map(|circle| circle.join(" ")).collect();
        assert_eq!(sizes, known, "files of {package} that use each other:\n  {}", told.join("\n  "));
    }
}

#[test]
fn health_stands_below_everything() {
    for (file, source) in files(&root().join("health/src")) {
        assert!(!source.contains("rolegate::"), "{} names the proxy", file.display());
    }
}

#[test]
fn the_model_has_no_clock_no_dice_and_no_runtime() {
    let mut wrong = Vec::new();
    for floor in ["proxy/src/model", "proxy/src/wire"] {
        for (file, source) in files(&root().join(floor)) {
            let code = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            for (number, line) in code {
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let names = |word: &str| {
                    PASSED_IN.iter().any(|not| {
                        word == *not || word.starts_with(&format!("{not}::")) || word.ends_with(&format!("::{not}"))
                    })
                };
                if words.any(names) {
                    wrong.push(format!("{floor}/{}:{}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert_none("time, dice and a runtime are passed in, not looked up", &wrong);
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for package in PACKAGES {
        for (file, source) in files(&root().join(package)) {
            let lines = source.lines().count();
            if lines > LONGEST_FILE {
                wrong.push(format!("{package}/{}: {lines} lines", file.display()));
            }
        }
    }
    assert_none(&format!("files of more than {LONGEST_FILE} lines"), &wrong);
}

#[test]
fn the_reader_sees_what_it_must() {
    let found = |source: &str, file: &str| -> Vec<String> {
        let named = named(source, &module_of(Path::new(file))).unwrap();
        named.into_iter().map(|named| named.path.join("::")).collect()
    };
    assert_eq!(found("use crate::app::App;", "data/pool.rs"), ["app::App"]);
    assert_eq!(
        found("use crate::{app, model::{role, route as way}, error::*};", "data.rs"),
        ["app", "model::role", "model::route", "error"]
    );
    assert_eq!(found("use super::super::data::pool;", "control/watch.rs"), ["data::pool"]);
    assert_eq!(found("use super::pool;", "data/proxy.rs"), ["data::pool"]);
    assert_eq!(found("fn x() -> crate::a::B { super::c() }", "data/proxy.rs"), ["a::B", "data::c"]);
    assert_eq!(found("mod deep { use super::x; fn y() { self::z() } }", "error.rs"), ["error::x", "error::deep::z"]);
    assert_eq!(
        found("fn x() { say!(1, crate::app::run(), { super::a::B }) }", "data/x.rs"),
        ["app::run", "data::a::B"]
    );
    let nothing = "// use crate::app\n/* crate::cli */ pub(in crate::control) fn a() { let x = \"crate::admin\"; other::b() }\n\
                   #[cfg(test)]\nmod tests { use crate::app::App; }";
    assert_eq!(found(nothing, "error.rs"), [""; 0]);
    assert_eq!(module_of(Path::new("control/config/role_tests.rs")), ["control", "config", "role", "tests"]);
    assert!(objection("data", "control").is_some() && objection("control", "data").is_some());
    assert!(objection("model", "control").is_some() && objection("data", "app").is_some());
    assert!(objection("control", "model").is_none() && objection("app", "data").is_none());
    assert!(objection("model", "wire").is_none() && objection("wire", "model").is_some());
    assert!(objection("stranger", "model").is_some());
}

#[test]
fn a_circle_is_seen_and_a_folder_with_its_face_is_none() {
    let mut package = Package::default();
    for (name, uses) in [
        ("a", "b"),
        ("b", "c::d"),
        ("c", "c::d"),
        ("c::d", "c::e"),
        ("c::e", "a"),
        ("f", "a"),
        ("g", "g::h"),
        ("g::h", "g"),
    ] {
        let named = named(&format!("use crate::{}::X;", uses), &[name.to_owned()]).unwrap();
        package.modules.insert(name.to_owned(), floor_support::Module { named, ..Default::default() });
    }
    assert_eq!(package.cycles(), [["a", "b", "c::d", "c::e"]]);
}
