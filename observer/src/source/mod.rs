//! Where packets come from.

#[cfg(target_os = "linux")]
pub mod existing;
