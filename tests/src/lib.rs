//! What the tests of the whole command share: captures through `observer replay`, real peers in network namespaces that tell what they saw, the real daemon beside them,
//! and the ledger that compares the two.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is the tests' own code: a panic is how a test fails"
)]

pub mod account;
pub mod api;
pub mod capture;
pub mod certificates;
pub mod cluster;
pub mod daemon;
pub mod event;
pub mod kernel;
pub mod latency;
pub mod ledger;
pub mod netns;
pub mod peer;
pub mod replay;
pub mod schema;
pub mod stream;
pub mod talk;
pub mod truth;
pub mod world;
