//! Lists that are not closed: one mistake at its place, and not one in each line behind it.
//!
//! A list may have many lines, so a parser goes on until something cannot be an element. A person sees sooner that the list is
//! over: where a header stands, or a key with its value.

use std::ops::Range;

/// A list that is not closed: where it opens, and the lines that belong to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// Its opening bracket.
    pub(super) at: usize,
    /// From its line up to the line that is none of it.
    pub(super) lines: Range<usize>,
}

/// All of them.
pub(super) fn find(source: &str) -> Vec<Unclosed> {
    let mut found = Vec::new();
    let mut open = Brackets::default();
    let (mut quote, mut at, mut first) = (None, 0, 0);
    for line in source.split_inclusive('\n') {
        if quote.is_none() && open.in_list_only() && begins_anew(line) {
            // Those that opened later may be closed.
            if let Some(bracket) = open.stack.first() {
                found.push(Unclosed { at: bracket.at, lines: first..at });
            }
            open = Brackets::default();
        }
        if open.stack.is_empty() {
            first = at;
        }
        // Outside of a list only a header begins so; one that is not closed is another mistake.
        let header = open.stack.is_empty() && quote.is_none() && line.trim_start().starts_with('[');
        if !header {
            quote = open.read(line, at, quote);
        }
        at += line.len();
    }
    found
}

/// Brackets that are open.
#[derive(Default)]
struct Brackets {
    stack: Vec<Bracket>,
}

struct Bracket {
    at: usize,
    list: bool,
}

/// What ends a text that goes over several lines.
type Quote = Option<&'static str>;

impl Brackets {
    /// In a list, and in no table in braces, where a key with its value may stand.
    fn in_list_only(&self) -> bool {
        !self.stack.is_empty() && self.stack.iter().all(|bracket| bracket.list)
    }

    fn read(&mut self, line: &str, start: usize, quote: Quote) -> Quote {
        let mut rest = line;
        let mut open = quote;
        while !rest.is_empty() {
            let at = start + line.len() - rest.len();
            if let Some(end) = open {
                match end_of(rest, end) {
                    Some(after) => (rest, open) = (&rest[after..], None),
                    None => return open,
                }
                continue;
            }
            if let Some(end) = [r#"""""#, "'''"].into_iter().find(|quote| rest.starts_with(quote)) {
                (rest, open) = (&rest[end.len()..], Some(end));
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            rest = &rest[c.len_utf8()..];
            match c {
                '#' => return None,
                // A text that is not closed ends with its line.
                '"' => rest = end_of(rest, "\"").map_or("", |after| &rest[after..]),
                '\'' => rest = end_of(rest, "'").map_or("", |after| &rest[after..]),
                '[' | '{' => self.stack.push(Bracket { at, list: c == '[' }),
                ']' | '}' => match self.stack.pop() {
                    Some(bracket) if bracket.list == (c == ']') => {}
                    // The parser knows better what that is.
                    Some(_) | None => self.stack.clear(),
                },
                _ => {}
            }
        }
        open
    }
}

/// Behind the end of a text.
fn end_of(text: &str, quote: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(quote)?;
        let slashes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if quote.starts_with('\'') || slashes % 2 == 0 {
            return Some(at + quote.len());
        }
        from = at + 1;
    }
}

fn is_name(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '"');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(part)
}

/// `[name]` or `[[name]]`. What stands in a list is in quotes, or a number.
fn is_header(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    let inside = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    let name = inside.map(|inside| inside.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(inside));
    name.is_some_and(|name| is_name(name.trim()) && !matches!(name.trim(), "true" | "false"))
}

/// A header, or a key with its value.
fn begins_anew(line: &str) -> bool {
    let key = line.split_once('=').is_some_and(|(key, _)| is_name(key.trim()) && !key.contains('"'));
    key || is_header(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(source: &str) -> Vec<(usize, &str)> {
        find(source).into_iter().map(|found| (found.at, &source[found.lines])).collect()
    }

    #[test]
    fn a_list_ends_where_something_else_begins() {
        assert_eq!(places("[a]\nb = [\"x\"\n[[c]]\nd = 1\n"), [(8, "b = [\"x\"\n")]);
        assert_eq!(places("b = [\n  \"x\",\n  # y = [\nd = [1]\n"), [(4, "b = [\n  \"x\",\n  # y = [\n")]);
        assert_eq!(places("b = [[\"x\"]\n\n[c]\nd = [\ne = 1\n"), [(4, "b = [[\"x\"]\n\n"), (20, "d = [\n")]);
    }

    #[test]
    fn what_is_closed_or_goes_on_is_left_alone() {
        for good in [
            "b = [\n  \"x = [\",\n  'y = \"[',\n]\n[c]\n",
            "b = [\n  [1, 2],\n  [\"a\"],\n  [true],\n]\nc = 1\n",
            "b = [\n  { x = [\n1] },\n]\n[[c]]\n",
            "b = [\n  {\n  x = 1 },\n]\n",
            "b = \"\"\"\n[ \\\"\"\"\nc = [\n\"\"\"\n[c]\n",
            "b = '''\n[\n'''\n[c]\n",
            "b = \"\\\"[\"\n[c.\"d e\"]\n",
            "b = [ # [\n]\n[c]\n",
            "b = [{ x = 1 ]\n[c]\n",
            // The parser finds it at the end.
            "b = [\"x\"\n",
        ] {
            assert_eq!(find(good), [], "{good}");
        }
    }
}
