//! The daemon and the command line of observer: everything that touches the world.

#[cfg(target_os = "linux")]
pub mod attribution;
pub mod cli;
#[cfg(target_os = "linux")]
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod kubernetes;
pub mod pipeline;
pub mod sink;
pub mod source;
