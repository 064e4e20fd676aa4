//! The wire between observer's kernel programs and its daemon.
//!
//! Everything here is `no_std`, without dependencies, and made of integers with explicit padding only: both sides
//! compile the same definitions, and the layout is asserted at compile time. What the kernel *decides* (scope, copy
//! budget) is here too, as generic functions, so that it is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

mod address;
mod announcement;
mod budget;
mod config;
mod counters;
mod event;
mod handshake;
mod layout;
mod pair;
mod payload;
mod scope;
mod socket;
mod wish;

pub use address::Address;
pub use announcement::Announcement;
pub use budget::{Budget, Piece, Rate, next_piece, offset_from};
pub use config::{Config, OwnerRule, WakeSwitch};
pub use counters::{Counters, RingCounters};
pub use event::Event;
pub use handshake::{Handshake, OPTIONS_MAX};
pub use layout::{Field, WIRE_VERSION, kind};
pub use pair::{PAIRS, Pair, step};
pub use payload::{CLASSES, PAYLOAD_HEADER, PLAIN_OPTIONS, Payload};
pub use scope::{Facts, Rules, Verdict, decide, reach};
pub use socket::{Mode, SocketState, direction, face_key, flag, mark, role, state};
pub use wish::{Portion, Window, Wish};
