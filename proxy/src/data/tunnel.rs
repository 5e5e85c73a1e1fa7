//! Bytes both ways.

pub mod line;
pub mod tcp;
pub mod ways;
