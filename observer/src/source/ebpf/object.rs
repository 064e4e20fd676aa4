//! The kernel programs, where this binary has them.

/// The ELF object; `None` if the binary was built without the feature `probes`.
#[cfg(feature = "probes")]
pub(super) fn object() -> Option<&'static [u8]> {
    Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf")))
}

/// The ELF object; `None` if the binary was built without the feature `probes`.
#[cfg(not(feature = "probes"))]
pub(super) fn object() -> Option<&'static [u8]> {
    None
}
