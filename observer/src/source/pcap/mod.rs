//! Capture files: pcap and pcapng, plain, in gzip or in zstd, from a file or a live pipe.
//!
//! [`Capture`] knows the formats and does no I/O; [`Stream`] reads and unpacks; [`Block`] is a run of whole packets.
//!
//! The format's reader is our own because a replay needs three things together that the crates for it do not give:
//! packets as places in a block that other threads go on to read (the crates lend one packet at a time), the exact
//! offset of a damage, and a bound on what a length field can make it hold.

mod block;
mod capture;
mod classic;
mod damage;
mod input;
mod interface;
mod open_error;
mod order;
mod packet;
mod read_error;
mod section;
mod stream;
mod zstd;

pub use block::Block;
pub use capture::Capture;
pub use damage::{Damage, Fault};
pub use open_error::OpenError;
pub use packet::Packet;
pub use read_error::ReadError;
pub use stream::Stream;

/// The longest packet that is believed, in bytes: four times what tcpdump and dumpcap write at most (262,144), and
/// more than the largest segment that Linux offloads.
pub const MAX_PACKET: u32 = 1 << 20;

/// The longest pcapng block that is held whole, in bytes: a packet, its header, and room for its options.
pub const MAX_BLOCK: u32 = MAX_PACKET + (1 << 17);
