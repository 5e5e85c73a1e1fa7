//! What origins are asked for.

/// A file of 1 KiB.
pub(super) const SMALL: &str = "/SMS_DP_SMSPKG$/PKG00001/sccm?/file%201.bin";
/// A file of 10 MiB.
pub(super) const LARGE: &str = "/SMS_DP_SMSPKG$/BIG00001/sccm?/file%201.bin";
/// The bytes of [`LARGE`].
pub(super) const LARGE_BYTES: u64 = 10 * 1024 * 1024;
/// Something of a management point.
pub(super) const PROBE: &str = "/SMS_MP/.sms_aut?MPLIST";
/// A small answer of a management point: rolegate keeps nothing about who asked.
pub(super) const REMEMBERED_BY_NOBODY: &str = "/SMS_MP/.sms_aut?MPCERT";
/// The name of the site in certificates and `Host`.
pub(super) const HOST: &str = "mp1.lab.test";
