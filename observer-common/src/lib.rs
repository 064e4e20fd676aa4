//! The wire between observer's kernel programs and its daemon.
//!
//! Everything here is `no_std`, without dependencies, and made of integers with explicit padding only: both sides
//! compile the same definitions, and the layout is asserted at compile time.
#![no_std]
#![forbid(unsafe_code)]
