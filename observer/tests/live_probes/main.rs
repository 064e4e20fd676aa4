//! The kernel programs on real connections, in network namespaces of their own.
//!
//! `cargo test -p observer --features probes --test live_probes`, as root. Without either, each test says that it was
//! skipped and why.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, says what it measured, and casts numbers that it chose itself"
)]

mod cost;
mod endings;
mod foreign;
mod giant;
mod heard;
mod loss;
mod multipath;
mod namespace;
mod openings;
mod pairs;
mod scope;
mod segments;
mod socket;

/// Ends a test with its reason where it cannot run.
#[macro_export]
macro_rules! needs_probes {
    () => {
        if let Some(reason) = $crate::heard::cannot_run() {
            println!("skipped: {reason}");
            return;
        }
    };
}
