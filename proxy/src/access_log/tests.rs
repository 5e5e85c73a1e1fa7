//! Lines of records that come from strangers.
