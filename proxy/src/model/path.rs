//! What a path means to a Windows server, which is not always what it says.

/// Whether a segment has nothing but dots, or dots and blanks, in any spelling that a Windows server reads as such: it would
/// take `/a/../b` for `/b`, and paths are forwarded as they come. So the role, the content and the rules of the listener would
/// have been chosen for another path than the one that is served.
///
/// `.` and `..`, with `\` for `/`, with `%2e`, `%2f`, `%5c` and `%20`, and with `%u002e` and the like, which HTTP.sys takes too.
/// What is encoded twice is not decoded twice.
pub fn has_dot_segment(path: &str) -> bool {
    let path = path.as_bytes();
    // Dots of a segment that has nothing else so far.
    let mut dots = Some(0);
    let mut at = 0;
    while at < path.len() {
        let Decoded { byte, length } = decoded(&path[at..]);
        at += length;
        dots = match byte {
            b'/' | b'\\' if dots.is_some_and(|count| count > 0) => return true,
            b'/' | b'\\' => Some(0),
            b'.' => dots.map(|count| count + 1),
            b' ' => dots,
            _ => None,
        };
    }
    dots.is_some_and(|count| count > 0)
}

/// One character of a path.
struct Decoded {
    /// 0 is any that is not ASCII.
    byte: u8,
    /// How many bytes of the path it is.
    length: usize,
}

/// The next character of a path: `a`, `%61`, or `%u0061`.
fn decoded(path: &[u8]) -> Decoded {
    let number = |digits: Option<&[u8]>| {
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (code, length) = match path {
        [b'%', b'u' | b'U', ..] => (number(path.get(2..6)), 6),
        [b'%', ..] => (number(path.get(1..3)), 3),
        _ => (None, 1),
    };
    match code {
        Some(code) => Decoded { byte: u8::try_from(code).unwrap_or(0), length },
        None => Decoded { byte: path[0], length: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_dots_are_seen_in_every_spelling() {
        for out in [
            "/a/../b",
            "/a/..",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..%2fb",
            "/a/..\\b",
            "/a/..%5Cb",
            "/a\\..\\b",
            "/a/%u002e%U002E/b",
            "/a/..%u005cb",
            "/a/.../b",
            "/../a",
            "/a/./b",
            "/a/%2e",
            "/./a",
            "/a/..%20/b",
            "/a/.%20./b",
        ] {
            assert!(has_dot_segment(out), "{out}");
        }
        for inside in [
            "/a/b..c/d",
            "/a/..b",
            "/a/b..",
            "/a/.b/c.",
            "/a//b",
            "/a/%20/b",
            "/",
            "*",
            "",
            "/a/%252e%252e/b",
            "/a/%",
            "/a/%2",
            "/a/%u00",
            "/a/%zz..",
            "/a/%u012e.",
            "/Content_1.2/x.msi",
            "/SMS_MP/.sms_aut",
        ] {
            assert!(!has_dot_segment(inside), "{inside}");
        }
    }
}
