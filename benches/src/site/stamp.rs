//! When the files of a site system were written: every site system has time stamps of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::spec::Spec;
use crate::content::ContentFile;
use crate::mix::{mix, mix_text};

const NEWEST: Duration = Duration::from_secs(1_700_000_000);
const MONTH: u64 = 30 * 24 * 3600;
const HOUR: u64 = 3600;

/// When the files were last written.
#[derive(Debug)]
pub(crate) struct Stamped {
    redistributed: u32,
    /// The time.
    pub(crate) modified: SystemTime,
    /// The same, as `Last-Modified` has it.
    pub(crate) header: HeaderValue,
}

impl Stamped {
    fn new(oldest: SystemTime, redistributed: u32) -> Self {
        let modified = oldest + Duration::from_secs(HOUR * u64::from(redistributed));
        let header = HeaderValue::from_str(&httpdate::fmt_http_date(modified)).expect("a date is plain ASCII");
        Self { redistributed, modified, header }
    }
}

/// The time stamps and ETags of one site system.
#[derive(Debug)]
pub(crate) struct Stamp {
    first: SystemTime,
    salt: u64,
    // Formatting a date costs more than the rest of a small answer.
    now: ArcSwap<Stamped>,
}

impl Stamp {
    pub(crate) fn new(spec: &Spec) -> Self {
        let salt = mix_text(7, &spec.name);
        let offset = spec.validator_offset.unwrap_or(Duration::from_secs(salt % MONTH));
        let first = SystemTime::UNIX_EPOCH + NEWEST.saturating_sub(Duration::from_secs(offset.as_secs()));
        let salt = mix(offset.as_secs());
        Self { first, salt, now: ArcSwap::from_pointee(Stamped::new(first, 0)) }
    }

    /// The time stamp of all files when content was written so often again.
    pub(crate) fn now(&self, redistributed: u32) -> Arc<Stamped> {
        let now = self.now.load_full();
        if now.redistributed == redistributed {
            return now;
        }
        let now = Arc::new(Stamped::new(self.first, redistributed));
        self.now.store(Arc::clone(&now));
        now
    }

    /// The ETag of a file when content was written so often again.
    pub(crate) fn etag(&self, file: &ContentFile, redistributed: u32) -> HeaderValue {
        let tag = mix_text(self.salt ^ u64::from(redistributed) ^ file.size(), file.name());
        HeaderValue::from_str(&format!("\"{tag:016x}:0\"")).expect("digits and quotes are plain ASCII")
    }
}
