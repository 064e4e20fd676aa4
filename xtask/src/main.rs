//! `cargo xtask`: one command to run observer, one to test it.
fn main() {}
