//! Which content a request is about.

/// The content id in the path of a request to a distribution point: the segment after the virtual directory, up to its
/// first `.`, so that a package (`ABC00012`), an application's content (`Content_<GUID>.1`), and the signature
/// (`ABC00012.1.tar`) of the same content have the same id. `None` when the path names no content.
pub fn content_id(path: &str, prefix_length: usize) -> Option<&str> {
    let rest = path.get(prefix_length..)?.strip_prefix('/')?;
    let segment = rest.split('/').next()?;
    let id = segment.split('.').next()?;
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let prefix = "/SMS_DP_SMSPKG$".len();
        for (path, expected) in [
            ("/SMS_DP_SMSPKG$/ABC00012", Some("ABC00012")),
            ("/SMS_DP_SMSPKG$/ABC00012/sub/file.msi", Some("ABC00012")),
            ("/SMS_DP_SMSPKG$/Content_1b2c.1/sccm", Some("Content_1b2c")),
            ("/SMS_DP_SMSSIG$/ABC00012.1.tar", Some("ABC00012")),
            ("/SMS_DP_SMSPKG$/", None),
            ("/SMS_DP_SMSPKG$", None),
            ("/SMS_DP_SMSPKG$//x", None),
            ("", None),
        ] {
            assert_eq!(content_id(path, prefix), expected, "{path}");
        }
    }
}
