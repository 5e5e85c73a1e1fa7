//! What the access log is told of one exchange. Written by another thread, see [`crate::access_log`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, StatusCode, Uri};

use crate::error::Error;
use crate::model::route::ClusterId;
use crate::model::snapshot::Snapshot;
use crate::model::tier::TierKind;

/// One finished exchange. Everything here is moved or counted, nothing is formatted on the data thread.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Record {
    pub at: SystemTime,
    pub listener: u16,
    pub snapshot: Arc<Snapshot>,
    pub peer: SocketAddr,
    pub tls: Option<&'static str>,
    pub http2: bool,
    pub client: IpAddr,
    pub method: Method,
    pub target: Uri,
    pub host: Option<Bytes>,
    pub role: Option<ClusterId>,
    pub groups: u16,
    pub tier: Option<TierKind>,
    pub endpoint: Option<SocketAddr>,
    pub site_system: Option<Arc<str>>,
    pub attempts: u32,
    pub status: StatusCode,
    pub error: Option<Error>,
    pub received: u64,
    pub sent: u64,
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

/// Where records go; bounded, and a full one drops the record.
pub type Sink = crossbeam_channel::Sender<Record>;
