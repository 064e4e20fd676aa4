//! The daemon and the command line of observer: everything that touches the world.

#[cfg(target_os = "linux")]
pub mod attribution;
#[cfg(target_os = "linux")]
pub mod doctor;
pub mod source;
