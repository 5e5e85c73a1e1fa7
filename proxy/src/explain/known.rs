//! What is known of a content at a server.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ticks of a second.
pub(super) const TICKS: f64 = 10.0;

/// What is known of the content at one server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct KnownContent {
    /// `has`, `lacks`, `lacks-file` or `unknown`.
    pub verdict: String,
    /// Seconds since the server said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ago: Option<f64>,
    /// Seconds until a server that lacks it is asked again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_again_in: Option<f64>,
}
