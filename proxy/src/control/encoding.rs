//! Text as editors write it: with a mark at its beginning that says how, or, on Windows, in units of two bytes.

use thiserror::Error;

/// What Windows' editors put before UTF-8.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text is UTF-16 as it begins, and is broken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it is broken UTF-16: save it as UTF-8")]
pub struct BrokenUtf16;

/// In which order the two bytes of a unit come.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// The bytes of a text in UTF-8 and without a mark. What is not UTF-16 is left as it is.
///
/// # Errors
/// It is UTF-16, but not all of it.
pub fn utf8(bytes: Vec<u8>) -> Result<Vec<u8>, BrokenUtf16> {
    if let Some(rest) = bytes.strip_prefix(UTF8_MARK) {
        return Ok(rest.to_vec());
    }
    // Without a mark it is told by the first character, which is never outside of ASCII in what is read here.
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => decode(rest, Order::Little),
        [0xfe, 0xff, rest @ ..] => decode(rest, Order::Big),
        [first, 0, ..] if *first != 0 => decode(&bytes, Order::Little),
        [0, second, ..] if *second != 0 => decode(&bytes, Order::Big),
        _ => Ok(bytes),
    }
}

fn decode(bytes: &[u8], order: Order) -> Result<Vec<u8>, BrokenUtf16> {
    let units = bytes.chunks(2).map(|pair| match (pair, order) {
        ([one, two], Order::Little) => Ok(u16::from_le_bytes([*one, *two])),
        ([one, two], Order::Big) => Ok(u16::from_be_bytes([*one, *two])),
        // Half of a unit.
        _ => Err(BrokenUtf16),
    });
    let units = units.collect::<Result<Vec<u16>, BrokenUtf16>>()?;
    String::from_utf16(&units).map(String::into_bytes).map_err(|_| BrokenUtf16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: Order) -> Vec<u8> {
        let bytes = |unit: u16| match order {
            Order::Little => unit.to_le_bytes(),
            Order::Big => unit.to_be_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn what_windows_writes_is_read() {
        let text = "-----BEGIN \u{fc}\u{1f600}\r\n";
        let marked = format!("\u{feff}{text}");
        for written in [
            text.as_bytes().to_vec(),
            marked.clone().into_bytes(),
            utf16(text, Order::Little),
            utf16(text, Order::Big),
            utf16(&marked, Order::Little),
            utf16(&marked, Order::Big),
        ] {
            assert_eq!(utf8(written.clone()).as_deref(), Ok(text.as_bytes()), "{written:?}");
        }
        for left in [&b""[..], b"a", b"\0\0a", b"\x30\x82\0\x01", b"\xff\xff"] {
            assert_eq!(utf8(left.to_vec()).as_deref(), Ok(left));
        }
        for broken in [&b"\xff\xfea"[..], b"a\0b", b"\xff\xfe\0\xd8a\0"] {
            assert_eq!(utf8(broken.to_vec()), Err(BrokenUtf16), "{broken:?}");
        }
    }
}
