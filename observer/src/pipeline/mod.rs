//! From a source through the analysis to a sink.

mod analysis;
mod crew;
mod progress;
mod replay;
mod router;
mod shard;
mod skipped;
mod stop;
mod work;

pub use replay::{Ended, Replay};
pub use stop::Stop;
