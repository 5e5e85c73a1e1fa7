//! How many files the process may have open.

use rlimit::Resource;

use crate::app::App;
use crate::data::splice::PIPES;

/// Besides client connections and what they lead to: the log, listeners, names, probes, idle connections.
const OTHERS: u64 = 1024;

/// Raises the limit as far as a process may by itself. Most systems begin with 1024, for programs that cannot take more.
pub(super) fn raise() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Warns when the limit is lower than what the configuration allows clients to need.
pub(super) fn check(app: &App) {
    let connections = app.snapshot().site.limits.max_connections as u64;
    let Ok((allowed, _)) = Resource::NOFILE.get() else { return };
    if let Some(text) = too_low(allowed, connections, app.threads() as u64) {
        tracing::warn!("{text}");
    }
}

fn too_low(allowed: u64, connections: u64, threads: u64) -> Option<String> {
    // A tunnel is two: one to the client and one to the site system. So is a pipe for large responses.
    let each = connections.saturating_add(PIPES as u64).saturating_mul(2);
    let needed = each.saturating_mul(threads).saturating_add(OTHERS);
    (allowed < needed).then(|| {
        format!(
            "this process may have {allowed} files open, and {connections} connections in each of {threads} data threads could \
             need {needed}: set LimitNOFILE={needed} in the unit of systemd (ulimit -Hn elsewhere), or lower [proxy] \
             max_connections"
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_for_every_connection_and_some_more() {
        let each = 2 * (1000 + PIPES as u64);
        assert_eq!(too_low(4 * each + OTHERS, 1000, 4), None);
        let text = too_low(4 * each + OTHERS - 1, 1000, 4).unwrap();
        assert!(text.contains("LimitNOFILE=10048") && text.contains("may have 10047"), "{text}");
        assert!(too_low(u64::MAX - 1, u64::MAX, 2).is_some());
    }
}
