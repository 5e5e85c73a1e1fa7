//! The style and the script of the page, and what the browser may do with them.

use http::header::{self, HeaderName, HeaderValue};

/// A file that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where it is.
    pub path: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// What it says.
    pub text: &'static str,
}

/// All of them.
pub const ASSETS: [Asset; 3] = [
    Asset { path: "/page/page.css", kind: "text/css; charset=utf-8", text: include_str!("../../assets/page.css") },
    Asset { path: "/page/page.js", kind: "text/javascript; charset=utf-8", text: include_str!("../../assets/page.js") },
    Asset { path: "/page/icon.svg", kind: "image/svg+xml", text: include_str!("../../assets/icon.svg") },
];

/// The file at a path.
pub fn asset(path: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.path == path)
}

/// What every answer of the page says to the browser: nothing from elsewhere, nothing that is written into a page, no frames.
pub fn headers() -> Vec<(HeaderName, HeaderValue)> {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    vec![
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ]
}
