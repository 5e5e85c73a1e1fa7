//! How much `/metrics` says of each endpoint.

use crate::control::config::fields::word;
use crate::control::config::{Config, Problems};
use crate::metrics::Detail;

pub(super) fn compile(config: &Config, problems: &mut Problems) -> Detail {
    let mut detail = Detail::Few;
    word(&mut detail, Some(&config.proxy.endpoint_metrics), "endpoint_metrics", &Detail::WORDS, problems);
    detail
}
