//! From a source through the analysis to a sink.

mod analysis;
mod crew;
mod host;
#[cfg(target_os = "linux")]
mod live;
mod progress;
mod replay;
mod router;
mod shard;
mod skipped;
mod stop;
mod work;

#[cfg(target_os = "linux")]
pub use live::{Again, Daemon, LiveError, Reread};
pub use replay::{Ended, Replay};
pub use stop::Stop;
