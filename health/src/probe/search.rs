//! Looking for a text in a body that arrives in pieces.

/// The most of a body that is read, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// The most of a body that is quoted, in characters.
const QUOTE_LIMIT: usize = 64;

/// A search for one text, as its own bytes or as UTF-16LE: ConfigMgr sends some answers as UTF-16.
pub(super) struct Search {
    needles: [Vec<u8>; 2],
    seen: Vec<u8>,
    found: bool,
}

impl Search {
    pub(super) fn new(text: &str) -> Self {
        let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Self { needles: [text.as_bytes().to_vec(), wide], seen: Vec::new(), found: text.is_empty() }
    }

    /// Takes the next piece, and says whether to go on: not when the text was found or enough was read.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let longest = self.needles.iter().map(Vec::len).max().unwrap_or(0);
        let overlap = self.seen.len().saturating_sub(longest.saturating_sub(1));
        let room = BODY_LIMIT - self.seen.len();
        self.seen.extend_from_slice(&piece[..piece.len().min(room)]);
        let fresh = &self.seen[overlap..];
        // `windows` panics on an empty needle; `found` is set for it from the start.
        self.found = self.found || self.needles.iter().any(|needle| fresh.windows(needle.len()).any(|w| w == needle));
        !self.found && self.seen.len() < BODY_LIMIT
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }

    /// How the body starts, if anything came.
    pub(super) fn quote(&self) -> Option<String> {
        quote(&self.seen)
    }
}

/// The start of a body for a person: printable ASCII, in one line. `None` when there is nothing to show.
pub(super) fn quote(body: &[u8]) -> Option<String> {
    // Zero bytes go, so that UTF-16 reads like text.
    let text: String = body.iter().filter(|byte| **byte != 0).take(QUOTE_LIMIT).map(|byte| show(*byte)).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn show(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        b'\t' | b'\r' | b'\n' => ' ',
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn finds(text: &str, body: &[u8], piece: usize) -> bool {
        let mut search = Search::new(text);
        for piece in body.chunks(piece) {
            if !search.push(piece) {
                break;
            }
        }
        search.found()
    }

    #[test]
    fn the_text_is_found_however_the_body_is_cut() {
        let ascii = b"<?xml version='1.0'?><MPList><MP Name='MP1'/></MPList>".to_vec();
        let wide = utf16("\u{feff}<MPList><MP Name='MP1'/></MPList>");
        for body in [&ascii, &wide] {
            for piece in 1..=body.len() {
                assert!(finds("<MPList>", body, piece), "pieces of {piece}");
                assert!(finds("</MPList>", body, piece), "at the very end, pieces of {piece}");
                assert!(!finds("<MPlist>", body, piece), "another spelling, pieces of {piece}");
            }
        }
        assert!(finds("é", &utf16("café"), 1));
        assert!(finds("", b"", 1), "an empty text is everywhere");
        assert!(!finds("a", b"", 1));
    }

    #[test]
    fn reading_ends_when_the_text_is_found_or_the_limit_reached() {
        let mut search = Search::new("needle");
        assert!(search.push(b"hay"));
        assert!(!search.push(b"needle"));

        let mut search = Search::new("needle");
        assert!(search.push(&[b'x'; BODY_LIMIT - 6]));
        assert!(!search.push(b"needle"), "the last six bytes that are read");
        assert!(search.found());

        let mut search = Search::new("needle");
        assert!(search.push(&[b'x'; BODY_LIMIT - 5]));
        assert!(!search.push(b"needle"), "one byte too far");
        assert!(!search.found());
        assert_eq!(search.seen.len(), BODY_LIMIT);
    }

    #[test]
    fn a_quote_is_one_short_printable_line() {
        for (body, quoted) in [
            (b"".to_vec(), None),
            (b"\r\n \0".to_vec(), None),
            (b"<html>\r\n<b>".to_vec(), Some("<html>  <b>".to_owned())),
            (utf16("<MPList>"), Some("<MPList>".to_owned())),
            (b"\x1b[31mred\xff".to_vec(), Some(".[31mred.".to_owned())),
            (vec![b'x'; 1000], Some("x".repeat(QUOTE_LIMIT))),
        ] {
            assert_eq!(quote(&body), quoted);
        }
    }
}
