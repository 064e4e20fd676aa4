//! The daemon and the command line of observer: everything that touches the world.

pub mod cli;
pub mod pipeline;
pub mod sink;
pub mod source;
