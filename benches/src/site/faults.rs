//! What can be wrong with a site system. Everything is set while it runs; readers take no lock.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytesize::ByteSize;
use tokio::sync::watch;

use super::gate::Gate;

const OFF: u64 = u64::MAX;

/// The faults of one site system.
///
/// A fault that concerns requests holds for every request that arrives while it is set, or for the next few when
/// [`Faults::set_times`] says so.
#[derive(Debug)]
pub struct Faults {
    latency_us: AtomicU64,
    jitter_us: AtomicU64,
    status: AtomicU16,
    reset_after: AtomicU64,
    close_after: AtomicU64,
    stall_body_after: AtomicU64,
    stall_head: AtomicBool,
    database_down: AtomicBool,
    close_each: AtomicBool,
    early_response: AtomicBool,
    garbage: AtomicBool,
    accept_then_close: AtomicBool,
    request_filtering: AtomicBool,
    webdav: AtomicBool,
    redistributed: AtomicU32,
    times: AtomicU64,
    missing: ArcSwap<HashSet<String>>,
    changed: watch::Sender<()>,
    gates: Vec<Arc<Gate>>,
}

/// What goes wrong with one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    Reset,
    Close,
    Stall,
}

/// The faults that one request meets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drawn {
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<(u64, BodyFault)>,
    pub(crate) stall_head: bool,
    pub(crate) early_response: bool,
    pub(crate) garbage: bool,
}

impl Drawn {
    const fn any(&self) -> bool {
        self.status.is_some() || self.body.is_some() || self.stall_head || self.early_response || self.garbage
    }
}

impl Faults {
    /// Every fault that [`Faults::set`] knows: its name, the form of its value, and what it does.
    pub const NAMES: &[(&str, &str, &str)] = &[
        ("latency", "DURATION", "every answer waits this long first"),
        ("jitter", "DURATION", "every answer waits up to this much longer, at random"),
        ("status", "CODE", "every request is answered with this status"),
        ("refuse", "on|off", "the listener is closed: connecting is refused, open connections go on"),
        ("reset-after", "SIZE", "the connection is reset when this much of a body was sent"),
        ("close-after", "SIZE", "the connection is closed in good order when this much of a body was sent"),
        ("stall-head", "on|off", "requests are read and not answered until this is off again"),
        ("stall-body-after", "SIZE", "a body stops after this much until this is off again"),
        ("missing", "ID[+ID...]", "these content ids are not on this distribution point"),
        ("request-filtering", "on|off", "files in a folder called bin, and .mdb files, are answered 404 though listed"),
        ("webdav", "on|off", "the WebDAV role has taken PROPFIND: a listing is answered 405"),
        ("database-down", "on|off", "what needs the site database answers 500: MPLIST, policy, messages; not MPCERT"),
        ("close-each", "on|off", "every answer closes its connection"),
        ("early-response", "on|off", "a request with a body is answered 413 before the body is read"),
        ("garbage", "on|off", "requests are answered with bytes that are no HTTP"),
        ("accept-then-close", "on|off", "connections are accepted and closed at once"),
        ("redistributed", "COUNT", "content was written again so often: its time stamps and ETags differ"),
        ("times", "COUNT", "the faults of requests hold for so many requests"),
    ];

    pub(crate) fn new(gates: Vec<Arc<Gate>>) -> Self {
        Self {
            latency_us: AtomicU64::new(0),
            jitter_us: AtomicU64::new(0),
            status: AtomicU16::new(0),
            reset_after: AtomicU64::new(OFF),
            close_after: AtomicU64::new(OFF),
            stall_body_after: AtomicU64::new(OFF),
            stall_head: AtomicBool::new(false),
            database_down: AtomicBool::new(false),
            close_each: AtomicBool::new(false),
            early_response: AtomicBool::new(false),
            garbage: AtomicBool::new(false),
            accept_then_close: AtomicBool::new(false),
            request_filtering: AtomicBool::new(false),
            webdav: AtomicBool::new(false),
            redistributed: AtomicU32::new(0),
            times: AtomicU64::new(OFF),
            missing: ArcSwap::default(),
            changed: watch::Sender::new(()),
            gates,
        }
    }

