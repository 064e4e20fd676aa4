//! The daemon and the command line of observer: everything that touches the world.

pub mod source;
