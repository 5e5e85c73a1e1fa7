//! What a data thread owns: its clock and deadlines, and what it has to say.

pub mod access_log;
pub mod complaints;
pub mod executor;
pub mod held;
pub mod log_texts;
pub mod memory;
pub mod misses;
pub mod pulse;
pub mod search;
pub mod spare;
pub mod ticker;
