//! Where packets come from.

pub mod ebpf;
