//! What is written about requests.

use serde::Deserialize;
use toml::Spanned;

/// Parameters that carry what signs in, or a signature that stands for it.
const MASKED: [&str; 16] = [
    "access_token",
    "api_key",
    "apikey",
    "client_secret",
    "id_token",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "sas",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
];

/// `[access_log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// A file that lines are appended to, or `-` for standard output.
    pub path: Spanned<String>,
    /// Lines that may wait for the writer; when full, lines are dropped and counted.
    pub buffer: Spanned<u32>,
    /// `json`, `combined` or `w3c`.
    pub format: Spanned<String>,
    /// What a line has, in this order; absent = what the format usually has.
    pub fields: Option<Spanned<Vec<Spanned<String>>>>,
    /// Names of parameters whose values are not shown.
    pub mask: Vec<Spanned<String>>,
    /// The part of all requests that is logged, 0 to 1.
    pub sample: Spanned<f64>,
    /// Errors are logged in any case: a status from 500, and whatever rolegate answered or cut itself.
    pub sample_errors: bool,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            path: Spanned::new(0..0, "-".to_owned()),
            buffer: Spanned::new(0..0, 65_536),
            format: Spanned::new(0..0, "json".to_owned()),
            fields: None,
            mask: MASKED.map(|name| Spanned::new(0..0, name.to_owned())).into(),
            sample: Spanned::new(0..0, 1.0),
            sample_errors: true,
        }
    }
}
