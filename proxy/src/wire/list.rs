//! Lists in fields.

/// The elements of a list (RFC 9110, section 5.6.1), empty ones left out. A comma between quotes separates nothing.
pub fn list_elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_unquoted(line, b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The parts between separators that are not in quotes.
pub fn split_unquoted(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = move |&byte: &u8| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'"' if !literal => quoted = !quoted,
            b'\\' if quoted && !literal => escaped = true,
            _ => {}
        }
        byte == separator && !quoted
    };
    line.split(separates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        let elements =
            |line: &'static str| list_elements(line.as_bytes()).map(String::from_utf8_lossy).collect::<Vec<_>>();
        assert_eq!(elements(" a, ,b ,"), ["a", "b"]);
        assert_eq!(elements("for=\"a,b\";by=c, d"), ["for=\"a,b\";by=c", "d"]);
        assert_eq!(elements("\"a\\\",b\",c"), ["\"a\\\",b\"", "c"]);
        assert_eq!(elements("a\\,b"), ["a\\", "b"], "outside of quotes it escapes nothing");
    }
}
