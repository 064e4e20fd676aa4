//! From a source through the analysis to a sink.

mod crew;
mod shard;
mod stop;
mod work;

pub use crew::{Merger, Outcome, replay};
pub use shard::{Router, SHARDS, Shard};
pub use stop::Stop;
