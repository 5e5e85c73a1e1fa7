//! Bytes both ways.

pub mod tcp;
pub mod ways;