    /// Every answer waits `fixed`, and up to `jitter` longer.
    pub fn set_latency(&self, fixed: Duration, jitter: Duration) {
        self.latency_us.store(micros(fixed), Relaxed);
        self.jitter_us.store(micros(jitter), Relaxed);
    }

    /// Every request is answered with this status (100 to 999), after its body was read.
    pub fn set_status(&self, status: Option<u16>) {
        self.status.store(status.unwrap_or(0), Relaxed);
    }

    /// The listener is closed: connecting is refused when this returns. Open connections go on.
    ///
    /// # Errors
    /// The address could not be listened on again.
    pub fn set_refuse_connections(&self, refuse: bool) -> io::Result<()> {
        self.gates.iter().try_for_each(|gate| gate.refuse(refuse))
    }

    /// The connection is reset when `bytes` of a body were written.
    pub fn set_reset_after(&self, bytes: Option<u64>) {
        self.reset_after.store(bytes.unwrap_or(OFF), Relaxed);
    }

    /// The connection is closed in good order when `bytes` of a body were written.
    pub fn set_close_after(&self, bytes: Option<u64>) {
        self.close_after.store(bytes.unwrap_or(OFF), Relaxed);
    }

    /// Requests are read and not answered until this is off again.
    pub fn set_stall_head(&self, stall: bool) {
        self.stall_head.store(stall, Relaxed);
        self.changed.send_replace(());
    }

    /// A body stops after `bytes` until this is off again.
    pub fn set_stall_body_after(&self, bytes: Option<u64>) {
        self.stall_body_after.store(bytes.unwrap_or(OFF), Relaxed);
        self.changed.send_replace(());
    }

    /// These content ids, and no others, are missing on this distribution point.
    pub fn set_missing_content<T: AsRef<str>>(&self, ids: impl IntoIterator<Item = T>) {
        let ids = ids.into_iter().map(|id| id.as_ref().to_ascii_lowercase()).collect();
        self.missing.store(Arc::new(ids));
    }

    /// What needs the site database answers 500: MPLIST, policy and messages, but not MPCERT.
    pub fn set_database_down(&self, down: bool) {
        self.database_down.store(down, Relaxed);
    }

    /// Every answer closes its connection.
    pub fn set_close_each(&self, close: bool) {
        self.close_each.store(close, Relaxed);
    }

    /// A request with a body is answered 413 before the body is read, and the connection closed.
    pub fn set_early_response(&self, early: bool) {
        self.early_response.store(early, Relaxed);
    }

    /// Requests are answered with bytes that are no HTTP.
    pub fn set_garbage(&self, garbage: bool) {
        self.garbage.store(garbage, Relaxed);
    }

    /// Connections are accepted and closed at once.
    pub fn set_accept_then_close(&self, close: bool) {
        self.accept_then_close.store(close, Relaxed);
    }

    /// Files in a folder called `bin`, and `.mdb` files, are answered 404 though they are there and listed, as IIS does
    /// unless told otherwise.
    pub fn set_request_filtering(&self, filtering: bool) {
        self.request_filtering.store(filtering, Relaxed);
    }

    /// The WebDAV role was installed and has taken PROPFIND: a listing is answered 405.
    pub fn set_webdav(&self, webdav: bool) {
        self.webdav.store(webdav, Relaxed);
    }

    /// Content was written `times` times again: the same bytes, with other time stamps and ETags.
    pub fn set_redistributed(&self, times: u32) {
        self.redistributed.store(times, Relaxed);
    }

    /// The faults of requests hold for the next `times` requests only. What a site system lacks or will not serve is a
    /// state and not counted, and so is latency.
    pub fn set_times(&self, times: Option<u64>) {
        self.times.store(times.unwrap_or(OFF), Relaxed);
    }

