//! The addresses of the admin listener, a file for each group of them.

pub(super) mod alive;
pub(super) mod configuration;
pub(super) mod explain;
pub(super) mod index;
pub(super) mod learned;
pub(super) mod metrics;
pub(super) mod page;
pub(super) mod process;
pub(super) mod status;
pub(super) mod steering;
