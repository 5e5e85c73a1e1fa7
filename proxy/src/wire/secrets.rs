//! Parts of a request target that no log shows: who signs in with it, and values of parameters such as `token`.

/// What stands for a value that is not shown.
const HIDDEN: &[u8] = b"***";

/// Names of parameters whose values are not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask(Box<[Box<str>]>);

impl Mask {
    /// These names; case does not count.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase().into()).collect())
    }

    /// Gives the pieces of a target to `put`, in their order, without what is secret. Pieces begin and end at ASCII bytes.
    pub fn target(&self, target: &[u8], mut put: impl FnMut(&[u8])) {
        let (before, query) = split(target);
        without_user(before, &mut put);
        if let Some(query) = query {
            put(b"?");
            self.query(query, put);
        }
    }

    /// As [`Self::target`], of what comes after the `?`.
    pub fn query(&self, query: &[u8], mut put: impl FnMut(&[u8])) {
        let mut rest = query;
        loop {
            let end = rest.iter().position(|&byte| is_between(byte)).unwrap_or(rest.len());
            let (parameter, after) = rest.split_at(end);
            match parameter.iter().position(|&byte| byte == b'=') {
                Some(at) if at + 1 < end && self.hides(&parameter[..at]) => {
                    put(&parameter[..=at]);
                    put(HIDDEN);
                }
                Some(_) | None => put(parameter),
            }
            let Some((between, others)) = after.split_at_checked(1) else { return };
            put(between);
            rest = others;
        }
    }

    /// A target as [`Self::target`] gives it.
    pub fn masked(&self, target: &str) -> String {
        let mut bytes = Vec::with_capacity(target.len());
        self.target(target.as_bytes(), |piece| bytes.extend_from_slice(piece));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn hides(&self, written: &[u8]) -> bool {
        self.0.iter().any(|name| written.len() >= name.len() && is_name(written, name.as_bytes()))
    }
}

/// Path and query of a target, without scheme and host.
pub fn origin_form(target: &[u8]) -> &[u8] {
    let Some(begin) = after_scheme(target) else { return target };
    let rest = &target[begin..];
    match rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')) {
        Some(at) if rest[at] == b'/' => &rest[at..],
        // A query without a path.
        Some(at) => &rest[at..],
        None => b"/",
    }
}

/// What comes before the first `?`, and what after it.
pub fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// What stands between two parameters, or begins another list of them.
fn is_between(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'?' | b'#')
}

/// Where the host begins in a target with a scheme.
fn after_scheme(target: &[u8]) -> Option<usize> {
    let at = target.windows(3).position(|part| part == b"://")?;
    let scheme = target[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (at > 0 && scheme).then_some(at + 3)
}

/// `http://user:password@host/` as `http://***@host/`.
fn without_user(target: &[u8], put: &mut impl FnMut(&[u8])) {
    let begin = match after_scheme(target) {
        Some(begin) => begin,
        // A host and a port alone, as CONNECT has them.
        None if !target.starts_with(b"/") => 0,
        None => return put(target),
    };
    let rest = &target[begin..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'#')).unwrap_or(rest.len());
    match rest[..end].iter().rposition(|&byte| byte == b'@') {
        Some(at) => {
            put(&target[..begin]);
            put(HIDDEN);
            put(&rest[at..]);
        }
        None => put(target),
    }
}

/// Whether a name of a parameter, which may have escapes, is this one, in small letters.
fn is_name(written: &[u8], name: &[u8]) -> bool {
    let mut rest = written;
    for &expected in name {
        let Some((byte, after)) = next(rest) else { return false };
        if byte.to_ascii_lowercase() != expected {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The next byte, with its escape undone, and what comes after it.
fn next(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if let [b'%', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        return Some((high << 4 | low, rest));
    }
    text.split_first().map(|(byte, rest)| (*byte, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask() -> Mask {
        Mask::new(["token", "Sig", "password"])
    }

    #[test]
    fn secrets_are_hidden_and_all_else_is_as_it_was() {
        for (target, shown) in [
            ("/SMS_MP/.sms_aut?MPLIST", "/SMS_MP/.sms_aut?MPLIST"),
            ("/x?token=abc", "/x?token=***"),
            ("/x?a=1&TOKEN=abc&b=2", "/x?a=1&TOKEN=***&b=2"),
            ("/x?a=1;sig=a=b=c;d", "/x?a=1;sig=***;d"),
            ("/x?%74oken=abc&pass%57ord=x", "/x?%74oken=***&pass%57ord=***"),
            ("/x?token=&tokens=1&mytoken=2&token", "/x?token=&tokens=1&mytoken=2&token"),
            ("/x?a?token=1#sig=2", "/x?a?token=***#sig=***"),
            ("/token=abc", "/token=abc"),
            ("http://me:secret@mp1:80/x?sig=1", "http://***@mp1:80/x?sig=***"),
            ("https://a@b@mp1", "https://***@mp1"),
            ("http://mp1/a@b?c@d", "http://mp1/a@b?c@d"),
            ("me:secret@mp1:443", "***@mp1:443"),
            ("/a://b:c@d/x", "/a://b:c@d/x"),
            ("*", "*"),
            ("", ""),
            ("/x?", "/x?"),
            ("/x?%zz=1&%=2&token%3d=3", "/x?%zz=1&%=2&token%3d=3"),
        ] {
            assert_eq!(mask().masked(target), shown, "{target}");
        }
        assert_eq!(Mask::default().masked("http://me@mp1/?token=x"), "http://***@mp1/?token=x");
    }

    #[test]
    fn a_target_without_its_host() {
        for (target, path) in [
            ("/a?b", "/a?b"),
            ("http://mp1:80/a?b", "/a?b"),
            ("http://mp1", "/"),
            ("http://mp1?b", "?b"),
            ("*", "*"),
            ("/a?c=http://x/", "/a?c=http://x/"),
        ] {
            assert_eq!(origin_form(target.as_bytes()), path.as_bytes(), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_value_of_a_hidden_parameter_is_shown(before in "[/?&;=a-c#%@:]{0,12}", value in "[A-Z0-9]{4,8}", end in "[&;#?][a-c]{0,3}") {
            let target = format!("/{before}?token={value}{end}");
            let shown = mask().masked(&target);
            prop_assert!(!shown.contains(&format!("token={value}")), "{} {}", target, shown);
        }

        #[test]
        fn without_names_and_users_nothing_is_changed(target in "/[ -?A-~]{0,40}") {
            prop_assert_eq!(Mask::default().masked(&target), target);
        }
    }
}
