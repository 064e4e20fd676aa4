//! One connection as the operator means it: the faces joined, both ends named.

mod account;
mod ends;
mod finding;
mod findings;
mod id;
mod joiner;
mod judged;
mod known;
mod losses;
mod party_field;
mod passing;
mod relay;
mod sessions;

pub use crate::party::{Party, Process};
pub use account::Context;
use id::Id;
pub use id::Seed;
pub use joiner::{Joiner, JoinerLimits};
