//! Which numbers are possible, for messages about values that are no such number at all. A test holds them to the reference.

/// The least and the greatest value of a key; the same key means the same everywhere.
const RANGES: [(&str, u64, u64); 21] = [
    ("attempts", 0, 7),
    ("budget_min_per_second", 0, 1_000_000),
    ("budget_percent", 0, 100),
    ("failure_percent", 0, 100),
    ("fall", 1, 1000),
    ("jitter_percent", 0, 100),
    ("max_clocks", 1, 16_777_216),
    ("max_concurrent_streams", 1, 1000),
    ("max_entries", 1, 67_108_864),
    ("max_connections", 1, ANY),
    ("max_requests", 1, ANY),
    ("min_requests", 1, ANY),
    ("port", 1, 65_535),
    ("rise", 1, 1000),
    ("speedup", 1, 100_000),
    ("threads", 1, 1024),
    ("tls_port", 1, 65_535),
    ("tunnel_moves_per_second", 1, ANY),
    ("weight", 1, 1000),
    ("consecutive_failures", 0, ANY),
    ("max_idle_per_endpoint", 0, ANY),
];

/// More than anybody writes.
const ANY: u64 = u32::MAX as u64;

/// In words; `None` for a key that is not known here.
pub(super) fn of(key: &str) -> Option<String> {
    if key == "hash_balance_factor" {
        return Some("from 100 to 1000, or 0".to_owned());
    }
    let (_, least, most) = RANGES.iter().find(|(known, _, _)| *known == key)?;
    Some(if *most == ANY { format!("from {least}") } else { format!("from {least} to {most}") })
}