    /// Well again.
    ///
    /// # Errors
    /// The address could not be listened on again.
    pub fn clear(&self) -> io::Result<()> {
        self.set_latency(Duration::ZERO, Duration::ZERO);
        self.set_status(None);
        self.set_reset_after(None);
        self.set_close_after(None);
        self.set_stall_head(false);
        self.set_stall_body_after(None);
        self.set_missing_content::<&str>([]);
        self.set_database_down(false);
        self.set_close_each(false);
        self.set_early_response(false);
        self.set_garbage(false);
        self.set_accept_then_close(false);
        self.set_request_filtering(false);
        self.set_webdav(false);
        self.set_redistributed(0);
        self.set_times(None);
        self.set_refuse_connections(false)
    }

    /// Sets the fault of that name; [`Faults::NAMES`] has them all. `off` turns any of them off.
    ///
    /// # Errors
    /// Says what is wrong with the name or the value, in one sentence.
    pub fn set(&self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "latency" => self.latency_us.store(duration(name, value)?, Relaxed),
            "jitter" => self.jitter_us.store(duration(name, value)?, Relaxed),
            "status" => self.set_status(status(value)?),
            "refuse" => self.set_refuse_connections(switch(name, value)?).map_err(|error| error.to_string())?,
            "reset-after" => self.set_reset_after(size(name, value)?),
            "close-after" => self.set_close_after(size(name, value)?),
            "stall-head" => self.set_stall_head(switch(name, value)?),
            "stall-body-after" => self.set_stall_body_after(size(name, value)?),
            "missing" if value == "off" => self.set_missing_content::<&str>([]),
            "missing" => self.set_missing_content(value.split('+')),
            "database-down" => self.set_database_down(switch(name, value)?),
            "close-each" => self.set_close_each(switch(name, value)?),
            "early-response" => self.set_early_response(switch(name, value)?),
            "garbage" => self.set_garbage(switch(name, value)?),
            "accept-then-close" => self.set_accept_then_close(switch(name, value)?),
            "request-filtering" => self.set_request_filtering(switch(name, value)?),
            "webdav" => self.set_webdav(switch(name, value)?),
            "redistributed" => self.set_redistributed(count(name, value)?.unwrap_or(0)),
            "times" => self.set_times(count(name, value)?.map(u64::from)),
            _ => {
                let names: Vec<_> = Self::NAMES.iter().map(|(name, ..)| *name).collect();
                return Err(format!("there is no fault '{name}'; there are {}", names.join(", ")));
            }
        }
        Ok(())
    }

    /// Whether [`Faults::set`] would take this, without a site system.
    ///
    /// # Errors
    /// Says what is wrong with the name or the value, in one sentence.
    pub fn rehearse(name: &str, value: &str) -> Result<(), String> {
        Self::new(Vec::new()).set(name, value)
    }

    pub(crate) fn draw(&self) -> Drawn {
        let status = self.status.load(Relaxed);
        let at = |setting: &AtomicU64, fault| Some((setting.load(Relaxed), fault)).filter(|(at, _)| *at != OFF);
        let body = [
            at(&self.reset_after, BodyFault::Reset),
            at(&self.close_after, BodyFault::Close),
            at(&self.stall_body_after, BodyFault::Stall),
        ];
        let drawn = Drawn {
            status: (status != 0).then_some(status),
            body: body.into_iter().flatten().min_by_key(|(at, _)| *at),
            stall_head: self.stall_head.load(Relaxed),
            early_response: self.early_response.load(Relaxed),
            garbage: self.garbage.load(Relaxed),
        };
        if !drawn.any() || self.spend() { drawn } else { Drawn::default() }
    }

    fn spend(&self) -> bool {
        let spend = |left| {
            if left == OFF { Some(OFF) } else { u64::checked_sub(left, 1) }
        };
        self.times.fetch_update(Relaxed, Relaxed, spend).is_ok()
    }

    /// How long this answer waits.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let (fixed, jitter) = (self.latency_us.load(Relaxed), self.jitter_us.load(Relaxed));
        let extra = if jitter == 0 { 0 } else { fastrand::u64(0..=jitter) };
        Some(Duration::from_micros(fixed.saturating_add(extra))).filter(|delay| !delay.is_zero())
    }

    pub(crate) async fn while_head_stalls(&self) {
        let mut changed = self.changed.subscribe();
        while self.stall_head.load(Relaxed) {
            // The sender is `self`, so that the only answer is a change.
            let _ = changed.changed().await;
        }
    }

    pub(crate) async fn while_body_stalls(&self) {
        let mut changed = self.changed.subscribe();
        while self.stall_body_after.load(Relaxed) != OFF {
            let _ = changed.changed().await;
        }
    }

    pub(crate) fn misses(&self, content_id: &str) -> bool {
        let missing = self.missing.load();
        !missing.is_empty() && missing.contains(&content_id.to_ascii_lowercase())
    }

    pub(crate) fn database_is_down(&self) -> bool {
        self.database_down.load(Relaxed)
    }

    pub(crate) fn closes_each(&self) -> bool {
        self.close_each.load(Relaxed)
    }

    pub(crate) fn closes_on_accept(&self) -> bool {
        self.accept_then_close.load(Relaxed)
    }

    pub(crate) fn filters_requests(&self) -> bool {
        self.request_filtering.load(Relaxed)
    }

    pub(crate) fn has_webdav(&self) -> bool {
        self.webdav.load(Relaxed)
    }

    pub(crate) fn times_redistributed(&self) -> u32 {
        self.redistributed.load(Relaxed)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("{name} is on or off, not '{value}'")),
    }
}

