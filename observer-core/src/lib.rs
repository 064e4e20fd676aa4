//! All of observer's analysis: from TCP segments to a verdict on each connection.
//!
//! Nothing here does I/O or reads a clock: time is an argument, and every input may be hostile.
//! The way through is [`packet`] (bytes of a capture → segments) ► [`flow`] (segments → two byte streams) ►
//! [`protocol`] (byte streams → what was spoken) ► [`security`] (the verdict) ► [`engine`] (when a verdict stands) ►
//! [`path`] (what the connection is to the control plane) ► [`policy`] (what is wrong with it) ►
//! [`connection`] (faces joined into one connection) ► [`event`] (what the outside sees).
#![forbid(unsafe_code)]

mod address;
pub mod connection;
pub mod engine;
pub mod event;
pub mod flow;
mod order;
pub mod packet;
pub mod party;
pub mod path;
pub mod policy;
pub mod protocol;
pub mod security;
pub mod time;

pub use address::Address;
