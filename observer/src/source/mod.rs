//! Where packets come from.

pub mod pcap;
