//! One connection as the operator means it: the faces joined, both ends named.

mod party;

pub use party::{Party, Process};
