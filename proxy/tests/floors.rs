//! The shape of the code: imports go down only, the model knows no clock, no dice and no runtime, and nothing grows out
//! of the size that a reader holds in mind.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this is two files.
const LONGEST_FILE: usize = 600;
/// A function longer than this is two functions.
const LONGEST_FUNCTION: usize = 70;
/// Rows of a table, one function each: their length is what they say.
const TABLES: [&str; 1] = ["model/presets/table.rs"];
/// What the model must not name. Time and dice are passed in.
const NOT_IN_THE_MODEL: [&[&str]; 6] =
    [&["tokio"], &["fastrand"], &["rand"], &["hyper"], &["Instant", "::", "now"], &["SystemTime", "::", "now"]];

/// Modules of the crate, from the bottom to the top. Modules of one floor may use each other, except `control` and `data`.
const FLOORS: [&[&str]; 3] = [
    &["model", "error", "connection_error", "metrics"],
    &["control", "data"],
    &[
        "app",
        "admin",
        "cli",
        "status",
        "explain",
        "learned",
        "lookup",
        "text",
        "access_log",
        "process_log",
        "limits",
        "main",
        "lib",
    ],
];

#[derive(Clone, Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// Words and punctuation of a source text, without comments and what is in quotes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    while at < chars.len() {
        let start = at;
        let first_line = line;
        let c = chars[at];
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if c == '/' && peek(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && peek(at + 1) == '*' {
            at += 2;
            while at < chars.len() && !(chars[at] == '*' && peek(at + 1) == '/') {
                at += 1;
            }
            at += 2;
        } else if c == '"' {
            at = end_of_quote(&chars, at);
        } else if c == 'r' && (peek(at + 1) == '"' || peek(at + 1) == '#' && matches!(peek(at + 2), '"' | '#')) {
            at = end_of_raw_string(&chars, at + 1);
        } else if c == '\'' {
            // A lifetime has no second quote near by.
            let is_char = peek(at + 1) == '\\' || peek(at + 2) == '\'';
            at = if is_char { end_of_quote(&chars, at) } else { at + 1 };
        } else if word(c) {
            while at < chars.len() && word(chars[at]) {
                at += 1;
            }
            found.push(Token { text: chars[start..at].iter().collect(), line: first_line });
        } else if c == ':' && peek(at + 1) == ':' {
            at += 2;
            found.push(Token { text: "::".to_owned(), line });
        } else {
            at += 1;
            if !c.is_whitespace() {
                found.push(Token { text: c.to_string(), line });
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn end_of_quote(chars: &[char], open: usize) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != chars[open] {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_raw_string(chars: &[char], mut at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    at += hashes + 1;
    while at < chars.len() {
        let closed = chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        at += 1;
        if closed {
            return at + hashes;
        }
    }
    at
}

/// The module that a file is: `control/compile/tls.rs` is `[control, compile, tls]`.
fn module_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match path.last().map(String::as_str) {
        Some("mod") => drop(path.pop()),
        Some(stem) => {
            if let Some(of) = stem.strip_suffix("_tests") {
                let of = of.to_owned();
                path.pop();
                path.extend([of, "tests".to_owned()]);
            }
        }
        None => {}
    }
    path
}

#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    /// First module below the root of the crate.
    module: String,
}

/// Everything that a file names by `crate::` or `super::`, resolved to the module below the root.
fn imports(source: &str, module: &[String]) -> Vec<Import> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // One entry for each open brace: whether it belongs to an inline module.
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => open.push(at >= 2 && text(at - 2) == "mod"),
            "}" => drop(open.pop()),
            "crate" if text(at + 1) == "::" => heads(&tokens, at + 2, &mut found),
            "super" if text(at + 1) == "::" && !(at >= 2 && text(at - 1) == "::" && text(at - 2) == "super") => {
                let mut ups = 1;
                while text(at + 2) == "super" && text(at + 3) == "::" {
                    at += 2;
                    ups += 1;
                }
                let depth = module.len() + open.iter().filter(|inline| **inline).count();
                match depth.checked_sub(ups) {
                    Some(0) => heads(&tokens, at + 2, &mut found),
                    Some(left) if left > module.len() => {}
                    Some(_) => found.push(Import { line: tokens[at].line, module: module[0].clone() }),
                    None => panic!("line {}: super goes above the crate", tokens[at].line),
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first names of a path or of a group of paths.
fn heads(tokens: &[Token], at: usize, found: &mut Vec<Import>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        found.push(Import { line: first.line, module: first.text.clone() });
        return;
    }
    let mut depth = 0;
    let mut fresh = true;
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                fresh = depth == 1;
            }
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," => fresh = depth == 1,
            name if fresh && depth == 1 => {
                found.push(Import { line: token.line, module: name.to_owned() });
                fresh = false;
            }
            _ => {}
        }
    }
}

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
    (own == 1 && other == 1).then(|| format!("{from} and {to} must not know each other"))
}

