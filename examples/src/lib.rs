//! Runnable examples of rolegate; [`lab`] is the one to start with.

pub mod lab;
