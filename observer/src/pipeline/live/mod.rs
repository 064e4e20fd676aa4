//! `observer run`: the live source through the analysis to a sink.
//!
//! The thread that reads the rings runs the analysis as well ([`ears`]): what it hears goes straight to the engine, and
//! what the engine has had enough of goes straight back to the kernel. Events cross a bounded queue to the main thread,
//! which waits for signals, for the minute and for the sink ([`daemon`]). Looking at `/proc` happens on threads of its
//! own, but for one look at a program's executable ([`proof`]).

mod counts;
mod daemon;
mod ears;
mod heap;
mod older;
mod outlet;
mod proof;
mod rank;
mod servers;
mod watched;
mod wishes;

pub use daemon::{Again, Daemon, LiveError, Reread};
