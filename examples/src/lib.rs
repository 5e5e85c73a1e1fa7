//! Runnable examples of rolegate; [`lab`] is the one to start with.

// What a closed pipe makes of these is a panic; `rolegate_bench::say` knows better.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod lab;
