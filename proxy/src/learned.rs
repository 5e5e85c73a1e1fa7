//! What is known while serving, for people: the ledger's names with what [`crate::model::live::Live`] says about them.

pub mod clocks;
pub mod content;
pub mod forget;