/// Name, first line and number of lines of every function with a body.
fn functions(source: &str) -> Vec<(String, usize, usize)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(at + 1).filter(|_| token.text == "fn") else { continue };
        if !name.text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            continue;
        }
        let mut depth = 0_usize;
        for token in &tokens[at + 2..] {
            match token.text.as_str() {
                ";" if depth == 0 => break,
                "{" => depth += 1,
                "}" if depth == 1 => {
                    found.push((name.text.clone(), tokens[at].line, token.line + 1 - tokens[at].line));
                    break;
                }
                "}" => depth -= 1,
                _ => {}
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file below a folder, with its path in it.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{} has no source", folder.display());
    found.sort();
    found
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (file, source) in files(&root().join("proxy/src")) {
        let module = module_of(&file);
        for Import { line, module: to } in imports(&source, &module) {
            seen += 1;
            wrong.extend(objection(&module[0], &to).map(|why| format!("{}:{line}: {why}", file.display())));
        }
    }
    assert_none("imports that go up or across", &wrong);
    assert!(seen > 100, "only {seen} imports were found: the scanner is blind");
}

#[test]
fn health_stands_below_everything() {
    for (file, source) in files(&root().join("health/src")) {
        let named = tokens(&source).iter().any(|token| token.text == "rolegate");
        assert!(!named, "{} names the proxy", file.display());
    }
}

#[test]
fn the_model_has_no_clock_no_dice_and_no_runtime() {
    let mut wrong = Vec::new();
    for (file, source) in files(&root().join("proxy/src/model")) {
        let tokens = tokens(&source);
        for forbidden in NOT_IN_THE_MODEL {
            let hits = tokens.windows(forbidden.len()).filter(|window| window.iter().map(|t| &t.text).eq(forbidden));
            wrong.extend(hits.map(|hit| format!("{}:{}: {}", file.display(), hit[0].line, forbidden.concat())));
        }
    }
    assert_none("the model is told the time and the dice, it does not look them up", &wrong);
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for package in ["proxy/src", "health/src", "benches/src", "examples/src"] {
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
fn no_function_is_too_long() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for package in ["proxy/src", "health/src", "benches/src", "examples/src"] {
        for (file, source) in files(&root().join(package)) {
            // A test may be a table too.
            if TABLES.iter().any(|table| file.ends_with(table)) || module_of(&file).contains(&"tests".to_owned()) {
                continue;
            }
            for (name, line, lines) in functions(&source) {
                seen += 1;
                if lines > LONGEST_FUNCTION {
                    wrong.push(format!("{package}/{}:{line}: {name} has {lines} lines", file.display()));
                }
            }
        }
    }
    assert_none(&format!("functions of more than {LONGEST_FUNCTION} lines"), &wrong);
    assert!(seen > 200, "only {seen} functions were found: the scanner is blind");
}

#[test]
fn the_scanner_sees_what_it_must() {
    let found = |source: &str, file: &str| -> Vec<String> {
        imports(source, &module_of(Path::new(file))).into_iter().map(|import| import.module).collect()
    };
    assert_eq!(found("use crate::app::App;", "data/pool.rs"), ["app"]);
    assert_eq!(found("use crate::{app, model::{role, route}, error::Error};", "data.rs"), ["app", "model", "error"]);
    assert_eq!(found("use super::super::data::pool;", "control/watch.rs"), ["data"]);
    assert_eq!(found("use super::pool;", "data/proxy.rs"), ["data"]);
    assert_eq!(found("mod tests { use super::*; fn x() { super::super::app::run() } }", "error.rs"), ["error", "app"]);
    assert_eq!(found("// use crate::app\n/* crate::cli */ let x = \"crate::admin\"; 'a'", "error.rs"), [""; 0]);
    assert_eq!(found("let x = r#\"crate::app \" \"#; let y: &'a str = crate::model::x;", "error.rs"), ["model"]);
    assert_eq!(found("use super::super::problem;", "control/config/role_tests.rs"), ["control"]);
    assert!(objection("data", "control").is_some() && objection("control", "data").is_some());
    assert!(objection("model", "control").is_some() && objection("data", "app").is_some());
    assert!(objection("control", "model").is_none() && objection("app", "data").is_none());
    assert!(objection("stranger", "model").is_some());
    let long = format!("fn long() {{\n{}}}\nfn short();\nfn one() {{ \"}}\"; }}", "    x;\n".repeat(80));
    assert_eq!(functions(&long), [("long".to_owned(), 1, 82), ("one".to_owned(), 84, 1)]);
}
