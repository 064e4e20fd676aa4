//! Where packets come from.

#[cfg(target_os = "linux")]
pub mod ebpf;
#[cfg(target_os = "linux")]
pub mod existing;
pub mod pcap;
#[cfg(target_os = "linux")]
pub mod tracking;
