//! What the engine allows itself.

use std::time::Duration;

/// The engine's patience and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first payload to the verdict; then it is `unknown`.
    pub verdict: Duration,
    /// From the opening to the first payload; then the verdict is `unknown` because there is no data.
    pub silence: Duration,
    /// How long an ended face waits for segments that its end overtook on the way here.
    pub linger: Duration,
    /// Faces at one time. The one that was quiet longest is given up for a new one, a decided one first.
    pub faces: usize,
    /// Bytes of heap for everything that is being read. At the bound the oldest undecided face gets its verdict as it
    /// stands; where all have theirs, the one that was quiet longest is read no further.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            verdict: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            linger: Duration::from_millis(20),
            faces: 100_000,
            held: 24 << 20,
        }
    }
}