fn duration(name: &str, value: &str) -> Result<u64, String> {
    if value == "off" {
        return Ok(0);
    }
    humantime::parse_duration(value)
        .map(micros)
        .map_err(|_| format!("{name} needs a duration such as 20ms, not '{value}'"))
}

fn size(name: &str, value: &str) -> Result<Option<u64>, String> {
    if value == "off" {
        return Ok(None);
    }
    let size = value.parse::<ByteSize>().map_err(|_| format!("{name} needs a size such as 64KiB, not '{value}'"))?;
    Ok(Some(size.as_u64()))
}

fn count(name: &str, value: &str) -> Result<Option<u32>, String> {
    if value == "off" {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| format!("{name} needs a number, not '{value}'"))
}

fn status(value: &str) -> Result<Option<u16>, String> {
    if value == "off" {
        return Ok(None);
    }
    let status = value.parse().ok().filter(|status| (200..=599).contains(status));
    status.map(Some).ok_or_else(|| format!("status needs a code from 200 to 599, not '{value}'"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_named_fault_can_be_set_and_turned_off() {
        let faults = Faults::new(Vec::new());
        let good = |form: &str| match form {
            "DURATION" => "20ms",
            "CODE" => "503",
            "SIZE" => "64KiB",
            "COUNT" => "3",
            "on|off" => "on",
            _ => "PKG00001+PKG00002",
        };
        for (name, form, _) in Faults::NAMES {
            faults.set(name, good(form)).unwrap();
        }
        let drawn = faults.draw();
        assert_eq!(drawn.status, Some(503));
        assert_eq!(drawn.body, Some((64 * 1024, BodyFault::Reset)));
        assert!(faults.misses("pkg00002") && faults.database_is_down() && faults.delay().is_some());
        for (name, ..) in Faults::NAMES {
            faults.set(name, "off").unwrap();
        }
        assert!(!faults.draw().any() && !faults.misses("PKG00002") && faults.delay().is_none());
    }

    #[test]
    fn what_is_wrong_with_a_fault_is_said() {
        let faults = Faults::new(Vec::new());
        assert!(faults.set("latencie", "1s").unwrap_err().contains("latency, jitter"));
        for (name, form, _) in Faults::NAMES.iter().filter(|(_, form, _)| *form != "ID[+ID...]") {
            assert!(faults.set(name, "wrong").unwrap_err().contains("'wrong'"), "{name} {form}");
        }
        assert!(faults.set("status", "999").is_err());
    }

    #[test]
    fn faults_hold_for_so_many_requests() {
        let faults = Faults::new(Vec::new());
        faults.set_status(Some(500));
        faults.set_times(Some(2));
        let met: Vec<_> = (0..4).map(|_| faults.draw().status.is_some()).collect();
        assert_eq!(met, [true, true, false, false]);
    }
}
