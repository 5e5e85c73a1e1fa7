//! Bytes of strangers in lines: none of them ends a line, forges another, or moves the cursor of who looks at it.

use crate::text::is_hidden;

const HEX: [u8; 16] = *b"0123456789ABCDEF";

/// Inside the quotes of a JSON string. What is no UTF-8 becomes U+FFFD, control characters of all kinds are written as numbers.
pub(super) fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            json_char(out, char);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn json_char(out: &mut Vec<u8>, char: char) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        char if is_hidden(char) => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let digit = |shift: u16| HEX[usize::from(*unit >> shift & 0xf)].to_ascii_lowercase();
                out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
        char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Inside the quotes of `combined`, as Apache does it: `\"`, `\\`, and `\xhh` for what is not printable ASCII.
pub(super) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            byte => {
                let [high, low] = hex(byte).map(|digit| digit.to_ascii_lowercase());
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
}

/// A value of W3C, as IIS does it: `+` for a space. What is not printable ASCII, and `#`, which may begin a directive, are `%hh`.
pub(super) fn w3c(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b' ' => out.push(b'+'),
            b'!'..=b'~' if byte != b'#' => out.push(byte),
            byte => {
                let [high, low] = hex(byte);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(escape: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_has_its_own_way() {
        let hostile = b"a \"b\" \\ \r\n#\x1b[2J\xff\xc2\x9b\xe2\x80\xae";
        assert_eq!(with(json, hostile), "a \\\"b\\\" \\\\ \\r\\n#\\u001b[2J\u{fffd}\\u009b\\u202e");
        assert_eq!(with(quoted, hostile), r#"a \"b\" \\ \x0d\x0a#\x1b[2J\xff\xc2\x9b\xe2\x80\xae"#);
        assert_eq!(with(w3c, hostile), r#"a+"b"+\+%0D%0A%23%1B[2J%FF%C2%9B%E2%80%AE"#);
        assert_eq!(with(json, "M\u{fc}nchen".as_bytes()), "M\u{fc}nchen");
    }

    proptest! {
        #[test]
        fn nothing_that_is_escaped_breaks_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = with(json, &bytes);
            prop_assert!(!text.chars().any(is_hidden), "{text:?}");
            let read: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
            let text = with(quoted, &bytes);
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
            let bare = text.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!bare.contains('"'), "{text:?}");
            let text = with(w3c, &bytes);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{text:?}");
        }
    }
}
