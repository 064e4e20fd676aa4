//! `observer`: the command line.
fn main() {}
